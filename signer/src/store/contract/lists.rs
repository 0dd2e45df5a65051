//! Owns the contract of lists of devices: what they show, and that their pages fit together.

use std::collections::BTreeSet;

use proptest::prelude::*;
use semops_pki::crl::Reason;

use super::*;
use crate::{
    domain::device::{DeviceFilter, Relation, Status},
    store::{DevicePage, DeviceQuery},
};

const ISSUED: Relation = Relation::Issued(None);
const ACCEPTED: Relation = Relation::Accepted(None);

fn query(relation: Relation, status: Option<Status>) -> DeviceQuery {
    DeviceQuery {
        filter: DeviceFilter { relation, status },
        now: T0,
        after: None,
        at_most: 100,
        rows: 1_000,
    }
}

async fn page(world: &World, institution: &InstitutionId, query: DeviceQuery) -> DevicePage {
    world.store.devices(institution, query).await.unwrap()
}

fn ids(page: &DevicePage) -> Vec<DeviceId> {
    page.devices.iter().map(|(device, _)| device.id).collect()
}

/// The devices of the first page.
async fn listed(world: &World, institution: &InstitutionId, query: DeviceQuery) -> Vec<DeviceId> {
    let page = page(world, institution, query).await;
    assert_eq!(page.next, None);
    ids(&page)
}

fn sorted(mut ids: Vec<DeviceId>) -> Vec<DeviceId> {
    ids.sort();
    ids
}

async fn revoke(world: &World, device: DeviceId) {
    let revoked = world
        .store
        .revoke(&world.mobilis, device, Reason::Superseded, origin(), T0)
        .await;
    revoked.unwrap();
}

pub(crate) async fn issued_devices_are_listed(world: World) {
    let nobody = listed(&world, &world.mobilis, query(ISSUED, None)).await;
    assert!(nobody.is_empty());
    let phones = [
        world.phone().await,
        world.phone().await,
        world.phone().await,
    ];
    world.accept(&world.mobilis, phones[1]).await;
    world.accept(&world.alfa, phones[2]).await;
    // What is not signed yet, and what never will be, does not exist.
    world.record(world.enrollment(T0), T0).await;
    let failed = world.record(world.enrollment(T0), T0).await.id;
    world.end(failed, Ending::Failed("HSM"), T0).await;
    world.load(DocumentKind::Policy, 1, "policy").await;

    let all = page(&world, &world.mobilis, query(ISSUED, None)).await;
    assert_eq!((all.generation, all.next), (1, None));
    assert_eq!(ids(&all), sorted(phones.to_vec()));
    for (device, acceptance) in &all.devices {
        let alone = world.store.device(&world.mobilis, device.id).await.unwrap();
        assert_eq!(
            format!("{device:?}"),
            format!("{:?}", alone.device.unwrap())
        );
        // Its own acceptance alone: that of alfa is alfa's matter.
        assert_eq!(*acceptance, alone.acceptance);
        assert_eq!(acceptance.is_some(), device.id == phones[1]);
    }
    for other in [&world.alfa, &world.beta] {
        assert!(listed(&world, other, query(ISSUED, None)).await.is_empty());
    }
}

pub(crate) async fn accepted_devices_are_listed(world: World) {
    let (one, other) = (world.accepted_phone().await, world.accepted_phone().await);
    world.phone().await;
    world.accept(&world.beta, other).await;
    let at_alfa = listed(&world, &world.alfa, query(ACCEPTED, None)).await;
    assert_eq!(at_alfa, sorted(vec![one, other]));
    assert_eq!(
        listed(&world, &world.beta, query(ACCEPTED, None)).await,
        [other]
    );
    assert!(
        listed(&world, &world.mobilis, query(ACCEPTED, None))
            .await
            .is_empty()
    );
    world
        .store
        .release(&world.alfa, other, origin(), T0)
        .await
        .unwrap();
    let left = page(&world, &world.alfa, query(ACCEPTED, None)).await;
    assert_eq!(ids(&left), [one]);
    assert_eq!(
        left.devices[0].1.as_ref().unwrap().account,
        reference("account")
    );
}

pub(crate) async fn filters_hold_together(world: World) {
    let mut enrolments = Vec::new();
    for subscriber in ["one", "one", "two"] {
        let mut enrolment = world.enrollment(T0);
        device_of(&mut enrolment).subscriber = reference(subscriber);
        enrolments.push(enrolment);
    }
    // Its last second is T0's; it is expired from the next on.
    device_of(&mut enrolments[0]).not_after = T0;
    let mut phones = Vec::new();
    for (enrolment, account) in enrolments.into_iter().zip(["a", "b", "b"]) {
        let phone = world.certify(enrolment, T0).await;
        let account = reference(account);
        let accept = world
            .store
            .accept(&world.alfa, phone, account, 0, origin(), T0);
        assert!(matches!(accept.await.unwrap(), Accepted::Accepted(_)));
        phones.push(phone);
    }
    let [expiring, revoked, active] = phones[..] else {
        panic!("three")
    };
    revoke(&world, revoked).await;

    let at = async |relation: Relation, status, now| {
        let institution = match relation {
            Relation::Issued(_) => &world.mobilis,
            Relation::Accepted(_) => &world.alfa,
        };
        let query = DeviceQuery {
            now,
            ..query(relation, status)
        };
        listed(&world, institution, query).await
    };
    let (last, past) = (
        Timestamp::from_micros(T0.micros() + 999_999),
        T0.plus_seconds(1),
    );
    for relation in [ISSUED, ACCEPTED] {
        let by = async |status, now| at(relation.clone(), Some(status), now).await;
        assert_eq!(
            by(Status::Active, last).await,
            sorted(vec![expiring, active])
        );
        assert_eq!(by(Status::Active, past).await, [active]);
        assert_eq!(by(Status::Expired, last).await, []);
        assert_eq!(by(Status::Expired, past).await, [expiring]);
        assert_eq!(by(Status::Revoked, past).await, [revoked]);
    }
    let of = |name: &str| Some(reference(name));
    let one = at(Relation::Issued(of("one")), None, T0).await;
    assert_eq!(one, sorted(vec![expiring, revoked]));
    let one = at(Relation::Issued(of("one")), Some(Status::Revoked), T0).await;
    assert_eq!(one, [revoked]);
    let b = at(Relation::Accepted(of("b")), None, T0).await;
    assert_eq!(b, sorted(vec![revoked, active]));
    let b = at(Relation::Accepted(of("b")), Some(Status::Active), T0).await;
    assert_eq!(b, [active]);
    for relation in [Relation::Issued, Relation::Accepted] {
        assert_eq!(at(relation(of("nobody")), None, T0).await, []);
    }
}

pub(crate) async fn a_page_ends_after_so_many_rows(world: World) {
    let mut phones = Vec::new();
    for _ in 0..7 {
        phones.push(world.phone().await);
    }
    let phones = sorted(phones);
    revoke(&world, phones[5]).await;
    let look = async |after, at_most, rows| {
        let (query, after) = (query(ISSUED, Some(Status::Revoked)), Some(after));
        let query = DeviceQuery {
            after,
            at_most,
            rows,
            ..query
        };
        let page = page(&world, &world.mobilis, query).await;
        (ids(&page), page.next)
    };
    // Full by rows, full by devices, and full by either at the very end, where nothing follows.
    assert_eq!(look(phones[0], 9, 3).await, (vec![], Some(phones[3])));
    assert_eq!(
        look(phones[3], 1, 9).await,
        (vec![phones[5]], Some(phones[5]))
    );
    assert_eq!(look(phones[5], 9, 1).await, (vec![], None));
    assert_eq!(look(phones[6], 1, 9).await, (vec![], None));
}

/// What happens between two pages.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Enrol { accept: bool },
    Release(usize),
    Accept(usize),
    Revoke(usize),
}

pub(crate) fn changes() -> impl Strategy<Value = (usize, usize, Vec<Vec<Change>>)> {
    let change = prop_oneof![
        any::<bool>().prop_map(|accept| Change::Enrol { accept }),
        (0..12_usize).prop_map(Change::Release),
        (0..12_usize).prop_map(Change::Accept),
        (0..12_usize).prop_map(Change::Revoke),
    ];
    let between = proptest::collection::vec(change, 0..4);
    (
        1..4_usize,
        1..5_usize,
        proptest::collection::vec(between, 1..12),
    )
}

/// The phones of a walk: those that stand at its beginning, and those that did not stand throughout.
struct Walked {
    phones: Vec<DeviceId>,
    moved: BTreeSet<DeviceId>,
}

impl Walked {
    async fn change(&mut self, world: &World, change: &Change) {
        let at = |index: &usize| self.phones[index % self.phones.len()];
        match change {
            Change::Enrol { accept } => {
                let phone = world.phone().await;
                if *accept {
                    world.accept(&world.alfa, phone).await;
                }
            }
            Change::Release(index) => {
                let phone = at(index);
                world
                    .store
                    .release(&world.alfa, phone, origin(), T0)
                    .await
                    .unwrap();
                self.moved.insert(phone);
            }
            Change::Accept(index) => {
                let (phone, account) = (at(index), reference("account"));
                let accept = world
                    .store
                    .accept(&world.alfa, phone, account, 0, origin(), T0);
                accept.await.unwrap();
            }
            // Its status is no part of the filter: it stands all the same.
            Change::Revoke(index) => revoke(world, at(index)).await,
        }
    }
}

/// Whatever is done between two pages, a device that stands throughout is shown once, and none twice.
pub(crate) async fn pages_fit_together(
    world: World,
    (at_most, rows, steps): (usize, usize, Vec<Vec<Change>>),
) {
    let mut walked = Walked {
        phones: Vec::new(),
        moved: BTreeSet::new(),
    };
    for _ in 0..12 {
        walked.phones.push(world.accepted_phone().await);
    }
    for (institution, relation) in [(&world.mobilis, ISSUED), (&world.alfa, ACCEPTED)] {
        // Those that moved in the first walk may not stand in the second at all.
        let standing = listed(&world, institution, query(relation.clone(), None)).await;
        walked.moved.clear();
        let (mut shown, mut after, mut steps) = (Vec::new(), None, steps.iter());
        loop {
            let query = DeviceQuery {
                after,
                at_most,
                rows,
                ..query(relation.clone(), None)
            };
            let page = page(&world, institution, query).await;
            assert!(page.devices.len() <= at_most.min(rows));
            shown.extend(ids(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
            for change in steps.next().into_iter().flatten() {
                walked.change(&world, change).await;
            }
        }
        // In the order of ids, so none is there twice.
        assert!(shown.is_sorted_by(|one, next| one < next), "{shown:?}");
        let stood = |id: &&DeviceId| relation == ISSUED || !walked.moved.contains(*id);
        for id in standing.iter().filter(stood) {
            assert!(shown.contains(id), "{id} stood throughout and is not shown");
        }
    }
}
