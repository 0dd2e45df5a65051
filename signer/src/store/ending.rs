//! Owns how an intent ends in every store: which end an ending comes to, and the event that tells of it.

use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        device::DeviceId,
        key::KeyId,
        operation::Kind,
        outcome::{Ending, State},
        reason::Reason,
    },
    store::Swept,
};

/// An intent that is still pending.
pub(super) struct Pending {
    pub(super) id: i64,
    pub(super) kind: Kind,
    pub(super) key: KeyId,
    pub(super) expires_at: Timestamp,
    pub(super) institution: InstitutionId,
    pub(super) object: Option<String>,
    pub(super) device: Option<DeviceId>,
    pub(super) policy: Option<[u8; 32]>,
}

/// The end of a certificate that replaces another one, if the device is revoked by then: a signature is thrown away.
pub(super) fn of_reissue(revoked: bool, ending: Ending) -> Ending {
    match ending {
        Ending::Signed(_) if revoked => Ending::Denied(Reason::DeviceRevoked.name()),
        ending => ending,
    }
}

/// How one ends.
pub(super) struct End {
    pub(super) state: State,
    pub(super) artifact: Option<Vec<u8>>,
    pub(super) reason: Option<&'static str>,
}

impl Pending {
    /// The end that `ending` comes to at `now`: no signature is stored at the intent's expiry or later.
    pub(super) fn end(&self, ending: Ending, now: Timestamp) -> End {
        if now >= self.expires_at {
            return End::overdue(self.kind);
        }
        let (state, artifact, reason) = match ending {
            Ending::Signed(artifact) => (State::Authorized, Some(artifact), None),
            Ending::Denied(reason) => (State::Denied, None, Some(reason)),
            Ending::Failed(reason) => (State::Failed, None, Some(reason)),
        };
        End {
            state,
            artifact,
            reason,
        }
    }

    /// The event of this end, which `origin` brought about.
    pub(super) fn ended(&self, end: &End, origin: &Origin) -> Event {
        Event {
            origin: origin.clone(),
            institution: self.institution.clone(),
            operation: self.kind.name(),
            object: self.object.clone(),
            device: self.device,
            policy: self.policy,
            key: Some(self.key),
            result: Resulted::Ended(end.state),
            reason: end.reason.map(str::to_owned),
        }
    }
}

impl End {
    /// The end of an intent whose time has passed.
    pub(super) fn overdue(kind: Kind) -> Self {
        let (state, reason) = match kind {
            Kind::Authorization => (State::Expired, Reason::OrderExpired.name()),
            Kind::DeviceCertificate
            | Kind::Crl
            | Kind::AuthorizationCertificate
            | Kind::KeyCertificate
            | Kind::CertificationRequest => (State::Failed, Reason::Overdue.name()),
        };
        Self {
            state,
            artifact: None,
            reason: Some(reason),
        }
    }

    /// Counts it as one that the sweep closed.
    pub(super) fn count(&self, swept: &mut Swept) {
        let count = match self.state {
            State::Expired => &mut swept.expired,
            _ => &mut swept.failed,
        };
        *count = count.saturating_add(1);
    }
}
