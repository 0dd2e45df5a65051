//! What a drill verifies: that the throwaway key is as a key must be, that the service publishes it as planned, and that the
//! key in use is the one that signs.

use std::path::Path;

use semops_objects::key::{KeyId, Purpose};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{self, KeyState};

use super::{certificate, shown, stage::Stage};
use crate::{
    commands::{change::Desk, enroll::parse_chain},
    custody::history::History,
    failure::Failure,
};

/// What PKCS#11 says of a private key that never leaves its token, and signs alone.
const ATTRIBUTES: [(&str, bool); 6] = [
    ("CKA_SENSITIVE", true),
    ("CKA_EXTRACTABLE", false),
    ("CKA_ALWAYS_SENSITIVE", true),
    ("CKA_NEVER_EXTRACTABLE", true),
    ("CKA_LOCAL", true),
    ("CKA_SIGN", true),
];

/// Checks what can be checked at this stage, and says what was.
///
/// # Errors
/// [`Failure::Untrue`] with what is otherwise.
pub(super) async fn run(
    purpose: Purpose,
    key: KeyId,
    folder: &Path,
    stage: &Stage,
    history: &History,
    desk: &Desk<'_>,
) -> Result<Vec<String>, Failure> {
    let mut checked = Vec::new();
    if matches!(stage, Stage::Destroyed) {
        return Ok(checked);
    }
    let keys = shown(desk).await?;
    let id = key.to_string();
    let own = keys.iter().find(|one| one.key_id == id);
    let own = own.ok_or_else(|| Failure::untrue(format!("the service shows no key {id}")))?;
    attributes(own)?;
    checked.push("the token says that the private half never leaves it, and signs".to_owned());
    if !matches!(stage, Stage::Uncertified) {
        issued(purpose, &certificate(folder)?, &keys, history, desk)?;
        checked.push("its certificate is its own, and issued by whoever may".to_owned());
    }
    if own.state() != KeyState::PreActivation {
        return Err(Failure::untrue(format!(
            "the service shows the throwaway key as {}",
            own.state().as_str_name()
        )));
    }
    let signing = history.standing().active_at(purpose, desk.now());
    let signing = signing.first().map(KeyId::to_string).unwrap_or_default();
    let active = keys.iter().find(|one| one.key_id == signing);
    if active.is_none_or(|one| one.state() != KeyState::Active) {
        return Err(Failure::untrue(format!(
            "the key {signing} is to sign, and the service does not show it as active"
        )));
    }
    checked.push(format!("{signing} signs"));
    if let Stage::Planned { activate_at } | Stage::CallOffProposed { activate_at, .. } = stage {
        published(own, *activate_at, &certificate(folder)?)?;
        checked.push("the service publishes it, to sign at the time that was approved".to_owned());
    }
    Ok(checked)
}

fn attributes(key: &v1::Key) -> Result<(), Failure> {
    for (name, wanted) in ATTRIBUTES {
        let mut told = key.attributes.iter();
        let told = told.find(|one| one.name == name);
        let value = told.and_then(|one| one.value);
        // Some tokens do not tell all of them.
        if value.is_some_and(|value| value != wanted) {
            return Err(Failure::untrue(format!("{name} of the key is {}", !wanted)));
        }
    }
    Ok(())
}

/// A certificate is by the CA of the verified history that certifies keys of its purpose; a CA's by the root, which the service checks
/// before it records the rotation.
fn issued(
    purpose: Purpose,
    own: &Certificate,
    keys: &[v1::Key],
    history: &History,
    desk: &Desk<'_>,
) -> Result<(), Failure> {
    let Some(by) = purpose.certified_by() else {
        return Ok(());
    };
    let cas = history.standing().active_at(by, desk.now());
    for ca in keys {
        let chain = parse_chain(&ca.certificate_chain)?;
        let Some(certificate) = chain.first() else {
            continue;
        };
        let stands = cas.contains(&KeyId::of(certificate.public_key()));
        if stands && own.verify_issued_by(certificate).is_ok() {
            return Ok(());
        }
    }
    Err(Failure::untrue(format!(
        "the throwaway key's certificate is by no {} of the institution",
        by.name()
    )))
}

fn published(key: &v1::Key, activate_at: u64, own: &Certificate) -> Result<(), Failure> {
    let same = key.certificate_chain.first().map(Vec::as_slice) == Some(own.der());
    let at = key.activates_at.and_then(|at| u64::try_from(at).ok());
    if same && at == Some(activate_at) {
        return Ok(());
    }
    Err(Failure::untrue(
        "the service shows the throwaway key with another certificate, or another time, than was approved".to_owned(),
    ))
}
