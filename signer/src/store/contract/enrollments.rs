//! Owns the contract of `begin` and `complete` for device certificates.

use semops_pki::crl::Reason;

use super::*;
use crate::{
    domain::outcome::State,
    store::{Limit, Refusal},
};

pub(crate) async fn a_device_exists_once_its_certificate_is_signed(world: World) {
    let mut operation = world.enrollment(T0);
    let record = device_of(&mut operation).clone();
    let intent = world.record(operation.clone(), T0).await;
    assert!(
        world
            .store
            .device(&world.mobilis, record.device)
            .await
            .unwrap()
            .device
            .is_none()
    );
    let recall = world
        .store
        .recall_enrollment(&world.mobilis, record.request)
        .await
        .unwrap();
    assert_eq!(recall.earlier.unwrap().intent.unwrap().id, intent.id);
    assert!(recall.device.is_none());
    let accepted = world
        .store
        .accept(&world.alfa, record.device, reference("a"), 0, origin(), T0)
        .await
        .unwrap();
    assert_eq!(accepted, Accepted::NotAcceptable);

    world.end(intent.id, signed("certificate"), T0).await;
    let device = world
        .store
        .device(&world.alfa, record.device)
        .await
        .unwrap()
        .device
        .unwrap();
    assert_eq!(
        (device.id, &device.issuer, device.issuer_key),
        (record.device, &world.mobilis, operation.key)
    );
    assert_eq!(
        (device.certificate.as_slice(), device.not_after),
        (b"certificate".as_slice(), record.not_after)
    );
    assert!(device.subscriber == record.subscriber && device.revoked.is_none());
    let recall = world
        .store
        .recall_enrollment(&world.mobilis, record.request)
        .await
        .unwrap();
    assert_eq!(recall.device.unwrap().id, record.device);
    let by_certificate = world
        .store
        .recall_order(&world.alfa, sha256(b"certificate"), Uuid::nil())
        .await
        .unwrap();
    assert_eq!(by_certificate.device.unwrap().id, record.device);
}

pub(crate) async fn a_request_has_one_certificate(world: World) {
    let operation = world.enrollment(T0);
    let intent = world.record(operation.clone(), T0).await;
    // A retry drafts another device id and serial for the same request.
    let mut again = operation.clone();
    device_of(&mut again).device = DeviceId::from_random([5; 16]);
    device_of(&mut again).serial = vec![5; 16];
    assert!(
        matches!(world.begin(again.clone(), T0).await, Begun::Resumed(found) if found.id == intent.id)
    );
    let outcome = world.end(intent.id, signed("certificate"), T0).await;
    assert_eq!(outcome.device, operation.subject.device());
    assert!(matches!(world.begin(again.clone(), T0).await, Begun::Done(done) if done == outcome));
    let other_subscriber = Operation {
        content: world.octets(),
        ..again
    };
    assert!(matches!(
        world.begin(other_subscriber, T0).await,
        Begun::Conflict
    ));
    let leaves = world.inside.leaves().await;
    assert_eq!(leaves.last().unwrap()["reason"], "REQUEST_CONFLICT");
    // Another institution may have the same request signed, were its public key not reserved.
    let elsewhere = Operation {
        institution: world.beta.clone(),
        key: key(&world.beta, Purpose::DeviceCa),
        content: world.octets(),
        ..operation
    };
    assert!(matches!(
        world.begin(elsewhere, T0).await,
        Begun::Refused(Refusal::PublicKeyTaken)
    ));
}

pub(crate) async fn a_request_that_failed_may_come_again(world: World) {
    let mut operation = world.enrollment(T0);
    let request = device_of(&mut operation).request;
    for ending in [
        Ending::Failed("HSM"),
        Ending::Denied("POLICY"),
        signed("late"),
    ] {
        device_of(&mut operation).device =
            DeviceId::from_random([u8::try_from(world.number()).unwrap(); 16]);
        device_of(&mut operation).serial = world.octets().to_vec();
        let intent = world.record(operation.clone(), T0).await;
        world.end(intent.id, ending, intent.expires_at).await;
        assert!(
            world
                .store
                .recall_enrollment(&world.mobilis, request)
                .await
                .unwrap()
                .earlier
                .is_none()
        );
    }
    // Not even other content is a conflict then.
    device_of(&mut operation).device = DeviceId::from_random([99; 16]);
    device_of(&mut operation).serial = vec![99; 16];
    world
        .certify(
            Operation {
                content: world.octets(),
                ..operation
            },
            T0,
        )
        .await;
}

pub(crate) async fn a_public_key_is_reserved_everywhere(world: World) {
    let mut first = world.enrollment(T0);
    let public_key = device_of(&mut first).public_key;
    let intent = world.record(first, T0).await;
    let at_beta = Operation {
        institution: world.beta.clone(),
        key: key(&world.beta, Purpose::DeviceCa),
        ..world.enrollment(T0)
    };
    let mut others = [world.enrollment(T0), at_beta];
    for other in &mut others {
        device_of(other).public_key = public_key;
    }
    for round in 0..3 {
        for other in &others {
            let begun = world.begin(other.clone(), T0).await;
            assert!(
                matches!(begun, Begun::Refused(Refusal::PublicKeyTaken)),
                "{round} {begun:?}"
            );
        }
        // Taken while pending, when certified, and after revocation.
        match round {
            0 => drop(world.end(intent.id, signed("certificate"), T0).await),
            _ => {
                let device = world
                    .store
                    .recall_order(&world.alfa, sha256(b"certificate"), Uuid::nil())
                    .await
                    .unwrap();
                let id = device.device.unwrap().id;
                world
                    .store
                    .revoke(&world.mobilis, id, Reason::KeyCompromise, origin(), T0)
                    .await
                    .unwrap();
            }
        }
    }
}

pub(crate) async fn a_public_key_is_freed_without_a_certificate(world: World) {
    let mut first = world.enrollment(T0);
    let mut second = world.enrollment(T0);
    device_of(&mut second).public_key = device_of(&mut first).public_key;
    let intent = world.record(first, T0).await;
    assert!(matches!(
        world.begin(second.clone(), T0).await,
        Begun::Refused(Refusal::PublicKeyTaken)
    ));
    assert_eq!(
        world
            .store
            .sweep(9, origin(), intent.expires_at)
            .await
            .unwrap()
            .failed,
        1
    );
    world.certify(second, T0).await;
}

pub(crate) async fn a_subscriber_has_so_many_devices(world: World) {
    let enroll = || {
        let mut operation = world.enrollment(T0);
        device_of(&mut operation).subscriber = reference("one");
        operation
    };
    let operations = vec![enroll(), enroll(), enroll()];
    let begun = world.store.begin(operations, T0).await.unwrap();
    assert!(
        matches!(begun[2], Begun::OverLimit(Limit::DevicesPerSubscriber)),
        "{begun:?}"
    );
    // The same words name another subscriber at another institution.
    let at_beta = Operation {
        institution: world.beta.clone(),
        key: key(&world.beta, Purpose::DeviceCa),
        ..enroll()
    };
    world.record(at_beta, T0).await;
    let intent = recorded(begun[0].clone());
    assert_eq!(
        world.end(intent.id, Ending::Failed("HSM"), T0).await.state,
        State::Failed
    );
    world.certify(enroll(), T0).await;
    assert!(matches!(
        world.begin(enroll(), T0).await,
        Begun::OverLimit(Limit::DevicesPerSubscriber)
    ));
}

pub(crate) async fn revoked_and_expired_devices_give_their_place_back(world: World) {
    let enroll = || {
        let mut operation = world.enrollment(T0);
        device_of(&mut operation).subscriber = reference("one");
        device_of(&mut operation).devices_per_subscriber = 1;
        operation
    };
    let device = world.certify(enroll(), T0).await;
    assert!(matches!(
        world.begin(enroll(), T0).await,
        Begun::OverLimit(Limit::DevicesPerSubscriber)
    ));
    world
        .store
        .revoke(&world.mobilis, device, Reason::Superseded, origin(), T0)
        .await
        .unwrap();
    world.certify(enroll(), T0).await;
    let not_after = T0.plus_seconds(365 * 86_400);
    assert!(matches!(
        world.begin(enroll(), not_after).await,
        Begun::OverLimit(Limit::DevicesPerSubscriber)
    ));
    world
        .record(enroll(), Timestamp::from_micros(not_after.micros() + 1))
        .await;
}

pub(crate) async fn a_serial_is_never_used_twice(world: World) {
    let mut first = world.enrollment(T0);
    let mut second = world.enrollment(T0);
    device_of(&mut second).serial = device_of(&mut first).serial.clone();
    let intent = world.record(first, T0).await;
    world.end(intent.id, Ending::Failed("HSM"), T0).await;
    let begun = world.store.begin(vec![second.clone()], T0).await;
    assert!(matches!(begun, Err(StoreError::Violated(_))), "{begun:?}");
    let request = device_of(&mut second).request;
    assert!(
        world
            .store
            .recall_enrollment(&world.mobilis, request)
            .await
            .unwrap()
            .earlier
            .is_none()
    );
}
