//! Owns what is tested of quotas: what replicas lend of one row, and that rows do not pile up.

use std::time::Duration;

use super::*;
use crate::{
    domain::{
        limit::{Scope, Window, Windows},
        quota::{Lent, Quota, QuotaAsk},
    },
    limits::lend,
};

pub(super) fn ask(
    institution: &str,
    device: u128,
    windows: &[(u64, u64, u64)],
    requests: u32,
) -> QuotaAsk {
    let each = |&(burst, back, seconds)| Window::new(burst, back, seconds).unwrap();
    QuotaAsk {
        quota: Quota {
            institution: institution.parse().unwrap(),
            scope: Scope::Device(Uuid::from_u128(device).into()),
            windows: Windows::new(&windows.iter().map(each).collect::<Vec<_>>()).unwrap(),
        },
        requests,
    }
}

pub(super) async fn lent(store: &dyn Store, asks: &[QuotaAsk]) -> Vec<Lent> {
    store.lend(asks, lend).await.unwrap().unwrap()
}

const AN_HOUR_EACH: (u64, u64, u64) = (5, 1, 3_600);

#[tokio::test]
async fn replicas_lend_what_every_window_has_and_each_quota_for_itself() {
    let settings = database(&CLUSTER).await;
    let store = PostgresStore::open(settings.clone()).await.unwrap();
    let other = PostgresStore::open(settings).await.unwrap();
    let slow = [(100, 100, 1), AN_HOUR_EACH];
    // Within one group the later ask sees what the earlier was lent.
    let asks = [ask("alfa", 1, &slow, 3), ask("alfa", 1, &slow, 1)];
    let both = lent(&store, &asks).await;
    assert_eq!((both[0].requests, both[1].requests), (3, 1));
    assert_eq!((both[0].refused, both[1].refused), (None, None));
    let rest = lent(&other, &[ask("alfa", 1, &slow, 3)]).await;
    let (window, wait) = rest[0].refused.unwrap();
    assert_eq!((rest[0].requests, window.burst().get()), (1, 5));
    let hour = Duration::from_secs(3_600);
    assert!(
        hour - Duration::from_secs(60) < wait && wait <= hour,
        "{wait:?}"
    );
    let none = lent(&store, &[ask("alfa", 1, &slow, 1)]).await;
    assert_eq!(none[0].requests, 0);
    assert_eq!(none[0].arrivals, rest[0].arrivals);
    // Another institution, device, or version of the windows.
    for apart in [
        ask("beta", 1, &slow, 5),
        ask("alfa", 2, &slow, 5),
        ask("alfa", 1, &[(100, 100, 1), (6, 1, 3_600)], 5),
    ] {
        assert_eq!(lent(&other, &[apart]).await[0].requests, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_lend_at_once_lend_no_more_than_the_windows_give() {
    let settings = database(&CLUSTER).await;
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(
            PostgresStore::open(settings.clone()).await.unwrap(),
        ));
    }
    // Two quotas, of which some ask for the one first and some for the other.
    let windows = [(40, 100, 1)];
    let asks = [ask("alfa", 1, &windows, 3), ask("alfa", 2, &windows, 3)];
    let tasks: Vec<_> = (0..60)
        .map(|turn| {
            let (store, mut asks) = (Arc::clone(&stores[turn % 3]), asks.clone());
            asks.rotate_left(turn % 2);
            tokio::spawn(async move {
                let mut lent = lent(&*store, &asks).await;
                lent.rotate_left(turn % 2);
                lent
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    for quota in 0..2 {
        let lent: Vec<&Lent> = all.iter().map(|both| &both[quota]).collect();
        let requests: u32 = lent.iter().map(|lent| lent.requests).sum();
        let moments = || lent.iter().map(|lent| lent.at);
        let time = moments().max().unwrap() - moments().min().unwrap();
        let back = u32::try_from(time.as_millis() / 10).unwrap();
        assert!(
            (40..=40 + back).contains(&requests),
            "{requests} in {time:?}"
        );
    }
}

#[tokio::test]
async fn what_is_as_good_as_new_goes_when_others_come() {
    let settings = database(&CLUSTER).await;
    let store = PostgresStore::open(settings.clone()).await.unwrap();
    let session = Database(settings).session().await;
    let busy = ask("alfa", 0, &[AN_HOUR_EACH], 1);
    lent(&store, &[busy]).await;
    for round in 0..20 {
        // Each recovers within a microsecond.
        let asks: Vec<_> = (1..=50)
            .map(|n| ask("alfa", round * 50 + n, &[(1, 1_000_000, 1)], 1))
            .collect();
        let lent = lent(&store, &asks).await;
        assert!(lent.iter().all(|lent| lent.requests == 1));
    }
    let count = |sql: &'static str| {
        let session = &session;
        async move { session.one(sql, &[]).await.unwrap().get::<_, i64>(0) }
    };
    let left = count("SELECT count(*) FROM quota").await;
    assert!((1..=101).contains(&left), "{left}");
    let busy = "SELECT count(*) FROM quota WHERE windows = '5+1/3600s'";
    assert_eq!(count(busy).await, 1);
}
