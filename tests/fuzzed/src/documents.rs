//! What must hold of the files that people write: policy, register of callers, the service's configuration and the scheme
//! from which a deployment is made.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use semops_pki::algorithm::sha256;
use signer::config::Config;
use signer::domain::actor::SpiffeId;
use signer::policy::{Policy, Register};
use softhsm_setup::scheme::Scheme;

use crate::Verdict::{self, Accepted, Refused};

/// A policy document.
pub fn policy(bytes: &[u8]) -> Verdict {
    let policy = match Policy::parse(bytes) {
        Ok(policy) => policy,
        Err(mistakes) => {
            assert!(mistakes.to_string().lines().count() > 1);
            return Refused;
        }
    };
    assert_eq!(policy.sha256(), sha256(bytes));
    assert!(policy.version() > 0);
    assert!((1..=600).contains(&policy.acceptance_seconds()));
    // White space says nothing, and yet it is another document.
    let longer = Policy::parse(&[bytes, b"\n"].concat()).unwrap();
    assert_ne!(longer.sha256(), policy.sha256());
    assert_eq!(longer.institution(), policy.institution());
    assert_eq!(longer.rate_limits(), policy.rate_limits());
    assert!(Policy::parse(&[b"surprise = 1\n", bytes].concat()).is_err());
    Accepted
}

/// A register of callers.
pub fn callers(bytes: &[u8]) -> Verdict {
    let register = match Register::parse(bytes) {
        Ok(register) => register,
        Err(mistake) => {
            assert!(!mistake.to_string().is_empty());
            return Refused;
        }
    };
    assert!(register.version() > 0);
    assert!(register.tls_ca().is_ca());
    let institution = register.institution().as_str();
    assert_eq!(register.tls_ca().subject_organization(), Some(institution));
    let others: Result<SpiffeId, _> =
        format!("spiffe://semops.example/{institution}-/payments/core").parse();
    assert!(others.is_err() || register.state(&others.unwrap()).is_none());
    assert!(Register::parse(&[b"surprise = 1\n", bytes].concat()).is_err());
    Accepted
}

/// The service's configuration, in a folder without any of the files that it names: it counts as accepted if nothing else is
/// wrong with it.
pub fn configuration(bytes: &[u8]) -> Verdict {
    let folder = Folder::new();
    let file = folder.0.join("signer.toml");
    fs::write(&file, bytes).unwrap();
    let mistakes = Config::load(&file).unwrap_err().0;
    let again = Config::load(&file).unwrap_err().0;
    assert_eq!(mistakes, again);
    assert!(!mistakes.is_empty());
    for mistake in &mistakes {
        assert!(!mistake.key.is_empty() && !mistake.what.is_empty() && !mistake.way_out.is_empty());
    }
    let files = [
        "certificate",
        "chain",
        "client_root",
        "crl",
        "key",
        "pin_file",
    ];
    let about_files = mistakes.iter().all(|mistake| {
        files
            .iter()
            .any(|name| mistake.key.ends_with(&format!(".{name}")))
    });
    if about_files { Accepted } else { Refused }
}

/// A folder of this process's thread, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!(
            "fuzzed-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the system's temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The declarative file of a scheme.
pub fn scheme(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else {
        return Refused;
    };
    let scheme = match Scheme::parse(text) {
        Ok(scheme) => scheme,
        Err(error) => {
            assert!(!error.mistakes().is_empty());
            return Refused;
        }
    };
    let ids: BTreeSet<&str> = scheme
        .institutions()
        .iter()
        .map(|one| one.id().as_str())
        .collect();
    assert_eq!(ids.len(), scheme.institutions().len());
    assert!(!ids.is_empty());
    for institution in scheme.institutions() {
        assert!(
            institution
                .trusts()
                .iter()
                .all(|trusted| ids.contains(trusted.as_str()))
        );
        for caller in institution.callers() {
            let id = scheme.caller_id(institution.id(), caller);
            let id: SpiffeId = id.parse().unwrap();
            assert_eq!(
                (id.scheme(), id.institution()),
                (scheme.name(), institution.id())
            );
        }
    }
    Accepted
}
