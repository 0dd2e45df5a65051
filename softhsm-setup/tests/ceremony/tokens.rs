//! What PKCS#11 says of the keys in the tokens.

use std::fs;
use std::path::Path;
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use semops_objects::jwk;
use softhsm_setup::directory::{Directory, Hierarchy};

use crate::{id, pem, scheme, shared, text};

/// Names the directory to the copy of this program that looks into its tokens.
const INSPECTED: &str = "SOFTHSM_SETUP_TEST_DIRECTORY";

#[test]
fn private_keys_stay_in_their_token() {
    if let Some(path) = std::env::var_os(INSPECTED) {
        inspect(&Directory::open(Path::new(&path)).unwrap());
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tokens::private_keys_stay_in_their_token"])
        .env(INSPECTED, shared().path())
        .env("SOFTHSM2_CONF", shared().softhsm_configuration())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", text(&said));
    assert!(text(&said).contains("1 passed"), "{}", text(&said));
}

/// Looks into all tokens of a directory; SOFTHSM2_CONF is set.
fn inspect(made: &Directory) {
    let pkcs11 = Pkcs11::new(scheme().module()).unwrap();
    let flags = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    pkcs11.initialize(flags).unwrap();
    let slots = pkcs11.get_slots_with_initialized_token().unwrap();
    assert_eq!(slots.len(), 3);
    for slot in slots {
        let institution = id(pkcs11.get_token_info(slot).unwrap().label());
        let session = pkcs11.open_ro_session(slot).unwrap();
        let all_private = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        assert!(session.find_objects(&all_private).unwrap().is_empty());
        let pin = fs::read_to_string(made.pin(&institution)).unwrap();
        session
            .login(UserType::User, Some(&AuthPin::from(pin)))
            .unwrap();
        assert_eq!(session.find_objects(&all_private).unwrap().len(), 3);
        let certified = [
            ("device-ca", made.ca(Hierarchy::Device, &institution)),
            ("signing-ca", made.ca(Hierarchy::Signing, &institution)),
            ("authorization", made.authorization_chain(&institution)),
        ];
        for (label, path) in certified {
            let thumbprint = jwk::thumbprint(pem(&path)[0].public_key());
            find(&session, ObjectClass::PUBLIC_KEY, label, &thumbprint);
            check_private(
                &session,
                find(&session, ObjectClass::PRIVATE_KEY, label, &thumbprint),
            );
        }
        session.close().unwrap();
    }
    pkcs11.finalize().unwrap();
}

fn find(session: &Session, class: ObjectClass, label: &str, id: &[u8]) -> ObjectHandle {
    let template = [
        Attribute::Class(class),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ];
    let found = session.find_objects(&template).unwrap();
    assert_eq!(found.len(), 1, "{label}");
    found[0]
}

fn check_private(session: &Session, key: ObjectHandle) {
    let expected = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    let types: Vec<_> = expected.iter().map(Attribute::attribute_type).collect();
    assert_eq!(session.get_attributes(key, &types).unwrap(), expected);
    let value = session
        .get_attributes(key, &[AttributeType::Value])
        .unwrap();
    assert!(value.is_empty(), "the token gave the key away");
}
