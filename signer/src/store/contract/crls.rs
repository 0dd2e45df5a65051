//! Owns the contract of CRLs: numbers, what is published, what is in one.

use semops_pki::crl::Reason;

use super::*;
use crate::store::{PublishedCrl, Refusal};

pub(crate) async fn numbers_rise_and_are_taken_once(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let first = world.crl(1, 0, T0);
    let intent = world.record(first.clone(), T0).await;
    assert!(
        matches!(world.begin(first.clone(), T0).await, Begun::Resumed(found) if found.id == intent.id)
    );
    let state = world.store.crl_state(issuer).await.unwrap();
    assert_eq!(
        (state.last_number, state.pending.unwrap().id, state.newest),
        (1, intent.id, None)
    );
    let rival = world.begin(world.crl(1, 0, T0), T0).await;
    assert!(
        matches!(rival, Begun::Refused(Refusal::CrlNumberTaken)),
        "{rival:?}"
    );
    world.end(intent.id, Ending::Failed("HSM"), T0).await;
    // A number whose CRL failed is not used again, and gaps are allowed.
    let again = world.begin(world.crl(1, 0, T0), T0).await;
    assert!(
        matches!(again, Begun::Refused(Refusal::CrlNumberTaken)),
        "{again:?}"
    );
    world.record(world.crl(5, 0, T0), T0).await;
    let lower = world.begin(world.crl(4, 0, T0), T0).await;
    assert!(
        matches!(lower, Begun::Refused(Refusal::CrlNumberTaken)),
        "{lower:?}"
    );
    // Each key has numbers of its own.
    let signing_ca = Operation {
        key: key(&world.mobilis, Purpose::SigningCa),
        ..world.crl(1, 0, T0)
    };
    world.record(signing_ca, T0).await;
    assert_eq!(world.store.crl_state(issuer).await.unwrap().last_number, 5);
    assert_eq!(world.results("1").await, ["BEGUN", "FAILED", "BEGUN"]);
}

pub(crate) async fn the_newest_signed_crl_is_published(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let empty = world.store.crl_state(issuer).await.unwrap();
    assert_eq!(
        (empty.last_number, empty.newest, empty.revocations),
        (0, None, 0)
    );
    assert!(empty.pending.is_none());
    for number in 1..=3 {
        let intent = world.record(world.crl(number, number, T0), T0).await;
        let ending = if number == 3 {
            Ending::Failed("HSM")
        } else {
            signed(&format!("crl {number}"))
        };
        world.end(intent.id, ending, T0.plus_seconds(1)).await;
    }
    let state = world.store.crl_state(issuer).await.unwrap();
    let published = PublishedCrl {
        number: 2,
        revocations: 2,
        next_update: T0.plus_seconds(86_400),
        signed_at: T0.plus_seconds(1),
        der: b"crl 2".to_vec(),
    };
    assert_eq!((state.last_number, state.newest), (3, Some(published)));
    assert!(state.pending.is_none());
}

async fn revoke(world: &World, institution: &InstitutionId, device: DeviceId, at: Timestamp) {
    world
        .store
        .revoke(institution, device, Reason::KeyCompromise, origin(), at)
        .await
        .unwrap();
}

pub(crate) async fn revocations_are_numbered_per_issuing_key(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let beta_ca = key(&world.beta, Purpose::DeviceCa);
    let at_beta = Operation {
        institution: world.beta.clone(),
        key: beta_ca,
        ..world.enrollment(T0)
    };
    let elsewhere = world.certify(at_beta, T0).await;
    let mut serials = Vec::new();
    for number in 1..=3 {
        let mut operation = world.enrollment(T0);
        serials.push(device_of(&mut operation).serial.clone());
        let device = world.certify(operation, T0).await;
        revoke(&world, &world.mobilis, device, T0.plus_seconds(number)).await;
        revoke(&world, &world.mobilis, device, T0.plus_seconds(100)).await;
    }
    revoke(&world, &world.beta, elsewhere, T0).await;
    assert_eq!(world.store.crl_state(issuer).await.unwrap().revocations, 3);
    assert_eq!(world.store.crl_state(beta_ca).await.unwrap().revocations, 1);
    let entries = world.store.revoked(issuer, 2, T0).await.unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.serial.clone(), entry.at, entry.reason))
        .collect();
    let expected = serials.iter().zip(1..=2).map(|(serial, number)| {
        (
            serial.clone(),
            T0.plus_seconds(number),
            Reason::KeyCompromise,
        )
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(found, expected);
    assert_eq!(world.store.revoked(issuer, 3, T0).await.unwrap().len(), 3);
    assert_eq!(world.store.revoked(issuer, 0, T0).await.unwrap(), []);
}

pub(crate) async fn entries_stay_until_their_certificate_expired(world: World) {
    let issuer = key(&world.mobilis, Purpose::DeviceCa);
    let device = world.phone().await;
    revoke(&world, &world.mobilis, device, T0).await;
    let not_after = T0.plus_seconds(365 * 86_400);
    let count = async |since| world.store.revoked(issuer, 1, since).await.unwrap().len();
    assert_eq!(count(not_after).await, 1);
    assert_eq!(
        count(Timestamp::from_micros(not_after.micros() + 1)).await,
        0
    );
    assert_eq!(world.store.crl_state(issuer).await.unwrap().revocations, 1);
}

pub(crate) async fn who_steps_down_makes_room_for_another(world: World) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let term = world.store.lead(one).await.unwrap().unwrap();
    // Only the leader can, and who does not lead changes nothing.
    world.store.step_down(two).await.unwrap();
    assert_eq!(world.store.lead(one).await.unwrap(), Some(term));
    for leader in [one, one] {
        world.store.step_down(leader).await.unwrap();
    }
    let next = world.store.lead(two).await.unwrap().unwrap();
    let mut crl = world.crl(1, 0, T0);
    if let Subject::Crl(record) = &mut crl.subject {
        record.term = next;
    }
    world.record(crl, T0).await;
}
