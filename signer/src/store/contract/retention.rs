//! Owns the contract of what is not kept any longer: what stays of it, and that nothing is ever done again.

use super::*;
use crate::{
    domain::{outcome::State, retention::Kept},
    store::Limit,
};

pub(super) const DAY: i64 = 86_400;
/// When what was done at `T0` is not kept any longer, and before which moment that was.
pub(super) const LATER: Timestamp = T0.plus_seconds(10 * DAY);
const BEFORE: Timestamp = T0.plus_seconds(8 * DAY);

async fn prune(world: &World, kept: Kept, before: Timestamp, limit: u32) -> u64 {
    let pruned = world
        .store
        .prune(kept, before, limit, origin(), LATER)
        .await;
    pruned.unwrap().unwrap()
}

/// An order that was begun and ended at `at`.
pub(super) async fn ended(
    world: &World,
    device: DeviceId,
    ending: Ending,
    at: Timestamp,
) -> Operation {
    let operation = world.order(device, at);
    let intent = world.record(operation.clone(), at).await;
    world.end(intent.id, ending, at).await;
    operation
}

pub(crate) async fn what_is_removed_refuses_its_jti_for_ever(world: World) {
    let device = world.accepted_phone().await;
    for (ending, state, reason) in [
        (signed("authorization"), State::Authorized, "OUTCOME_PRUNED"),
        (
            Ending::Denied("DEVICE_EXPIRED"),
            State::Denied,
            "DEVICE_EXPIRED",
        ),
        (Ending::Failed("KEY_GONE"), State::Failed, "KEY_GONE"),
    ] {
        let operation = ended(&world, device, ending, T0).await;
        assert_eq!(prune(&world, Kept::Orders, BEFORE, 9).await, 1);
        let stays = Outcome {
            state,
            device: Some(device),
            order_jws: None,
            artifact: None,
            reason: Some(reason.to_owned()),
        };
        let jti = order_of(&mut operation.clone()).jti;
        let shown = world.store.order(&world.alfa, device, jti).await.unwrap();
        assert_eq!(shown.1.as_ref(), Some(&stays));
        let certificate = sha256(device.to_string().as_bytes());
        let recall = world.store.recall_order(&world.alfa, certificate, jti);
        let earlier = recall.await.unwrap().earlier.unwrap();
        assert_eq!(
            (earlier.content, earlier.intent.is_none()),
            (operation.content, true)
        );
        assert_eq!(earlier.outcome, stays);
        match world.begin(operation.clone(), LATER).await {
            Begun::Done(outcome) => assert_eq!(outcome, stays),
            other => panic!("{other:?}"),
        }
        let other = Operation {
            content: world.octets(),
            ..operation.clone()
        };
        assert!(matches!(world.begin(other, LATER).await, Begun::Conflict));
        let told = world.results(&operation.subject.object()).await;
        assert_eq!(told.last().unwrap(), "REFUSED");
        // Of the same group too, and at another institution it is another order.
        let twice = vec![operation.clone(), operation.clone()];
        let begun = world.store.begin(twice, LATER).await.unwrap();
        assert!(begun.iter().all(|begun| matches!(begun, Begun::Done(_))));
        assert_eq!(
            world.store.order(&world.beta, device, jti).await.unwrap().1,
            None
        );
    }
    assert_eq!(
        world
            .inside
            .number("SELECT count(*) FROM cosigned_order")
            .await,
        0
    );
    assert_eq!(
        world
            .inside
            .number("SELECT count(*) FROM pruned_order")
            .await,
        3
    );
}

pub(crate) async fn what_is_pending_or_young_stays(world: World) {
    let device = world.accepted_phone().await;
    let pending = world.order(device, T0);
    world.record(pending.clone(), T0).await;
    let young = ended(&world, device, signed("young"), BEFORE).await;
    for old in ["a", "b", "c"] {
        ended(&world, device, signed(old), T0).await;
    }
    // A group at a time, and not a row more.
    for (limit, removed) in [(2, 2), (2, 1), (2, 0)] {
        assert_eq!(prune(&world, Kept::Orders, BEFORE, limit).await, removed);
    }
    assert!(matches!(world.begin(pending, T0).await, Begun::Resumed(_)));
    match world.begin(young, LATER).await {
        Begun::Done(outcome) => assert_eq!(outcome.artifact.as_deref(), Some(b"young".as_slice())),
        other => panic!("{other:?}"),
    }
    let told = world.results("orders.2").await;
    assert_eq!(told, ["DONE"]);
}

pub(crate) async fn money_limits_count_what_is_young(world: World) {
    let device = world.accepted_phone().await;
    ended(&world, device, signed("old"), T0).await;
    let mut dear = world.order(device, BEFORE);
    order_of(&mut dear).amount = euros(4000);
    let intent = world.record(dear, BEFORE).await;
    world.end(intent.id, signed("dear"), BEFORE).await;
    // It ended before, by a clock that was set back, and its money is reserved after: it stays.
    let soon = BEFORE.plus_seconds(60);
    let intent = world.record(world.order(device, soon), soon).await;
    world.end(intent.id, signed("back"), T0).await;
    assert_eq!(prune(&world, Kept::Orders, BEFORE, 9).await, 1);
    let begun = world.begin(world.order(device, soon), soon).await;
    assert!(
        matches!(begun, Begun::OverLimit(Limit::AmountPerDay)),
        "{begun:?}"
    );
}

pub(crate) async fn signatures_are_counted_on(world: World) {
    let device = world.accepted_phone().await;
    for ending in [signed("a"), signed("b"), Ending::Failed("KEY_GONE")] {
        ended(&world, device, ending, T0).await;
    }
    let keys = async || {
        let mut keys = world.store.keys(&world.alfa).await.unwrap().keys;
        keys.sort_by_key(|key| key.id);
        keys
    };
    let before = keys().await;
    assert_eq!(prune(&world, Kept::Orders, BEFORE, 9).await, 3);
    assert_eq!(keys().await, before);
    for (sql, expected) in [
        ("SELECT operations FROM removed", 3),
        ("SELECT signatures FROM removed", 2),
    ] {
        assert_eq!(world.inside.number(sql).await, expected, "{sql}");
    }
}

pub(crate) async fn the_newest_crl_stays_and_no_number_comes_back(world: World) {
    for (number, ending) in [
        (1, signed("1")),
        (2, Ending::Failed("X")),
        (3, signed("3")),
        (4, Ending::Failed("X")),
    ] {
        let intent = world.record(world.crl(number, 0, T0), T0).await;
        world.end(intent.id, ending, T0).await;
    }
    assert_eq!(prune(&world, Kept::Crls, T0, 9).await, 0);
    assert_eq!(prune(&world, Kept::Crls, BEFORE, 1).await, 1);
    assert_eq!(prune(&world, Kept::Crls, BEFORE, 9).await, 1);
    let state = world
        .store
        .crl_state(key(&world.mobilis, Purpose::DeviceCa))
        .await
        .unwrap();
    let newest = state.newest.unwrap();
    assert_eq!(
        (newest.number, newest.der.as_slice(), state.last_number),
        (3, b"3".as_slice(), 4)
    );
    for number in [1, 2, 4] {
        let begun = world.begin(world.crl(number, 0, LATER), LATER).await;
        assert!(
            matches!(begun, Begun::Refused(crate::store::Refusal::CrlNumberTaken)),
            "{begun:?}"
        );
    }
}

pub(crate) async fn a_pseudonym_goes_and_its_device_stays(world: World) {
    let mut enrollment = world.enrollment(T0);
    device_of(&mut enrollment).not_after = T0.plus_seconds(DAY);
    let record = device_of(&mut enrollment).clone();
    let expired = world.certify(enrollment, T0).await;
    let valid = world.phone().await;
    assert_eq!(prune(&world, Kept::Subscribers, BEFORE, 9).await, 1);
    assert_eq!(prune(&world, Kept::Subscribers, BEFORE, 9).await, 0);
    let subscriber = async |device| {
        let view = world.store.device(&world.mobilis, device).await.unwrap();
        view.device.unwrap().subscriber.as_str().to_owned()
    };
    assert_eq!(subscriber(expired).await, Reference::ERASED);
    assert_ne!(subscriber(valid).await, Reference::ERASED);
    // Neither its key nor its request nor its serial number is ever free.
    let mut again = world.enrollment(LATER);
    device_of(&mut again).public_key = record.public_key;
    let begun = world.begin(again, LATER).await;
    assert!(
        matches!(begun, Begun::Refused(crate::store::Refusal::PublicKeyTaken)),
        "{begun:?}"
    );
    let recall = world
        .store
        .recall_enrollment(&world.mobilis, record.request)
        .await
        .unwrap();
    assert_eq!(recall.device.unwrap().id, expired);
}

pub(crate) async fn what_is_left_of_the_audit_begins_where_its_digest_ends(world: World) {
    let device = world.accepted_phone().await;
    for order in ["a", "b", "c"] {
        ended(&world, device, signed(order), T0).await;
    }
    let all = world.inside.audit().await;
    assert_eq!(prune(&world, Kept::Events, T0, 5).await, 0);
    assert_eq!(world.inside.audit().await, all);
    let mut digest = [0; 32];
    let mut at = 0;
    for removed in [5, 4] {
        // Young ones stay, though there is room for them.
        assert_eq!(prune(&world, Kept::Events, BEFORE, 5).await, removed);
        let next = usize::try_from(removed).unwrap();
        for (_, leaf) in &all[at..at + next] {
            digest = sha256(&[digest.as_slice(), leaf].concat());
        }
        at += next;
        let told = world.inside.leaves().await;
        let (through, left) = (all[at - 1].0, world.inside.audit().await);
        let base64 =
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, digest);
        let last = told.last().unwrap();
        assert_eq!(last["object"], format!("events.{through}.{base64}"));
        assert_eq!(
            (&last["operation"], &last["result"]),
            (&"retention".into(), &"DONE".into())
        );
        assert!(left.first().unwrap().0 > through && left.is_sorted_by_key(|(seq, _)| *seq));
    }
    assert_eq!(at, all.len());
    assert_eq!(prune(&world, Kept::Events, BEFORE, 5).await, 0);
    // Who had events removed is told; numbers go on.
    let told = world.inside.leaves().await;
    let of: Vec<_> = told
        .iter()
        .map(|leaf| leaf["institution"].as_str().unwrap())
        .collect();
    assert_eq!(of, ["alfa", "mobilis", "alfa"]);
    ended(&world, device, signed("d"), LATER).await;
    let seqs: Vec<_> = world
        .inside
        .audit()
        .await
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert!(
        seqs.is_sorted() && seqs[0] > all.last().unwrap().0,
        "{seqs:?}"
    );
}
