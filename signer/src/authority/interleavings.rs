//! Owns the property of the whole co-signing: whatever the order of co-sign, retry, revoke, accept, release, expiry,
//! crash and sweep, the service does what a small model of the rules does, and no answer ever changes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

pub(super) mod scheme;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::world::World;
use crate::domain::{outcome::State, reason::Reason};

const ORDERS: usize = 3;
const LIFETIME: i64 = 60;
const DAY: i64 = 86_400;

/// One step of a scenario.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Have order `order` co-signed, with reference `reference`; the token works, or breaks after the record is made,
    /// which leaves the store as a crash between `begin` and `complete` does.
    Cosign {
        order: usize,
        reference: u8,
        token_works: bool,
    },
    /// The same twice at the same time.
    Twice {
        order: usize,
    },
    Accept,
    Release,
    Revoke,
    Pass {
        seconds: i64,
    },
    Sweep,
    /// The process dies and starts again on the same file.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..ORDERS, prop_oneof![5 => Just(0), 1 => Just(1)], prop::bool::weighted(0.5))
            .prop_map(|(order, reference, token_works)| Step::Cosign { order, reference, token_works }),
        2 => (0..ORDERS).prop_map(|order| Step::Twice { order }),
        2 => Just(Step::Accept),
        1 => Just(Step::Release),
        1 => prop::bool::weighted(0.2).prop_map(|revoke| if revoke { Step::Revoke } else { Step::Sweep }),
        4 => prop_oneof![6 => 1_i64..40, 1 => Just(DAY - 1), 1 => Just(DAY)].prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

/// What the rules say of one order.
#[derive(Clone, Debug)]
struct Recorded {
    reference: u8,
    begun: i64,
    state: State,
    reason: Option<Reason>,
    /// The stored bytes, once they were seen.
    bytes: Option<(String, String)>,
}

/// The rules, in small.
#[derive(Default)]
struct Model {
    accepted: bool,
    revoked: bool,
    recorded: BTreeMap<usize, Recorded>,
}

impl Model {
    /// What co-signing is expected to answer; the model moves on with it.
    fn cosign(
        &mut self,
        order: usize,
        signed_at: i64,
        reference: u8,
        works: bool,
        now: i64,
    ) -> Result<(), Reason> {
        let expired = signed_at + LIFETIME <= now;
        let denial = match (self.accepted, expired, self.revoked) {
            (false, _, _) => Some(Reason::DeviceNotAccepted),
            (true, true, _) => Some(Reason::OrderExpired),
            (true, false, true) => Some(Reason::DeviceRevoked),
            (true, false, false) => None,
        };
        let spent = self.spent(now);
        let Some(recorded) = self.recorded.get_mut(&order) else {
            denial.map_or(Ok(()), Err)?;
            within_limits(&spent, order)?;
            let state = if works {
                State::Authorized
            } else {
                State::Pending
            };
            self.recorded.insert(
                order,
                Recorded {
                    reference,
                    begun: now,
                    state,
                    reason: None,
                    bytes: None,
                },
            );
            return works.then_some(()).ok_or(Reason::HsmUnavailable);
        };
        if recorded.reference != reference {
            return Err(Reason::OrderConflict);
        }
        if recorded.state == State::Pending {
            let (state, reason) = match denial {
                _ if expired => (State::Expired, Some(Reason::OrderExpired)),
                Some(reason) => (State::Denied, Some(reason)),
                // Half of the authorization's 60 s.
                None if recorded.begun + LIFETIME / 2 <= now => {
                    (State::Failed, Some(Reason::TooLate))
                }
                None if works => (State::Authorized, None),
                None => return Err(Reason::HsmUnavailable),
            };
            (recorded.state, recorded.reason) = (state, reason);
        }
        recorded.reason.map_or(Ok(()), Err)
    }

    fn spent(&self, now: i64) -> Vec<u64> {
        let counts = |r: &&Recorded| {
            matches!(r.state, State::Pending | State::Authorized) && now - DAY < r.begun
        };
        self.recorded
            .iter()
            .filter(|(_, r)| counts(r))
            .map(|(order, _)| minor(*order))
            .collect()
    }

    fn sweep(&mut self, signed_at: &[i64], now: i64) {
        for (order, recorded) in &mut self.recorded {
            if recorded.state == State::Pending && signed_at[*order] + LIFETIME <= now {
                (recorded.state, recorded.reason) = (State::Expired, Some(Reason::OrderExpired));
            }
        }
    }
}

/// CNY 400.00 each, so that a third in a day is above the 1,000.00 of the policy.
fn minor(_: usize) -> u64 {
    40_000
}

fn within_limits(spent: &[u64], order: usize) -> Result<(), Reason> {
    let sum: u64 = spent.iter().sum();
    (sum + minor(order) <= 100_000)
        .then_some(())
        .ok_or(Reason::DeviceAmountPerDay)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_follows_the_rules(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            world.play(Step::Accept).await;
            for step in steps {
                world.play(step).await;
                world.check().await;
            }
        });
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_leaves_no_crl_that_nobody_takes() {
    let mut world = World::new().await;
    world.play(Step::Accept).await;
    world.play(Step::Revoke).await;
    let (first, listed) = world.publish().await;
    assert!(listed);
    assert_eq!(world.publish().await.0.number(), first.number());

    // So far ahead that the phone's certificate seems to have expired: one CRL more lists it, the next does not.
    let ahead = 100 * DAY;
    for (seconds, still_listed) in [(ahead, true), (DAY, false)] {
        world.play(Step::Pass { seconds }).await;
        assert_eq!(world.publish().await.1, still_listed);
    }
    world
        .play(Step::Pass {
            seconds: -ahead - DAY,
        })
        .await;
    let (set_right, listed) = world.publish().await;
    assert!(set_right.this_update() <= world.now() && set_right.number() > first.number());
    assert!(listed, "the entry of a certificate that is valid is back");
    assert_eq!(world.publish().await.0.number(), set_right.number());
}
