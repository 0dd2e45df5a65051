//! Owns the contract of `complete` and of the sweep.

use super::*;
use crate::{
    domain::outcome::State,
    store::{Intents, Swept},
};

pub(crate) async fn a_signature_in_time_is_stored(world: World) {
    let device = world.accepted_phone().await;
    let mut operation = world.order(device, T0);
    let order = order_of(&mut operation).clone();
    let intent = world.record(operation, T0).await;
    let last = Timestamp::from_micros(intent.expires_at.micros() - 1);
    let outcome = world.end(intent.id, signed("authorization"), last).await;
    let expected = Outcome {
        state: State::Authorized,
        device: Some(device),
        order_jws: Some(order.order_jws),
        artifact: Some(b"authorization".to_vec()),
        reason: None,
    };
    assert_eq!(outcome, expected);
    assert_eq!(
        world
            .store
            .order(&world.alfa, device, order.jti)
            .await
            .unwrap()
            .1,
        Some(expected)
    );
}

pub(crate) async fn at_its_expiry_an_order_expires(world: World) {
    let device = world.accepted_phone().await;
    for ending in [
        signed("late"),
        Ending::Failed("HSM"),
        Ending::Denied("POLICY"),
    ] {
        let operation = world.order(device, T0);
        let intent = world.record(operation.clone(), T0).await;
        let outcome = world.end(intent.id, ending, intent.expires_at).await;
        assert_eq!(
            (outcome.state, outcome.reason.as_deref()),
            (State::Expired, Some("ORDER_EXPIRED"))
        );
        assert_eq!(outcome.artifact, None);
        assert_eq!(
            world.results(&operation.subject.object()).await,
            ["BEGUN", "EXPIRED"]
        );
    }
}

pub(crate) async fn other_kinds_fail_at_their_expiry(world: World) {
    for operation in [world.enrollment(T0), world.crl(1, 0, T0)] {
        let intent = world.record(operation, T0).await;
        let outcome = world
            .end(intent.id, signed("late"), intent.expires_at)
            .await;
        assert_eq!(
            (outcome.state, outcome.reason.as_deref()),
            (State::Failed, Some("OVERDUE"))
        );
    }
}

pub(crate) async fn an_end_is_final(world: World) {
    let device = world.accepted_phone().await;
    for (first, state) in [
        (signed("first"), State::Authorized),
        (Ending::Denied("POLICY"), State::Denied),
        (Ending::Failed("HSM"), State::Failed),
    ] {
        let operation = world.order(device, T0);
        let intent = world.record(operation.clone(), T0).await;
        let outcome = world.end(intent.id, first, T0).await;
        assert_eq!(outcome.state, state);
        for second in [
            signed("second"),
            Ending::Denied("OTHER"),
            Ending::Failed("OTHER"),
        ] {
            assert_eq!(
                world.end(intent.id, second, intent.expires_at).await,
                outcome
            );
        }
        assert_eq!(
            world.results(&operation.subject.object()).await,
            ["BEGUN", state.name()]
        );
    }
    assert_eq!(
        world
            .store
            .sweep(9, origin(), T0.plus_seconds(1_000_000))
            .await
            .unwrap(),
        Swept::default()
    );
}

pub(crate) async fn what_was_never_begun_cannot_end(world: World) {
    let device = world.accepted_phone().await;
    let begun = world.record(world.order(device, T0), T0).await.id;
    let never = IntentId {
        row: 1_000_000,
        ..begun
    };
    let ended = world.try_end(never, signed("nothing"), T0).await;
    assert!(matches!(ended, Err(StoreError::Violated(_))), "{ended:?}");
}

pub(crate) async fn the_sweep_ends_what_is_overdue(world: World) {
    let device = world.accepted_phone().await;
    let operations = [
        world.order(device, T0),
        world.enrollment(T0),
        world.crl(1, 0, T0),
    ];
    let later = world.order(device, T0.plus_seconds(1));
    for operation in &operations {
        world.record(operation.clone(), T0).await;
    }
    world.record(later.clone(), T0).await;
    let expiry = T0.plus_seconds(60);
    let before = Timestamp::from_micros(expiry.micros() - 1);
    let counted = async |limit, now| {
        let Intents { pending, overdue } = world.store.intents(limit, now).await.unwrap();
        (pending, overdue)
    };
    assert_eq!(counted(9, before).await, (4, 0));
    assert_eq!(counted(9, expiry).await, (4, 3));
    assert_eq!(counted(2, expiry).await, (2, 2));
    let nothing = world.store.sweep(9, origin(), before).await.unwrap();
    assert_eq!(nothing, Swept::default());
    let swept = world.store.sweep(9, origin(), expiry).await.unwrap();
    let expected = Swept {
        expired: 1,
        failed: 2,
    };
    assert_eq!(swept, expected);
    assert_eq!(counted(9, expiry).await, (1, 0));
    for (operation, state) in operations.iter().zip(["EXPIRED", "FAILED", "FAILED"]) {
        assert_eq!(
            world.results(&operation.subject.object()).await,
            ["BEGUN", state]
        );
    }
    assert_eq!(world.results(&later.subject.object()).await, ["BEGUN"]);
    let leaves = world.inside.leaves().await;
    let reasons: Vec<_> = leaves
        .iter()
        .filter_map(|leaf| leaf["reason"].as_str())
        .collect();
    assert_eq!(reasons, ["ORDER_EXPIRED", "OVERDUE", "OVERDUE"]);
}

pub(crate) async fn the_sweep_keeps_to_its_limit(world: World) {
    let device = world.accepted_phone().await;
    for _ in 0..5 {
        world.record(world.order(device, T0), T0).await;
    }
    let expiry = T0.plus_seconds(60);
    let mut ended = Vec::new();
    for _ in 0..4 {
        let swept = world.store.sweep(2, origin(), expiry).await.unwrap();
        ended.push(swept.expired);
    }
    assert_eq!(ended, [2, 2, 1, 0]);
}
