//! Owns the contract of the writer task, over each store.

use std::{
    future::{Future as _, poll_fn},
    task::Poll,
    time::Duration,
};

use super::*;
use crate::{
    clock::Clock,
    domain::{
        audit::{Event, Resulted},
        outcome::State,
    },
    metrics::Metrics,
    store::group::Group,
};

/// The group's clock is the system's, so these orders begin now.
fn now() -> Timestamp {
    Clock::system().now()
}

fn completion(intent: IntentId, ending: Ending) -> Completion {
    Completion {
        intent,
        origin: origin(),
        ending,
    }
}

fn event(world: &World) -> Event {
    Event {
        origin: origin(),
        institution: world.alfa.clone(),
        operation: "authorization",
        object: None,
        device: None,
        policy: None,
        key: None,
        result: Resulted::Refused,
        reason: None,
    }
}

pub(crate) async fn sixteen_at_once_record_one(world: World) {
    let device = world.accepted_phone().await;
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    for _ in 0..10 {
        let operation = world.order(device, now());
        let mut tasks = Vec::new();
        for _ in 0..16 {
            let (group, operation) = (group.clone(), operation.clone());
            tasks.push(tokio::spawn(async move {
                group.begin(operation).await.unwrap()
            }));
        }
        let (mut recorded, mut resumed) = (Vec::new(), 0);
        for task in tasks {
            match task.await.unwrap() {
                Begun::Recorded(intent) => recorded.push(intent.id),
                Begun::Resumed(_) => resumed += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((recorded.len(), resumed), (1, 15));
        group
            .complete(completion(recorded[0], Ending::Failed("HSM")))
            .await
            .unwrap();
    }
}

pub(crate) async fn of_two_ends_one_stands(world: World) {
    let device = world.accepted_phone().await;
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let rival = Arc::clone(&world.store);
    for round in 0..5 {
        let intent = world.record(world.order(device, now()), now()).await;
        let (one, other) = (
            completion(intent.id, signed("one")),
            completion(intent.id, signed("other")),
        );
        let (one, other) = tokio::join!(group.complete(one), rival.complete(vec![other], now()));
        let (one, other) = (one.unwrap(), other.unwrap().remove(0));
        assert_eq!(one, other, "{round}");
        assert_eq!(one.state, State::Authorized);
    }
}

pub(crate) async fn one_bad_element_fails_alone(world: World) {
    let device = world.accepted_phone().await;
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let mut intents = Vec::new();
    for _ in 0..4 {
        intents.push(world.record(world.order(device, now()), now()).await.id);
    }
    let hold = world.inside.hold().await;
    let end = |id| {
        let group = group.clone();
        tokio::spawn(async move {
            group
                .complete(completion(id, signed("authorization")))
                .await
        })
    };
    let never = IntentId {
        row: -1,
        ..intents[0]
    };
    // The first goes alone and waits for the lock; the others become one group behind it.
    let mut ends = vec![end(intents[0])];
    tokio::time::sleep(Duration::from_millis(50)).await;
    ends.extend([
        end(intents[1]),
        end(never),
        end(intents[2]),
        end(intents[3]),
    ]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(hold);
    let mut answers = Vec::new();
    for end in ends {
        answers.push(end.await.unwrap());
    }
    assert!(matches!(answers.remove(2), Err(StoreError::Violated(_))));
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().state == State::Authorized)
    );
}

pub(crate) async fn a_caller_that_goes_cancels_nothing(world: World) {
    let device = world.accepted_phone().await;
    let (group, writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let pending = world.record(world.order(device, now()), now()).await;
    let mut new = world.order(device, now());
    let jti = order_of(&mut new).jti;
    let hold = world.inside.hold().await;
    let short = Duration::from_millis(20);
    assert!(
        tokio::time::timeout(short, group.complete(completion(pending.id, signed("a"))))
            .await
            .is_err()
    );
    assert!(tokio::time::timeout(short, group.begin(new)).await.is_err());
    drop(hold);
    drop(group);
    writer.await.unwrap();
    assert_eq!(
        world
            .try_end(pending.id, Ending::Failed("HSM"), now())
            .await
            .unwrap()
            .state,
        State::Authorized
    );
    assert_eq!(
        world
            .store
            .order(&world.alfa, device, jti)
            .await
            .unwrap()
            .1
            .unwrap()
            .state,
        State::Pending
    );
}

pub(crate) async fn what_waits_is_written_before_the_end(world: World) {
    let (group, writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let hold = world.inside.hold().await;
    let tasks: Vec<_> = (0..600)
        .map(|_| {
            let (group, event) = (group.clone(), event(&world));
            tokio::spawn(async move { group.audit(event).await })
        })
        .collect();
    drop(group);
    drop(hold);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    writer.await.unwrap();
    assert_eq!(world.inside.leaves().await.len(), 600);
}

/// Fills the institution's share of the queue while the store is held. Answers how many callers were refused at once, and
/// the others' tasks.
async fn flood(
    world: &World,
    group: &Group,
) -> (usize, Vec<tokio::task::JoinHandle<Result<(), StoreError>>>) {
    let (mut refused, mut waiting) = (0, Vec::new());
    for _ in 0..1500 {
        // What the writer takes in hand makes room in the queue: it is to wait for the store with the first.
        while waiting.len() == 1 && group.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        let (group, event) = (group.clone(), event(world));
        let mut asked = Box::pin(async move { group.audit(event).await });
        match poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await {
            Poll::Ready(answer) => {
                assert!(
                    matches!(answer, Err(StoreError::QueueFull(_))),
                    "{answer:?}"
                );
                refused += 1;
            }
            Poll::Pending => waiting.push(tokio::spawn(asked)),
        }
    }
    (refused, waiting)
}

pub(crate) async fn begins_are_refused_when_too_many_wait(world: World) {
    let device = world.accepted_phone().await;
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let hold = world.inside.hold().await;
    let (refused, waiting) = flood(&world, &group).await;
    assert!(refused > 0, "the queue has a bound");
    let begun = group.begin(world.order(device, now())).await;
    assert!(matches!(begun, Err(StoreError::QueueFull(_))), "{begun:?}");
    drop(hold);
    let mut written = 0;
    for task in waiting {
        task.await.unwrap().unwrap();
        written += 1;
    }
    assert_eq!(written + refused, 1500);
    let events = world.inside.leaves().await;
    assert_eq!(
        events
            .iter()
            .filter(|leaf| leaf["result"] == "REFUSED")
            .count(),
        written
    );
    recorded(group.begin(world.order(device, now())).await.unwrap());
}

pub(crate) async fn a_full_share_stops_no_other_institution(world: World) {
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let hold = world.inside.hold().await;
    let (refused, _waiting) = flood(&world, &group).await;
    assert!(refused > 0, "alfa's share is full");
    let of_beta = Event {
        institution: "beta".parse().unwrap(),
        ..event(&world)
    };
    let group_of_beta = group.clone();
    let beta = tokio::spawn(async move { group_of_beta.audit(of_beta).await });
    let of_alfa = group.audit(event(&world)).await;
    assert!(matches!(of_alfa, Err(StoreError::QueueFull(_))));
    drop(hold);
    beta.await.unwrap().unwrap();
}

pub(crate) async fn ends_are_never_refused(world: World) {
    let device = world.accepted_phone().await;
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system(), Metrics::none());
    let pending = world.record(world.order(device, now()), now()).await;
    let hold = world.inside.hold().await;
    let (refused, _waiting) = flood(&world, &group).await;
    assert!(refused > 0, "the queue is full");
    let end =
        tokio::spawn(async move { group.complete(completion(pending.id, signed("a"))).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(hold);
    assert_eq!(end.await.unwrap().unwrap().state, State::Authorized);
}
