//! Owns the locks that writing transactions take, all until their end, always in the order of this file.
//!
//! READ COMMITTED with locks taken first, and not SERIALIZABLE: a statement then sees all that was committed before it
//! began, so whatever is read after the lock that guards it is the last word, and nothing is retried for having been read
//! beside another's writing. A serializable group of hundreds of orders would fail as a whole whenever any row of any of
//! them was touched by another replica. What stays is a deadlock between groups, which the order makes rare, and a UNIQUE
//! constraint where no row can be locked because none is there yet; both are retried.
//!
//! | lock | who | guards |
//! |---|---|---|
//! | removal | pruning and erasure have it alone, one after the other | what has ended, and the first audit events |
//! | the rules | every decision shares it; the execution of a change, a destruction and a restore have it alone | the documents' generation, the keys' states, the hold |
//! | the leader's row | CRLs and destructions share it; whoever takes over has it alone | the term of the scheduled work |
//! | a key's row | CRLs, revocations, what is signed of a new key, or with a key whose lifetime is limited | CRLNumbers and the numbers of revocations, that of a new key one thing is signed, how often a key signs |
//! | a subscriber | enrolments | the number of the subscriber's devices |
//! | the proposals of an institution | a new one, a new key | how many are pending, how many keys wait for one |
//! | a change's row | decisions, its end | the decisions about it, that it ends once |
//! | a device's row | orders, acceptance, release, revocation | the money limits, the acceptance, the revocation |
//! | an intent's row | its end | that it ends once |
//!
//! The end of a certificate that replaces another one takes the locks of a revocation after its intent's: which they are is
//! known then.
//!
//! The rules are an advisory lock, for those who wait for one stand in a queue: rows that are shared without a pause
//! (FOR SHARE) would keep out for ever whoever is to change them.

use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;
use uuid::Uuid;

use crate::{
    domain::{
        change::ChangeId,
        key::KeyId,
        operation::{CertificateRecord, Operation, Subject},
    },
    store::{
        decision::limited,
        postgres::{error::Failure, session::Session},
    },
};

// Two numbers: a space of their own beside the one number of a subscriber.
const SHARE_RULES: &str = "SELECT pg_advisory_xact_lock_shared(1397050704, 1)";
const CHANGE_RULES: &str = "SELECT pg_advisory_xact_lock(1397050704, 1)";
pub(super) const KEYS: &str =
    "SELECT 1 FROM key WHERE id = ANY($1::bytea[]) ORDER BY id FOR NO KEY UPDATE";
// A space of its own, by a number of the institution.
const PROPOSALS: &str = "SELECT pg_advisory_xact_lock(1397050705, $1)";
pub(super) const CHANGE: &str =
    "SELECT number FROM change WHERE institution = $1 AND id = $2 FOR NO KEY UPDATE";
// Beside the migrations' number 2.
const REMOVE: &str = "SELECT pg_advisory_xact_lock(1397050704, 3)";
const LEADER: &str = "SELECT 1 FROM lease WHERE one = 1 FOR SHARE";
const SUBSCRIBERS: &str =
    "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS number";
pub(super) const DEVICES: &str =
    "SELECT 1 FROM device WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE";

/// Waits for whoever removes what is not kept any longer, and lets nobody else do it.
pub(super) async fn remove(session: &Session) -> Result<(), Failure> {
    session.query(REMOVE, &[]).await.map(drop)
}

/// Keeps the documents and the keys' states as they are until the end.
pub(super) async fn share_rules(session: &Session) -> Result<(), Failure> {
    session.query(SHARE_RULES, &[]).await.map(drop)
}

/// Waits for all who decide by the rules, and lets nobody begin.
pub(super) async fn change_rules(session: &Session) -> Result<(), Failure> {
    session.query(CHANGE_RULES, &[]).await.map(drop)
}

/// Keeps the term of the scheduled work as it is until the end.
pub(super) async fn lead(session: &Session) -> Result<(), Failure> {
    session.query(LEADER, &[]).await.map(drop)
}

/// Lets nobody else propose a change of the institution, or ask for a key.
pub(super) async fn proposals(
    session: &Session,
    institution: &InstitutionId,
) -> Result<(), Failure> {
    let number = number_of(institution);
    session.query(PROPOSALS, &[&number]).await.map(drop)
}

/// A number for an institution; two with the same one wait for each other.
pub(super) fn number_of(institution: &InstitutionId) -> i32 {
    let digest = sha256(institution.as_str().as_bytes());
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 4], &[]));
    i32::from_be_bytes(*first)
}

/// Locks a change, if it is there: its row.
pub(super) async fn change(
    session: &Session,
    institution: &InstitutionId,
    change: ChangeId,
) -> Result<Option<i64>, Failure> {
    let id = change.as_bytes().as_slice();
    let rows = session.query(CHANGE, &[&institution.as_str(), &id]).await?;
    let number = rows.first().map(|row| row.try_get(0)).transpose();
    Ok(number?)
}

/// Locks what a CA's next CRL or revocation is numbered by, or what is signed of a new key.
pub(super) async fn issuing_keys(session: &Session, keys: &[KeyId]) -> Result<(), Failure> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes().as_slice()).collect();
    session.query(KEYS, &[&keys]).await.map(drop)
}

/// Locks devices, those that are there.
pub(super) async fn devices(session: &Session, devices: &[Uuid]) -> Result<(), Failure> {
    session.query(DEVICES, &[&devices]).await.map(drop)
}

/// Locks all that a group decides by.
pub(super) async fn group(session: &Session, operations: &[Operation]) -> Result<(), Failure> {
    let mut keys: Vec<KeyId> = Vec::new();
    let (mut subscribers, mut phones) = (Vec::new(), Vec::new());
    let mut lists = false;
    keys.extend(limited(operations));
    for operation in operations {
        match &operation.subject {
            Subject::Authorization(order) => phones.push(order.device.uuid()),
            Subject::DeviceCertificate(device) => {
                let institution = operation.institution.as_str();
                subscribers.push(number(institution, device.subscriber.as_str()));
            }
            Subject::Reissue(device) => phones.push(device.device.uuid()),
            Subject::Crl(_) => {
                lists = true;
                keys.push(operation.key);
            }
            Subject::AuthorizationCertificate(CertificateRecord { key, .. })
            | Subject::KeyCertificate(CertificateRecord { key, .. })
            | Subject::CertificationRequest(key) => keys.push(*key),
        }
    }
    share_rules(session).await?;
    if lists {
        lead(session).await?;
    }
    if !keys.is_empty() {
        issuing_keys(session, &keys).await?;
    }
    if !subscribers.is_empty() {
        subscribers.sort_unstable();
        subscribers.dedup();
        session.query(SUBSCRIBERS, &[&subscribers]).await?;
    }
    if !phones.is_empty() {
        devices(session, &phones).await?;
    }
    Ok(())
}

/// A number for a subscriber of an institution; two with the same one wait for each other and are told apart all the same.
fn number(institution: &str, subscriber: &str) -> i64 {
    // An institution's id holds no slash.
    let digest = sha256(format!("{institution}/{subscriber}").as_bytes());
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*first)
}
