//! Owns the contract of certificates that take the place of others.

use semops_pki::crl::Reason;

use super::*;
use crate::{
    domain::{key::KeyState, operation::ReissueRecord, outcome::State},
    store::{Refusal, ReissueRecall},
};

/// mobilis' next device CA.
async fn next_ca(world: &World) -> KeyId {
    let id = KeyId::new(world.octets());
    let new = KeyRegistration {
        id,
        institution: world.mobilis.clone(),
        purpose: Purpose::DeviceCa,
    };
    world.store.register_keys(vec![new], T0).await.unwrap();
    world.inside.activate().await;
    let keys = world.store.keys(&world.mobilis).await.unwrap().keys;
    let made = keys.iter().find(|key| key.id == id).unwrap();
    assert_eq!(made.state, KeyState::Active);
    id
}

async fn recall(world: &World, device: DeviceId) -> ReissueRecall {
    let recalled = world.store.recall_reissue(&world.mobilis, device).await;
    recalled.unwrap()
}

/// What `device` gets in the place of what it has now, by `key`.
async fn reissue(world: &World, device: DeviceId, key: KeyId) -> Operation {
    let (found, content) = recall(world, device).await.device.unwrap();
    Operation {
        key,
        content,
        subject: Subject::Reissue(ReissueRecord {
            device,
            replaces: sha256(&found.certificate),
            serial: world.octets()[..16].to_vec(),
            not_after: found.not_after,
            key_lifetime: None,
        }),
        ..world.enrollment(T0)
    }
}

async fn revocations(world: &World) -> u64 {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    world.store.crl_state(issuer).await.unwrap().revocations
}

pub(crate) async fn a_certificate_takes_the_place_of_another(world: World) {
    let (enrollment, now) = (world.enrollment(T0), T0.plus_seconds(5));
    let device = world.certify(enrollment.clone(), T0).await;
    world.accept(&world.alfa, device).await;
    let old = sha256(device.to_string().as_bytes());
    let order = world.order(device, T0);
    let jti = order_of(&mut order.clone()).jti;
    let paid = world.record(order, T0).await;
    world.end(paid.id, signed("authorization"), T0).await;

    let new_ca = next_ca(&world).await;
    let operation = reissue(&world, device, new_ca).await;
    let intent = world.record(operation.clone(), now).await;
    // Until it is signed the one before is in force.
    let (before, _) = recall(&world, device).await.device.unwrap();
    assert_eq!(sha256(&before.certificate), old);
    let outcome = world.end(intent.id, signed("anew"), now).await;
    assert_eq!(
        (outcome.state, outcome.device),
        (State::Authorized, Some(device))
    );
    let (found, content) = recall(&world, device).await.device.unwrap();
    assert_eq!(
        (found.certificate.as_slice(), found.issuer_key),
        (&b"anew"[..], new_ca)
    );
    assert_eq!((content, found.revoked), (enrollment.content, None));
    // It stays accepted, and its enrolment is answered with what is in force.
    let recalled = world
        .store
        .recall_order(&world.alfa, sha256(b"anew"), jti)
        .await
        .unwrap();
    assert!(recalled.acceptance.is_some() && recalled.device.unwrap().revoked.is_none());
    match world.begin(enrollment, now).await {
        Begun::Done(outcome) => assert_eq!(outcome.artifact.as_deref(), Some(&b"anew"[..])),
        other => panic!("{other:?}"),
    }
    // By the one before the device is revoked, and what was done with it is answered for ever.
    let recalled = world
        .store
        .recall_order(&world.alfa, old, jti)
        .await
        .unwrap();
    let replaced = recalled.device.unwrap();
    assert_eq!((replaced.id, sha256(&replaced.certificate)), (device, old));
    let revoked = replaced.revoked.unwrap();
    assert_eq!((revoked.at, revoked.reason), (now, Reason::Superseded));
    assert_eq!(recalled.earlier.unwrap().outcome.state, State::Authorized);
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    assert_eq!(revocations(&world).await, 1);
    let listed = world.store.revoked(issuer, 1, T0).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].at, listed[0].reason), (now, Reason::Superseded));
    // Whoever decided on the one before is answered with what is in force.
    match world.begin(operation, now).await {
        Begun::Done(outcome) => assert_eq!(outcome.artifact.as_deref(), Some(&b"anew"[..])),
        other => panic!("{other:?}"),
    }
    // Revoked, it is on the list of the CA that has certified it last.
    let revoke = world
        .store
        .revoke(&world.mobilis, device, Reason::KeyCompromise, origin(), now);
    revoke.await.unwrap();
    assert_eq!(world.store.crl_state(new_ca).await.unwrap().revocations, 1);
    assert_eq!(revocations(&world).await, 1);
    let leaves = world.inside.leaves().await;
    let told = leaves
        .iter()
        .filter(|leaf| leaf["operation"] == "supersede");
    assert_eq!(told.count(), 1);
}

pub(crate) async fn what_is_under_way_is_resumed_and_what_failed_may_come_again(world: World) {
    let device = world.phone().await;
    let new_ca = next_ca(&world).await;
    let first = reissue(&world, device, new_ca).await;
    let intent = world.record(first, T0).await;
    let again = reissue(&world, device, new_ca).await;
    match world.begin(again.clone(), T0).await {
        Begun::Resumed(resumed) => {
            assert_eq!(
                (resumed.id, resumed.to_be_signed),
                (intent.id, intent.to_be_signed)
            );
        }
        other => panic!("{other:?}"),
    }
    world.end(intent.id, Ending::Failed("HSM"), T0).await;
    assert_eq!(revocations(&world).await, 0);
    let next = world.record(again, T0).await;
    assert_ne!(next.id, intent.id);
    world.end(next.id, signed("anew"), T0).await;
    assert_eq!(revocations(&world).await, 1);
    // A key that is to sign no more certifies nothing.
    let other = world.phone().await;
    let operation = reissue(&world, other, new_ca).await;
    world.inside.suspend(new_ca).await;
    let begun = world.begin(operation, T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
        "{begun:?}"
    );
}

pub(crate) async fn a_revoked_device_gets_no_other_certificate(world: World) {
    let (device, other) = (world.phone().await, world.phone().await);
    let new_ca = next_ca(&world).await;
    let operation = reissue(&world, device, new_ca).await;
    let intent = world.record(operation.clone(), T0).await;
    let late = reissue(&world, other, new_ca).await;
    for device in [device, other] {
        let revoke =
            world
                .store
                .revoke(&world.mobilis, device, Reason::KeyCompromise, origin(), T0);
        revoke.await.unwrap();
    }
    // Signed already, it is thrown away.
    let outcome = world.end(intent.id, signed("anew"), T0).await;
    assert_eq!(outcome.state, State::Denied);
    assert_eq!(outcome.reason.as_deref(), Some("DEVICE_REVOKED"));
    assert_eq!(outcome.artifact, None);
    let begun = world.begin(late, T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::DeviceRevoked)),
        "{begun:?}"
    );
    let stranger = world
        .store
        .recall_reissue(&world.alfa, device)
        .await
        .unwrap();
    assert!(stranger.device.is_none());
    assert_eq!(revocations(&world).await, 2);
}

pub(crate) async fn of_many_at_once_one_takes_the_place(world: World) {
    let device = world.phone().await;
    let new_ca = next_ca(&world).await;
    let mut asked = Vec::new();
    for _ in 0..8 {
        asked.push(reissue(&world, device, new_ca).await);
    }
    let store = &world.store;
    let begun = asked.into_iter().map(|operation| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.begin(vec![operation], T0).await })
    });
    let mut intents = Vec::new();
    for begun in begun.collect::<Vec<_>>() {
        match begun.await.unwrap().unwrap().remove(0) {
            Begun::Recorded(intent) | Begun::Resumed(intent) => intents.push(intent.id),
            other => panic!("{other:?}"),
        }
    }
    intents.dedup();
    assert_eq!(intents.len(), 1);
    world.end(intents[0], signed("anew"), T0).await;
    assert_eq!(revocations(&world).await, 1);
}
