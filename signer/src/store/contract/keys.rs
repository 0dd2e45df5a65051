//! Owns the contract of registered keys and of the count of their signatures.

use std::collections::BTreeMap;

use super::*;
use crate::{domain::key::KeyState, store::RegisteredKey};

/// How many signatures each key of the institution has.
async fn counted(world: &World, institution: &InstitutionId) -> BTreeMap<KeyId, u64> {
    let keys = world.store.keys(institution).await.unwrap().keys;
    keys.into_iter()
        .map(|key| (key.id, key.signatures))
        .collect()
}

pub(crate) async fn keys_never_change(world: World) {
    let id = key(&world.alfa, Purpose::Authorization);
    let registration = |institution: &InstitutionId, purpose| {
        vec![KeyRegistration {
            id,
            institution: institution.clone(),
            purpose,
        }]
    };
    world
        .store
        .register_keys(registration(&world.alfa, Purpose::Authorization), T0)
        .await
        .unwrap();
    for other in [
        registration(&world.beta, Purpose::Authorization),
        registration(&world.alfa, Purpose::DeviceCa),
    ] {
        assert!(matches!(
            world.store.register_keys(other, T0).await,
            Err(StoreError::Corrupt(_))
        ));
    }
    // Registering again does not bring a suspended key back.
    world.inside.suspend(id).await;
    world
        .store
        .register_keys(registration(&world.alfa, Purpose::Authorization), T0)
        .await
        .unwrap();
    let device = world.accepted_phone().await;
    let begun = world.begin(world.order(device, T0), T0).await;
    assert!(matches!(
        begun,
        Begun::Refused(crate::store::Refusal::KeyNotActive)
    ));
}

pub(crate) async fn a_key_waits_for_a_change(world: World) {
    let (device, id) = (world.accepted_phone().await, KeyId::new(world.octets()));
    let new = KeyRegistration {
        id,
        institution: world.alfa.clone(),
        purpose: Purpose::Authorization,
    };
    world.store.register_keys(vec![new], T0).await.unwrap();
    let keys = world.store.keys(&world.alfa).await.unwrap().keys;
    let registered = keys.iter().find(|key| key.id == id).unwrap();
    assert_eq!(registered.state, KeyState::PreActivation);
    assert!(!registered.may_sign(T0));
    let mut order = world.order(device, T0);
    order.key = id;
    let begun = world.begin(order, T0).await;
    let refused = matches!(begun, Begun::Refused(crate::store::Refusal::KeyNotActive));
    assert!(refused, "{begun:?}");
}

pub(crate) async fn keys_are_listed_by_institution(world: World) {
    let id = key(&world.alfa, Purpose::DeviceCa);
    world.inside.suspend(id).await;
    let again = KeyRegistration {
        id,
        institution: world.alfa.clone(),
        purpose: Purpose::DeviceCa,
    };
    let later = T0.plus_seconds(9);
    world.store.register_keys(vec![again], later).await.unwrap();
    world.load(DocumentKind::Policy, 1, "policy").await;
    for institution in [&world.alfa, &world.beta, &world.mobilis] {
        let view = world.store.keys(institution).await.unwrap();
        assert_eq!((view.generation, view.keys.len()), (1, 3));
        for purpose in [
            Purpose::DeviceCa,
            Purpose::SigningCa,
            Purpose::Authorization,
        ] {
            let one = key(institution, purpose);
            let expected = RegisteredKey {
                destruction_begun_at: None,
                id: one,
                state: if one == id {
                    KeyState::Suspended
                } else {
                    KeyState::Active
                },
                active_from: None,
                active_until: None,
                signatures: 0,
                // Of the first registration, whatever comes later.
                registered_at: Some(T0),
            };
            assert!(view.keys.contains(&expected), "{:?}", view.keys);
        }
    }
    let stranger = "gamma".parse().unwrap();
    assert!(world.store.keys(&stranger).await.unwrap().keys.is_empty());
}

pub(crate) async fn stored_signatures_are_counted(world: World) {
    let device = world.accepted_phone().await;
    world.accept(&world.beta, device).await;
    let mut completions = Vec::new();
    for institution in [&world.alfa, &world.beta, &world.alfa] {
        let mut order = world.order_at(institution, device, T0);
        order_of(&mut order).amount = euros(1);
        let intent = world.record(order, T0).await.id;
        completions.push(Completion {
            intent,
            origin: origin(),
            ending: signed("authorization"),
        });
    }
    let enrolment = world.record(world.enrollment(T0), T0).await.id;
    completions.push(Completion {
        intent: enrolment,
        origin: origin(),
        ending: signed("certificate"),
    });
    // The same intent twice in a group has one end.
    completions.push(completions[0].clone());
    world.store.complete(completions.clone(), T0).await.unwrap();
    // And so has one that is ended again: a retry after an answer was lost.
    world.store.complete(completions, T0).await.unwrap();
    let crl = world.record(world.crl(1, 0, T0), T0).await.id;
    world.end(crl, signed("crl"), T0).await;

    for (institution, authorizations, of_device_ca) in [
        (&world.alfa, 2, 0),
        (&world.beta, 1, 0),
        (&world.mobilis, 0, 3),
    ] {
        let expected = BTreeMap::from([
            (key(institution, Purpose::Authorization), authorizations),
            (key(institution, Purpose::DeviceCa), of_device_ca),
            (key(institution, Purpose::SigningCa), 0),
        ]);
        assert_eq!(
            counted(&world, institution).await,
            expected,
            "{institution}"
        );
    }
}

pub(crate) async fn a_signature_that_is_not_stored_is_not_counted(world: World) {
    let device = world.accepted_phone().await;
    let failed = world.record(world.order(device, T0), T0).await.id;
    world.end(failed, Ending::Failed("HSM"), T0).await;
    let late = world.order(device, T0);
    let expired = world.record(late.clone(), T0).await.id;
    world.end(expired, signed("late"), late.expires_at).await;
    let refused = world.record(world.order(device, T0), T0).await.id;
    world.inside.refuse_events(true).await;
    world
        .try_end(refused, signed("authorization"), T0)
        .await
        .unwrap_err();
    world.inside.refuse_events(false).await;
    let id = key(&world.alfa, Purpose::Authorization);
    assert_eq!(counted(&world, &world.alfa).await[&id], 0);
    world.end(refused, signed("authorization"), T0).await;
    assert_eq!(counted(&world, &world.alfa).await[&id], 1);
}
