//! Owns what is tested of replicas that share a database: whatever they do at once, one order of things stands.

use std::collections::HashSet;

use super::*;
use crate::{
    domain::{
        document::Document,
        operation::{Subject, Term},
        outcome::Ending,
    },
    store::{
        Limit, Refusal,
        contract::{T0, key, order_of, origin, recorded, signed},
    },
};

/// The world through one replica, and the store through another.
pub(super) async fn two() -> (Arc<World>, Arc<dyn Store>) {
    two_on(database(&CLUSTER).await).await
}

async fn two_on(settings: Settings) -> (Arc<World>, Arc<dyn Store>) {
    let other = PostgresStore::open(settings.clone()).await.unwrap();
    (
        Arc::new(World::start(made(settings).await).await),
        Arc::new(other),
    )
}

/// Begins each operation, by turns through one and the other, all at once.
async fn at_once(
    stores: [&Arc<dyn Store>; 2],
    operations: Vec<Operation>,
) -> Vec<Result<Begun, StoreError>> {
    let turns = stores.into_iter().cycle();
    let tasks: Vec<_> = operations
        .into_iter()
        .zip(turns)
        .map(|(operation, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let begun = store.begin(vec![operation], T0).await;
                begun.map(|mut begun| begun.remove(0))
            })
        })
        .collect();
    let mut begun = Vec::new();
    for task in tasks {
        begun.push(task.await.unwrap());
    }
    begun
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_order_at_both_is_recorded_once() {
    let (world, other) = two().await;
    let device = world.accepted_phone().await;
    for _ in 0..5 {
        let operation = world.order(device, T0);
        let begun = at_once([&world.store, &other], vec![operation; 12]).await;
        let (mut new, mut resumed) = (Vec::new(), HashSet::new());
        for begun in begun {
            match begun.unwrap() {
                Begun::Recorded(intent) => new.push(intent.id()),
                Begun::Resumed(intent) => drop(resumed.insert(intent.id())),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(new.len(), 1);
        assert_eq!(resumed.into_iter().collect::<Vec<_>>(), new);
        world.end(new[0], Ending::Failed("HSM"), T0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lifetime_of_a_key_is_exact_over_both() {
    let (world, other) = two().await;
    let mut signed_before = 0;
    for most in [15_u64, 20, 45] {
        let mut orders = Vec::new();
        for _ in 0..40 {
            let device = world.accepted_phone().await;
            let mut order = world.order(device, T0);
            order_of(&mut order).key_lifetime = Some(most);
            orders.push(order);
        }
        let (mut recorded, mut worn_out) = (Vec::new(), 0);
        for begun in at_once([&world.store, &other], orders).await {
            match begun.unwrap() {
                Begun::Recorded(intent) => recorded.push(intent.id()),
                Begun::Refused(Refusal::KeyWornOut) => worn_out += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(u64::try_from(recorded.len()), Ok(most - signed_before));
        assert_eq!(recorded.len() + worn_out, 40);
        for intent in recorded {
            world.end(intent, signed("authorization"), T0).await;
        }
        signed_before = most;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_limits_are_exact_over_both() {
    let (world, other) = two().await;
    for _ in 0..3 {
        let device = world.accepted_phone().await;
        // EUR 50.00 a day, EUR 10.00 each.
        let mut orders: Vec<_> = (0..24).map(|_| world.order(device, T0)).collect();
        for order in &mut orders {
            order_of(order).limits.orders_per_day = 100;
        }
        let begun = at_once([&world.store, &other], orders).await;
        let count = |wanted: fn(&Begun) -> bool| {
            let begun = begun.iter().map(|begun| begun.as_ref().unwrap());
            begun.filter(|begun| wanted(begun)).count()
        };
        assert_eq!(count(|begun| matches!(begun, Begun::Recorded(_))), 5);
        assert_eq!(
            count(|begun| matches!(begun, Begun::OverLimit(Limit::AmountPerDay))),
            19
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_has_so_many_devices_over_both() {
    let (world, other) = two().await;
    let first = world.enrollment(T0);
    let mut enrollments: Vec<_> = (0..12).map(|_| world.enrollment(T0)).collect();
    let subscriber = crate::store::contract::device_of(&mut first.clone())
        .subscriber
        .clone();
    for enrollment in &mut enrollments {
        crate::store::contract::device_of(enrollment).subscriber = subscriber.clone();
    }
    let begun = at_once([&world.store, &other], enrollments).await;
    let new = |begun: &&Result<Begun, StoreError>| matches!(begun, Ok(Begun::Recorded(_)));
    assert_eq!(begun.iter().filter(new).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_public_key_has_one_device_over_both() {
    let (world, other) = two().await;
    for _ in 0..4 {
        let mut enrollments: Vec<_> = (0..8).map(|_| world.enrollment(T0)).collect();
        let public_key = world.octets();
        for enrollment in &mut enrollments {
            crate::store::contract::device_of(enrollment).public_key = public_key;
        }
        let begun = at_once([&world.store, &other], enrollments).await;
        let mut recorded = 0;
        for begun in begun {
            match begun.unwrap() {
                Begun::Recorded(_) => recorded += 1,
                Begun::Refused(Refusal::PublicKeyTaken) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(recorded, 1);
    }
}

/// Orders through one replica while the other does `change`: none that begins is recorded after it. The order of audit
/// events is the order in which the device was locked.
async fn none_after(change: &str) {
    let (world, other) = two().await;
    for _ in 0..6 {
        let device = world.accepted_phone().await;
        let mut orders: Vec<_> = (0..6).map(|_| world.order(device, T0)).collect();
        for order in &mut orders {
            order_of(order).limits.amount_per_day = 100_000;
            order_of(order).limits.orders_per_day = 100;
        }
        let ordering = {
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { at_once([&store, &store], orders).await })
        };
        if change == "revoke" {
            let reason = Reason::KeyCompromise;
            other
                .revoke(&world.mobilis, device, reason, origin(), T0)
                .await
                .unwrap();
        } else {
            assert!(
                other
                    .release(&world.alfa, device, origin(), T0)
                    .await
                    .unwrap()
            );
        }
        // What is asked now, of any replica, is refused.
        let later = world.begin(world.order(device, T0), T0).await;
        assert!(matches!(later, Begun::Refused(_)), "{later:?}");
        ordering.await.unwrap();
        let leaves = world.inside.leaves().await;
        let of_device = leaves
            .iter()
            .filter(|leaf| leaf["device"] == device.to_string());
        let told: Vec<_> = of_device
            .map(|leaf| leaf["operation"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told.last().unwrap(), change, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_recorded_after_a_revocation_at_the_other() {
    none_after("revoke").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_recorded_after_a_release_at_the_other() {
    none_after("release").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_of_old_documents_is_recorded_after_a_load_at_the_other() {
    let (world, other) = two().await;
    let device = world.accepted_phone().await;
    for version in 1..=6 {
        let generation = world.generation().await;
        let orders = (0..5).map(|_| Operation {
            generation,
            ..world.order(
                device,
                T0.plus_seconds(i64::try_from(version).unwrap() * 90_000),
            )
        });
        let orders: Vec<_> = orders.collect();
        let ordering = {
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { at_once([&store, &store], orders).await })
        };
        let document = Document {
            institution: world.alfa.clone(),
            kind: DocumentKind::Policy,
            version,
            bytes: version.to_be_bytes().to_vec(),
        };
        let change = world.enacting(&document).await;
        other.propose(change, origin(), T0).await.unwrap();
        let mut late = world.order(device, T0);
        late.generation = generation;
        let late = world.begin(late, T0).await;
        assert!(matches!(late, Begun::Refused(Refusal::Stale)), "{late:?}");
        for begun in ordering.await.unwrap() {
            if let Begun::Recorded(intent) = begun.unwrap() {
                world.end(intent.id(), Ending::Failed("HSM"), T0).await;
            }
        }
        let leaves = world.inside.leaves().await;
        let of =
            |leaf: &&serde_json::Value| leaf["operation"] == "policy" || leaf["result"] == "BEGUN";
        let last = leaves.iter().rfind(of).unwrap();
        assert_eq!(last["operation"], "policy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crl_numbers_and_revocations_are_numbered_once_over_both() {
    let (world, other) = two().await;
    let mut phones = Vec::new();
    for _ in 0..12 {
        phones.push(world.phone().await);
    }
    let revocations = phones.into_iter().enumerate().map(|(place, device)| {
        let store = if place % 2 == 0 { &world.store } else { &other };
        let (store, mobilis) = (Arc::clone(store), world.mobilis.clone());
        tokio::spawn(async move {
            let reason = Reason::Superseded;
            store.revoke(&mobilis, device, reason, origin(), T0).await
        })
    });
    for revocation in revocations.collect::<Vec<_>>() {
        revocation.await.unwrap().unwrap();
    }
    let issuer = key(&world.mobilis, crate::domain::key::Purpose::DeviceCa);
    assert_eq!(world.store.crl_state(issuer).await.unwrap().revocations, 12);
    assert_eq!(world.store.revoked(issuer, 12, T0).await.unwrap().len(), 12);
    for number in 1..=4 {
        let lists = (0..8).map(|_| world.crl(number, 12, T0)).collect();
        let begun = at_once([&world.store, &other], lists).await;
        let mut new = Vec::new();
        for begun in begun {
            match begun.unwrap() {
                Begun::Refused(Refusal::CrlNumberTaken) => {}
                begun => new.push(recorded(begun).id()),
            }
        }
        assert_eq!(new.len(), 1, "CRLNumber {number}");
        world.end(new[0], signed("crl"), T0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_ends_at_both_one_stands() {
    let (world, other) = two().await;
    let device = world.accepted_phone().await;
    for _ in 0..5 {
        let intent = world.record(world.order(device, T0), T0).await;
        let end = |ending| Completion {
            intent: intent.id(),
            origin: origin(),
            ending,
        };
        let (one, two) = tokio::join!(
            world.store.complete(vec![end(signed("one"))], T0),
            other.complete(vec![end(signed("two"))], T0)
        );
        assert_eq!(one.unwrap(), two.unwrap());
    }
    let keys = world.store.keys(&world.alfa).await.unwrap().keys;
    assert_eq!(keys.iter().map(|key| key.signatures).sum::<u64>(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_until_its_time_has_passed_and_its_crls_with_it() {
    let settings = database(&CLUSTER).await;
    let (world, other) = two_on(settings.clone()).await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut claims = Vec::new();
    for replica in [one, two].repeat(8) {
        let store = Arc::clone(if replica == one { &world.store } else { &other });
        claims.push(tokio::spawn(async move {
            (replica, store.lead(replica).await.unwrap())
        }));
    }
    let mut leaders = HashSet::new();
    for claim in claims {
        if let (replica, Some(term)) = claim.await.unwrap() {
            assert_eq!(term, Term(1));
            leaders.insert(replica);
        }
    }
    assert_eq!(leaders.len(), 1);
    let (leader, follower) = if leaders.contains(&one) {
        (one, two)
    } else {
        (two, one)
    };
    let crl = |number, term| {
        let mut operation = world.crl(number, 0, T0);
        if let Subject::Crl(crl) = &mut operation.subject {
            crl.term = term;
        }
        operation
    };
    let first = world.record(crl(1, Term(1)), T0).await;
    world.end(first.id(), signed("crl"), T0).await;
    assert_eq!(other.lead(follower).await.unwrap(), None);

    // Its time passes, by the server's clock.
    let expire = "UPDATE lease SET expires_at = clock_timestamp() - interval '1 second'";
    Database(settings)
        .session()
        .await
        .batch(expire)
        .await
        .unwrap();
    assert_eq!(other.lead(follower).await.unwrap(), Some(Term(2)));
    assert_eq!(other.lead(follower).await.unwrap(), Some(Term(2)));
    assert_eq!(world.store.lead(leader).await.unwrap(), None);
    // What the first had prepared meanwhile is not begun.
    let late = world.begin(crl(2, Term(1)), T0).await;
    assert!(
        matches!(late, Begun::Refused(Refusal::NotLeader)),
        "{late:?}"
    );
    world.record(crl(2, Term(2)), T0).await;

    // Its time has not passed, but it steps down.
    other.step_down(follower).await.unwrap();
    let late = world.begin(crl(3, Term(2)), T0).await;
    assert!(
        matches!(late, Begun::Refused(Refusal::NotLeader)),
        "{late:?}"
    );
    let next = world.store.lead(leader).await.unwrap().unwrap();
    assert!(next.0 > 2, "{next:?}");
    assert_eq!(other.lead(follower).await.unwrap(), None);
    world.record(crl(3, next), T0).await;
}
