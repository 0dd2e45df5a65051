//! What the files of a directory say, and who may read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use semops_objects::trust::TrustDocument;
use semops_pki::certificate::Certificate;
use softhsm_setup::directory::Hierarchy;
use softhsm_setup::scheme::Role;

use crate::{files_below, id, pem, scheme, shared};

#[test]
fn secrets_are_in_one_file_each_and_for_the_owner_alone() {
    let made = shared();
    let files = files_below(made.path());
    let contents: Vec<(PathBuf, Vec<u8>)> = files
        .into_iter()
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    for institution in ["alfa", "beta", "mobilis"].map(id) {
        for secret in [made.pin(&institution), made.so_pin(&institution)] {
            let pin = fs::read(&secret).unwrap();
            assert_eq!(pin.len(), 32);
            let holds = |content: &[u8]| content.windows(32).any(|window| window == pin);
            let holders: Vec<_> = contents
                .iter()
                .filter(|(_, c)| holds(c))
                .map(|(p, _)| p)
                .collect();
            assert_eq!(holders, [&secret]);
        }
    }
    let mut secrets = 0;
    for (path, content) in &contents {
        let in_folder = |name| path.parent().unwrap().ends_with(name);
        let private = content.windows(11).any(|window| window == b"PRIVATE KEY");
        if private || in_folder("pins") || in_folder("offline") {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            secrets += 1;
        }
    }
    // 3 PINs, 3 of security officers, 3 roots, 4 TLS CAs, a server, 12 callers, 9 custodians, 3 of the scheme.
    assert_eq!(secrets, 38);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(made.path()), 0o700);
    assert_eq!(mode(&made.tokens()), 0o700);
    assert_eq!(mode(&made.approval_keys(&id("alfa"))), 0o700);
}

fn read(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn documents_say_what_the_scheme_says() {
    let made = shared();
    let policy = read(&made.policy(&id("mobilis")));
    assert_eq!(policy["institution"].as_str(), Some("mobilis"));
    assert_eq!(policy["version"].as_integer(), Some(1));
    assert_eq!(policy["amount_per_order"]["CNY"].as_str(), Some("50.00"));
    assert_eq!(
        policy["device_limits"]["orders_per_day"].as_integer(),
        Some(20)
    );
    let callers = read(&made.callers(&id("alfa")));
    assert_eq!(callers["caller"].as_array().unwrap().len(), 4);
    let tls_ca = Certificate::from_pem(callers["tls_ca"].as_str().unwrap()).unwrap();
    assert_eq!(tls_ca, pem(&made.ca(Hierarchy::Tls, &id("alfa")))[0]);
    let trusted = |institution| {
        let trust = read(&made.trust(&id(institution)));
        let trusted = trust["trusted"].as_array().unwrap().clone();
        let named = trusted
            .iter()
            .map(|t| t["institution"].as_str().unwrap().to_owned());
        named.collect::<Vec<_>>()
    };
    assert_eq!(trusted("alfa"), ["alfa", "beta"]);
    assert_eq!(trusted("mobilis"), ["alfa", "beta"]);
}

#[test]
fn profiles_and_configuration_name_files_that_are_there() {
    let made = shared();
    let profile = made.caller(&id("beta"), Role::Payments, "backend").profile;
    let folder = profile.parent().unwrap();
    let profile = read(&profile);
    for member in ["root", "certificate", "key"] {
        assert!(
            folder.join(profile[member].as_str().unwrap()).is_file(),
            "{member}"
        );
    }
    let config = read(&made.config());
    let conf = config["hsm"]["environment"]["SOFTHSM2_CONF"].as_str();
    assert_eq!(conf, made.softhsm_configuration().to_str());
    for institution in config["institution"].as_array().unwrap() {
        let pin = institution["pin_file"].as_str().unwrap();
        assert!(made.path().join(pin).is_file());
    }
}

#[test]
fn trust_documents_pass_the_check_of_those_who_load_them() {
    for institution in ["alfa", "beta", "mobilis"].map(id) {
        let bytes = fs::read(shared().trust(&institution)).unwrap();
        let trust = TrustDocument::parse(&bytes, scheme().oids()).unwrap();
        assert_eq!(*trust.institution(), institution);
        assert_eq!(trust.version(), 1);
        let keys: Vec<_> = trust
            .jwk_set()
            .keys()
            .iter()
            .map(|key| key.kid().to_owned())
            .collect();
        assert_eq!(keys.len(), 2, "alfa and beta");
    }
}
