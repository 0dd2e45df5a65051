//! What must hold of the files that people write: policy, register of callers, the service's configuration, the scheme
//! from which a deployment is made, a caller's connection profile and the control file of a drill.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use semops_pki::algorithm::sha256;
use semopsctl::profile::{Profile, ServerIdentity};
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
    let mistakes = Config::load(&file, 0).unwrap_err().0;
    let again = Config::load(&file, 0).unwrap_err().0;
    assert_eq!(mistakes, again);
    assert!(!mistakes.is_empty());
    for mistake in &mistakes {
        assert!(!mistake.key.is_empty() && !mistake.what.is_empty() && !mistake.way_out.is_empty());
    }
    let files = [
        "ceremony",
        "certificate",
        "chain",
        "changes",
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

/// A connection profile; its files are not read yet.
pub fn profile(bytes: &[u8]) -> Verdict {
    let folder = Folder::new();
    let load = |bytes: &[u8]| {
        let file = folder.0.join("profile.toml");
        fs::write(&file, bytes).unwrap();
        Profile::load(&file)
    };
    let profile = match load(bytes) {
        Ok(profile) => profile,
        Err(mistake) => {
            assert!(mistake.to_string().contains("profile.toml"));
            return Refused;
        }
    };
    let written: toml::Table = toml::from_str(str::from_utf8(bytes).unwrap()).unwrap();
    let text = |key: &str| written[key].as_str().unwrap();
    assert_eq!(profile.endpoint(), text("endpoint"));
    let uri: http::Uri = profile.endpoint().parse().unwrap();
    assert_eq!(uri.scheme_str(), Some("https"));
    assert!(uri.path() == "/" && uri.query().is_none());
    assert_eq!(uri.authority().unwrap().as_str(), profile.authority());
    assert!(uri.port_u16().is_some_and(|port| port > 0));
    match profile.server() {
        ServerIdentity::Spiffe(id) => assert_eq!(id, text("server")),
        ServerIdentity::Name(name) => {
            let (name, text) = (name.to_str(), text("server"));
            let address = |text: &str| text.parse::<IpAddr>().ok();
            assert!(name == text || address(&name).is_some_and(|ip| address(text) == Some(ip)));
        }
    }
    assert!((1..=300).contains(&profile.timeout().as_secs()));
    let paths = [profile.root(), profile.certificate(), profile.key()];
    for (path, key) in paths.iter().zip(["root", "certificate", "key"]) {
        assert!(
            path.is_absolute()
                && path.ends_with(Path::new(text(key)).file_name().unwrap_or_default())
        );
    }
    assert!(load(&[b"surprise = 1\n", bytes].concat()).is_err());
    Accepted
}

/// The control file of the module for drills.
pub fn control(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else {
        return Refused;
    };
    let rules = match fault_module::rules(text) {
        Ok(rules) => rules,
        Err(mistake) => {
            assert!(!mistake.is_empty());
            return Refused;
        }
    };
    let names: BTreeSet<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), rules.len());
    for (name, effect) in &rules {
        // Both stand in the lines of the log, between spaces, and are counted there.
        assert!((1..=40).contains(&name.len()) && !name.contains(char::is_whitespace));
        assert!(!effect.is_empty() && !effect.contains(char::is_control));
    }
    assert_eq!(fault_module::rules(&format!("{text}\n")), Ok(rules));
    assert!(fault_module::rules(&format!("surprise = 1\n{text}")).is_err());
    let twice = "\n[[fault]]\nname = \"a\"\neffect = \"remove\"\n".repeat(2);
    assert!(fault_module::rules(&(text.to_owned() + &twice)).is_err());
    Accepted
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
        let register = institution.register();
        let persons: BTreeSet<_> = register.custodians().iter().collect();
        assert_eq!(persons.len(), register.custodians().len());
        assert!(persons.len() > usize::from(register.quorum().get()));
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
