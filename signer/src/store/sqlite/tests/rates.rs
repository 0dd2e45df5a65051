//! Owns the measurement of rows per second and of a read's time; not a test, for it depends on the machine.

use std::time::Instant;

use semops_pki::algorithm::sha256;
use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    domain::outcome::Ending,
    store::{Completion, contract::order_of, group::Group},
};

const ORDERS: usize = 4096;
/// So many that each has a few tens of orders in its day, as a busy phone has.
const PHONES: usize = 512;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it alone, with --nocapture"]
async fn rates() {
    let world = World::start(make()).await;
    let mut devices = Vec::new();
    for _ in 0..PHONES {
        devices.push(world.accepted_phone().await);
    }
    let operations = |count: usize| -> Vec<Operation> {
        let operation = |number: usize| {
            let mut operation = world.order(devices[number % devices.len()], Clock::system().now());
            operation.to_be_signed = vec![b'x'; 700];
            let order = order_of(&mut operation);
            order.order_jws = "x".repeat(600);
            (order.limits.amount_per_day, order.limits.orders_per_day) = (u64::MAX, u64::MAX);
            operation
        };
        (0..count).map(operation).collect()
    };
    for size in [1, 64, 256] {
        let count = if size == 1 { ORDERS / 8 } else { ORDERS };
        let all = operations(count);
        let started = Instant::now();
        for group in all.chunks(size) {
            let now = Clock::system().now();
            let begun = world.store.begin(group.to_vec(), now).await.unwrap();
            let completion = |begun| match begun {
                Begun::Recorded(intent) => Completion {
                    intent: intent.id,
                    origin: origin(),
                    ending: Ending::Signed(vec![b'y'; 800]),
                },
                other => panic!("{other:?}"),
            };
            let completions = begun.into_iter().map(completion).collect();
            world.store.complete(completions, now).await.unwrap();
        }
        report(
            &format!("begin and complete, {size} in a group"),
            count,
            started,
        );
    }
    through_the_writer_task(&world, operations(ORDERS)).await;
    let certificate = sha256(devices[0].to_string().as_bytes());
    let started = Instant::now();
    for _ in 0..ORDERS {
        world
            .store
            .recall_order(&world.alfa, certificate, Uuid::nil())
            .await
            .unwrap();
    }
    report("recall, one after another", ORDERS, started);
}

async fn through_the_writer_task(world: &World, operations: Vec<Operation>) {
    let (group, _writer) = Group::start(Arc::clone(&world.store), Clock::system());
    let started = Instant::now();
    let mut tasks = Vec::new();
    for operations in operations.chunks(ORDERS / 64) {
        let (group, operations) = (group.clone(), operations.to_vec());
        tasks.push(tokio::spawn(async move {
            for operation in operations {
                let Begun::Recorded(intent) = group.begin(operation).await.unwrap() else {
                    panic!("not recorded")
                };
                let ending = Ending::Signed(vec![b'y'; 800]);
                group
                    .complete(Completion {
                        intent: intent.id,
                        origin: origin(),
                        ending,
                    })
                    .await
                    .unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    report(
        "begin and complete, 64 callers of the writer task",
        ORDERS,
        started,
    );
}

fn report(what: &str, count: usize, started: Instant) {
    let each = started.elapsed().as_secs_f64() / f64::from(u32::try_from(count).unwrap());
    println!(
        "{what}: {:.0} per second, {:.0} us each",
        each.recip(),
        each * 1e6
    );
}
