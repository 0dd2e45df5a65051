//! Owns what every store decides alike when it has read what stands, and the events that tell of it. A store reads under
//! its own locks and writes what comes out of this.

use std::collections::{BTreeSet, HashMap};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::institution::InstitutionId;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        device::DeviceId,
        document::{Document, DocumentKind},
        key::{KeyId, Purpose},
        operation::{Kind, Operation, OrderRecord, Subject},
        outcome::State,
        reason::Reason,
    },
    store::{Begun, Earlier, Intent, Limit, Refusal},
};

/// By what every operation of a group is decided.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// The documents' generation.
    pub(super) generation: u64,
    /// No order is co-signed before this moment.
    pub(super) held_until: Timestamp,
}

impl Rules {
    /// Why nothing is begun or resumed at `now`, whatever else stands.
    fn refusal(self, operation: &Operation, now: Timestamp) -> Option<Refusal> {
        if now < self.held_until && operation.subject.kind() == Kind::Authorization {
            // What was pending at the backup may have been signed since: it is not signed again either.
            return Some(Refusal::Held(now.until(self.held_until)));
        }
        (operation.generation != self.generation).then_some(Refusal::Stale)
    }
}

/// What is to be done with an operation, by what was recorded under its idempotency key.
pub(super) enum Step {
    /// It is answered, nothing is written.
    Answer(Begun),
    /// Other content stands there: this event tells of it.
    Conflict(Box<Event>),
    /// Its recorded bytes are signed with the key that was recorded with them, if all of it is still allowed.
    Resume(Intent),
    /// The recorded intent ends as one that its token did not sign, and its row goes over to the operation's key, if all of
    /// it is still allowed.
    Replace(Intent),
    /// It is recorded, if all of it is allowed.
    Admit,
}

impl Step {
    /// The first steps of the contract of `begin`.
    pub(super) fn of(
        operation: &Operation,
        earlier: Option<Earlier>,
        rules: Rules,
        now: Timestamp,
    ) -> Self {
        match (earlier, rules.refusal(operation, now)) {
            (Some(earlier), _) if earlier.content != operation.content => conflict(operation),
            (
                Some(Earlier {
                    intent: None,
                    outcome,
                    ..
                }),
                _,
            ) => Self::Answer(Begun::Done(outcome)),
            (_, Some(refusal)) => Self::Answer(Begun::Refused(refusal)),
            (
                Some(Earlier {
                    intent: Some(intent),
                    ..
                }),
                None,
            ) if operation.instead_of == Some(intent.id) => Self::Replace(intent),
            (
                Some(Earlier {
                    intent: Some(intent),
                    ..
                }),
                None,
            ) => Self::Resume(intent),
            (None, None) => Self::Admit,
        }
    }
}

fn conflict(operation: &Operation) -> Step {
    let reason = match operation.subject {
        Subject::Authorization(_) => Reason::OrderConflict.name(),
        Subject::DeviceCertificate(_)
        | Subject::Reissue(_)
        | Subject::AuthorizationCertificate(_)
        | Subject::KeyCertificate(_)
        | Subject::CertificationRequest(_) => Reason::RequestConflict.name(),
        // Two replicas that make the next CRL at once are no incident.
        Subject::Crl(_) => return Step::Answer(Begun::Refused(Refusal::CrlNumberTaken)),
    };
    Step::Conflict(Box::new(Event {
        key: None,
        reason: Some(reason.to_owned()),
        ..begun(operation, Resulted::Refused)
    }))
}

/// How often the keys whose lifetime is limited have signed, with what is pending.
#[derive(Default)]
pub(super) struct Uses(HashMap<KeyId, u64>);

impl Uses {
    /// By what was read.
    pub(super) fn new(read: impl IntoIterator<Item = (KeyId, u64)>) -> Self {
        Self(read.into_iter().collect())
    }

    /// Counts one more object of a key, unless its lifetime is used up.
    pub(super) fn one_more(&mut self, operation: &Operation) -> Result<(), Refusal> {
        let most = operation.subject.key_lifetime();
        let Some(uses) = self.0.get_mut(&operation.key) else {
            // A key that is not registered was refused before.
            return most.map_or(Ok(()), |_| Err(Refusal::KeyWornOut));
        };
        if most.is_some_and(|most| most <= *uses) {
            return Err(Refusal::KeyWornOut);
        }
        *uses = uses.saturating_add(1);
        Ok(())
    }
}

/// The keys of the operations whose lifetime is limited, each once.
pub(super) fn limited<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> BTreeSet<KeyId> {
    let operations = operations.into_iter();
    let limited = operations.filter(|operation| operation.subject.key_lifetime().is_some());
    limited.map(|operation| operation.key).collect()
}

/// Whether a key that is active for `purpose` may sign objects of this kind: a key of one purpose never signs another.
pub(super) fn may_sign(kind: Kind, purpose: Option<&str>) -> bool {
    let purposes: &[Purpose] = match kind {
        Kind::Authorization => &[Purpose::Authorization],
        Kind::DeviceCertificate => &[Purpose::DeviceCa],
        Kind::Crl | Kind::CertificationRequest | Kind::KeyCertificate => {
            &[Purpose::DeviceCa, Purpose::SigningCa]
        }
        Kind::AuthorizationCertificate => &[Purpose::SigningCa],
    };
    purposes
        .iter()
        .any(|allowed| Some(allowed.name()) == purpose)
}

/// Whether it may be signed of a key that waits for a change and is for `new`, by one for `by`.
pub(super) fn may_be_signed_of(kind: Kind, by: Option<&str>, new: Option<&str>) -> bool {
    let purpose = new.and_then(|word| word.parse::<Purpose>().ok());
    let certified = purpose.and_then(Purpose::certified_by).map(Purpose::name);
    let of_authorization = purpose == Some(Purpose::Authorization);
    match kind {
        Kind::AuthorizationCertificate => of_authorization && certified == by,
        Kind::KeyCertificate => !of_authorization && certified.is_some() && certified == by,
        Kind::CertificationRequest => purpose.is_some_and(Purpose::is_ca),
        Kind::Authorization | Kind::DeviceCertificate | Kind::Crl => true,
    }
}

/// How a certified device stands with an institution.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) revoked: bool,
    pub(super) accepted: bool,
}

impl Standing {
    /// Whether, and why, its orders are refused.
    pub(super) fn refusal(device: Option<Self>) -> Option<Refusal> {
        match device {
            Some(Self { revoked: true, .. }) => Some(Refusal::DeviceRevoked),
            Some(Self { accepted: true, .. }) => None,
            Some(Self {
                accepted: false, ..
            })
            | None => Some(Refusal::NotAccepted),
        }
    }
}

/// What a device has reserved at an institution within the day: its orders, and the amount in the currency of the next
/// one as two sums, for it may pass what a column holds.
#[derive(Clone, Copy)]
pub(super) struct Day {
    pub(super) orders: u64,
    pub(super) billions: u64,
    pub(super) units: u64,
}

impl Day {
    const SPLIT: u128 = 1_000_000_000;

    /// The limit that one more order would pass.
    pub(super) fn limit(self, order: &OrderRecord) -> Option<Limit> {
        // Cannot overflow: each term is below 2^94.
        let amount = u128::from(self.billions) * Self::SPLIT
            + u128::from(self.units)
            + u128::from(order.amount.minor());
        if amount > u128::from(order.limits.amount_per_day) {
            Some(Limit::AmountPerDay)
        } else if self.orders >= order.limits.orders_per_day {
            Some(Limit::OrdersPerDay)
        } else {
            None
        }
    }
}

/// The events of an intent that its token did not sign, and of the operation that has its row from then on.
pub(super) fn replaced(operation: &Operation, former: &Intent) -> [Event; 2] {
    let ended = Event {
        key: Some(former.id.key),
        reason: Some(Reason::TokenFailed.name().to_owned()),
        ..begun(operation, Resulted::Ended(State::Failed))
    };
    [ended, begun(operation, Resulted::Begun)]
}

/// The event of an operation that was begun, or refused by the record.
pub(super) fn begun(operation: &Operation, result: Resulted) -> Event {
    Event {
        origin: operation.origin.clone(),
        institution: operation.institution.clone(),
        operation: operation.subject.kind().name(),
        object: Some(operation.subject.object()),
        device: operation.subject.device(),
        policy: operation.subject.policy(),
        key: Some(operation.key),
        result,
        reason: None,
    }
}

/// The event of a change to what a device may do.
pub(super) fn done(
    institution: &InstitutionId,
    operation: &'static str,
    device: DeviceId,
    origin: Origin,
) -> Event {
    Event {
        origin,
        institution: institution.clone(),
        operation,
        object: None,
        device: Some(device),
        policy: None,
        key: None,
        result: Resulted::Done,
        reason: None,
    }
}

/// The event of a document that became effective. Its object is `<version>.<base64url of the SHA-256 of the exact bytes>`.
pub(super) fn loaded(document: &Document, origin: Origin) -> Event {
    let sha256 = document.sha256();
    Event {
        origin,
        institution: document.institution.clone(),
        operation: document.kind.name(),
        object: Some(format!(
            "{}.{}",
            document.version,
            URL_SAFE_NO_PAD.encode(sha256)
        )),
        device: None,
        policy: (document.kind == DocumentKind::Policy).then_some(sha256),
        key: None,
        result: Resulted::Done,
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> impl Iterator<Item = (Kind, Purpose)> {
        let kinds = Kind::ALL.into_iter();
        kinds.flat_map(|kind| Purpose::ALL.map(move |purpose| (kind, purpose)))
    }

    #[test]
    fn a_key_of_one_purpose_never_signs_another_kind() {
        use Purpose as P;
        for (kind, purpose) in pairs() {
            let allowed = match purpose {
                P::DeviceCa => {
                    kind != Kind::Authorization && kind != Kind::AuthorizationCertificate
                }
                P::SigningCa => kind != Kind::Authorization && kind != Kind::DeviceCertificate,
                P::Authorization => kind == Kind::Authorization,
                // Nothing is signed with them yet.
                P::Ocsp | P::Audit | P::Statement => false,
            };
            assert_eq!(
                may_sign(kind, Some(purpose.name())),
                allowed,
                "{kind:?} by {purpose:?}"
            );
        }
        assert!(Kind::ALL.into_iter().all(|kind| !may_sign(kind, None)));
        assert!(
            Kind::ALL
                .into_iter()
                .all(|kind| !may_sign(kind, Some("other")))
        );
    }

    #[test]
    fn a_new_key_is_certified_for_its_purpose_by_the_ca_of_its_purpose() {
        for (kind, new) in pairs() {
            for by in Purpose::ALL {
                let right = new.certified_by() == Some(by);
                let allowed = match kind {
                    Kind::AuthorizationCertificate => right && new == Purpose::Authorization,
                    Kind::KeyCertificate => right && new != Purpose::Authorization,
                    Kind::CertificationRequest => new.is_ca(),
                    Kind::Authorization | Kind::DeviceCertificate | Kind::Crl => true,
                };
                let found = may_be_signed_of(kind, Some(by.name()), Some(new.name()));
                assert_eq!(found, allowed, "{kind:?} of {new:?} by {by:?}");
            }
            let of_new = matches!(
                kind,
                Kind::AuthorizationCertificate | Kind::KeyCertificate | Kind::CertificationRequest
            );
            assert_eq!(
                may_be_signed_of(kind, Some("device-ca"), None),
                !of_new,
                "{kind:?}"
            );
        }
    }
}
