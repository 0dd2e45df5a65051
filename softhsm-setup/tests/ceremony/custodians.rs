//! The custodians with which institutions begin: the ceremony counts only with every one of them, and holds what stands in
//! the directory and in the token.

use std::fs;

use semops_objects::change::{
    ChangeFile, Custodians, DocumentKind, DocumentName, MAX_VALIDITY, SchemeStanding, Standing,
};
use semops_objects::institution::InstitutionId;
use semops_objects::key::{KeyId, KeyState, Purpose};
use semops_pki::local_key::LocalKey;
use softhsm_setup::directory::{Directory, Hierarchy};
use softhsm_setup::scheme::{Newcomer, Role};

use crate::additions::join;
use crate::{edge, id, own, pem, scheme, shared};

fn ceremony(made: &Directory, institution: &str) -> ChangeFile {
    ChangeFile::parse(&fs::read(made.ceremony(&id(institution))).unwrap()).unwrap()
}

fn begins(file: &ChangeFile, at: u64) -> Result<Standing, &'static str> {
    let custodians = file.document(DocumentKind::Custodians).unwrap();
    let scheme = scheme();
    Standing::begin(
        scheme.name(),
        &file.proposal,
        &file.approvals,
        custodians,
        at,
    )
    .map_err(|refusal| refusal.reason())
}

#[test]
fn an_institution_begins_with_its_documents_and_the_keys_in_its_token() {
    let made = shared();
    for institution in scheme().institutions() {
        let file = ceremony(made, institution.id().as_str());
        file.proposal.check_attachments(&file.attachments).unwrap();
        let begun = begins(&file, file.proposal.iat()).unwrap();
        assert_eq!(
            (begun.institution(), begun.sequence()),
            (institution.id(), 1)
        );
        for kind in DocumentKind::ALL {
            let bytes = fs::read(made.first_document(institution.id(), kind)).unwrap();
            let (_, name) = DocumentName::of(kind, &bytes).unwrap();
            assert_eq!((*begun.document(kind), name.version), (name, 1));
        }
        for (purpose, path) in [
            (
                Purpose::DeviceCa,
                made.ca(Hierarchy::Device, institution.id()),
            ),
            (
                Purpose::SigningCa,
                made.ca(Hierarchy::Signing, institution.id()),
            ),
            (
                Purpose::Authorization,
                made.authorization_chain(institution.id()),
            ),
        ] {
            let certified = KeyId::of(pem(&path)[0].public_key());
            assert_eq!(begun.active_at(purpose, file.proposal.iat()), [certified]);
        }
    }
}

#[test]
fn the_register_is_that_of_the_scheme_and_each_key_is_of_one_person() {
    let made = shared();
    for institution in scheme().institutions() {
        let register = fs::read(made.custodians(institution.id())).unwrap();
        let register = Custodians::parse(&register).unwrap();
        assert_eq!(register.quorum(), institution.register().quorum());
        let persons: Vec<_> = register.persons().iter().map(|one| one.person()).collect();
        let listed: Vec<_> = institution.register().custodians().iter().collect();
        assert_eq!(persons, listed);
        for custodian in register.persons() {
            let file = made.approval_key(institution.id(), custodian.person());
            let key = LocalKey::from_pkcs8_pem(&fs::read_to_string(file).unwrap()).unwrap();
            assert_eq!(custodian.approval_keys(), [key.public_key().clone()]);
        }
    }
    let anna = Custodians::parse(&fs::read(made.custodians(&id("alfa"))).unwrap()).unwrap();
    assert_eq!(anna.persons()[0].name(), "Anna Berg");
}

#[test]
fn without_any_one_of_its_custodians_nothing_begins() {
    let file = ceremony(shared(), "alfa");
    for missing in 0..file.approvals.len() {
        let mut without = file.clone();
        without.approvals.remove(missing);
        assert_eq!(
            begins(&without, file.proposal.iat()),
            Err("CEREMONY_INCOMPLETE")
        );
    }
    // It can wait for two weeks, and is no other institution's.
    let exp = file.proposal.exp();
    assert_eq!(exp - file.proposal.iat(), MAX_VALIDITY);
    assert!(begins(&file, exp - 1).is_ok());
    assert_eq!(begins(&file, exp), Err("CHANGE_EXPIRED"));
    let mut other = file.clone();
    other.proposal = ceremony(shared(), "beta").proposal;
    assert!(begins(&other, file.proposal.iat()).is_err());
}

#[test]
fn the_scheme_begins_with_its_custodians_and_the_roots_of_the_directory() {
    let (made, scheme) = (shared(), scheme());
    let of_scheme = InstitutionId::of_scheme();
    let file = ceremony(made, "scheme");
    let at = file.proposal.iat();
    let stands =
        |file: &ChangeFile| SchemeStanding::of(scheme.name(), std::slice::from_ref(file), at);
    let standing = stands(&file).unwrap();
    for (hierarchy, roots) in [
        (Hierarchy::Device, standing.roots().device()),
        (Hierarchy::Signing, standing.roots().signing()),
    ] {
        assert_eq!(roots, pem(&made.root(hierarchy)));
    }
    let register = standing.custodians();
    assert_eq!(register.quorum(), scheme.register().quorum());
    let persons: Vec<_> = register.persons().iter().map(|one| one.person()).collect();
    let listed: Vec<_> = scheme.register().custodians().iter().collect();
    assert_eq!(persons, listed);
    for custodian in register.persons() {
        let file = made.approval_key(&of_scheme, custodian.person());
        let key = LocalKey::from_pkcs8_pem(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(custodian.approval_keys(), [key.public_key().clone()]);
    }
    for missing in 0..file.approvals.len() {
        let mut without = file.clone();
        without.approvals.remove(missing);
        assert_eq!(stands(&without).unwrap_err().place, 1);
    }
    let config = fs::read_to_string(made.config()).unwrap();
    assert!(config.contains("changes = [\"documents/scheme-ceremony.json\"]"));
    let documents = [made.custodians(&of_scheme), made.scheme_roots()];
    for (path, content) in documents.iter().zip(&file.attachments) {
        assert_eq!(fs::read_to_string(path).unwrap(), content.content);
    }
}

#[test]
fn a_newcomer_has_a_ceremony_of_its_own() {
    let (_folder, made) = own();
    join(&made, Newcomer::EXAMPLE).unwrap();
    let file = ceremony(&made, "gamma");
    let now = u64::try_from(edge().now).unwrap();
    let begun = begins(&file, now).unwrap();
    assert_eq!(begun.keys().count(), 3);
    assert!(
        begun
            .keys()
            .all(|(_, life)| life.state(now) == KeyState::Active)
    );
    let folder = fs::read_dir(made.approval_keys(&id("gamma"))).unwrap();
    assert_eq!(folder.count(), 3);
}

#[test]
fn those_who_read_changes_are_told_where_the_ceremony_is() {
    let made = shared();
    for (role, name, told) in [
        (Role::Custodian, "security", true),
        (Role::Auditor, "audit", true),
        (Role::Payments, "backend", false),
        (Role::Enrolment, "ra", false),
    ] {
        let profile = made.caller(&id("beta"), role, name).profile;
        let text: toml::Table = fs::read_to_string(&profile).unwrap().parse().unwrap();
        let named = text.get("ceremony").and_then(toml::Value::as_str);
        let file = named.map(|named| profile.parent().unwrap().join(named));
        let file = file.map(|file| file.canonicalize().unwrap());
        assert_eq!(file, told.then(|| made.ceremony(&id("beta"))), "{role}");
    }
}
