//! What each scope does, one by one; `truth` has what holds for all windows.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{thread, time::Duration};

use governor::clock::FakeRelativeClock;
use uuid::Uuid;

use super::*;
use crate::domain::limit::Windows;

const MILLION: u128 = 1_000_000;

fn windows(of: &[(u64, u64, u64)]) -> Windows {
    let each = |&(burst, requests, seconds)| Window::new(burst, requests, seconds).unwrap();
    Windows::new(&of.iter().map(each).collect::<Vec<_>>()).unwrap()
}

/// Nobody meets them.
fn wide() -> RateLimits {
    let wide = windows(&[(1_000_000, 1_000_000, 1)]);
    RateLimits {
        institution: wide,
        caller: wide,
        device: wide,
        ..RateLimits::DEFAULT
    }
}

fn caller(text: &str) -> SpiffeId {
    format!("spiffe://semops.example/{text}").parse().unwrap()
}

fn device(number: u128) -> DeviceId {
    DeviceId::from(Uuid::from_u128(number))
}

fn limits() -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limits::by(clock.clone()), clock)
}

/// Admits until refused; how many, and the refusal.
fn exhaust(
    limits: &Limits<FakeRelativeClock>,
    caller: &SpiffeId,
    rates: &RateLimits,
) -> (usize, RateLimited) {
    let mut admitted = 0;
    loop {
        match limits.admit(caller, rates) {
            Ok(_) => admitted += 1,
            Err(refused) => return (admitted, refused),
        }
    }
}

#[test]
fn a_burst_passes_and_comes_back_evenly() {
    let (limits, clock) = limits();
    let backend = caller("alfa/payments/backend");
    let rates = RateLimits {
        caller: windows(&[(5, 2, 1)]),
        ..wide()
    };
    let (admitted, refused) = exhaust(&limits, &backend, &rates);
    assert_eq!(admitted, 5);
    assert_eq!(refused.scope, Scope::Caller(backend.clone()));
    assert_eq!(refused.reason(), Reason::RateLimited);
    assert_eq!(refused.retry_after, Duration::from_millis(500));
    clock.advance(Duration::from_millis(1_200));
    let (admitted, refused) = exhaust(&limits, &backend, &rates);
    assert_eq!(admitted, 2);
    assert_eq!(refused.retry_after, Duration::from_millis(300));
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(exhaust(&limits, &backend, &rates).0, 5);
}

#[test]
fn the_longest_wait_of_all_windows_is_told_and_nothing_is_spent_by_a_refusal() {
    let (limits, clock) = limits();
    let backend = caller("alfa/payments/backend");
    let rates = RateLimits {
        institution: windows(&[(2, 1, 7), (100, 1, 1)]),
        caller: windows(&[(2, 1, 3), (2, 1, 5)]),
        ..wide()
    };
    let (admitted, refused) = exhaust(&limits, &backend, &rates);
    assert_eq!((admitted, refused.retry_after), (2, Duration::from_secs(7)));
    assert_eq!(refused.scope, Scope::Institution("alfa".parse().unwrap()));
    assert_eq!(
        refused.rule.to_string(),
        "2 at once, of which 1 come back in 7 s"
    );
    let left = limits.left(&backend, &rates);
    assert_eq!(limits.admit(&backend, &rates).err(), Some(refused));
    assert_eq!(limits.left(&backend, &rates), left);
    // The caller's own windows have room again, those of all have not.
    clock.advance(Duration::from_secs(6));
    let refused = limits.admit(&backend, &rates).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    let callers_own = limits.left(&backend, &rates).windows.pop().unwrap();
    assert_eq!(callers_own.left, 1);
}

#[test]
fn callers_of_one_institution_share_its_windows_and_no_other_institutions() {
    let (limits, _) = limits();
    let rates = RateLimits {
        institution: windows(&[(3, 1, 1)]),
        ..wide()
    };
    assert_eq!(exhaust(&limits, &caller("alfa/payments/a"), &rates).0, 3);
    assert_eq!(exhaust(&limits, &caller("alfa/payments/b"), &rates).0, 0);
    assert_eq!(exhaust(&limits, &caller("beta/payments/a"), &rates).0, 3);
}

#[test]
fn each_device_has_windows_of_its_own_at_each_institution() {
    let (limits, clock) = limits();
    let (alfa, beta) = (caller("alfa/payments/a"), caller("beta/payments/a"));
    let rates = RateLimits {
        device: windows(&[(1, 1, 2)]),
        ..wide()
    };
    assert_eq!(limits.admit_device(&alfa, device(1), &rates), Ok(()));
    let refused = limits.admit_device(&alfa, device(1), &rates).unwrap_err();
    assert_eq!(refused.scope, Scope::Device(device(1)));
    assert_eq!(refused.retry_after, Duration::from_secs(2));
    assert_eq!(limits.admit_device(&alfa, device(2), &rates), Ok(()));
    assert_eq!(limits.admit_device(&beta, device(1), &rates), Ok(()));
    clock.advance(refused.retry_after);
    assert_eq!(limits.admit_device(&alfa, device(1), &rates), Ok(()));
}

#[test]
fn a_devices_wait_covers_what_the_caller_needs_to_ask_again() {
    let (limits, clock) = limits();
    let alfa = caller("alfa/payments/a");
    let rates = RateLimits {
        caller: windows(&[(2, 1, 9)]),
        device: windows(&[(1, 1, 2)]),
        ..wide()
    };
    let order = || {
        let _place = limits.admit(&alfa, &rates)?;
        limits.admit_device(&alfa, device(1), &rates)
    };
    assert_eq!(order(), Ok(()));
    let refused = order().unwrap_err();
    assert_eq!(refused.scope, Scope::Device(device(1)));
    assert_eq!(refused.retry_after, Duration::from_secs(9));
    clock.advance(refused.retry_after);
    assert_eq!(order(), Ok(()));
}

#[test]
fn other_windows_begin_anew_and_the_same_go_on() {
    let (limits, _) = limits();
    let backend = caller("alfa/payments/backend");
    let of = |burst| RateLimits {
        institution: windows(&[(burst, 1, 60)]),
        ..wide()
    };
    assert_eq!(exhaust(&limits, &backend, &of(3)).0, 3);
    assert_eq!(exhaust(&limits, &backend, &of(3)).0, 0);
    assert_eq!(
        limits.left(&backend, &of(4)).windows.first().unwrap().left,
        4
    );
    assert_eq!(exhaust(&limits, &backend, &of(4)).0, 4);
    assert_eq!(exhaust(&limits, &backend, &of(4)).0, 0);
}

#[test]
fn requests_under_way_are_bounded_per_institution_and_spend_nothing_when_refused() {
    let (limits, _) = limits();
    let (a, b) = (caller("alfa/payments/a"), caller("alfa/enrolment/b"));
    let rates = RateLimits {
        in_flight: InFlight::new(2).unwrap(),
        ..wide()
    };
    let places = [&a, &b].map(|caller| limits.admit(caller, &rates).unwrap());
    let left = limits.left(&a, &rates);
    assert_eq!((left.in_flight, left.in_flight_limit), (2, 2));
    let refused = limits.admit(&a, &rates).unwrap_err();
    assert_eq!(refused.reason(), Reason::TooManyInFlight);
    assert_eq!(refused.scope, Scope::Institution("alfa".parse().unwrap()));
    assert_eq!(refused.rule.to_string(), "2 under way at a time");
    assert_eq!(limits.left(&a, &rates), left);
    assert!(limits.admit(&caller("beta/payments/a"), &rates).is_ok());
    drop(places);
    assert_eq!(limits.left(&a, &rates).in_flight, 0);
    assert!(limits.admit(&a, &rates).is_ok());
}

#[test]
fn strangers_have_limits_of_their_own() {
    let (limits, clock) = limits();
    let most = usize::try_from(PublicLimits::DEFAULT.in_flight.get()).unwrap();
    let places: Vec<_> = (0..most)
        .map(|_| limits.admit_stranger().unwrap())
        .collect();
    let refused = limits.admit_stranger().unwrap_err();
    assert_eq!(
        (refused.scope, refused.rule),
        (Scope::Public, Rule::InFlight(32))
    );
    drop(places);
    let admitted = (0..1_000).filter(|_| limits.admit_stranger().is_ok());
    assert_eq!(admitted.count(), 400 - most);
    let refused = limits.admit_stranger().unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(5));
    assert!(
        limits
            .admit(&caller("alfa/payments/a"), &RateLimits::DEFAULT)
            .is_ok()
    );
    clock.advance(refused.retry_after);
    assert!(limits.admit_stranger().is_ok());
}

#[test]
fn what_is_left_is_what_may_be_asked_for() {
    let (limits, clock) = limits();
    let backend = caller("alfa/payments/backend");
    let rates = RateLimits {
        institution: windows(&[(7, 1, 1), (9, 1, 1)]),
        ..wide()
    };
    let left = |limits: &Limits<FakeRelativeClock>| {
        let left = limits.left(&backend, &rates);
        left.windows
            .iter()
            .map(|w| w.left)
            .take(2)
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&limits), [7, 9]);
    assert_eq!(exhaust(&limits, &backend, &rates).0, 7);
    assert_eq!(left(&limits), [0, 2]);
    clock.advance(Duration::from_millis(2_500));
    assert_eq!(left(&limits), [2, 4]);
}

#[test]
fn a_million_devices_and_callers_take_bounded_memory_and_the_busiest_stay_known() {
    let (limits, _) = limits();
    let alfa = caller("alfa/payments/a");
    let rates = RateLimits {
        device: windows(&[(2, 1, 60)]),
        ..wide()
    };
    let busy = device(MILLION + 1);
    assert_eq!(limits.admit_device(&alfa, busy, &rates), Ok(()));
    assert_eq!(limits.admit_device(&alfa, busy, &rates), Ok(()));
    for number in 0..MILLION {
        assert_eq!(limits.admit_device(&alfa, device(number), &rates), Ok(()));
    }
    for number in 0..100_000 {
        let caller = caller(&format!("alfa/payments/{number}"));
        assert!(limits.admit(&caller, &rates).is_ok());
    }
    let institution = limits.institution(alfa.institution(), &rates);
    assert!((DEVICES / 2..=DEVICES).contains(&institution.devices.len()));
    assert!(institution.callers.len() <= CALLERS);
    assert!(limits.admit_device(&alfa, busy, &rates).is_err());
}

#[test]
fn what_has_recovered_is_forgotten_first() {
    let (limits, clock) = limits();
    let alfa = caller("alfa/payments/a");
    let rates = RateLimits {
        device: windows(&[(2, 1, 60)]),
        ..wide()
    };
    for number in 0..100_000 {
        limits.admit_device(&alfa, device(number), &rates).unwrap();
    }
    clock.advance(Duration::from_secs(60));
    // All that came before are as good as new; none of these is dropped for another.
    let fresh = 100_000..150_000;
    for number in fresh.clone() {
        limits.admit_device(&alfa, device(number), &rates).unwrap();
        limits.admit_device(&alfa, device(number), &rates).unwrap();
    }
    let known = fresh.filter(|n| limits.admit_device(&alfa, device(*n), &rates).is_err());
    assert!(known.count() > 49_000);
}

#[test]
fn threads_together_get_what_one_would_get() {
    let limits = Limits::start();
    let backend = caller("alfa/payments/backend");
    let slow = windows(&[(1_000, 1, 600)]);
    let rates = RateLimits {
        institution: slow,
        ..wide()
    };
    let ask = || {
        (0..1_000)
            .filter(|_| limits.admit(&backend, &rates).is_ok())
            .count()
    };
    let admitted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(admitted, 1_000);
    assert_eq!(limits.left(&backend, &rates).in_flight, 0);
}
