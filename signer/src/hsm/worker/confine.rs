//! Owns what a worker process may not do. It holds a PIN and runs a vendor's code: whatever it needs not, it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::sys::signal::SigSet;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// The other numbering of the same system calls on this machine (the ABI x32), which a filter has to name too.
#[cfg(target_arch = "x86_64")]
const NUMBERINGS: &[i64] = &[0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const NUMBERINGS: &[i64] = &[0];

/// What no PKCS#11 module needs, and what would reach the service, another process or the network in a roundabout way.
const NEVER: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // Its requests are not seen by a filter, and a socket is one of them.
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_unshare,
    libc::SYS_setns,
];

/// Before anything is known: ends with the service, tells nothing to others, holds nothing that it was not given.
pub(super) fn enter() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    close_inherited()?;
    // Signals are for the service; a worker process ends when the service closes the socket, or by SIGKILL.
    SigSet::all().thread_block()?;
    Ok(())
}

/// Before the module is loaded: nothing that no module needs, and no network unless `network` says so.
pub(super) fn confine(network: bool) -> Result<(), Box<dyn std::error::Error>> {
    set_no_new_privs(true)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for numbering in NUMBERINGS {
        for call in NEVER {
            // An empty list refuses the call whatever its arguments are.
            rules.insert(call | numbering, Vec::new());
        }
        // A process may signal itself: that is what abort(3) does.
        let own = u64::try_from(getpid().as_raw_nonzero().get())?;
        rules.insert(libc::SYS_tgkill | numbering, vec![first_is_not(own)?]);
        if !network {
            let unix = u64::try_from(libc::AF_UNIX)?;
            rules.insert(libc::SYS_socket | numbering, vec![first_is_not(unix)?]);
        }
    }
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, ARCHITECTURE)?;
    // Threads take it over from the one that starts them, and there is only this one yet.
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

fn first_is_not(value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)?;
    SeccompRule::new(vec![condition])
}

/// Closes what was not given on purpose. The service may hold PINs by descriptors that it was started with.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // That of the listing itself is closed already.
        let _closed = nix::unistd::close(descriptor);
    }
    Ok(())
}
