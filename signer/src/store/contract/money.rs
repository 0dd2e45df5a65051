//! Owns the contract of the money limits.

use proptest::prelude::*;

use super::*;
use crate::{
    domain::operation::MONEY_WINDOW_SECONDS,
    store::{Begun, Limit},
};

const DAY: i64 = MONEY_WINDOW_SECONDS;

fn order(world: &World, device: DeviceId, minor: u64, limits: (u64, u64)) -> Operation {
    let mut operation = world.order(device, T0);
    let order = order_of(&mut operation);
    order.amount = euros(minor);
    order.limits = MoneyLimits {
        amount_per_day: limits.0,
        orders_per_day: limits.1,
    };
    operation
}

fn over(begun: &Begun) -> Option<Limit> {
    match begun {
        Begun::Recorded(_) => None,
        Begun::OverLimit(limit) => Some(*limit),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn the_amount_per_day_holds(world: World) {
    let device = world.accepted_phone().await;
    let begin = async |minor| {
        over(
            &world
                .begin(order(&world, device, minor, (1000, 99)), T0)
                .await,
        )
    };
    assert_eq!(begin(1001).await, Some(Limit::AmountPerDay));
    assert_eq!(begin(400).await, None);
    assert_eq!(begin(601).await, Some(Limit::AmountPerDay));
    assert_eq!(begin(600).await, None);
    assert_eq!(begin(1).await, Some(Limit::AmountPerDay));
}

pub(crate) async fn the_orders_per_day_count_all_currencies(world: World) {
    let device = world.accepted_phone().await;
    let begin = async |currency| {
        let mut operation = order(&world, device, 1, (1000, 3));
        order_of(&mut operation).amount = amount(1, currency);
        over(&world.begin(operation, T0).await)
    };
    assert_eq!(
        (begin("EUR").await, begin("CNY").await, begin("JPY").await),
        (None, None, None)
    );
    assert_eq!(begin("EUR").await, Some(Limit::OrdersPerDay));
}

pub(crate) async fn currencies_are_summed_apart(world: World) {
    let device = world.accepted_phone().await;
    let begin = async |currency, minor| {
        let mut operation = order(&world, device, 1, (1000, 99));
        order_of(&mut operation).amount = amount(minor, currency);
        over(&world.begin(operation, T0).await)
    };
    assert_eq!(
        (begin("EUR", 1000).await, begin("CNY", 999).await),
        (None, None)
    );
    assert_eq!(begin("CNY", 2).await, Some(Limit::AmountPerDay));
    assert_eq!(begin("CNY", 1).await, None);
}

pub(crate) async fn the_window_ends_after_exactly_a_day(world: World) {
    let device = world.accepted_phone().await;
    let at = |micros| Timestamp::from_micros(T0.micros() + micros);
    let begin = async |now| {
        over(
            &world
                .begin(order(&world, device, 1000, (1000, 99)), now)
                .await,
        )
    };
    let day = DAY * 1_000_000;
    assert_eq!(begin(at(0)).await, None);
    assert_eq!(begin(at(day - 1)).await, Some(Limit::AmountPerDay));
    // The window is open at its beginning: what was reserved exactly a day ago counts no more.
    assert_eq!(begin(at(day)).await, None);
    assert_eq!(begin(at(day)).await, Some(Limit::AmountPerDay));
}

pub(crate) async fn ends_without_a_signature_give_back(world: World) {
    let device = world.accepted_phone().await;
    let begin = async |now| {
        world
            .begin(order(&world, device, 1000, (1000, 1)), now)
            .await
    };
    for ending in [
        Ending::Failed("HSM"),
        Ending::Denied("POLICY"),
        signed("too late"),
    ] {
        let intent = recorded(begin(T0).await);
        assert_eq!(over(&begin(T0).await), Some(Limit::AmountPerDay));
        world.end(intent.id, ending, intent.expires_at).await;
    }
    let intent = recorded(begin(T0).await);
    assert_eq!(
        world
            .store
            .sweep(9, origin(), intent.expires_at)
            .await
            .unwrap()
            .expired,
        1
    );
    let intent = recorded(begin(T0).await);
    world.end(intent.id, signed("authorization"), T0).await;
    assert_eq!(over(&begin(T0).await), Some(Limit::AmountPerDay));
}

pub(crate) async fn release_and_acceptance_forget_nothing(world: World) {
    let device = world.accepted_phone().await;
    world
        .record(order(&world, device, 1000, (1000, 99)), T0)
        .await;
    assert!(
        world
            .store
            .release(&world.alfa, device, origin(), T0)
            .await
            .unwrap()
    );
    world.accept(&world.alfa, device).await;
    let begun = world.begin(order(&world, device, 1, (1000, 99)), T0).await;
    assert_eq!(over(&begun), Some(Limit::AmountPerDay));
}

pub(crate) async fn sums_beyond_a_column_are_exact(world: World) {
    let device = world.accepted_phone().await;
    let begin = async |limit| {
        over(
            &world
                .begin(order(&world, device, Amount::MAX_MINOR, (limit, 99)), T0)
                .await,
        )
    };
    // 18 times the largest amount is above 2^63 and below 2^64.
    for count in 1..=18 {
        assert_eq!(begin(Amount::MAX_MINOR * count).await, None, "{count}");
    }
    assert_eq!(begin(u64::MAX).await, Some(Limit::AmountPerDay));
    assert_eq!(
        over(
            &world
                .begin(
                    order(&world, device, 17, (Amount::MAX_MINOR * 18 + 17, 99)),
                    T0
                )
                .await
        ),
        None
    );
}

pub(crate) async fn orders_of_one_group_count_each_other(world: World) {
    let device = world.accepted_phone().await;
    let operations = (0..8)
        .map(|_| order(&world, device, 300, (1000, 99)))
        .collect();
    let begun = world.store.begin(operations, T0).await.unwrap();
    let recorded = begun.iter().filter(|begun| over(begun).is_none()).count();
    assert_eq!(recorded, 3);
}

pub(crate) async fn a_clock_set_back_forgets_nothing(world: World) {
    let device = world.accepted_phone().await;
    world
        .record(order(&world, device, 1000, (1000, 99)), T0)
        .await;
    let begun = world
        .begin(order(&world, device, 1, (1000, 99)), T0.plus_seconds(-1))
        .await;
    assert_eq!(over(&begun), Some(Limit::AmountPerDay));
}

pub(crate) async fn institutions_and_devices_have_limits_of_their_own(world: World) {
    let (one, other) = (world.accepted_phone().await, world.accepted_phone().await);
    world.accept(&world.beta, one).await;
    world.record(order(&world, one, 1000, (1000, 1)), T0).await;
    world
        .record(order(&world, other, 1000, (1000, 1)), T0)
        .await;
    let mut at_beta = world.order_at(&world.beta, one, T0);
    order_of(&mut at_beta).limits = MoneyLimits {
        amount_per_day: 1000,
        orders_per_day: 1,
    };
    world.record(at_beta, T0).await;
    assert!(over(&world.begin(order(&world, one, 1, (1000, 9)), T0).await).is_some());
}

/// One step of the model: an order, perhaps ended at once, perhaps after release and acceptance.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    after: i64,
    minor: u64,
    yen: bool,
    end: Option<bool>,
    reaccept: bool,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..DAY / 3,
        1..600u64,
        any::<bool>(),
        any::<Option<bool>>(),
        proptest::bool::weighted(0.1),
    );
    let step = step.prop_map(|(after, minor, yen, end, reaccept)| Step {
        after,
        minor,
        yen,
        end,
        reaccept,
    });
    proptest::collection::vec(step, 1..40)
}

/// What a few lines of arithmetic say is what the store does.
pub(crate) async fn limits_follow_the_model(world: World, steps: Vec<Step>) {
    let device = world.accepted_phone().await;
    let mut now = T0;
    let mut reserved: Vec<(Timestamp, u64, bool)> = Vec::new();
    for step in steps {
        now = now.plus_seconds(step.after);
        let mut operation = order(&world, device, 1, (1000, 4));
        order_of(&mut operation).amount = amount(step.minor, if step.yen { "JPY" } else { "EUR" });
        operation.expires_at = now.plus_seconds(60);
        if step.reaccept {
            world
                .store
                .release(&world.alfa, device, origin(), now)
                .await
                .unwrap();
            world.accept(&world.alfa, device).await;
        }
        reserved.retain(|(at, ..)| *at > now.plus_seconds(-DAY));
        let sum: u64 = reserved
            .iter()
            .filter(|(.., yen)| *yen == step.yen)
            .map(|(_, minor, _)| minor)
            .sum();
        let expected = if sum + step.minor > 1000 {
            Some(Limit::AmountPerDay)
        } else {
            (reserved.len() >= 4).then_some(Limit::OrdersPerDay)
        };
        let begun = world.begin(operation, now).await;
        assert_eq!(over(&begun), expected, "{step:?}");
        if let Begun::Recorded(intent) = begun {
            if let Some(signs) = step.end {
                let ending = if signs {
                    signed("authorization")
                } else {
                    Ending::Failed("HSM")
                };
                world.end(intent.id, ending, now).await;
            }
            if step.end != Some(false) {
                reserved.push((now, step.minor, step.yen));
            }
        }
    }
}
