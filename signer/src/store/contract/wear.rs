//! Owns the contract of a key's lifetime in objects: never is more begun than it allows, but for CRLs.

use super::*;
use crate::store::{Begun, Refusal};

fn limited(mut operation: Operation, most: u64) -> Operation {
    match &mut operation.subject {
        Subject::Authorization(order) => order.key_lifetime = Some(most),
        Subject::DeviceCertificate(device) => device.key_lifetime = Some(most),
        other => panic!("{other:?} has no limit"),
    }
    operation
}

fn is_worn_out(begun: &Begun) -> bool {
    matches!(begun, Begun::Refused(Refusal::KeyWornOut))
}

/// How many were recorded, and how many found the key worn out; nothing else came out.
fn counted(begun: &[Begun]) -> (usize, usize) {
    let recorded = begun.iter().filter(|one| matches!(one, Begun::Recorded(_)));
    let worn_out = begun.iter().filter(|one| is_worn_out(one));
    let counted = (recorded.count(), worn_out.count());
    assert_eq!(counted.0 + counted.1, begun.len(), "{begun:?}");
    counted
}

pub(crate) async fn what_is_pending_counts_as_what_is_signed(world: World) {
    let device = world.accepted_phone().await;
    let order = || limited(world.order(device, T0), 3);
    let first = world.record(order(), T0).await;
    let second = world.record(order(), T0).await;
    world.end(first.id, signed("first"), T0).await;
    let repeated = order();
    let third = world.record(repeated.clone(), T0).await;
    assert!(is_worn_out(&world.begin(order(), T0).await));
    // It was counted when it was recorded.
    let resumed = world.begin(repeated, T0).await;
    assert!(matches!(resumed, Begun::Resumed(intent) if intent.id == third.id));
    // What ends unsigned gives its place back, once.
    world.end(second.id, Ending::Failed("HSM"), T0).await;
    world.end(third.id, signed("third"), T0).await;
    world.record(order(), T0).await;
    assert!(is_worn_out(&world.begin(order(), T0).await));
    // A refusal is no reason to refuse for ever: the institution's policy may allow more.
    world.record(limited(world.order(device, T0), 4), T0).await;
    let free = world.order(device, T0);
    let over = world.begin(free, T0).await;
    assert!(matches!(over, Begun::Recorded(_)), "{over:?}");
}

pub(crate) async fn a_group_counts_itself(world: World) {
    let mut orders = Vec::new();
    for _ in 0..12 {
        let device = world.accepted_phone().await;
        orders.push(limited(world.order(device, T0), 7));
    }
    // Another institution's key has a lifetime of its own.
    let stranger = world.phone().await;
    world.accept(&world.beta, stranger).await;
    let others = limited(world.order_at(&world.beta, stranger, T0), 1);
    orders.insert(6, others);
    let begun = world.store.begin(orders, T0).await.unwrap();
    assert_eq!(counted(&begun), (8, 5));
    assert!(!is_worn_out(&begun[6]));
}

pub(crate) async fn a_worn_out_ca_issues_nothing_and_lists(world: World) {
    let enrol = |most| limited(world.enrollment(T0), most);
    world.certify(enrol(2), T0).await;
    let crl = world.record(world.crl(1, 0, T0), T0).await;
    world.end(crl.id, signed("crl"), T0).await;
    // Its CRL counts.
    assert!(is_worn_out(&world.begin(enrol(2), T0).await));
    for number in 2..5 {
        let crl = world.record(world.crl(number, 0, T0), T0).await;
        world.end(crl.id, signed("crl"), T0).await;
    }
    let group = vec![world.crl(5, 0, T0), enrol(6), enrol(6)];
    let begun = world.store.begin(group, T0).await.unwrap();
    assert_eq!(counted(&begun), (1, 2));
}
