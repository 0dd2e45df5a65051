//! The promise of a refusal, for windows of any kind and whatever was asked before: who waits as long as was said and is
//! alone gets through, who comes a tenth earlier, or a nanosecond, does not. At the door nobody knows yet whose order it
//! is, so what is said there is true of the door.

#![allow(clippy::unwrap_used, reason = "tests")]

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::limit::Windows;

/// One request: how long after the one before, by which caller, of which device; of none if it is no order.
type Ask = (u64, usize, Option<u128>);

fn window() -> impl Strategy<Value = Window> {
    let burst = prop_oneof![1_u64..4, 1_u64..1_000_000];
    let requests = prop_oneof![1_u64..4, 1_u64..1_000_000];
    let seconds = prop_oneof![1_u64..4, 1_u64..86_400];
    (burst, requests, seconds).prop_filter_map("too slow", |(burst, requests, seconds)| {
        Window::new(burst, requests, seconds).ok()
    })
}

fn windows() -> impl Strategy<Value = Windows> {
    prop::collection::vec(window(), 1..=4).prop_map(|windows| Windows::new(&windows).unwrap())
}

fn rate_limits() -> impl Strategy<Value = RateLimits> {
    (windows(), windows(), windows()).prop_map(|(institution, caller, device)| RateLimits {
        institution,
        caller,
        device,
        ..RateLimits::DEFAULT
    })
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let apart = prop_oneof![
        4 => Just(0_u64),
        4 => 0_u64..1_000,
        4 => 0_u64..3_000_000_000,
        1 => 0_u64..100_000_000_000_000,
    ];
    prop::collection::vec((apart, 0_usize..2, prop::option::of(0_u128..2)), 1..40)
}

/// The service as far as limits go.
struct World {
    limits: Limits<FakeRelativeClock>,
    clock: FakeRelativeClock,
    rates: RateLimits,
    callers: [SpiffeId; 2],
}

impl World {
    fn new(rates: RateLimits) -> Self {
        let clock = FakeRelativeClock::default();
        let caller = |name| format!("spiffe://s/alfa/payments/{name}").parse().unwrap();
        Self {
            limits: Limits::by(clock.clone()),
            clock,
            rates,
            callers: ["a", "b"].map(caller),
        }
    }

    fn ask(&self, caller: usize, device: Option<u128>) -> Result<(), RateLimited> {
        let caller = self.callers.get(caller).unwrap();
        let _place = self.limits.admit(caller, &self.rates)?;
        let Some(device) = device else { return Ok(()) };
        let device = DeviceId::from(Uuid::from_u128(device));
        self.limits.admit_device(caller, device, &self.rates)
    }

    /// Asks until the first refusal; which ask it was, and what it said.
    fn play(&self, asks: &[Ask]) -> Option<(usize, Option<u128>, RateLimited)> {
        asks.iter().find_map(|&(apart, caller, device)| {
            self.clock.advance(Duration::from_nanos(apart));
            let refused = self.ask(caller, device).err()?;
            Some((caller, device, refused))
        })
    }

    /// The same world, where the refused one comes again after `wait`.
    fn again_after(rates: RateLimits, asks: &[Ask], wait: Duration) -> Result<(), RateLimited> {
        let world = Self::new(rates);
        let (caller, device, _) = world.play(asks).unwrap();
        world.clock.advance(wait);
        world.ask(caller, device)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wait_is_exact(rates in rate_limits(), asks in asks()) {
        let Some((_, _, refused)) = World::new(rates).play(&asks) else {
            return Ok(());
        };
        let wait = refused.retry_after;
        prop_assert!(wait > Duration::ZERO);
        let at_the_door = !matches!(refused.scope, Scope::Device(_));
        match World::again_after(rates, &asks, wait) {
            Err(RateLimited { scope: Scope::Device(_), .. }) if at_the_door => {}
            again => prop_assert_eq!(again, Ok(())),
        }
        let a_nanosecond_less = wait - Duration::from_nanos(1);
        prop_assert!(World::again_after(rates, &asks, a_nanosecond_less).is_err());
        prop_assert!(World::again_after(rates, &asks, wait * 9 / 10).is_err());
    }

    #[test]
    fn a_refusal_at_the_door_spends_nothing(rates in rate_limits(), asks in asks()) {
        let world = World::new(rates);
        let asks: Vec<Ask> = asks.into_iter().map(|(apart, caller, _)| (apart, caller, None)).collect();
        let Some((caller, ..)) = world.play(&asks) else {
            return Ok(());
        };
        let caller = world.callers.get(caller).unwrap();
        let before = world.limits.left(caller, &rates);
        prop_assert!(world.limits.admit(caller, &rates).is_err());
        prop_assert_eq!(world.limits.left(caller, &rates), before);
    }

    /// However the requests come, a window lets no more through than its burst and what has come back since.
    #[test]
    fn no_window_lets_more_through_than_it_says(rates in rate_limits(), asks in asks()) {
        let world = World::new(rates);
        let (mut elapsed, mut admitted) = (0_u128, 0_u128);
        for (apart, _, _) in asks {
            world.clock.advance(Duration::from_nanos(apart));
            elapsed += u128::from(apart);
            admitted += u128::from(world.ask(0, None).is_ok());
            for window in rates.institution.iter().chain(rates.caller.iter()) {
                let back = elapsed / window.interval().as_nanos();
                prop_assert!(admitted <= u128::from(window.burst().get()) + back);
            }
        }
    }
}
