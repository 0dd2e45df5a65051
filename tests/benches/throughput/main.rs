//! Co-signed orders and enrolled phones per second of the real service over mutual TLS, beside C_Sign in a bare loop on
//! the same token and beside what the parts of an operation, each measured alone, would allow; all in one run.
//!
//! It fails when something is wrong, never because it is slow: rates depend on the machine, so read the ratios.

mod cpu;
mod load;
mod parts;
mod report;
mod work;

use std::{path::Path, process::ExitCode, time::Duration};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
};
use rusqlite::Connection;
use softhsm_setup::scheme::Scheme;

use crate::{
    parts::{Echo, Kind, Part, Task, exchange, measure},
    report::{Operation, Parts, Report},
    work::Measured,
};

/// As in the service, whose parts are measured here too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PART: Duration = Duration::from_millis(1_200);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match (arguments.next().as_deref(), arguments.next()) {
        (Some("part"), Some(task)) => parts::run(&task),
        _ => tokio::runtime::Runtime::new()
            .map_err(Failure::from)
            .and_then(|runtime| runtime.block_on(bench())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("throughput: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<(), Failure> {
    programs::ours(Watched::Yes)?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.start().await?;
    let server = deployment.server()?.pid().as_raw_nonzero().get();
    let server = u32::try_from(server)?;
    eprintln!("enrolling");
    let (enrolling, phones) = work::enrol(&deployment, server).await?;
    let accepted = work::accept(&deployment, server, &phones).await?;
    eprintln!("co-signing");
    let phones = phones.get(..accepted).unwrap_or(&phones);
    let cosigning = work::cosign(&deployment, server, phones).await?;
    deployment.stop().await?;
    eprintln!("checking the record");
    check(&mut deployment, &enrolling, &cosigning).await?;
    eprintln!("measuring the parts");
    let report = Report::new(
        operation("CosignOrder", Kind::CosignOrder, cosigning, &deployment).await?,
        operation("EnrollDevice", Kind::EnrollDevice, enrolling, &deployment).await?,
    )?;
    println!("{report}");
    let file = report.write()?;
    println!("as JSON: {}", file.display());
    Ok(())
}

/// Every operation that was answered stands in the record, nothing else does, and all of it keeps the rules.
async fn check(
    deployment: &mut Deployment,
    enrolling: &Measured,
    cosigning: &Measured,
) -> Result<(), Failure> {
    let checked = recheck(deployment).await?;
    let answered = (enrolling.operations(), cosigning.operations(), 0);
    let recorded = (
        checked.certificates,
        checked.authorizations,
        checked.unsigned,
    );
    if answered == recorded {
        return Ok(());
    }
    Err(Failure::new(format!(
        "certificates, authorizations and failures: answered {answered:?}, recorded {recorded:?}"
    )))
}

/// The parts of one RPC, beside what it did.
async fn operation(
    name: &'static str,
    kind: Kind,
    measured: Measured,
    deployment: &Deployment,
) -> Result<Operation, Failure> {
    let directory = deployment.directory();
    let softhsm = directory.softhsm_configuration();
    let task = |part| Task {
        part,
        config: directory.config(),
        kind,
        request: measured.sizes.request,
        answer: measured.sizes.answer,
        time: PART,
    };
    let alone = |part| measure(&task(part), &softhsm);
    let store = directory.path().join(format!("{name}.db"));
    copy(&deployment.database(), &store)?;
    let echo = task(Part::Echo);
    let (server, client) = {
        let running = Echo::start(&echo, &softhsm)?;
        exchange(&running, deployment, &echo).await?
    };
    let parts = Parts {
        raw_sign: [
            alone(Part::RawSign { threads: 1 })?,
            alone(Part::RawSign { threads: 2 })?,
        ],
        verify: alone(Part::Verify)?,
        queued_sign: alone(Part::QueuedSign)?,
        sign: alone(Part::Sign { workers: 1 })?,
        sign_by_two: alone(Part::Sign { workers: 2 })?,
        echo_server: server,
        echo_client: client,
        commit: alone(Part::Commit { store })?,
    };
    Ok(Operation {
        name,
        measured,
        parts,
    })
}

/// Of a store that nobody writes to.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let source = Connection::open(from)?;
    source.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    let copy = Connection::open(to)?;
    copy.pragma_update(None, "journal_mode", "WAL")?;
    Ok(())
}
