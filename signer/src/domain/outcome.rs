//! Owns how an operation ends: one of four final states, with what was signed.

use crate::domain::{device::DeviceId, reason::Reason};

/// Where an operation stands. All but `Pending` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Recorded, unsigned.
    Pending,
    /// Signed; the signed object is stored.
    Authorized,
    /// Refused when it was taken up again.
    Denied,
    /// Its time passed before a signature was stored.
    Expired,
    /// Ended without a signature.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Authorized,
        Self::Denied,
        Self::Expired,
        Self::Failed,
    ];

    /// The word in the store and in audit events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Authorized => "AUTHORIZED",
            Self::Denied => "DENIED",
            Self::Expired => "EXPIRED",
            Self::Failed => "FAILED",
        }
    }
}

/// What stands in the store about an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where it stands.
    pub state: State,
    /// The device it concerns.
    pub device: Option<DeviceId>,
    /// The first order that was recorded, compact; for authorizations that are kept.
    pub order_jws: Option<String>,
    /// The signed object, when `Authorized` and kept: a compact JWS, or DER.
    pub artifact: Option<Vec<u8>>,
    /// The stable reason, when `Denied`, `Expired` or `Failed`, or of an `Authorized` order that is not kept any longer.
    pub reason: Option<String>,
}

impl Outcome {
    /// Whether it ended because the token of its key did not sign it, while another one could.
    pub fn token_failed(&self) -> bool {
        self.reason.as_deref() == Some(Reason::TokenFailed.name())
    }
}

/// How an operation is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this signed object; recorded as `Expired` instead if its time has passed.
    Signed(Vec<u8>),
    /// Refused when taken up again, for this stable reason.
    Denied(&'static str),
    /// Without a signature, for this stable reason.
    Failed(&'static str),
}
