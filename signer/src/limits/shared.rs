//! Owns the limits where replicas share them: a request passes if this replica was lent one of its institution's requests
//! and one of its caller's. What is to be asked of the record is handed back as data: `authority` asks.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use governor::{clock::Clock, nanos::Nanos};

use super::{
    CALLERS, Institution, Left, Limits, Place, RateLimited, WindowLeft, purse::Purse, spent::Wait,
};
use crate::domain::{
    actor::SpiffeId,
    device::DeviceId,
    limit::{RateLimits, Scope, Window, Windows},
    quota::{Lent, Quota, QuotaAsk},
};

/// An ask of a quota on behalf of those who come; no other of that quota is under way.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What is asked for.
    pub ask: QuotaAsk,
    at: Nanos,
}

/// What became of a request.
#[derive(Debug)]
pub enum Drawn {
    /// It is let through; to be asked ahead, for those who come after.
    Through(Vec<Asking>),
    /// Nothing is held for it: to be asked now, and how long others have been asking for it.
    Lacking(Vec<Asking>, Duration),
    /// The record lends no more, for so long.
    Refused(RateLimited),
}

/// What was lent of an institution's own quota and of its callers'.
pub(super) struct Purses {
    all: Purse,
    callers: HashMap<SpiffeId, Purse>,
}

impl Purses {
    pub(super) fn new(windows: &Windows) -> Self {
        Self {
            all: Purse::new(windows),
            callers: HashMap::new(),
        }
    }

    /// That of the institution, and that of the caller.
    fn of(&mut self, caller: &SpiffeId, limits: &RateLimits, now: Nanos) -> [&mut Purse; 2] {
        if self.callers.len() >= CALLERS && !self.callers.contains_key(caller) {
            self.callers.retain(|_, purse| purse.is_in_use(now));
        }
        let own = self.callers.entry(caller.clone());
        let own = own.or_insert_with(|| Purse::new(&limits.caller));
        [
            self.all.under(&limits.institution),
            own.under(&limits.caller),
        ]
    }

    /// That of a scope, if it stands under these windows.
    fn known(&mut self, quota: &Quota) -> Option<&mut Purse> {
        let purse = match &quota.scope {
            Scope::Institution(_) => Some(&mut self.all),
            Scope::Caller(caller) => self.callers.get_mut(caller),
            Scope::Device(_) | Scope::Public => None,
        };
        purse.filter(|purse| *purse.windows() == quota.windows)
    }
}

impl<C: Clock> Limits<C> {
    /// A place among the institution's requests under way, which are counted at each replica for itself.
    ///
    /// # Errors
    /// [`RateLimited`].
    pub fn place(&self, caller: &SpiffeId, limits: &RateLimits) -> Result<Place, RateLimited> {
        let institution = self.institution(caller.institution(), limits);
        let scope = || Scope::Institution(caller.institution().clone());
        institution.ground.place(limits.in_flight, scope)
    }

    /// Lets a request of `caller` through by what was lent: one of its own and one of its institution's, or nothing. `new`
    /// the first time that it comes here.
    pub fn draw(&self, caller: &SpiffeId, limits: &RateLimits, new: bool) -> Drawn {
        let institution = self.institution(caller.institution(), limits);
        let mut purses = institution.purses();
        let now = self.now();
        let mut both = purses.of(caller, limits, now);
        let [all, own] = &both;
        if let Some(refused) = longer(caller, all.wait(now), own.wait(now)) {
            return Drawn::Refused(refused);
        }
        if new {
            both.iter_mut().for_each(|purse| purse.came(now));
        }
        let lacking = both.iter().any(|purse| purse.held(now) == 0);
        let scopes = [
            Scope::Institution(caller.institution().clone()),
            Scope::Caller(caller.clone()),
        ];
        let mut asks = Vec::new();
        for (purse, scope) in both.iter_mut().zip(scopes) {
            let requests = if lacking {
                purse.ask(now)
            } else {
                purse.take(now);
                purse.ask_ahead(now)
            };
            asks.extend(requests.map(|requests| asking(caller, scope, purse, requests, now)));
        }
        if !lacking {
            return Drawn::Through(asks);
        }
        let waited = both.iter().map(|purse| purse.asked_for(now)).max();
        Drawn::Lacking(asks, waited.unwrap_or_default())
    }

    /// The record's answer; none where it could not be asked.
    pub fn answered(&self, asking: &Asking, lent: Option<&Lent>) {
        let quota = &asking.ask.quota;
        let known = self.institutions.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let Some(institution) = known.get(&quota.institution) else {
            return;
        };
        let mut purses = institution.purses();
        let now = self.now();
        if let Some(purse) = purses.known(quota) {
            purse.answered(asking.at, lent, now);
        }
    }

    /// The refusal of a device's new order, which the record lends nothing for so long. It covers what the caller needs to
    /// ask again, as far as is known here.
    pub fn refused_device(
        &self,
        caller: &SpiffeId,
        device: DeviceId,
        limits: &RateLimits,
        (window, time): (Window, Duration),
    ) -> RateLimited {
        let institution = self.institution(caller.institution(), limits);
        let mut purses = institution.purses();
        let now = self.now();
        let [all, own] = purses.of(caller, limits, now);
        let to_ask = longer(caller, all.wait(now), own.wait(now));
        let to_ask = to_ask.map_or(Duration::ZERO, |refused| refused.retry_after);
        let time = time.max(to_ask);
        Wait { time, window }.of(Scope::Device(device))
    }

    /// What is left to `caller` as far as is known here: what the record had when it was last asked, and what this replica
    /// holds. Spends nothing.
    pub fn left_of_shared(&self, caller: &SpiffeId, limits: &RateLimits) -> Left {
        let id = caller.institution();
        let institution = self.institution(id, limits);
        let mut purses = institution.purses();
        let now = self.now();
        let [all, own] = purses.of(caller, limits, now);
        let scopes = [
            Scope::Institution(id.clone()),
            Scope::Caller(caller.clone()),
        ];
        let windows = [all, own].into_iter().zip(scopes);
        let windows = windows.flat_map(|(purse, scope)| {
            let each = purse.left(now).into_iter();
            each.map(move |(window, left)| WindowLeft {
                scope: scope.clone(),
                window,
                left,
            })
        });
        Left {
            windows: windows.collect(),
            in_flight: institution.ground.places.taken(),
            in_flight_limit: limits.in_flight.get(),
        }
    }
}

fn asking(caller: &SpiffeId, scope: Scope, purse: &Purse, requests: u32, at: Nanos) -> Asking {
    let quota = Quota {
        institution: caller.institution().clone(),
        scope,
        windows: *purse.windows(),
    };
    Asking {
        ask: QuotaAsk { quota, requests },
        at,
    }
}

/// The longer wait, with its scope; the institution's, where they are alike.
fn longer(caller: &SpiffeId, all: Option<Wait>, own: Option<Wait>) -> Option<RateLimited> {
    let own = own.map(|wait| wait.of(Scope::Caller(caller.clone())));
    let all = all.map(|wait| wait.of(Scope::Institution(caller.institution().clone())));
    let both = [own, all].into_iter().flatten();
    both.max_by_key(|refused| refused.retry_after)
}

impl Institution {
    fn purses(&self) -> MutexGuard<'_, Purses> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
