//! What must hold of the service whatever a worker process says: a module that was taken over sits in it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use signer::domain::key::KeyId;
use signer::hsm::{Health, Key, Rehearsal, Settings, Token, TokenReport};
use signer::metrics::Metrics;

use crate::Verdict::{self, Accepted, Refused};
use crate::material::public;

/// Instruments that record nothing.
static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::none);

const THREADS: usize = 2;
const WORKERS: usize = 2;
/// A text of a process may have so many characters, so that call and code of a fault have twice as many.
const LONGEST_TEXT: usize = 1_000;

/// What a worker process says in its life, packet after packet, each behind its length in two octets. It is replaced by one
/// that says the same.
///
/// # Panics
/// A property does not hold, or there is no socket.
pub fn worker(bytes: &[u8]) -> Verdict {
    let packets = packets(bytes);
    let mut rehearsal = Rehearsal::new(settings(), token(), &METRICS);
    let mut asked = 0;
    let mut verdict = Refused;
    for life in 0..2 * WORKERS {
        let soon = Instant::now() + Duration::from_secs(60);
        asked += usize::from(rehearsal.ask(soon).is_ok()) * 2;
        let (report, heard) = rehearsal.life(life % WORKERS, &packets).unwrap();
        assert!(heard < packets.len().max(1));
        if let Some(report) = &report {
            holds_of_report(report);
            verdict = verdict.any(if heard > 0 { Accepted } else { Refused });
        }
        let gauges = rehearsal.gauges();
        assert_eq!((gauges.workers, gauges.threads, gauges.busy), (0, 0, 0));
        assert!(gauges.sessions == 0 && gauges.waiting <= gauges.capacity + WORKERS * THREADS);
        holds_of_health(&rehearsal.health());
    }
    let came = rehearsal.end();
    assert!(came.len() >= asked);
    for came in came {
        // Whoever asked has an answer, whatever it is: signatures are verified where they are asked for.
        let came = came.expect("a result for whoever waits");
        assert!(came.is_err() || came.is_ok_and(|octets| octets.len() <= usize::from(u16::MAX)));
    }
    verdict
}

fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (packet, rest) = rest.split_at(length);
        packets.push(packet);
        bytes = rest;
    }
    packets
}

fn holds_of_report(report: &TokenReport) {
    assert!((1..=THREADS).contains(&report.threads));
    assert_eq!((report.label.as_str(), report.keys.len()), ("alfa", 1));
    assert_eq!(report.keys[0].id, KEY);
    // Seven lines of the token, two of each key: no text in it makes another one.
    assert_eq!(report.to_string().lines().count(), 9);
}

fn holds_of_health(health: &Health) {
    let (Health::Failing(fault) | Health::Fatal(fault) | Health::Replacing(fault)) = health else {
        return;
    };
    for said in [fault.call(), fault.code()] {
        assert!(said.chars().count() <= LONGEST_TEXT && !said.contains(char::is_control));
    }
    assert!(!fault.advice().is_empty());
}

/// The key that the process was told to use.
pub const KEY: KeyId = KeyId::new([7; 32]);

fn token() -> Token {
    Token {
        institution: "alfa".parse().unwrap(),
        label: "alfa".to_owned(),
        pin: "1234".to_owned().into(),
        keys: vec![Key {
            id: KEY,
            label: "authorization".to_owned(),
            public: public().clone(),
        }],
    }
}

fn settings() -> Settings {
    Settings {
        program: Settings::THIS_PROGRAM.into(),
        module: "/module.so".into(),
        environment: Vec::new(),
        network: false,
        workers: WORKERS,
        hung: Duration::from_secs(10),
        threads: THREADS,
        queue: 4,
    }
}

/// The same messages, written down once more: what the seeds are made of.
pub mod said {
    /// The first answer.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Begun {
        /// What was found.
        #[prost(message, optional, tag = "1")]
        pub report: Option<Report>,
        /// Why it is not taken up.
        #[prost(message, optional, tag = "2")]
        pub refused: Option<Refused>,
    }

    /// Why the token is not taken up.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Refused {
        /// In words.
        #[prost(string, tag = "1")]
        pub text: String,
    }

    /// What was found of the token.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Report {
        /// The module.
        #[prost(string, tag = "1")]
        pub library: String,
        /// The token.
        #[prost(string, tag = "3")]
        pub token: String,
        /// Threads that serve.
        #[prost(uint32, tag = "5")]
        pub threads: u32,
        /// What the token can do.
        #[prost(string, repeated, tag = "7")]
        pub mechanisms: Vec<String>,
        /// Its keys.
        #[prost(message, repeated, tag = "8")]
        pub keys: Vec<Key>,
    }

    /// A key.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Key {
        /// CKA_ID.
        #[prost(bytes = "vec", tag = "1")]
        pub id: Vec<u8>,
        /// CKA_LABEL.
        #[prost(string, tag = "2")]
        pub label: String,
    }

    /// What came of a job.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Answer {
        /// Of which; 0 of none.
        #[prost(uint64, tag = "1")]
        pub id: u64,
        /// 0 done, 1 expired, 2 failed.
        #[prost(int32, tag = "2")]
        pub ending: i32,
        /// The result.
        #[prost(bytes = "vec", tag = "3")]
        pub octets: Vec<u8>,
        /// How long it took.
        #[prost(uint64, tag = "4")]
        pub nanos: u64,
        /// The calls that failed.
        #[prost(message, repeated, tag = "5")]
        pub failures: Vec<Failure>,
        /// Sessions that are open.
        #[prost(uint32, tag = "6")]
        pub sessions: u32,
        /// Logins that were made.
        #[prost(uint64, tag = "7")]
        pub logins: u64,
    }

    /// A call that failed.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Failure {
        /// Its name.
        #[prost(string, tag = "1")]
        pub call: String,
        /// What it returned.
        #[prost(string, tag = "2")]
        pub code: String,
        /// 0 fatal, 1 retry, 2 relogin, 3 restart, 4 reject.
        #[prost(int32, tag = "3")]
        pub class: i32,
    }
}
