//! Owns the contract of acceptance, release, revocation and the reads about a device.

use semops_pki::crl::Reason;

use super::*;
use crate::{
    domain::device::{Acceptance, Revocation},
    store::Revoked,
};

async fn accept(
    world: &World,
    institution: &InstitutionId,
    device: DeviceId,
    account: &str,
    at: Timestamp,
) -> Accepted {
    world
        .store
        .accept(institution, device, reference(account), 0, origin(), at)
        .await
        .unwrap()
}

pub(crate) async fn acceptance_is_per_institution_and_reference(world: World) {
    let device = world.phone().await;
    let first = Acceptance {
        account: reference("one"),
        accepted_at: T0,
    };
    let later = T0.plus_seconds(5);
    assert_eq!(
        accept(&world, &world.alfa, device, "one", T0).await,
        Accepted::Accepted(first.clone())
    );
    assert_eq!(
        accept(&world, &world.alfa, device, "one", later).await,
        Accepted::Accepted(first.clone())
    );
    assert_eq!(
        accept(&world, &world.alfa, device, "two", later).await,
        Accepted::Otherwise
    );
    let beta = Acceptance {
        account: reference("two"),
        accepted_at: later,
    };
    assert_eq!(
        accept(&world, &world.beta, device, "two", later).await,
        Accepted::Accepted(beta.clone())
    );
    let view = async |institution| {
        world
            .store
            .device(institution, device)
            .await
            .unwrap()
            .acceptance
    };
    assert_eq!(
        (view(&world.alfa).await, view(&world.beta).await),
        (Some(first), Some(beta))
    );
    assert_eq!(view(&world.mobilis).await, None);
}

pub(crate) async fn unknown_and_revoked_are_not_acceptable(world: World) {
    let unknown = DeviceId::from_random([1; 16]);
    assert_eq!(
        accept(&world, &world.alfa, unknown, "one", T0).await,
        Accepted::NotAcceptable
    );
    let device = world.accepted_phone().await;
    world
        .store
        .revoke(&world.mobilis, device, Reason::Superseded, origin(), T0)
        .await
        .unwrap();
    assert_eq!(
        accept(&world, &world.beta, device, "one", T0).await,
        Accepted::NotAcceptable
    );
    assert_eq!(
        accept(&world, &world.alfa, device, "account", T0).await,
        Accepted::NotAcceptable
    );
}

pub(crate) async fn release_says_whether_it_stood(world: World) {
    let device = world.accepted_phone().await;
    let release = async |institution| {
        world
            .store
            .release(institution, device, origin(), T0)
            .await
            .unwrap()
    };
    assert!(!release(&world.beta).await);
    assert!(release(&world.alfa).await);
    assert!(!release(&world.alfa).await);
    // Then another reference may be bound.
    assert!(matches!(
        accept(&world, &world.alfa, device, "other", T0).await,
        Accepted::Accepted(_)
    ));
}

pub(crate) async fn the_issuer_alone_revokes_and_once(world: World) {
    let device = world.accepted_phone().await;
    let revoke = async |institution, device, reason, at| {
        world
            .store
            .revoke(institution, device, reason, origin(), at)
            .await
            .unwrap()
    };
    assert_eq!(
        revoke(&world.alfa, device, Reason::KeyCompromise, T0).await,
        Revoked::NotFound
    );
    let unknown = DeviceId::from_random([1; 16]);
    assert_eq!(
        revoke(&world.mobilis, unknown, Reason::KeyCompromise, T0).await,
        Revoked::NotFound
    );
    let pending = world.enrollment(T0);
    world.record(pending.clone(), T0).await;
    let uncertified = pending.subject.device().unwrap();
    assert_eq!(
        revoke(&world.mobilis, uncertified, Reason::KeyCompromise, T0).await,
        Revoked::NotFound
    );
    let first = Revocation {
        at: T0,
        reason: Reason::KeyCompromise,
    };
    assert_eq!(
        revoke(&world.mobilis, device, first.reason, T0).await,
        Revoked::Revoked(first)
    );
    let later = T0.plus_seconds(9);
    assert_eq!(
        revoke(&world.mobilis, device, Reason::Superseded, later).await,
        Revoked::Revoked(first)
    );
    let found = world
        .store
        .device(&world.alfa, device)
        .await
        .unwrap()
        .device
        .unwrap();
    assert_eq!(found.revoked, Some(first));
}

pub(crate) async fn a_stale_acceptance_is_refused(world: World) {
    let device = world.phone().await;
    world.load(DocumentKind::Policy, 1, "policy").await;
    assert_eq!(
        accept(&world, &world.alfa, device, "one", T0).await,
        Accepted::Stale
    );
    world.accept(&world.alfa, device).await;
}

pub(crate) async fn a_recall_is_one_picture(world: World) {
    let device = world.accepted_phone().await;
    world.load(DocumentKind::Policy, 1, "policy").await;
    let certificate = sha256(device.to_string().as_bytes());
    let recall = world
        .store
        .recall_order(&world.alfa, certificate, Uuid::nil())
        .await
        .unwrap();
    assert_eq!((recall.generation, recall.device.unwrap().id), (1, device));
    assert!(recall.acceptance.is_some() && recall.earlier.is_none());
    let unknown = world
        .store
        .recall_order(&world.alfa, [0; 32], Uuid::nil())
        .await
        .unwrap();
    assert!(unknown.generation == 1 && unknown.device.is_none() && unknown.acceptance.is_none());
    assert_eq!(
        world
            .store
            .device(&world.alfa, device)
            .await
            .unwrap()
            .generation,
        1
    );
    assert_eq!(
        world
            .store
            .order(&world.alfa, device, Uuid::nil())
            .await
            .unwrap(),
        (1, None)
    );
    assert_eq!(
        world
            .store
            .recall_enrollment(&world.mobilis, [0; 32])
            .await
            .unwrap()
            .generation,
        1
    );
}
