//! Owns the contract of an intent whose row goes over to another key, because the token of the first one did not sign it.

use super::*;
use crate::domain::outcome::State;

/// Another authorization key of alfa, in use.
async fn another_key(world: &World) -> KeyId {
    let id = KeyId::new(world.octets());
    let registration = KeyRegistration {
        id,
        institution: world.alfa.clone(),
        purpose: Purpose::Authorization,
    };
    world
        .store
        .register_keys(vec![registration], T0)
        .await
        .unwrap();
    world.inside.activate().await;
    id
}

/// The same order with another key, in the place of an intent.
fn instead(order: &Operation, of: IntentId, key: KeyId) -> Operation {
    Operation {
        key,
        to_be_signed: b"by another key".to_vec(),
        instead_of: Some(of),
        ..order.clone()
    }
}

pub(crate) async fn another_key_takes_the_row(world: World) {
    let (device, other) = (world.accepted_phone().await, another_key(&world).await);
    let order = world.order(device, T0);
    let first = world.record(order.clone(), T0).await;
    let second = world.record(instead(&order, first.id, other), T0).await;
    assert_eq!(second.id.row, first.id.row);
    assert_eq!(
        (second.id.key, second.to_be_signed.as_slice()),
        (other, b"by another key".as_slice())
    );
    // Whoever comes to it sees the other key and its bytes alone.
    let Begun::Resumed(resumed) = world.begin(order.clone(), T0).await else {
        panic!("not resumed")
    };
    assert_eq!(
        (resumed.id, &resumed.to_be_signed),
        (second.id, &second.to_be_signed)
    );
    let outcome = world.end(second.id, signed("authorization"), T0).await;
    assert_eq!(outcome.state, State::Authorized);
    assert_eq!(
        outcome.artifact.as_deref(),
        Some(b"authorization".as_slice())
    );
    let object = order.subject.object();
    let results = world.results(&object).await;
    assert_eq!(results, ["BEGUN", "FAILED", "BEGUN", "AUTHORIZED"]);
    let leaves = world.inside.leaves().await;
    let about = leaves
        .iter()
        .filter(|leaf| leaf["object"] == object.as_str());
    let told = about.map(|leaf| (leaf["key"].as_str().unwrap(), leaf["reason"].as_str()));
    let keys = [first.id.key, other].map(|key| key.to_string());
    let [one, two] = keys.each_ref().map(String::as_str);
    let expected = [
        (one, None),
        (one, Some("TOKEN_FAILED")),
        (two, None),
        (two, None),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let counted = |key: KeyId| {
        let keys = world.store.keys(&world.alfa);
        async move {
            let keys = keys.await.unwrap().keys;
            keys.iter()
                .find(|found| found.id == key)
                .unwrap()
                .signatures
        }
    };
    assert_eq!((counted(first.id.key).await, counted(other).await), (0, 1));
}

pub(crate) async fn what_is_over_is_not_taken(world: World) {
    let (device, other) = (world.accepted_phone().await, another_key(&world).await);
    for ending in [
        signed("authorization"),
        Ending::Denied("POLICY"),
        Ending::Failed("HSM"),
    ] {
        let order = world.order(device, T0);
        let first = world.record(order.clone(), T0).await;
        let ended = world.end(first.id, ending, T0).await;
        let Begun::Done(outcome) = world.begin(instead(&order, first.id, other), T0).await else {
            panic!("not done")
        };
        assert_eq!(outcome, ended);
        assert_eq!(world.results(&order.subject.object()).await.len(), 2);
    }
}

pub(crate) async fn money_stays_reserved(world: World) {
    let (device, other) = (world.accepted_phone().await, another_key(&world).await);
    let mut last = None;
    for _ in 0..5 {
        let order = world.order(device, T0);
        let intent = world.record(order.clone(), T0).await;
        last = Some((order, intent));
    }
    let (order, intent) = last.unwrap();
    // The limit is reached, and the order counts once.
    let second = world.record(instead(&order, intent.id, other), T0).await;
    let one_more = world.begin(world.order(device, T0), T0).await;
    assert!(matches!(one_more, Begun::OverLimit(_)), "{one_more:?}");
    world.end(second.id, Ending::Failed("HSM"), T0).await;
    world.record(world.order(device, T0), T0).await;
}

pub(crate) async fn only_the_named_key_gives_its_row(world: World) {
    let (device, other) = (world.accepted_phone().await, another_key(&world).await);
    let third = another_key(&world).await;
    let order = world.order(device, T0);
    let first = world.record(order.clone(), T0).await;
    let misnamed = IntentId {
        key: other,
        ..first.id
    };
    let begun = world.begin(instead(&order, misnamed, third), T0).await;
    assert!(matches!(begun, Begun::Resumed(_)), "{begun:?}");
    world.record(instead(&order, first.id, other), T0).await;
    let Begun::Resumed(resumed) = world.begin(instead(&order, first.id, third), T0).await else {
        panic!("not resumed")
    };
    assert_eq!(resumed.id.key, other);
    // Nor does a key that may not sign take one.
    let foreign = key(&world.beta, Purpose::Authorization);
    let of_a_ca = key(&world.alfa, Purpose::DeviceCa);
    world.inside.suspend(third).await;
    let generation = world.generation().await;
    for key in [foreign, of_a_ca, third] {
        let operation = Operation {
            generation,
            ..instead(&order, resumed.id, key)
        };
        let begun = world.begin(operation, T0).await;
        assert!(matches!(begun, Begun::Refused(Refusal::Stale)), "{begun:?}");
    }
    let object = order.subject.object();
    assert_eq!(world.results(&object).await, ["BEGUN", "FAILED", "BEGUN"]);
}

pub(crate) async fn a_late_signature_is_not_stored(world: World) {
    let (device, other) = (world.accepted_phone().await, another_key(&world).await);
    let order = world.order(device, T0);
    let first = world.record(order.clone(), T0).await;
    let second = world.record(instead(&order, first.id, other), T0).await;
    let late = world.end(first.id, signed("late"), T0).await;
    assert_eq!((late.state, late.artifact), (State::Pending, None));
    let outcome = world.end(second.id, signed("in time"), T0).await;
    assert_eq!(outcome.artifact.as_deref(), Some(b"in time".as_slice()));
    assert_eq!(world.end(first.id, signed("late"), T0).await, outcome);
}
