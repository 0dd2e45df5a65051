//! What holds over replicas that share a record, however their requests, asks and answers come to lie: the bound on what they
//! let through together, what may be forfeited, and that one alone says what a service without replicas would say.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::VecDeque;

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::domain::quota::{Arrivals, Lent};

const REPLICAS: usize = 3;
/// Of the record's clock when everything begins.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// Replicas, the record that they share, and what is on the way between them.
struct World {
    clock: FakeRelativeClock,
    elapsed: Duration,
    replicas: Vec<Limits<FakeRelativeClock>>,
    rates: RateLimits,
    record: HashMap<String, Arrivals>,
    asked: VecDeque<(usize, Asking)>,
    answered: VecDeque<(usize, Asking, Lent)>,
    /// Of each request that was let through, when.
    through: Vec<Duration>,
    lent: u32,
}

impl World {
    fn new(institution: Windows, caller: Windows) -> Self {
        let clock = FakeRelativeClock::default();
        Self {
            replicas: (0..REPLICAS).map(|_| Limits::by(clock.clone())).collect(),
            clock,
            elapsed: Duration::ZERO,
            rates: RateLimits {
                institution,
                caller,
                ..RateLimits::DEFAULT
            },
            record: HashMap::new(),
            asked: VecDeque::new(),
            answered: VecDeque::new(),
            through: Vec::new(),
            lent: 0,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.elapsed += time;
    }

    fn draw(&mut self, replica: usize, new: bool) -> Drawn {
        let drawn = self.replicas[replica].draw(&backend(), &self.rates, new);
        if let Drawn::Through(asks) | Drawn::Lacking(asks, _) = &drawn {
            let asks = asks.iter().map(|ask| (replica, ask.clone()));
            self.asked.extend(asks);
        }
        if matches!(drawn, Drawn::Through(_)) {
            self.through.push(self.elapsed);
        }
        drawn
    }

    /// The record hears the oldest ask.
    fn hear(&mut self) {
        let Some((replica, asking)) = self.asked.pop_front() else {
            return;
        };
        let quota = &asking.ask.quota;
        let name = format!("{} {}", quota.scope, quota.windows);
        let lent = lend(
            &asking.ask,
            self.record.get(&name).copied(),
            EPOCH + self.elapsed,
        );
        self.record.insert(name, lent.arrivals);
        if matches!(quota.scope, Scope::Institution(_)) {
            self.lent += lent.requests;
        }
        self.answered.push_back((replica, asking, lent));
    }

    /// The oldest answer arrives, or is lost.
    fn answer(&mut self, arrives: bool) {
        let Some((replica, asking, lent)) = self.answered.pop_front() else {
            return;
        };
        self.replicas[replica].answered(&asking, arrives.then_some(&lent));
    }

    /// A request at a replica whose record answers at once.
    fn come(&mut self, replica: usize) -> Result<(), RateLimited> {
        let mut new = true;
        loop {
            let drawn = self.draw(replica, new);
            new = false;
            while !self.asked.is_empty() {
                self.hear();
                self.answer(true);
            }
            match drawn {
                Drawn::Through(_) => return Ok(()),
                Drawn::Refused(refused) => return Err(refused),
                Drawn::Lacking(..) => {}
            }
        }
    }

    /// Of all requests let through between any two moments, no more than the windows give in that time and a lease's.
    fn keeps_the_bound(&self) -> bool {
        let windows = || {
            self.rates
                .institution
                .iter()
                .chain(self.rates.caller.iter())
        };
        self.through.iter().enumerate().all(|(first, from)| {
            let later = self.through.iter().skip(first).zip(1_u128..);
            let within = |(until, count): (&Duration, u128)| {
                let time = *until - *from + LEASE;
                let most = |window: Window| {
                    u128::from(window.burst().get())
                        + time.as_nanos() / window.interval().as_nanos()
                };
                windows().all(|window| count <= most(window))
            };
            later.clone().all(within)
        })
    }
}

fn backend() -> SpiffeId {
    "spiffe://s/alfa/payments/backend".parse().unwrap()
}

fn windows(of: &[(u64, u64, u64)]) -> Windows {
    let each = |&(burst, requests, seconds)| Window::new(burst, requests, seconds).unwrap();
    Windows::new(&of.iter().map(each).collect::<Vec<_>>()).unwrap()
}

fn wide() -> Windows {
    windows(&[(1_000_000, 1_000_000, 1)])
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Come(usize),
    Hear,
    Answer(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0_u64..400_000_000).prop_map(Step::Pass),
        8 => (0..REPLICAS).prop_map(Step::Come),
        6 => Just(Step::Hear),
        6 => Just(Step::Answer(true)),
        1 => Just(Step::Answer(false)),
    ];
    prop::collection::vec(step, 1..300)
}

fn some_windows() -> impl Strategy<Value = Windows> {
    let window = (1_u64..30, 1_u64..40, 1_u64..4);
    prop::collection::vec(window, 1..=3).prop_map(|of| windows(&of))
}

fn slow_windows() -> impl Strategy<Value = Windows> {
    let window = (1_u64..6, 2_u64..90);
    prop::collection::vec(window, 1..=3).prop_map(|of| {
        let of: Vec<_> = of
            .into_iter()
            .map(|(burst, seconds)| (burst, 1, seconds))
            .collect();
        windows(&of)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn together_they_let_no_more_through_than_the_windows_give_in_the_time_and_a_lease(
        institution in some_windows(),
        caller in some_windows(),
        steps in steps(),
    ) {
        let mut world = World::new(institution, caller);
        for step in steps {
            match step {
                Step::Pass(nanos) => world.pass(Duration::from_nanos(nanos)),
                Step::Come(replica) => drop(world.draw(replica, true)),
                Step::Hear => world.hear(),
                Step::Answer(arrives) => world.answer(arrives),
            }
        }
        prop_assert!(world.keeps_the_bound());
        prop_assert!(world.through.len() <= usize::try_from(world.lent).unwrap());
    }

    /// Where a lease's time gives less than one back, and the institution's are out of the way, nothing is forfeited.
    #[test]
    fn slow_windows_say_over_replicas_what_they_say_in_one_process(
        caller in slow_windows(),
        asks in prop::collection::vec((0_u64..5_000, 0..REPLICAS), 1..60),
    ) {
        let mut world = World::new(wide(), caller);
        let alone = Limits::by(world.clock.clone());
        for (apart, replica) in asks {
            world.pass(Duration::from_millis(apart));
            let place = alone.admit(&backend(), &world.rates);
            prop_assert_eq!(world.come(replica), place.map(drop));
        }
    }
}

#[test]
fn a_busy_replica_asks_ahead_for_half_a_leases_time_and_seldom_waits() {
    let mut world = World::new(windows(&[(1_000, 1_000, 1)]), wide());
    let (mut waited, mut asked) = (0, 0);
    for _ in 0..1_000 {
        world.pass(Duration::from_millis(5));
        match world.draw(0, true) {
            Drawn::Through(asks) => asked += asks.len(),
            Drawn::Lacking(asks, _) => {
                waited += 1;
                asked += asks.len();
            }
            Drawn::Refused(refused) => panic!("{refused:?}"),
        }
        while !world.asked.is_empty() {
            world.hear();
            world.answer(true);
        }
    }
    // Five seconds of 200 requests each: two quotas are asked some four times a second.
    assert!(
        waited < 10 && (10..100).contains(&asked),
        "{waited} {asked}"
    );
    let used = u32::try_from(world.through.len()).unwrap();
    assert!(world.lent - used <= 200, "{} lent, {used} used", world.lent);
}

#[test]
fn what_one_replica_does_not_use_is_back_for_the_others_with_the_windows() {
    let mut world = World::new(windows(&[(10, 10, 1)]), wide());
    for _ in 0..10 {
        world.come(0).unwrap();
    }
    assert!(world.come(1).is_err());
    world.pass(Duration::from_secs(1));
    for _ in 0..10 {
        world.come(1).unwrap();
    }
    let refused = world.come(2).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(100));
    assert_eq!(refused.scope, Scope::Institution("alfa".parse().unwrap()));
}

#[test]
fn a_lease_ends_a_second_after_it_was_asked_for() {
    let mut world = World::new(windows(&[(100, 100, 1)]), wide());
    assert!(matches!(world.draw(0, true), Drawn::Lacking(..)));
    world.hear();
    world.hear();
    world.pass(LEASE);
    world.answer(true);
    world.answer(true);
    assert!(matches!(world.draw(0, false), Drawn::Lacking(..)));
    assert!(world.through.is_empty());
}

#[test]
fn one_ask_of_a_quota_is_under_way_and_one_that_failed_is_asked_again() {
    let mut world = World::new(wide(), wide());
    assert!(matches!(world.draw(0, true), Drawn::Lacking(asks, _) if asks.len() == 2));
    world.pass(Duration::from_millis(70));
    let waited = Duration::from_millis(70);
    assert!(
        matches!(world.draw(0, true), Drawn::Lacking(asks, time) if asks.is_empty() && time == waited)
    );
    for _ in 0..2 {
        world.hear();
        world.answer(false);
    }
    assert!(matches!(world.draw(0, false), Drawn::Lacking(asks, _) if asks.len() == 2));
}

#[test]
fn what_was_lent_under_other_windows_is_forfeited() {
    let mut world = World::new(windows(&[(5, 1, 2)]), wide());
    for _ in 0..3 {
        world.come(0).unwrap();
    }
    let (old, under_way) = (world.rates, world.draw(0, true));
    assert!(matches!(under_way, Drawn::Lacking(..)));
    world.rates.institution = windows(&[(6, 1, 2)]);
    assert!(matches!(world.draw(0, true), Drawn::Lacking(asks, _) if asks.len() == 1));
    // The answer to what was asked under the old ones comes to nobody, also once these are back.
    world.hear();
    world.answer(true);
    world.rates = old;
    assert!(matches!(world.draw(0, true), Drawn::Lacking(asks, _) if asks.len() == 1));
}

#[test]
fn what_is_left_is_what_the_record_said_and_what_is_held() {
    let mut world = World::new(windows(&[(10, 10, 1)]), windows(&[(8, 1, 2)]));
    let left = |world: &World, replica: usize| {
        let left = world.replicas[replica].left_of_shared(&backend(), &world.rates);
        left.windows.iter().map(|w| w.left).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        world.come(0).unwrap();
    }
    assert_eq!(left(&world, 0)[1], 5);
    // Of another's it is known when it is next asked.
    assert_eq!(left(&world, 1), [10, 8]);
    world.come(1).unwrap();
    assert_eq!(left(&world, 1)[1], 4);
}

#[test]
fn a_clock_of_the_record_that_is_set_back_withholds_no_more_than_a_burst() {
    let mut world = World::new(windows(&[(4, 1, 10)]), wide());
    world.come(0).unwrap();
    world.elapsed += Duration::from_secs(86_400);
    world.clock.advance(Duration::from_secs(86_400));
    world.come(0).unwrap();
    // A day back for the record alone.
    world.elapsed -= Duration::from_secs(86_400);
    let refused = world.come(1).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(10));
}
