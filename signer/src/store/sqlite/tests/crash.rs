//! Owns the crash: a process that writes is killed, and whatever it had been answered is there.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use uuid::Uuid;

use super::*;
use crate::{
    clock::Clock,
    domain::outcome::{Ending, State},
    metrics::Metrics,
    store::{Completion, contract::order_of, group::Group},
};

/// Names the file to the child, and the phone whose orders it records.
const FILE: &str = "STORE_CRASH_FILE";
const DEVICE: &str = "STORE_CRASH_DEVICE";

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let (made, path) = make_file();
    let world = World::start(made).await;
    let device = world.accepted_phone().await;
    for round in 1..=3 {
        let answered = write_and_kill(&path, device, 100 * round);
        let reopened = SqliteStore::open(&path, READERS).unwrap();
        for (jti, signed) in &answered {
            let (_, found) = reopened.order(&world.alfa, device, *jti).await.unwrap();
            let outcome = found.unwrap();
            if *signed {
                assert_eq!(outcome.state, State::Authorized);
                assert_eq!(outcome.artifact.unwrap(), jti.as_bytes());
            }
        }
        assert!(answered.values().filter(|signed| **signed).count() >= 50);
    }
    assert_whole(&File(path).open());
}

/// Runs a child that writes until `count` orders were answered, and kills it. Answers which, and whether signed.
fn write_and_kill(path: &Path, device: DeviceId, count: usize) -> BTreeMap<Uuid, bool> {
    let name = "store::sqlite::tests::crash::writes_until_it_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FILE, path)
        .env(DEVICE, device.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = BTreeMap::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((word, jti)) = line.split_once(' ') else {
            panic!("{line}")
        };
        answered.insert(jti.parse().unwrap(), word == "signed");
        if answered.len() == count {
            // SIGKILL; what it had written to the pipe is still read.
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it ended by the signal");
    answered
}

/// What was written without an answer is whole as well: an event for each row, and for each end.
fn assert_whole(connection: &Connection) {
    let count = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    let events = |result: &str| {
        count(&format!(
            "SELECT count(*) FROM audit WHERE leaf LIKE '%\"result\":\"{result}\"%'"
        ))
    };
    assert_eq!(events("BEGUN"), count("SELECT count(*) FROM operation"));
    let authorized = "SELECT count(*) FROM operation WHERE state = 'AUTHORIZED'";
    assert_eq!(events("AUTHORIZED"), count(authorized));
    let found: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of what_was_answered_survives_a_kill"]
async fn writes_until_it_is_killed() {
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let device: DeviceId = std::env::var(DEVICE).unwrap().parse().unwrap();
    let store = Arc::new(SqliteStore::open(&path, READERS).unwrap());
    let (group, _writer) = Group::start(store, Clock::system(), Metrics::none());
    let template = World::start(make())
        .await
        .order(device, Clock::system().now());
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(write(group.clone(), template.clone())))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(group: Group, template: Operation) {
    loop {
        let jti = Uuid::now_v7();
        let mut operation = template.clone();
        operation.expires_at = Clock::system().now().plus_seconds(60);
        let order = order_of(&mut operation);
        order.jti = jti;
        (order.limits.amount_per_day, order.limits.orders_per_day) = (u64::MAX, u64::MAX);
        let Begun::Recorded(intent) = group.begin(operation).await.unwrap() else {
            panic!("not recorded")
        };
        tell("begun", jti);
        let ending = Ending::Signed(jti.as_bytes().to_vec());
        let completion = Completion {
            intent: intent.id,
            origin: origin(),
            ending,
        };
        group.complete(completion).await.unwrap();
        tell("signed", jti);
    }
}

/// In one write, so that a kill cuts no line.
fn tell(word: &str, jti: Uuid) {
    std::io::stderr()
        .write_all(format!("{word} {jti}\n").as_bytes())
        .unwrap();
}
