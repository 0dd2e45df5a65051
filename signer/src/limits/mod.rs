//! Owns the rate limits: how many requests an institution, a caller and a device may make, and how many of an institution
//! are under way. In memory alone; the keys are identities that were authenticated or proven, and each institution's are
//! apart, so that none can make another's be forgotten. Where replicas share the record, it keeps what was spent, decides by
//! [`lend`], and `shared` holds what it lent to this one. The only place that names governor.
//!
//! A refusal by a window is a promise: who waits as long as it says and is alone gets through, who comes earlier does not.

mod keys;
mod lend;
mod place;
mod purse;
mod shared;
mod spent;

#[cfg(test)]
mod replicas;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod truth;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use governor::{
    clock::{Clock, MonotonicClock, Reference as _},
    nanos::Nanos,
};
use semops_objects::institution::InstitutionId;

use self::{
    keys::Keys,
    place::Places,
    shared::Purses,
    spent::{Spent, Wait},
};
pub use self::{
    lend::lend,
    place::Place,
    purse::LEASE,
    shared::{Asking, Drawn},
};
use crate::domain::{
    actor::SpiffeId,
    device::DeviceId,
    limit::{InFlight, PublicLimits, RateLimits, Scope, Window, Windows},
    reason::Reason,
};

/// Callers of one institution that are remembered. They stand in its register, so there are few.
const CALLERS: usize = 4_096;
/// Devices of one institution that are remembered: at 1,000 orders per second, each by another device, the default windows
/// have forgiven the first order when the last of these comes.
const DEVICES: usize = 65_536;
/// About how long somebody waits for a place among the requests under way.
const FOR_A_PLACE: Duration = Duration::from_millis(100);

/// Why a request is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimited {
    /// Whose limit it is that takes longest to let the next one through.
    pub scope: Scope,
    /// What that limit is.
    pub rule: Rule,
    /// When to come again: of a window exactly, of requests under way about.
    pub retry_after: Duration,
}

/// A limit that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// This window.
    Window(Window),
    /// At most so many under way at a time.
    InFlight(u32),
}

/// What is left of the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Of each window of the institution and of the caller.
    pub windows: Vec<WindowLeft>,
    /// Requests of the institution under way.
    pub in_flight: u32,
    /// How many may be.
    pub in_flight_limit: u32,
}

/// What is left of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowLeft {
    /// Whose it is.
    pub scope: Scope,
    /// The window.
    pub window: Window,
    /// How many requests it would let through now.
    pub left: u32,
}

/// All limits of the process, by a clock that only goes forward.
pub struct Limits<C: Clock = MonotonicClock> {
    clock: C,
    start: C::Instant,
    /// Made by the first authenticated caller of each, so there are no more than registers of callers.
    institutions: RwLock<HashMap<InstitutionId, Arc<Institution>>>,
    strangers: Ground,
}

/// What an institution, or strangers, have spent together and have under way.
struct Ground {
    spent: Mutex<Spent>,
    places: Places,
}

struct Institution {
    ground: Ground,
    callers: Keys<SpiffeId>,
    devices: Keys<DeviceId>,
    purses: Mutex<Purses>,
}

impl Limits {
    /// Nothing is spent.
    pub fn start() -> Self {
        Self::by(MonotonicClock)
    }
}

impl<C: Clock> Limits<C> {
    fn by(clock: C) -> Self {
        Self {
            start: clock.now(),
            clock,
            institutions: RwLock::default(),
            strangers: Ground::new(&PublicLimits::DEFAULT.windows),
        }
    }

    /// Lets a request of `caller` through: one of its windows', one of its institution's, and a place among those under way
    /// until the place is dropped. All of it or nothing.
    ///
    /// # Errors
    /// [`RateLimited`], with the longest wait.
    pub fn admit(&self, caller: &SpiffeId, limits: &RateLimits) -> Result<Place, RateLimited> {
        let institution = self.institution(caller.institution(), limits);
        let mut of_all = institution.ground.spent();
        let mut callers = institution.callers.lock(caller);
        let now = self.now();
        let asked = Both {
            of_all: of_all.under(&limits.institution),
            of_caller: callers.spent(caller, &limits.caller),
        };
        let spent = asked.one_more(caller, now)?;
        let scope = || Scope::Institution(caller.institution().clone());
        let place = institution.ground.place(limits.in_flight, scope)?;
        *of_all = spent.of_all;
        callers.keep(caller, spent.of_caller, now);
        Ok(place)
    }

    /// Lets a new order of a proven device through. What it answers otherwise covers what the caller needs to ask again.
    ///
    /// # Errors
    /// [`RateLimited`].
    pub fn admit_device(
        &self,
        caller: &SpiffeId,
        device: DeviceId,
        limits: &RateLimits,
    ) -> Result<(), RateLimited> {
        let institution = self.institution(caller.institution(), limits);
        let admitted = {
            let mut devices = institution.devices.lock(&device);
            let now = self.now();
            let spent = devices.spent(&device, &limits.device).one_more(now);
            spent.map(|spent| devices.keep(&device, spent, now))
        };
        let Err(wait) = admitted else {
            return Ok(());
        };
        let (spent, now) = self.peek(&institution, caller, limits);
        let to_ask = spent.one_more(caller, now).err();
        let refused = wait.of(Scope::Device(device));
        let to_ask = to_ask.map_or(Duration::ZERO, |refused| refused.retry_after);
        Err(RateLimited {
            retry_after: refused.retry_after.max(to_ask),
            ..refused
        })
    }

    /// Lets a request of a stranger through, under [`PublicLimits::DEFAULT`].
    ///
    /// # Errors
    /// [`RateLimited`].
    pub fn admit_stranger(&self) -> Result<Place, RateLimited> {
        let PublicLimits { in_flight, windows } = PublicLimits::DEFAULT;
        let mut spent = self.strangers.spent();
        let more = spent.under(&windows).one_more(self.now());
        let more = more.map_err(|wait| wait.of(Scope::Public))?;
        let place = self.strangers.place(in_flight, || Scope::Public)?;
        *spent = more;
        Ok(place)
    }

    /// What is left to `caller`. Spends nothing.
    pub fn left(&self, caller: &SpiffeId, limits: &RateLimits) -> Left {
        let id = caller.institution();
        let institution = self.institution(id, limits);
        let (spent, now) = self.peek(&institution, caller, limits);
        let of = |scope: Scope, spent: Spent| {
            let each = move |(window, left)| WindowLeft {
                scope: scope.clone(),
                window,
                left,
            };
            spent.left(now).into_iter().map(each)
        };
        let of_all = of(Scope::Institution(id.clone()), spent.of_all);
        let of_caller = of(Scope::Caller(caller.clone()), spent.of_caller);
        Left {
            windows: of_all.chain(of_caller).collect(),
            in_flight: institution.ground.places.taken(),
            in_flight_limit: limits.in_flight.get(),
        }
    }

    /// What the institution and the caller have spent, and when that was seen.
    fn peek(
        &self,
        institution: &Institution,
        caller: &SpiffeId,
        limits: &RateLimits,
    ) -> (Both, Nanos) {
        let of_all = institution.ground.spent();
        let callers = institution.callers.lock(caller);
        let spent = Both {
            of_all: of_all.under(&limits.institution),
            of_caller: callers.spent(caller, &limits.caller),
        };
        (spent, self.now())
    }

    fn institution(&self, id: &InstitutionId, limits: &RateLimits) -> Arc<Institution> {
        let known = self.institutions.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(institution) = known.get(id) {
            return Arc::clone(institution);
        }
        drop(known);
        let made = || {
            Arc::new(Institution {
                ground: Ground::new(&limits.institution),
                callers: Keys::new(CALLERS),
                devices: Keys::new(DEVICES),
                purses: Mutex::new(Purses::new(&limits.institution)),
            })
        };
        let known = self.institutions.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(id.clone()).or_insert_with(made))
    }

    fn now(&self) -> Nanos {
        self.clock.now().duration_since(self.start)
    }
}

impl Ground {
    fn new(windows: &Windows) -> Self {
        Self {
            spent: Mutex::new(Spent::nothing(windows)),
            places: Places::default(),
        }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, limit: InFlight, scope: impl FnOnce() -> Scope) -> Result<Place, RateLimited> {
        let none = || RateLimited {
            scope: scope(),
            rule: Rule::InFlight(limit.get()),
            retry_after: FOR_A_PLACE,
        };
        self.places.take(limit.get()).ok_or_else(none)
    }
}

/// What an institution and one of its callers have spent.
struct Both {
    of_all: Spent,
    of_caller: Spent,
}

impl Both {
    /// The same after one more request at `now`, if both let it through; else the longer wait, with its scope.
    fn one_more(&self, caller: &SpiffeId, now: Nanos) -> Result<Self, RateLimited> {
        let all = || Scope::Institution(caller.institution().clone());
        let one = || Scope::Caller(caller.clone());
        match (self.of_all.one_more(now), self.of_caller.one_more(now)) {
            (Ok(of_all), Ok(of_caller)) => Ok(Self { of_all, of_caller }),
            (Err(by_all), Err(by_caller)) if by_caller.time > by_all.time => {
                Err(by_caller.of(one()))
            }
            (Err(by_all), _) => Err(by_all.of(all())),
            (Ok(_), Err(by_caller)) => Err(by_caller.of(one())),
        }
    }
}

impl Wait {
    fn of(self, scope: Scope) -> RateLimited {
        RateLimited {
            scope,
            rule: Rule::Window(self.window),
            retry_after: self.time,
        }
    }
}

impl RateLimited {
    /// The stable reason.
    pub fn reason(&self) -> Reason {
        match self.rule {
            Rule::Window(_) => Reason::RateLimited,
            Rule::InFlight(_) => Reason::TooManyInFlight,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => window.fmt(f),
            Self::InFlight(limit) => write!(f, "{limit} under way at a time"),
        }
    }
}
