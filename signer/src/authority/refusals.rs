//! Owns the audit of refusals by rate limit or overload: one event per scope, reason and minute, however many there are.
//! They are noted in bounded memory and written by the schedule, so that a flood of them costs no writes.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use semops_objects::institution::InstitutionId;

use crate::{
    authority::Authority,
    clock::Timestamp,
    domain::{audit::Event, limit::Scope},
    error::{Error, Reason},
};

/// The most scopes told apart in one minute; further ones are told as their institution.
const SCOPES: usize = 4_096;
const MINUTE: i64 = 60;

/// What is told apart. A device has a scope of its own at each institution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) institution: InstitutionId,
    pub(super) scope: Scope,
    pub(super) reason: Reason,
}

impl Kind {
    fn event(&self, first: impl FnOnce() -> Event) -> Event {
        let device = match self.scope {
            Scope::Device(device) => Some(device),
            Scope::Public | Scope::Institution(_) | Scope::Caller(_) => None,
        };
        Event {
            object: Some(self.scope.to_string()),
            device,
            reason: Some(self.reason.name().to_owned()),
            ..first()
        }
    }
}

/// The refusals of the current minute.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    number: i64,
    /// Written in this minute.
    told: HashSet<Kind>,
    /// To be written, each with the first of its kind.
    due: HashMap<Kind, Event>,
}

impl Minute {
    fn turn(&mut self, now: Timestamp) {
        let number = now.seconds().div_euclid(MINUTE);
        // A clock set back tells nothing twice.
        if self.number < number {
            self.number = number;
            self.told.clear();
        }
    }

    fn knows(&self, kind: &Kind) -> bool {
        self.told.contains(kind) || self.due.contains_key(kind)
    }
}

impl Refusals {
    fn minute(&self, now: Timestamp) -> MutexGuard<'_, Minute> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minute.turn(now);
        minute
    }

    /// Notes a refusal at `now`, unless one of its kind is known in this minute.
    pub(super) fn note(&self, kind: Kind, now: Timestamp, first: impl FnOnce() -> Event) {
        let mut minute = self.minute(now);
        let kind = if minute.knows(&kind) || minute.told.len() + minute.due.len() < SCOPES {
            kind
        } else {
            let scope = Scope::Institution(kind.institution.clone());
            Kind { scope, ..kind }
        };
        if !minute.knows(&kind) {
            let event = kind.event(first);
            minute.due.insert(kind, event);
        }
    }

    /// What is to be written at `now`; it counts as written.
    fn take(&self, now: Timestamp) -> HashMap<Kind, Event> {
        let mut minute = self.minute(now);
        let due = mem::take(&mut minute.due);
        minute.told.extend(due.keys().cloned());
        due
    }

    /// It was not written after all.
    fn put_back(&self, taken: HashMap<Kind, Event>, now: Timestamp) {
        let mut minute = self.minute(now);
        for (kind, event) in taken {
            minute.told.remove(&kind);
            minute.due.entry(kind).or_insert(event);
        }
    }
}

impl Authority {
    /// Writes the events of refusals that are due. Answers how many.
    pub async fn audit_refusals(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let taken = self.refusals.take(now);
        if taken.is_empty() {
            return Ok(0);
        }
        let events = taken.values().cloned().collect();
        match self.store.audit(events, now).await {
            Ok(()) => Ok(taken.len()),
            Err(error) => {
                self.refusals.put_back(taken, now);
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{
        domain::{
            actor::{Actor, Origin},
            audit::Resulted,
            device::DeviceId,
        },
        ids::RequestId,
    };

    fn kind(scope: Scope) -> Kind {
        Kind {
            institution: "alfa".parse().unwrap(),
            scope,
            reason: Reason::RateLimited,
        }
    }

    fn device(number: u128) -> Scope {
        Scope::Device(DeviceId::from(uuid::Uuid::from_u128(number)))
    }

    fn note(refusals: &Refusals, scope: Scope, second: i64) {
        let first = || Event {
            origin: Origin {
                actor: Actor::Operator(u32::try_from(second).unwrap()),
                request: RequestId::new(),
            },
            institution: "alfa".parse().unwrap(),
            operation: "admission",
            object: None,
            device: None,
            policy: None,
            key: None,
            result: Resulted::Refused,
            reason: None,
        };
        refusals.note(kind(scope), at(second), first);
    }

    const fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn alfa() -> Scope {
        Scope::Institution("alfa".parse().unwrap())
    }

    #[test]
    fn the_first_of_a_kind_is_told_once_a_minute() {
        let refusals = Refusals::default();
        note(&refusals, alfa(), 61);
        note(&refusals, alfa(), 62);
        note(&refusals, device(1), 62);
        let told = refusals.take(at(63));
        assert_eq!(told.len(), 2);
        let event = &told[&kind(alfa())];
        assert_eq!(event.origin.actor, Actor::Operator(61));
        assert_eq!(event.object.as_deref(), Some("institution:alfa"));
        assert_eq!(event.reason.as_deref(), Some("RATE_LIMITED"));
        assert!(told[&kind(device(1))].device.is_some());

        note(&refusals, alfa(), 119);
        assert_eq!(refusals.take(at(119)).len(), 0);
        note(&refusals, alfa(), 120);
        note(&refusals, alfa(), 121);
        assert_eq!(refusals.take(at(122)).len(), 1);
        // What came in one minute and is written in the next stands for both.
        note(&refusals, device(2), 179);
        assert_eq!(refusals.take(at(180)).len(), 1);
        note(&refusals, device(2), 181);
        assert_eq!(refusals.take(at(182)).len(), 0);
    }

    #[test]
    fn what_could_not_be_written_is_told_later() {
        let refusals = Refusals::default();
        note(&refusals, alfa(), 61);
        let taken = refusals.take(at(62));
        refusals.put_back(taken, at(62));
        note(&refusals, alfa(), 63);
        let told = refusals.take(at(130));
        let event = &told[&kind(alfa())];
        assert_eq!(event.origin.actor, Actor::Operator(61));
    }

    #[test]
    fn memory_is_bounded_and_nobody_is_left_untold() {
        let refusals = Refusals::default();
        for number in 0..100_000 {
            note(&refusals, device(number), 61);
            if number % 1_000 == 0 {
                refusals.take(at(61));
            }
        }
        let minute = refusals.minute(at(61));
        assert_eq!(minute.told.len() + minute.due.len(), SCOPES + 1);
        assert!(minute.knows(&kind(alfa())));
        drop(minute);
        assert_eq!(refusals.minute(at(120)).told.len(), 0);
    }

    #[test]
    fn a_clock_set_back_tells_nothing_twice() {
        let refusals = Refusals::default();
        note(&refusals, alfa(), 600);
        assert_eq!(refusals.take(at(601)).len(), 1);
        note(&refusals, alfa(), 500);
        assert_eq!(refusals.take(at(501)).len(), 0);
    }
}
