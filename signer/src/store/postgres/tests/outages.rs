//! Owns what is tested of a server that goes and comes, and of commits whose answer was lost.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::store::{
    Refusal, StoreError,
    contract::{T0, order_of, origin, reference, signed},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_unavailable_and_serves_again() {
    let cluster = Cluster::start().unwrap();
    let world = World::start(made(database(&cluster).await).await).await;
    let device = world.accepted_phone().await;
    let before = world.record(world.order(device, T0), T0).await;
    for _ in 0..2 {
        cluster.kill().unwrap();
        for refused in [
            world.store.ping().await.err(),
            world.store.generation().await.err(),
            world
                .store
                .begin(vec![world.order(device, T0)], T0)
                .await
                .err(),
        ] {
            let refused = refused.unwrap();
            assert!(
                matches!(&refused, StoreError::Unavailable(text) if text.contains("not reached")),
                "{refused}"
            );
        }
        cluster.start_again().unwrap();
        world.store.ping().await.unwrap();
        world.record(world.order(device, T0), T0).await;
    }
    // What was answered before stands.
    let end = world.end(before.id(), signed("authorization"), T0).await;
    assert!(end.artifact.is_some());
}

/// What the way to the server does with the next COMMIT.
const PASS: u8 = 0;
const LOSE_COMMIT: u8 = 1;
const LOSE_ANSWER: u8 = 2;

/// A way to the server that can lose a commit, or its answer.
struct Way {
    folder: tempfile::TempDir,
    next: AtomicU8,
    lost: AtomicUsize,
    server: PathBuf,
}

impl Way {
    fn to(cluster: &Cluster) -> Arc<Self> {
        let way = Arc::new(Self {
            folder: tempfile::tempdir().unwrap(),
            next: AtomicU8::new(PASS),
            lost: AtomicUsize::new(0),
            server: cluster.socket().join(format!(".s.PGSQL.{}", cluster::PORT)),
        });
        let socket = way
            .folder
            .path()
            .join(format!(".s.PGSQL.{}", cluster::PORT));
        let listener = UnixListener::bind(socket).unwrap();
        let listening = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Arc::clone(&listening);
                tokio::spawn(async move { way.carry(client).await });
            }
        });
        way
    }

    async fn carry(&self, mut client: UnixStream) {
        let mut server = UnixStream::connect(&self.server).await.unwrap();
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(read @ 1..) = read else { return };
                    let commit = asked[..read].windows(7).any(|word| word == b"COMMIT\0");
                    match self.next.load(Ordering::SeqCst) {
                        LOSE_COMMIT if commit => return self.loses(),
                        LOSE_ANSWER if commit => {
                            server.write_all(&asked[..read]).await.unwrap();
                            // It is answered, so it took place.
                            assert!(server.read(&mut answered).await.unwrap() > 0);
                            return self.loses();
                        }
                        _ => server.write_all(&asked[..read]).await.unwrap(),
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(read @ 1..) = read else { return };
                    if client.write_all(&answered[..read]).await.is_err() { return }
                }
            }
        }
    }

    fn loses(&self) {
        self.next.store(PASS, Ordering::SeqCst);
        self.lost.fetch_add(1, Ordering::SeqCst);
    }
}

/// What is told of the server, as text.
struct Told {
    registry: Registry,
    // What is recorded goes nowhere without it.
    _provider: SdkMeterProvider,
}

impl Told {
    fn new() -> (Self, Metrics) {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        let provider = SdkMeterProvider::builder().with_reader(reader.unwrap());
        let provider = provider.build();
        let metrics = Metrics::new(provider.meter("test"), []);
        let told = Self {
            registry,
            _provider: provider,
        };
        (told, metrics)
    }

    fn retries(&self, why: &str) -> u64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        let series = format!("semops_store_retries_total{{reason=\"{why}\"}} ");
        let text = text.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap().parse().unwrap()
    }
}

/// Everything that writes, each with its commit lost in this way: it is done once, and answered as what it was. So many of
/// them are made once more.
async fn done_once(loss: u8, again: u64) {
    let settings = database(&CLUSTER).await;
    let way = Way::to(&CLUSTER);
    let socket = way.folder.path().to_str().unwrap().to_owned();
    let (told, metrics) = Told::new();
    let through = Settings {
        hosts: vec![(socket, cluster::PORT)],
        metrics,
        ..settings.clone()
    };
    let world = World::start(Made {
        store: Arc::new(PostgresStore::open(through).await.unwrap()),
        ..made(settings).await
    })
    .await;
    let lose = || way.next.store(loss, Ordering::SeqCst);
    let device = world.phone().await;

    lose();
    world.accept(&world.alfa, device).await;
    lose();
    let mut order = world.order(device, T0);
    let jti = order_of(&mut order).jti;
    let begun = world.store.begin(vec![order], T0).await.unwrap().remove(0);
    let (Begun::Recorded(intent) | Begun::Resumed(intent)) = begun else {
        panic!("{begun:?}");
    };
    lose();
    let end = world.end(intent.id(), signed("authorization"), T0).await;
    assert_eq!(end.artifact.as_deref(), Some(&b"authorization"[..]));
    lose();
    world.load(DocumentKind::Policy, 1, "policy").await;
    lose();
    let event = crate::domain::audit::Event {
        object: Some("alone".to_owned()),
        reason: Some("AMOUNT_OVER_POLICY".to_owned()),
        ..crate::store::decision::done(&world.alfa, "authorization", device, origin())
    };
    world.store.audit(vec![event], T0).await.unwrap();
    lose();
    assert!(
        world
            .store
            .release(&world.alfa, device, origin(), T0)
            .await
            .unwrap()
    );
    lose();
    let revoked = world
        .store
        .revoke(&world.mobilis, device, Reason::KeyCompromise, origin(), T0)
        .await
        .unwrap();
    assert!(matches!(revoked, Revoked::Revoked(_)), "{revoked:?}");

    assert_eq!(way.lost.load(Ordering::SeqCst), 7);
    let leaves = world.inside.leaves().await;
    assert_eq!(told.retries("CONNECTION_LOST"), again);
    let told = |operation: &str, result: &str| {
        let about =
            |leaf: &&serde_json::Value| leaf["operation"] == operation && leaf["result"] == result;
        leaves.iter().filter(about).count()
    };
    for (operation, result) in [
        ("accept", "DONE"),
        ("authorization", "BEGUN"),
        ("authorization", "AUTHORIZED"),
        ("policy", "DONE"),
        ("authorization", "DONE"),
        ("release", "DONE"),
        ("revoke", "DONE"),
    ] {
        assert_eq!(told(operation, result), 1, "{operation} {result}");
    }
    let outcome = world.store.order(&world.alfa, device, jti).await.unwrap().1;
    assert_eq!(outcome, Some(end));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_made_again() {
    done_once(LOSE_COMMIT, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_not_made_twice() {
    done_once(LOSE_ANSWER, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_settled() {
    let settings = database(&CLUSTER).await;
    let world = World::start(made(settings.clone()).await).await;
    let (one, two) = (world.phone().await, world.phone().await);
    // Another program locks the second device, then waits for the first: against the order of the locks.
    let rival = Database(settings.clone()).session().await;
    let watch = Database(settings).session().await;
    let lock = |device: DeviceId| format!("SELECT 1 FROM device WHERE id = '{device}' FOR UPDATE");
    let (first, second) = if one.uuid() < two.uuid() {
        (one, two)
    } else {
        (two, one)
    };
    rival
        .batch(&format!("BEGIN; {}", lock(second)))
        .await
        .unwrap();
    let store = Arc::clone(&world.store);
    let orders = vec![world.order(first, T0), world.order(second, T0)];
    let group = tokio::spawn(async move { store.begin(orders, T0).await });
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watch.query(waits, &[]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // One of the two is rolled back by the server; if it is ours, it is done again.
    let _ = rival.batch(&lock(first)).await;
    let _ = rival.batch("ROLLBACK").await;
    let begun = group.await.unwrap().unwrap();
    let refused = |begun: &Begun| matches!(begun, Begun::Refused(Refusal::NotAccepted));
    assert!(begun.iter().all(refused), "{begun:?}");
    let account = reference("account");
    let generation = world.generation().await;
    let accepted = world
        .store
        .accept(&world.alfa, first, account, generation, origin(), T0);
    assert!(matches!(accepted.await.unwrap(), Accepted::Accepted(_)));
}

#[tokio::test]
async fn nothing_is_begun_by_a_clock_that_is_apart() {
    use std::sync::atomic::AtomicI64;
    static HANDS: AtomicI64 = AtomicI64::new(0);
    let settings = database(&CLUSTER).await;
    let world = World::start(made(settings.clone()).await).await;
    let device = world.accepted_phone().await;
    let pending = world.record(world.order(device, T0), T0).await;
    let clock = Clock::hands(&HANDS);
    let replica = PostgresStore::open(Settings { clock, ..settings })
        .await
        .unwrap();
    let set = |seconds| {
        let now = Clock::system().now().plus_seconds(seconds);
        HANDS.store(now.micros(), Ordering::SeqCst);
    };
    for seconds in [-3, 3] {
        set(seconds);
        let begun = replica.begin(vec![world.order(device, T0)], T0).await;
        for refused in [begun.err(), replica.ping().await.err()] {
            assert!(
                matches!(&refused, Some(StoreError::Clock(apart)) if apart.as_secs() <= 3),
                "{refused:?}"
            );
        }
        // What was recorded is read, and what was begun may end.
        replica.generation().await.unwrap();
    }
    let end = Completion {
        intent: pending.id(),
        origin: origin(),
        ending: signed("authorization"),
    };
    replica.complete(vec![end], T0).await.unwrap();
    set(0);
    replica.ping().await.unwrap();
    let begun = replica
        .begin(vec![world.order(device, T0)], T0)
        .await
        .unwrap();
    assert!(matches!(begun[..], [Begun::Recorded(_)]), "{begun:?}");
}
