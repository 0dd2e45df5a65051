//! The keys whose certificates are by a CA that others may know: for each a new key is made, which the CA in its place
//! certifies, and the rotation to it is proposed. What was done stands in the verified history.

use semops_objects::{
    change::{ChangeId, KeyLife, Operation},
    key::{KeyId, KeyState, Purpose},
};
use semops_pki::certificate::Certificate;
use serde_json::{Value, json};

use super::{Args, Case};
use crate::{
    commands::{
        change::Desk,
        keys::{Key, all, create},
    },
    failure::Failure,
};

/// The folder of the keys that come in their place, each in one with its predecessor's id.
const FOLDER: &str = "dependents";

/// A key that still signs with a certificate by the CA.
pub(super) struct Dependent {
    pub(super) key: KeyId,
    purpose: Purpose,
    /// The rotation to another one that waits for approvals.
    pub(super) change: Option<ChangeId>,
}

impl Dependent {
    pub(super) fn json(&self) -> Value {
        json!({
            "key_id": self.key.to_string(),
            "purpose": self.purpose.name(),
            "change_id": self.change.map(|id| id.to_string()),
        })
    }
}

/// In a few words.
pub(super) fn said(left: &[Dependent]) -> String {
    let waiting = left.iter().filter(|one| one.change.is_some()).count();
    format!(
        "{} left with a certificate by this CA, {waiting} with a rotation that waits",
        left.len()
    )
}

/// Those that are left, once the rotation of each has been proposed.
pub(super) async fn replace(
    args: &Args,
    case: &Case,
    desk: &Desk<'_>,
) -> Result<Vec<Dependent>, Failure> {
    let keys = all(desk.client).await?;
    let found = left(case, &keys, desk.now())?;
    if found.is_empty() {
        return Ok(found);
    }
    for one in found {
        let planned = planned(case, one.key);
        if one.change.is_none() && !planned {
            propose(args, case, &one, &keys, desk).await?;
        }
    }
    left(&Case::read(args, desk).await?, &keys, desk.now())
}

/// Whether the change that replaces a key is executed, and only its moment is to come.
fn planned(case: &Case, key: KeyId) -> bool {
    let life = case.history.standing().key(key);
    life.is_some_and(|life| life.retires_at().is_some())
}

/// The keys of the verified history that sign, or will again, and whose certificates are by the CA.
fn left(case: &Case, shown: &[Key], now: u64) -> Result<Vec<Dependent>, Failure> {
    let mut left = Vec::new();
    for (key, life) in case.history.standing().keys() {
        let signs = matches!(life.state(now), KeyState::Active | KeyState::Suspended);
        if signs && is_by(case.key, key, life, shown)? {
            let rotated = |operation: &Operation| matches!(operation, Operation::RotateKey(one) if one.from == key);
            left.push(Dependent {
                key,
                purpose: life.purpose(),
                change: case.waiting(rotated).map(|review| review.told.id()),
            });
        }
    }
    Ok(left)
}

/// Whether the certificate of a key, which must be the approved one, is by the CA.
fn is_by(ca: KeyId, key: KeyId, life: &KeyLife, shown: &[Key]) -> Result<bool, Failure> {
    let shown = one(shown, key)?;
    let [own, above] = shown.chain.as_slice() else {
        return Ok(false);
    };
    let approved = life.certificate();
    if approved.is_some_and(|sha256| own.sha256() != *sha256) {
        return Err(Failure::untrue(format!(
            "the certificate that is shown of the key {key} is not the one that was approved"
        )));
    }
    own.verify_issued_by(above).map_err(Failure::bad_answer)?;
    Ok(KeyId::of(above.public_key()) == ca)
}

fn one(shown: &[Key], key: KeyId) -> Result<&Key, Failure> {
    let id = key.to_string();
    let found = shown.iter().find(|one| one.sent.key_id == id);
    found.ok_or_else(|| {
        Failure::untrue(format!(
            "the key {key} of the verified history is not shown"
        ))
    })
}

/// A new key of the same purpose in the same token, and the rotation to it.
async fn propose(
    args: &Args,
    case: &Case,
    dependent: &Dependent,
    shown: &[Key],
    desk: &Desk<'_>,
) -> Result<(), Failure> {
    let folder = args.out.join(FOLDER).join(dependent.key.to_string());
    let token = &one(shown, dependent.key)?.sent.token;
    let purpose = dependent.purpose.into();
    let made = create::made(purpose, token, &folder, desk.client).await?;
    let certificate = certified(&made, &case.others(desk.now()))?;
    super::rotate(args, dependent.key, certificate, desk).await
}

/// The certificate of a new key, if it is by a CA that the verified history has issue now.
fn certified<'a>(made: &'a Key, others: &[KeyId]) -> Result<&'a Certificate, Failure> {
    let by_other = match made.chain.as_slice() {
        [own, ca] if others.contains(&KeyId::of(ca.public_key())) => {
            own.verify_issued_by(ca).is_ok().then_some(own)
        }
        _ => None,
    };
    by_other.ok_or_else(|| {
        Failure::untrue(
            "the new key's certificate is not by a CA of the verified history that issues now",
        )
    })
}
