//! Owns the model of orders that are removed: whatever happens, none is opened again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{retention::DAY, *};
use crate::domain::{outcome::State, retention::Kept};

/// One step of the model: so much later, an order under one of a few ids is begun with one of two contents, and signed or
/// not; or what is old is removed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Order {
        jti: u8,
        other: bool,
        end: Option<bool>,
    },
    Prune {
        days: i64,
        limit: u32,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let order = (0..4_u8, any::<bool>(), any::<Option<bool>>())
        .prop_map(|(jti, other, end)| Step::Order { jti, other, end });
    let prune = (0..3_i64, 1..4_u32).prop_map(|(days, limit)| Step::Prune { days, limit });
    proptest::collection::vec((0..DAY, prop_oneof![3 => order, 2 => prune]), 1..40)
}

/// Whatever is begun, ended and removed in whatever order: one outcome for each id, and it never changes but by being
/// removed.
pub(crate) async fn nothing_is_opened_again(world: World, steps: Vec<(i64, Step)>) {
    let device = world.accepted_phone().await;
    let mut now = T0;
    // By id: whether the first content was the other one, and how it ended.
    let mut first: BTreeMap<u8, (bool, Option<State>)> = BTreeMap::new();
    for (after, step) in steps {
        now = now.plus_seconds(after);
        match step {
            Step::Prune { days, limit } => {
                let before = now.plus_seconds(-days * DAY);
                let pruned = world
                    .store
                    .prune(Kept::Orders, before, limit, origin(), now);
                pruned.await.unwrap().unwrap();
            }
            Step::Order { jti, other, end } => {
                let mut operation = world.order(device, now);
                operation.content = [u8::from(other); 32];
                operation.expires_at = now.plus_seconds(400 * DAY);
                let order = order_of(&mut operation);
                order.jti = Uuid::from_u128(jti.into());
                order.limits = MoneyLimits {
                    amount_per_day: u64::MAX >> 4,
                    orders_per_day: 99,
                };
                let intent = match (world.begin(operation, now).await, first.get(&jti)) {
                    (Begun::Recorded(intent), None) => {
                        first.insert(jti, (other, None));
                        intent
                    }
                    (Begun::Resumed(intent), Some((was, None))) if *was == other => intent,
                    (Begun::Conflict, Some((was, _))) if *was != other => continue,
                    (Begun::Done(outcome), Some((was, Some(state)))) if *was == other => {
                        assert_eq!(outcome.state, *state);
                        continue;
                    }
                    (begun, was) => panic!("{begun:?} after {was:?}"),
                };
                if let Some(signs) = end {
                    let ending = if signs {
                        signed("a")
                    } else {
                        Ending::Failed("KEY_GONE")
                    };
                    let outcome = world.end(intent.id, ending, now).await;
                    first.insert(jti, (other, Some(outcome.state)));
                }
            }
        }
    }
    let signed = world
        .inside
        .number(
            "SELECT count(*) FROM operation WHERE kind = 'authorization' AND state = 'AUTHORIZED'",
        )
        .await
        + world
            .inside
            .number("SELECT count(*) FROM pruned_order WHERE state = 'AUTHORIZED'")
            .await;
    let expected = first
        .values()
        .filter(|(_, state)| *state == Some(State::Authorized))
        .count();
    assert_eq!(usize::try_from(signed), Ok(expected));
}
