//! Owns what an approved change does to the record: the one place where a judgement becomes an effect.

use semops_objects::{
    change::{self, Attachment, ChangeRefusal, Judgement, Operation, Standing},
    key::{KeyId, KeyState},
};

use crate::{
    authority::change::{ChangeError, contents, propose::expiry},
    store::{ChangeEnding, Execution, KeyProjection},
};

/// How a change ends by this judgement, if it does.
pub(super) fn ending(
    standing: &Standing,
    judgement: &Judgement,
    attachments: &[Attachment],
) -> Result<Option<ChangeEnding>, ChangeError> {
    let approved = match judgement {
        Judgement::Pending { .. } | Judgement::Waits { .. } => return Ok(None),
        Judgement::Rejected => return Ok(Some(ChangeEnding::Rejected)),
        Judgement::Approved(approved) => approved,
    };
    let after = standing.after(approved, contents::custodians(attachments))?;
    let operation = approved.proposal().operation();
    let certificate = certificate(operation, attachments)?;
    Ok(Some(ChangeEnding::Executed(Execution {
        certificates: certificate.into_iter().collect(),
        ..execution(operation, Some(standing), &after, approved.at())
    })))
}

/// What an operation does to the record that leads from what stood `before` to what stands `after` it, at `now`.
pub(super) fn execution(
    operation: &Operation,
    before: Option<&Standing>,
    after: &Standing,
    now: u64,
) -> Execution {
    let documents = contents::named(operation).into_iter();
    let stood = |key| before.and_then(|standing| standing.key(key));
    let others = after.keys().filter(|(key, life)| stood(*key) != Some(life));
    Execution {
        documents: documents.map(|name| (name.kind, name.version)).collect(),
        keys: others.map(|(key, life)| recorded(key, life, now)).collect(),
        certificates: Vec::new(),
    }
}

/// The certificate of the key that a change publishes.
fn certificate(
    operation: &Operation,
    attachments: &[Attachment],
) -> Result<Option<(KeyId, Vec<u8>)>, ChangeRefusal> {
    let Some(publication) = operation.publication() else {
        return Ok(None);
    };
    let certificate = contents::certificate(attachments, &publication)?;
    Ok(Some((publication.key, certificate.der().to_vec())))
}

/// A key's life as the record holds it. A key whose activation is planned stands as active from then on, so that nothing has
/// to happen at that moment.
fn recorded(id: KeyId, life: &change::KeyLife, now: u64) -> KeyProjection {
    let state = match life.state(now) {
        KeyState::PreActivation if life.activates_at().is_some() => KeyState::Active,
        state => state,
    };
    KeyProjection {
        id,
        purpose: life.purpose(),
        state,
        active_from: life.activates_at().map(expiry),
        active_until: life.retires_at().map(expiry),
    }
}
