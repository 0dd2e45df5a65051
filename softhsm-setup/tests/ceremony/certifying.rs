//! An institution's next CA: certified by its root for the request that names it, and for no other.

use std::fs;
use std::path::PathBuf;

use semops_objects::ca::common_name;
use semops_pki::certificate::Certificate;
use semops_pki::local_key::LocalKey;
use semops_pki::request::to_be_signed;
use semops_pki::signed::assemble;
use softhsm_setup::certify;
use softhsm_setup::directory::{Directory, Hierarchy};
use softhsm_setup::error::SetupError;

use crate::chains::openssl_verify;
use crate::{contents, edge, go_on, id, own};

/// The request of a key for O = `organization`, CN = `common_name`.
fn request(key: &LocalKey, organization: &str, common_name: &str) -> Vec<u8> {
    let info = to_be_signed(organization, common_name, key.public_key()).unwrap();
    let raw = key.sign_raw(info.bytes()).unwrap();
    let signature = key.public_key().verify_raw(info.bytes(), &raw).unwrap();
    assemble(info.bytes(), &signature)
}

fn ask(made: &Directory, request: &[u8]) -> Result<PathBuf, SetupError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), request).unwrap();
    certify(made.path(), file.path(), &edge(), &mut go_on).map(|certified| certified.path)
}

#[test]
fn the_next_ca_of_an_institution_is_certified_under_its_own_name() {
    let (_folder, made) = own();
    for hierarchy in [Hierarchy::Device, Hierarchy::Signing] {
        let key = LocalKey::generate().unwrap();
        let name = common_name(hierarchy.as_str(), key.public_key());
        let before = contents(made.path());
        let path = ask(&made, &request(&key, "alfa", &name)).unwrap();
        let mut after = contents(made.path());
        assert!(after.remove(&path).is_some());
        assert_eq!(after, before, "nothing else changes");

        let ca = Certificate::from_pem(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(ca.public_key(), key.public_key());
        assert_eq!(ca.subject_organization(), Some("alfa"));
        assert_eq!(ca.subject_common_name(), Some(name.as_str()));
        assert_eq!(ca.path_len(), Some(0));
        let first = fs::read_to_string(made.ca(hierarchy, &id("alfa"))).unwrap();
        let first = Certificate::from_pem(&first).unwrap();
        assert_ne!(first.subject_der(), ca.subject_der());
        assert_eq!(first.crl_addresses(), ca.crl_addresses());
        let crls = [made.root_crl(hierarchy)];
        let (good, said) = openssl_verify(&made.root(hierarchy), &crls, &[], &path);
        assert!(good, "{said}");

        let again = ask(&made, &request(&key, "alfa", &name)).unwrap_err();
        assert!(again.to_string().contains("nothing is ever overwritten"));
    }
}

#[test]
fn what_names_no_ca_of_the_directory_is_refused() {
    let (_folder, made) = own();
    let before = contents(made.path());
    let key = LocalKey::generate().unwrap();
    let other = LocalKey::generate().unwrap();
    let own_name = common_name("device", key.public_key());
    let others_name = common_name("device", other.public_key());
    let tls = common_name("tls", key.public_key());
    let mut forged = request(&key, "alfa", &own_name);
    *forged.last_mut().unwrap() ^= 1;
    for (asked, why) in [
        (
            request(&key, "gamma", &own_name),
            "no institution of this directory",
        ),
        (
            request(&key, "alfa", &others_name),
            "is not the name of a device or signing CA",
        ),
        (
            request(&key, "alfa", "device CA"),
            "is not the name of a device or signing CA",
        ),
        (
            request(&key, "alfa", &tls),
            "is not the name of a device or signing CA",
        ),
        (
            key.certification_request("phone").unwrap(),
            "its subject is not O =",
        ),
        (forged, "signature"),
        (b"nothing".to_vec(), "PEM"),
    ] {
        let refused = ask(&made, &asked).unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    }
    fs::remove_file(made.root_key(Hierarchy::Device)).unwrap();
    let refused = ask(&made, &request(&key, "alfa", &own_name)).unwrap_err();
    assert!(matches!(refused, SetupError::NoRootKeys(missing) if missing.len() == 1));
    // The other root's is not needed.
    let signing = common_name("signing", key.public_key());
    let path = ask(&made, &request(&key, "beta", &signing)).unwrap();
    let mut after = contents(made.path());
    assert!(after.remove(&path).is_some());
    let mut expected = before;
    expected.remove(&made.root_key(Hierarchy::Device));
    assert_eq!(after, expected);
}
