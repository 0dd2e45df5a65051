//! Owns what a caller can be told: errors grouped by what the caller can do about them, each with a stable reason. What
//! happened inside stays inside.

use std::{error::Error as StdError, time::Duration};

use semops_objects::institution::InstitutionId;

pub use crate::domain::reason::Reason;
use crate::{
    hsm::HsmError,
    limits::RateLimited,
    store::{Limit, Refusal, StoreError},
};

/// When to come again if nobody knows how long it takes: another process writes the store.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `order_jws.payload.amount.value`.
    pub field: String,
    /// What is wrong and what would be right.
    pub description: String,
}

/// Why a use case gives no answer, grouped by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Send something else.
    #[error("{}: {}: {}", reason.name(), violation.field, violation.description)]
    Invalid {
        /// Why.
        reason: Reason,
        /// Where.
        violation: Violation,
    },
    /// Come as somebody who is known.
    #[error("{}", .0.name())]
    Unauthenticated(Reason),
    /// Come as somebody who may.
    #[error("{}", .0.name())]
    Forbidden(Reason),
    /// Name something that is there.
    #[error("{}", .0.name())]
    NotFound(Reason),
    /// Something else stands there already.
    #[error("{}", .0.name())]
    Conflict(Reason),
    /// Change the state of things first.
    #[error("{}", .0.name())]
    Precondition(Reason),
    /// The same, and this is what stands in the way.
    #[error("{}: {why}", reason.name())]
    Refused {
        /// Why.
        reason: Reason,
        /// What exactly.
        why: String,
    },
    /// Come again later.
    #[error("{}", reason.name())]
    Busy {
        /// Why.
        reason: Reason,
        /// When there may be room again; nobody can promise it.
        about: Duration,
    },
    /// Come again when the limit says so.
    #[error("{}", .0.reason().name())]
    Limited(Box<RateLimited>),
    /// Come again with the same content; the cause is for the log.
    #[error("{}: {cause}", reason.name())]
    Unavailable {
        /// Why.
        reason: Reason,
        /// What happened inside.
        cause: String,
    },
    /// Come again when this time has passed, and not before.
    #[error("{} for {left:?}", reason.name())]
    OnHold {
        /// Why.
        reason: Reason,
        /// How long it lasts yet.
        left: Duration,
    },
    /// The deadline passed; what was begun is finished or closed without the caller.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// The documents moved during the request: decide again. Never leaves the service.
    #[error("the documents moved during the request")]
    Stale,
    /// A fault of the service, for the log.
    #[error("internal: {0}")]
    Internal(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// The caller's field `field` is wrong.
    pub fn invalid(reason: Reason, field: impl Into<String>, description: impl ToString) -> Self {
        Self::Invalid {
            reason,
            violation: Violation {
                field: field.into(),
                description: description.to_string(),
            },
        }
    }

    /// The institution joined while the service ran.
    pub fn not_served(institution: &InstitutionId) -> Self {
        Self::Unavailable {
            reason: Reason::InstitutionNotServed,
            cause: format!("institution {institution} has no token in the configuration"),
        }
    }

    /// What rules the institution stands in the record otherwise than it was approved; `what` is for the log.
    pub fn not_approved(institution: &InstitutionId, what: &str) -> Self {
        Self::Unavailable {
            reason: Reason::NotApproved,
            cause: format!("{what} of {institution} in the record is not what was approved"),
        }
    }

    /// No order is co-signed yet.
    pub fn held(left: Duration) -> Self {
        Self::OnHold {
            reason: Reason::AfterRestore,
            left,
        }
    }

    fn busy(reason: Reason, about: Duration) -> Self {
        Self::Busy { reason, about }
    }

    /// A fault of the service.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::busy(Reason::StoreQueueFull, A_MOMENT),
            StoreError::QueueFull(about) => Self::busy(Reason::StoreQueueFull, about),
            StoreError::Unavailable(cause) => Self::Unavailable {
                reason: Reason::StoreUnavailable,
                cause,
            },
            StoreError::Clock(_) => Self::Unavailable {
                reason: Reason::ClockApart,
                cause: error.to_string(),
            },
            StoreError::Schema { .. } | StoreError::Corrupt(_) | StoreError::Violated(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<HsmError> for Error {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::QueueFull(about) => Self::busy(Reason::HsmQueueFull, about),
            HsmError::DeadlineExceeded => Self::DeadlineExceeded,
            HsmError::Unavailable { .. } | HsmError::Rejected { .. } | HsmError::Stopped => {
                Self::Unavailable {
                    reason: Reason::HsmUnavailable,
                    cause: error.to_string(),
                }
            }
        }
    }
}

impl From<RateLimited> for Error {
    fn from(refused: RateLimited) -> Self {
        Self::Limited(Box::new(refused))
    }
}

impl From<Limit> for Reason {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::AmountPerDay => Self::DeviceAmountPerDay,
            Limit::OrdersPerDay => Self::DeviceOrdersPerDay,
            Limit::DevicesPerSubscriber => Self::SubscriberDeviceLimit,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // A CRLNumber is taken only by another publication, and the lead by another replica: the next tick sees it.
            Refusal::Stale | Refusal::CrlNumberTaken | Refusal::NotLeader => Self::Stale,
            Refusal::DeviceRevoked => Self::Precondition(Reason::DeviceRevoked),
            Refusal::NotAccepted => Self::Precondition(Reason::DeviceNotAccepted),
            Refusal::KeyNotActive => Self::Unavailable {
                reason: Reason::KeyNotActive,
                cause: "the key is not active in the store".into(),
            },
            Refusal::KeyWornOut => Self::Unavailable {
                reason: Reason::KeyWornOut,
                cause: "the key's lifetime is used up".into(),
            },
            Refusal::Held(left) => Self::held(left),
            Refusal::PublicKeyTaken => Self::invalid(
                Reason::KeyNotAcceptable,
                "certification_request",
                "the public key is not acceptable; make a new P-256 key in the phone",
            ),
        }
    }
}
