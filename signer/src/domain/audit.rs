//! Owns the audit event and its exact bytes. Each event is stored as the bytes of a future Merkle leaf: JSON in UTF-8,
//! members in the order of [`Event`], `v` first, no white space, times in integer microseconds, absent members left out.
//! It never holds amounts, payees, pseudonyms, references, certificates or order bytes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::institution::InstitutionId;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    domain::{actor::Origin, device::DeviceId, key::KeyId, outcome::State},
};

/// The version of the leaf's format.
const VERSION: u32 = 1;

/// Something that was done, or refused.
#[derive(Clone, Debug)]
pub struct Event {
    /// By whom, for which request.
    pub origin: Origin,
    /// For which institution.
    pub institution: InstitutionId,
    /// What: `authorization`, `device-certificate`, `crl`, `authorization-certificate`, `key-certificate`,
    /// `certification-request`, `key.ask`, `key.create`, `key.state`, `key.destroying`, `key.destroy`, `key.discard`, `accept`, `release`, `revoke`, `policy`, `trust`, `callers`, `custodians`,
    /// `change.propose`, `change.approve`, `change.reject`, `change.execute`, `change.end`, `admission`, `restore`,
    /// `retention`, `erase`.
    pub operation: &'static str,
    /// On which object: an order's `jti`, a serial number, a CRLNumber, a document's version, a change, a key's
    /// new state, the scope of a limit, the end of a hold, what was removed.
    pub object: Option<String>,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Under which policy version.
    pub policy: Option<[u8; 32]>,
    /// With which key.
    pub key: Option<KeyId>,
    /// How it went.
    pub result: Resulted,
    /// The stable reason of a refusal or an end without a signature.
    pub reason: Option<String>,
}

/// How an audited thing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resulted {
    /// An intent was recorded.
    Begun,
    /// An intent ended in this state.
    Ended(State),
    /// It was done.
    Done,
    /// It was refused before anything was recorded.
    Refused,
}

impl Resulted {
    const fn name(self) -> &'static str {
        match self {
            Self::Begun => "BEGUN",
            Self::Ended(state) => state.name(),
            Self::Done => "DONE",
            Self::Refused => "REFUSED",
        }
    }
}

#[derive(Serialize)]
struct Leaf<'a> {
    v: u32,
    time: i64,
    request: String,
    caller: String,
    institution: &'a str,
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Event {
    /// The exact bytes of the event at `time`.
    pub fn leaf(&self, time: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Leaf {
            v: VERSION,
            time: time.micros(),
            request: self.origin.request.to_string(),
            caller: self.origin.actor.to_string(),
            institution: self.institution.as_str(),
            operation: self.operation,
            object: self.object.as_deref(),
            device: self.device.map(|d| d.to_string()),
            policy: self.policy.map(|p| URL_SAFE_NO_PAD.encode(p)),
            key: self.key.map(|k| k.to_string()),
            result: self.result.name(),
            reason: self.reason.as_deref(),
        })
    }
}

/// When an event was written, and for which institution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// For which institution.
    pub institution: InstitutionId,
}

#[derive(Deserialize)]
struct Read<'a> {
    time: i64,
    institution: &'a str,
}

impl Told {
    /// Of the event with this leaf; nothing if it is none.
    pub fn of(leaf: &[u8]) -> Option<Self> {
        let read: Read<'_> = serde_json::from_slice(leaf).ok()?;
        Some(Self {
            at: Timestamp::from_micros(read.time),
            institution: read.institution.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{domain::actor::Actor, ids::RequestId};

    #[test]
    fn the_leaf_has_the_documented_order_and_no_white_space() {
        let request = RequestId::new();
        let event = Event {
            origin: Origin {
                actor: Actor::Schedule,
                request,
            },
            institution: "alfa".parse().unwrap(),
            operation: "crl",
            object: Some("7".into()),
            device: None,
            policy: None,
            key: Some(KeyId::new([0; 32])),
            result: Resulted::Ended(State::Failed),
            reason: Some("OVERDUE".into()),
        };
        let leaf = event.leaf(Timestamp::from_micros(5)).unwrap();
        let told = Told {
            at: Timestamp::from_micros(5),
            institution: event.institution.clone(),
        };
        assert_eq!(Told::of(&leaf), Some(told));
        assert_eq!(Told::of(b"{}"), None);
        assert_eq!(
            String::from_utf8(leaf).unwrap(),
            format!(
                "{{\"v\":1,\"time\":5,\"request\":\"{request}\",\"caller\":\"schedule\",\"institution\":\"alfa\",\
                 \"operation\":\"crl\",\"object\":\"7\",\"key\":\"{}\",\"result\":\"FAILED\",\"reason\":\"OVERDUE\"}}",
                "A".repeat(43)
            )
        );
    }
}
