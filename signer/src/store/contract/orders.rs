//! Owns the contract of `begin` for orders.

use semops_pki::crl::Reason;

use super::*;
use crate::{
    domain::{operation::Kind, outcome::State},
    store::{Refusal, Revoked},
};

pub(crate) async fn what_is_new_is_recorded(world: World) {
    let device = world.accepted_phone().await;
    let mut operation = world.order(device, T0);
    let order = order_of(&mut operation).clone();
    let intent = world.record(operation.clone(), T0).await;
    assert_eq!(
        (&intent.institution, intent.kind, intent.id.key),
        (&world.alfa, Kind::Authorization, operation.key)
    );
    assert_eq!(intent.to_be_signed, operation.to_be_signed);
    assert_eq!(
        (intent.expires_at, intent.sign_by),
        (operation.expires_at, operation.sign_by)
    );
    let (_, outcome) = world
        .store
        .order(&world.alfa, device, order.jti)
        .await
        .unwrap();
    let pending = Outcome {
        state: State::Pending,
        device: Some(device),
        order_jws: Some(order.order_jws),
        artifact: None,
        reason: None,
    };
    assert_eq!(outcome, Some(pending));
}

pub(crate) async fn the_same_content_is_resumed_then_done(world: World) {
    let device = world.accepted_phone().await;
    let operation = world.order(device, T0);
    let first = world.record(operation.clone(), T0).await;
    // A retry drafts other bytes, and its JWS may have another signature: the recorded ones stay.
    let mut again = Operation {
        to_be_signed: b"other".to_vec(),
        ..operation.clone()
    };
    order_of(&mut again).order_jws = "order.resigned".to_owned();
    match world.begin(again.clone(), T0.plus_seconds(1)).await {
        Begun::Resumed(intent) => {
            assert_eq!(
                (intent.id, &intent.to_be_signed),
                (first.id, &operation.to_be_signed)
            );
            assert_eq!(
                (intent.expires_at, intent.sign_by),
                (operation.expires_at, operation.sign_by)
            );
        }
        other => panic!("{other:?}"),
    }
    let outcome = world
        .end(first.id, signed("authorization"), T0.plus_seconds(2))
        .await;
    assert_eq!(
        outcome.artifact.as_deref(),
        Some(b"authorization".as_slice())
    );
    assert_eq!(
        outcome.order_jws,
        Some(order_of(&mut operation.clone()).order_jws.clone())
    );
    match world.begin(again, T0.plus_seconds(1_000_000)).await {
        Begun::Done(done) => assert_eq!(done, outcome),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn other_content_is_a_conflict(world: World) {
    let device = world.accepted_phone().await;
    let operation = world.order(device, T0);
    let other = Operation {
        content: world.octets(),
        ..operation.clone()
    };
    let intent = world.record(operation.clone(), T0).await;
    assert!(matches!(
        world.begin(other.clone(), T0).await,
        Begun::Conflict
    ));
    let first = world.end(intent.id, Ending::Failed("OVERDUE"), T0).await;
    // An order that ended, however it ended, keeps its jti; and a conflict is told before staleness.
    assert!(matches!(
        world
            .begin(
                Operation {
                    generation: 9,
                    ..other
                },
                T0
            )
            .await,
        Begun::Conflict
    ));
    assert!(
        matches!(world.begin(operation.clone(), T0).await, Begun::Done(outcome) if outcome == first)
    );
    let results = world.results(&operation.subject.object()).await;
    assert_eq!(results, ["BEGUN", "REFUSED", "FAILED", "REFUSED"]);
    let refused = world
        .inside
        .leaves()
        .await
        .into_iter()
        .filter(|leaf| leaf["result"] == "REFUSED");
    assert!(
        refused
            .into_iter()
            .all(|leaf| leaf["reason"] == "ORDER_CONFLICT")
    );
}

pub(crate) async fn a_stale_decision_is_refused(world: World) {
    let device = world.accepted_phone().await;
    let (pending, new) = (world.order(device, T0), world.order(device, T0));
    let intent = world.record(pending.clone(), T0).await;
    world.load(DocumentKind::Policy, 1, "policy").await;
    for operation in [&pending, &new] {
        let begun = world.begin(operation.clone(), T0).await;
        assert!(matches!(begun, Begun::Refused(Refusal::Stale)), "{begun:?}");
    }
    let decided_again = |operation: Operation| Operation {
        generation: 1,
        ..operation
    };
    assert!(
        matches!(world.begin(decided_again(pending), T0).await, Begun::Resumed(found) if found.id == intent.id)
    );
    world.record(decided_again(new), T0).await;
}

pub(crate) async fn a_device_must_be_accepted(world: World) {
    let certified = world.phone().await;
    let uncertified = world.enrollment(T0);
    world.record(uncertified.clone(), T0).await;
    for device in [
        certified,
        uncertified.subject.device().unwrap(),
        DeviceId::from_random([9; 16]),
    ] {
        let begun = world.begin(world.order(device, T0), T0).await;
        assert!(
            matches!(begun, Begun::Refused(Refusal::NotAccepted)),
            "{begun:?}"
        );
    }
    world.accept(&world.alfa, certified).await;
    world.record(world.order(certified, T0), T0).await;
    let at_beta = world
        .begin(world.order_at(&world.beta, certified, T0), T0)
        .await;
    assert!(
        matches!(at_beta, Begun::Refused(Refusal::NotAccepted)),
        "{at_beta:?}"
    );
}

pub(crate) async fn a_revoked_device_begins_nothing(world: World) {
    let device = world.accepted_phone().await;
    let operation = world.order(device, T0);
    let reason = Reason::KeyCompromise;
    let revoked = world
        .store
        .revoke(&world.mobilis, device, reason, origin(), T0)
        .await
        .unwrap();
    assert!(matches!(revoked, Revoked::Revoked(_)));
    let begun = world.begin(operation.clone(), T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::DeviceRevoked)),
        "{begun:?}"
    );
    let jti = order_of(&mut operation.clone()).jti;
    assert_eq!(
        world.store.order(&world.alfa, device, jti).await.unwrap().1,
        None
    );
}

pub(crate) async fn a_key_must_be_active_and_for_the_purpose(world: World) {
    let device = world.accepted_phone().await;
    let keys = [
        KeyId::new([7; 32]),
        key(&world.beta, Purpose::Authorization),
        key(&world.alfa, Purpose::DeviceCa),
        key(&world.alfa, Purpose::SigningCa),
    ];
    for key in keys {
        let begun = world
            .begin(
                Operation {
                    key,
                    ..world.order(device, T0)
                },
                T0,
            )
            .await;
        assert!(
            matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
            "{begun:?}"
        );
    }
    let crl_with_a_leaf_key = Operation {
        key: key(&world.mobilis, Purpose::Authorization),
        ..world.crl(1, 0, T0)
    };
    let begun = world.begin(crl_with_a_leaf_key, T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
        "{begun:?}"
    );
    let certificate = Operation {
        key: key(&world.mobilis, Purpose::SigningCa),
        ..world.enrollment(T0)
    };
    let begun = world.begin(certificate, T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
        "{begun:?}"
    );
    world
        .inside
        .suspend(key(&world.alfa, Purpose::Authorization))
        .await;
    let begun = world.begin(world.order(device, T0), T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
        "{begun:?}"
    );
}

pub(crate) async fn a_resumed_intent_is_denied_when_no_longer_allowed(world: World) {
    let (revoked, released) = (world.accepted_phone().await, world.accepted_phone().await);
    for (device, reason) in [
        (revoked, "DEVICE_REVOKED"),
        (released, "DEVICE_NOT_ACCEPTED"),
    ] {
        let operation = world.order(device, T0);
        let intent = world.record(operation.clone(), T0).await;
        if device == revoked {
            world
                .store
                .revoke(&world.mobilis, device, Reason::Superseded, origin(), T0)
                .await
                .unwrap();
        } else {
            assert!(
                world
                    .store
                    .release(&world.alfa, device, origin(), T0)
                    .await
                    .unwrap()
            );
        }
        match world.begin(operation.clone(), T0).await {
            Begun::Done(outcome) => {
                assert_eq!(
                    (outcome.state, outcome.reason.as_deref()),
                    (State::Denied, Some(reason))
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            world.results(&operation.subject.object()).await,
            ["BEGUN", "DENIED"]
        );
        // A signature that comes after all is not stored.
        let late = world.end(intent.id, signed("late"), T0).await;
        assert_eq!((late.state, late.artifact), (State::Denied, None));
    }
}

pub(crate) async fn the_recorded_key_counts_for_a_resumed_intent(world: World) {
    let device = world.accepted_phone().await;
    let operation = world.order(device, T0);
    world.record(operation.clone(), T0).await;
    let new_key = KeyId::new(world.octets());
    let institution = world.alfa.clone();
    let registration = KeyRegistration {
        id: new_key,
        institution,
        purpose: Purpose::Authorization,
    };
    world
        .store
        .register_keys(vec![registration], T0)
        .await
        .unwrap();
    world.inside.suspend(operation.key).await;
    match world
        .begin(
            Operation {
                key: new_key,
                ..operation
            },
            T0,
        )
        .await
    {
        Begun::Done(outcome) => assert_eq!(outcome.reason.as_deref(), Some("KEY_NOT_ACTIVE")),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn an_order_is_found_after_release(world: World) {
    let device = world.accepted_phone().await;
    let mut operation = world.order(device, T0);
    let jti = order_of(&mut operation).jti;
    let intent = world.record(operation.clone(), T0).await;
    let certificate = sha256(device.to_string().as_bytes());
    let recall = world
        .store
        .recall_order(&world.alfa, certificate, jti)
        .await
        .unwrap();
    let earlier = recall.earlier.unwrap();
    assert_eq!(
        (earlier.content, earlier.intent.unwrap().id),
        (operation.content, intent.id)
    );
    let outcome = world.end(intent.id, signed("authorization"), T0).await;
    world
        .store
        .release(&world.alfa, device, origin(), T0)
        .await
        .unwrap();
    let recall = world
        .store
        .recall_order(&world.alfa, certificate, jti)
        .await
        .unwrap();
    let earlier = recall.earlier.unwrap();
    assert!(earlier.intent.is_none() && recall.acceptance.is_none());
    assert_eq!(
        (earlier.content, earlier.outcome),
        (operation.content, outcome)
    );
}

pub(crate) async fn institutions_have_orders_of_their_own(world: World) {
    let device = world.accepted_phone().await;
    world.accept(&world.beta, device).await;
    let mut at_alfa = world.order(device, T0);
    let mut at_beta = world.order_at(&world.beta, device, T0);
    let jti = order_of(&mut at_alfa).jti;
    order_of(&mut at_beta).jti = jti;
    let (alfa, beta) = (
        world.record(at_alfa, T0).await,
        world.record(at_beta, T0).await,
    );
    assert_ne!(alfa.id, beta.id);
    world.end(alfa.id, signed("alfa's"), T0).await;
    let (_, outcome) = world.store.order(&world.beta, device, jti).await.unwrap();
    assert_eq!(outcome.unwrap().state, State::Pending);
    assert_eq!(
        world
            .store
            .order(&world.mobilis, device, jti)
            .await
            .unwrap()
            .1,
        None
    );
}
