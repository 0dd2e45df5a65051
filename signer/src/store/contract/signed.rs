//! Owns the contract of the list of what a key has signed.

use super::*;
use crate::{
    domain::{operation::Kind, retention::Kept},
    store::{SETTLED_SECONDS, SignedPage, SignedPlace, SignedQuery},
};

fn query(key: KeyId, now: Timestamp) -> SignedQuery {
    SignedQuery {
        key,
        since: T0,
        after: None,
        at_most: 100,
        now,
    }
}

async fn page(world: &World, query: SignedQuery) -> SignedPage {
    let found = world.store.signed(&world.alfa, query).await.unwrap();
    found.unwrap()
}

/// An order that alfa signs at `at`; its object id.
async fn sign(world: &World, device: DeviceId, at: Timestamp) -> String {
    let mut order = world.order(device, at);
    order_of(&mut order).limits.orders_per_day = 100;
    order_of(&mut order).amount = euros(1);
    let object = order.subject.object();
    let intent = world.record(order, at).await;
    world.end(intent.id, signed(&object), at).await;
    object
}

pub(crate) async fn what_a_key_signed_is_listed_once(world: World) {
    let device = world.accepted_phone().await;
    world.accept(&world.beta, device).await;
    let key = key(&world.alfa, Purpose::Authorization);
    // What failed is not in the list.
    let failed = world.record(world.order(device, T0), T0).await.id;
    world.end(failed, Ending::Failed("HSM"), T0).await;
    let before = sign(&world, device, T0.plus_seconds(-1)).await;
    let mut expected = Vec::new();
    for at in [0, 0, 0, 1, 5] {
        expected.push(sign(&world, device, T0.plus_seconds(at)).await);
    }
    // Nor another key's.
    let others = world.order_at(&world.beta, device, T0);
    let others = world.record(others, T0).await.id;
    world.end(others, signed("another key's"), T0).await;

    let now = T0.plus_seconds(5 + SETTLED_SECONDS + 1);
    for at_most in [1, 2, 5, 6] {
        let (mut listed, mut pages) = (Vec::new(), 0);
        let mut asked = SignedQuery {
            at_most,
            ..query(key, now)
        };
        loop {
            let page = page(&world, asked).await;
            assert!(page.objects.len() <= at_most && !page.complete);
            pages += 1;
            listed.extend(page.objects);
            match page.next {
                Some(last) => asked.after = Some(last),
                None => break,
            }
        }
        assert_eq!(pages, 5_usize.div_ceil(at_most));
        let objects: Vec<_> = listed.iter().map(|one| one.object.clone()).collect();
        assert_eq!(objects, expected, "{at_most}");
        for one in listed {
            assert_eq!((one.kind, one.device), (Kind::Authorization, Some(device)));
            assert_eq!(one.artifact, one.object.as_bytes());
        }
    }
    let all = SignedQuery {
        since: T0.plus_seconds(-1),
        ..query(key, now)
    };
    assert_eq!(page(&world, all).await.objects[0].object, before);
    // A place of before the time asked for leads to nothing of before it.
    let early = SignedQuery {
        after: Some(SignedPlace {
            at: T0.plus_seconds(-9),
            operation: 1,
        }),
        ..query(key, now)
    };
    assert_eq!(page(&world, early).await.objects.len(), expected.len());
    let strange = world.store.signed(&world.beta, query(key, now)).await;
    assert!(strange.unwrap().is_none());
}

pub(crate) async fn what_may_still_come_comes_last(world: World) {
    let device = world.accepted_phone().await;
    let id = key(&world.alfa, Purpose::Authorization);
    let first = sign(&world, device, T0).await;
    let under_way = world.record(world.order(device, T0), T0).await;
    let second = sign(&world, device, T0.plus_seconds(1)).await;
    let listed = |page: &SignedPage| -> Vec<String> {
        let objects = page.objects.iter();
        objects.map(|one| one.object.clone()).collect()
    };
    // An active key: what is under way may be signed as of any moment since it was begun.
    let late = T0.plus_seconds(10 * SETTLED_SECONDS);
    let shown = page(&world, query(id, late)).await;
    assert_eq!((listed(&shown), shown.under_way), (Vec::new(), 1));
    assert!(!shown.complete);
    world.end(under_way.id, Ending::Failed("HSM"), T0).await;
    for (seconds, expected) in [
        (0, vec![]),
        (1, vec![first.clone()]),
        (2, vec![first.clone(), second.clone()]),
    ] {
        let now = T0.plus_seconds(SETTLED_SECONDS + seconds);
        let shown = page(&world, query(id, now)).await;
        assert_eq!((listed(&shown), shown.under_way), (expected, 0));
    }
    // One that begins nothing more: everything is there at once.
    world.inside.suspend(id).await;
    let now = T0.plus_seconds(1);
    let shown = page(&world, query(id, now)).await;
    assert!(shown.complete);
    assert_eq!(listed(&shown), [first.clone(), second.clone()]);
    // What is removed is told by its number.
    let removed = world
        .store
        .prune(Kept::Orders, late, 100, origin(), late)
        .await;
    assert_eq!(removed.unwrap(), Some(3));
    let shown = page(&world, query(id, now)).await;
    assert_eq!((shown.objects.len(), shown.not_kept), (0, 2));
}

pub(crate) async fn a_certificate_is_in_force_until_it_is_revoked(world: World) {
    let devices = [world.phone().await, world.phone().await];
    let id = key(&world.mobilis, Purpose::DeviceCa);
    let now = T0.plus_seconds(SETTLED_SECONDS + 1);
    let in_force = async || -> Vec<(DeviceId, bool)> {
        let page = world.store.signed(&world.mobilis, query(id, now)).await;
        let page = page.unwrap().unwrap();
        let objects = page.objects.iter();
        objects
            .map(|one| (one.device.unwrap(), one.in_force))
            .collect()
    };
    assert_eq!(in_force().await, devices.map(|device| (device, true)));
    let reason = semops_pki::crl::Reason::KeyCompromise;
    let revoked = world
        .store
        .revoke(&world.mobilis, devices[0], reason, origin(), T0);
    revoked.await.unwrap();
    assert_eq!(in_force().await, [(devices[0], false), (devices[1], true)]);
}
