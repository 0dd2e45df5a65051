//! The arrows between crates: who may depend on whom, read from each Cargo.toml.

use std::{fs, path::Path};

/// What a crate may depend on, besides the crates of others that have no rule of their own.
struct Crate {
    manifest: &'static str,
    /// Crates of this workspace; no others.
    ours: &'static [&'static str],
    /// Crates of this workspace for tests.
    ours_in_tests: &'static [&'static str],
    /// If given, all that it may depend on of others.
    others: Option<&'static [&'static str]>,
    /// Refused by name.
    never: &'static [&'static str],
}

/// Whatever speaks to the world.
const INPUT_AND_OUTPUT: &[&str] = &[
    "axum",
    "cryptoki",
    "hyper-util",
    "rusqlite",
    "rustix",
    "rustls",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "tonic",
];

const CRATES: &[Crate] = &[
    Crate {
        manifest: "proto/Cargo.toml",
        ours: &[],
        ours_in_tests: &[],
        others: Some(&["prost", "prost-types", "tonic", "tonic-prost"]),
        never: &[],
    },
    Crate {
        manifest: "pki/Cargo.toml",
        ours: &[],
        ours_in_tests: &[],
        others: None,
        never: INPUT_AND_OUTPUT,
    },
    Crate {
        manifest: "signer/objects/Cargo.toml",
        ours: &["semops-pki"],
        ours_in_tests: &[],
        others: None,
        never: INPUT_AND_OUTPUT,
    },
    Crate {
        manifest: "signer/ctl/Cargo.toml",
        ours: &["semops-objects", "semops-pki", "semops-proto"],
        ours_in_tests: &[],
        others: None,
        never: &["axum", "rusqlite", "tokio-postgres"],
    },
    Crate {
        manifest: "signer/Cargo.toml",
        ours: &["semops-objects", "semops-pki", "semops-proto"],
        ours_in_tests: &["softhsm-setup"],
        others: None,
        never: &[],
    },
    Crate {
        manifest: "softhsm-setup/Cargo.toml",
        ours: &["semops-objects", "semops-pki"],
        ours_in_tests: &[],
        others: None,
        never: &["axum", "rusqlite", "tokio-postgres", "tonic"],
    },
    // The scenarios drive the real binaries; they never call the service as a library.
    Crate {
        manifest: "tests/Cargo.toml",
        ours: &[
            "semops-objects",
            "semops-pki",
            "semops-proto",
            "semopsctl",
            "softhsm-setup",
        ],
        // For the benchmark, which measures the parts of the service alone.
        ours_in_tests: &["signer"],
        others: None,
        never: &[],
    },
    Crate {
        manifest: FOREIGN,
        ours: &[],
        ours_in_tests: &[],
        others: Some(&["cryptoki-sys", "serde", "toml"]),
        never: &[],
    },
    // What is fuzzed is the parsers themselves: nothing is served, signed or stored.
    Crate {
        manifest: "tests/fuzzed/Cargo.toml",
        ours: &[
            "fault-module",
            "semops-objects",
            "semops-pki",
            "semops-proto",
            "semopsctl",
            "signer",
            "softhsm-setup",
        ],
        ours_in_tests: &[],
        others: None,
        never: INPUT_AND_OUTPUT,
    },
];

/// A library for programs of C: the only crate that may have `unsafe`. Its other lints are those of the workspace.
const FOREIGN: &str = "tests/fault-module/Cargo.toml";

const OURS: &[&str] = &[
    "e2e",
    "fault-module",
    "fuzzed",
    "semops-objects",
    "semops-pki",
    "semops-proto",
    "semopsctl",
    "signer",
    "softhsm-setup",
];

/// The findings in every Cargo.toml below `workspace`.
pub(crate) fn findings(workspace: &Path) -> Vec<String> {
    let root = read(&workspace.join("Cargo.toml"));
    let members = root["workspace"]["members"].as_array().unwrap();
    let mut found: Vec<String> = members
        .iter()
        .map(|member| format!("{}/Cargo.toml", member.as_str().unwrap()))
        .filter(|manifest| CRATES.iter().all(|rules| rules.manifest != manifest))
        .map(|manifest| format!("{manifest}: no rule for this crate: say what it may depend on"))
        .collect();
    for rules in CRATES {
        found.extend(rules.check(&read(&workspace.join(rules.manifest))));
    }
    let own = read(&workspace.join(FOREIGN));
    found.extend(other_lints(&root["workspace"]["lints"], &own["lints"]));
    found
}

/// In what the lints of the one crate that has its own differ from the workspace's, besides `unsafe`.
fn other_lints(common: &toml::Value, own: &toml::Value) -> Vec<String> {
    let groups = common.as_table().unwrap().iter();
    let lints = groups.flat_map(|(group, lints)| {
        let lints = lints.as_table().unwrap().iter();
        lints.map(move |(lint, level)| (group, lint, level))
    });
    lints
        .filter(|(_, lint, _)| *lint != "unsafe_code")
        .filter(|(group, lint, level)| own[group.as_str()].get(lint) != Some(*level))
        .map(|(group, lint, _)| format!("{FOREIGN}: {group}::{lint} is not as in the workspace"))
        .collect()
}

fn read(path: &Path) -> toml::Table {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Crate {
    fn check(&self, manifest: &toml::Table) -> Vec<String> {
        let mut found = Vec::new();
        let mut refuse = |what: String| found.push(format!("{}: {what}", self.manifest));
        for name in names(manifest, "dependencies") {
            let is_ours = OURS.contains(&name);
            let listed = if is_ours {
                Some(self.ours)
            } else {
                self.others
            };
            if listed.is_some_and(|listed| !listed.contains(&name)) || self.never.contains(&name) {
                refuse(format!("must not depend on {name}"));
            }
        }
        for name in names(manifest, "dev-dependencies") {
            if OURS.contains(&name)
                && !self.ours.contains(&name)
                && !self.ours_in_tests.contains(&name)
            {
                refuse(format!("its tests must not depend on {name}"));
            }
        }
        if manifest.contains_key("features") {
            refuse("no cargo features: what is built is what is tested".to_owned());
        }
        let inherited = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if inherited.and_then(toml::Value::as_bool) != Some(true) && self.manifest != FOREIGN {
            refuse("must take the lints of the workspace".to_owned());
        }
        found
    }
}

fn names<'a>(manifest: &'a toml::Table, section: &str) -> impl Iterator<Item = &'a str> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table
        .into_iter()
        .flat_map(|table| table.keys().map(String::as_str))
}

#[test]
fn a_dependency_against_the_arrows_is_found() {
    let flagged = |manifest: &str, text: &str| {
        let rules = CRATES
            .iter()
            .find(|rules| rules.manifest == manifest)
            .unwrap();
        let inherited = format!("{text}\n[lints]\nworkspace = true\n");
        rules.check(&inherited.parse().unwrap()).len()
    };
    assert_eq!(flagged("pki/Cargo.toml", "[dependencies]\nder = '1'\n"), 0);
    assert_eq!(
        flagged("pki/Cargo.toml", "[dependencies]\ntokio = '1'\n"),
        1
    );
    assert_eq!(
        flagged("pki/Cargo.toml", "[dependencies]\nsemops-objects = '1'\n"),
        1
    );
    assert_eq!(
        flagged("proto/Cargo.toml", "[dependencies]\nrustls = '1'\n"),
        1
    );
    assert_eq!(
        flagged("signer/Cargo.toml", "[dependencies]\nsofthsm-setup = '1'\n"),
        1
    );
    assert_eq!(
        flagged(
            "signer/Cargo.toml",
            "[dev-dependencies]\nsofthsm-setup = '1'\n"
        ),
        0
    );
    assert_eq!(
        flagged("tests/Cargo.toml", "[dependencies]\nsigner = '1'\n"),
        1
    );
    assert_eq!(flagged("tests/Cargo.toml", "[features]\nfast = []\n"), 1);
    let bare = toml::Table::new();
    assert_eq!(CRATES[0].check(&bare).len(), 1, "lints");
    let lints = |text: &str| toml::Value::Table(text.parse().unwrap());
    let common = lints("rust.unsafe_code = 'forbid'\nrust.a = 'warn'\nclippy.b = 'warn'\n");
    let same = lints("rust.unsafe_code = 'allow'\nrust.a = 'warn'\nclippy.b = 'warn'\n");
    assert_eq!(other_lints(&common, &same).len(), 0);
    let fewer = lints("rust.a = 'allow'\nclippy.c = 'warn'\n");
    assert_eq!(other_lints(&common, &fewer).len(), 2);
}
