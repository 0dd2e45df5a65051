//! Replays every seed and every finding, changes the seeds at random a fixed number of times, and holds the table of
//! targets against what lies in tests/fuzz.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzzed::{TARGETS, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How often each target's seeds are changed: always the same changes.
const CASES: u32 = 2_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Name and content of each seed of a target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_seed_is_judged_as_its_name_says() {
    let mut replayed = 0;
    for (target, check) in TARGETS {
        let mut accepted = 0;
        for (name, bytes) in seeds(target) {
            let expected = match name.split('-').next() {
                Some("good") => Some(Verdict::Accepted),
                Some("bad") => Some(Verdict::Refused),
                // A finding: that it holds is all that is asked.
                Some("found") => None,
                _ => panic!("{target}/{name}: a seed is good-, bad- or found-"),
            };
            let verdict = check(&bytes);
            assert!(
                expected.is_none_or(|expected| expected == verdict),
                "{target}/{name}: {verdict:?}"
            );
            accepted += u32::from(verdict == Verdict::Accepted);
            replayed += 1;
        }
        assert!(
            accepted > 0,
            "{target}: no seed is accepted, so nothing is checked"
        );
    }
    assert!(replayed >= 3 * TARGETS.len(), "{replayed}");
}

/// One change of bytes, at a place that is given as a fraction of their length.
#[derive(Clone, Debug)]
enum Change {
    Flip(u8),
    Put(Vec<u8>),
    Cut(usize),
    Repeat(usize),
    /// What stands at another fraction of another seed.
    Splice(prop::sample::Index, prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let telling = prop::sample::select(vec![
        "0", "9", "-", "+", ".", "\"", "{", "}", "[", "]", ",", "\\u0000", "\u{202e}", "\u{e9}",
        "e\u{301}", "\0", "=", "\n", "\r\n", "-----", "'''", "1e2", "null", "\u{ff}",
    ]);
    let kinds = prop_oneof![
        4 => (0..8_u8).prop_map(Change::Flip),
        3 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Change::Put),
        3 => telling.prop_map(|text| Change::Put(text.as_bytes().to_vec())),
        2 => (1..40_usize).prop_map(Change::Cut),
        1 => (1..40_usize).prop_map(Change::Repeat),
        1 => (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..80_usize)
            .prop_map(|(seed, at, length)| Change::Splice(seed, at, length)),
    ];
    (any::<prop::sample::Index>(), kinds)
}

fn changed(
    seeds: &[(String, Vec<u8>)],
    of: usize,
    changes: &[(prop::sample::Index, Change)],
) -> Vec<u8> {
    let mut bytes = seeds[of].1.clone();
    for (at, change) in changes {
        let at = at.index(bytes.len() + 1);
        let rest = bytes.len() - at;
        match change {
            Change::Flip(bit) if rest > 0 => bytes[at] ^= 1 << bit,
            Change::Flip(_) => bytes.push(0),
            Change::Put(new) => drop(bytes.splice(at..at, new.iter().copied())),
            Change::Cut(length) => drop(bytes.drain(at..at + rest.min(*length))),
            Change::Repeat(length) => {
                let again = bytes[at..at + rest.min(*length)].to_vec();
                bytes.splice(at..at, again);
            }
            Change::Splice(seed, from, length) => {
                let other = &seeds[seed.index(seeds.len())].1;
                let from = from.index(other.len() + 1);
                let end = other.len().min(from + length);
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn changed_seeds_break_no_property() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let case = (0..seeds.len(), prop::collection::vec(change(), 1..6));
        let ran = TestRunner::new_with_rng(config, rng).run(&case, |(of, changes)| {
            check(&changed(&seeds, of, &changes));
            Ok(())
        });
        ran.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}

#[test]
fn each_target_is_a_program_of_the_fuzzer_and_has_its_seeds() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let in_folder = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(in_folder("seeds"), names);
    assert_eq!(in_folder("fuzz_targets"), names);
    let manifest: toml::Table = fs::read_to_string(fuzz().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let programs = manifest["bin"].as_array().unwrap();
    let programs: BTreeSet<String> = programs
        .iter()
        .map(|program| {
            let (name, path) = (
                program["name"].as_str().unwrap(),
                program["path"].as_str().unwrap(),
            );
            let source = fs::read_to_string(fuzz().join(path)).unwrap();
            assert!(
                source.contains(&format!("fuzzed::fuzz(\"{name}\", bytes)")),
                "{path}"
            );
            name.to_owned()
        })
        .collect();
    assert_eq!(programs, names);
}
