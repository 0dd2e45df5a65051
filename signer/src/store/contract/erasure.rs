//! Owns the contract of erasure: what is still needed stays, what refuses and what was told too.

use semops_pki::crl::Reason;

use super::{
    retention::{DAY, LATER, ended},
    *,
};
use crate::{domain::retention::Kept, store::Erased};

async fn erase(
    world: &World,
    institution: &InstitutionId,
    device: DeviceId,
    now: Timestamp,
) -> Erased {
    let erased = world
        .store
        .erase(institution, device, 100, origin(), now)
        .await;
    erased.unwrap()
}

async fn revoke(world: &World, device: DeviceId) {
    let revoked = world
        .store
        .revoke(&world.mobilis, device, Reason::KeyCompromise, origin(), T0);
    revoked.await.unwrap();
}

pub(crate) async fn what_is_not_told_is_not_removed(world: World) {
    let device = world.accepted_phone().await;
    let order = ended(&world, device, signed("a"), T0).await;
    revoke(&world, device).await;
    world
        .store
        .release(&world.alfa, device, origin(), T0)
        .await
        .unwrap();
    let before = world.inside.audit().await;
    world.inside.refuse_events(true).await;
    for kept in [Kept::Orders, Kept::Events] {
        let removed = world.store.prune(kept, LATER, 9, origin(), LATER).await;
        assert!(removed.is_err(), "{kept:?}");
    }
    let erased = world
        .store
        .erase(&world.alfa, device, 9, origin(), LATER)
        .await;
    assert!(erased.is_err());
    world.inside.refuse_events(false).await;
    assert_eq!(world.inside.audit().await, before);
    match world.begin(order, LATER).await {
        Begun::Done(outcome) => assert!(outcome.artifact.is_some()),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn what_is_needed_is_not_erased(world: World) {
    let device = world.accepted_phone().await;
    let unknown = DeviceId::from_random([7; 16]);
    assert_eq!(
        erase(&world, &world.alfa, unknown, T0).await,
        Erased::NotFound
    );
    assert_eq!(
        erase(&world, &world.beta, device, T0).await,
        Erased::NotFound
    );
    assert_eq!(
        erase(&world, &world.mobilis, device, T0).await,
        Erased::Active
    );
    assert_eq!(
        erase(&world, &world.alfa, device, T0).await,
        Erased::Accepted
    );
    let pending = world.order(device, T0);
    let intent = world.record(pending.clone(), T0).await;
    world
        .store
        .release(&world.alfa, device, origin(), T0)
        .await
        .unwrap();
    assert_eq!(
        erase(&world, &world.alfa, device, T0).await,
        Erased::Pending
    );
    world.end(intent.id, signed("a"), T0).await;
    let free = T0.plus_seconds(DAY);
    let last = Timestamp::from_micros(free.micros() - 1);
    assert_eq!(
        erase(&world, &world.alfa, device, last).await,
        Erased::Counted(free)
    );
    assert!(matches!(world.begin(pending, LATER).await, Begun::Done(_)));
    let erased = erase(&world, &world.alfa, device, free).await;
    assert!(
        matches!(
            erased,
            Erased::Done {
                orders: 1,
                subscriber: false,
                more: false
            }
        ),
        "{erased:?}"
    );
}

pub(crate) async fn erasure_leaves_what_refuses_and_what_is_told(world: World) {
    let device = world.accepted_phone().await;
    let mut orders = Vec::new();
    for order in ["a", "b", "c"] {
        orders.push(ended(&world, device, signed(order), T0).await);
    }
    revoke(&world, device).await;
    world
        .store
        .release(&world.alfa, device, origin(), T0)
        .await
        .unwrap();
    let events = world.inside.audit().await;
    let part = world
        .store
        .erase(&world.alfa, device, 2, origin(), LATER)
        .await
        .unwrap();
    assert_eq!(
        part,
        Erased::Done {
            orders: 2,
            subscriber: false,
            more: true
        }
    );
    let rest = erase(&world, &world.alfa, device, LATER).await;
    assert_eq!(
        rest,
        Erased::Done {
            orders: 1,
            subscriber: false,
            more: false
        }
    );
    let issuer = erase(&world, &world.mobilis, device, LATER).await;
    assert_eq!(
        issuer,
        Erased::Done {
            orders: 0,
            subscriber: true,
            more: false
        }
    );
    // Again: nothing to erase, and nothing to tell.
    let told = world.inside.audit().await;
    for institution in [&world.alfa, &world.mobilis] {
        let again = erase(&world, institution, device, LATER).await;
        assert_eq!(
            again,
            Erased::Done {
                orders: 0,
                subscriber: false,
                more: false
            }
        );
    }
    assert_eq!(world.inside.audit().await, told);
    // Leaves never change.
    assert_eq!(told[..events.len()], events);
    let leaves = world.inside.leaves().await;
    let erasures: Vec<_> = leaves
        .iter()
        .filter(|leaf| leaf["operation"] == "erase")
        .collect();
    assert_eq!(erasures.len(), 3);
    assert!(
        erasures
            .iter()
            .all(|leaf| leaf["device"] == device.to_string())
    );
    for order in orders {
        assert!(
            matches!(world.begin(order, LATER).await, Begun::Done(outcome) if outcome.artifact.is_none())
        );
    }
    let view = world.store.device(&world.mobilis, device).await.unwrap();
    assert_eq!(view.device.unwrap().subscriber.as_str(), Reference::ERASED);
}
