//! An institution that joins a standing directory: what it gets, and that nothing else changes.

use std::fs;

use semops_objects::trust::TrustDocument;
use softhsm_setup::directory::{Directory, Hierarchy};
use softhsm_setup::error::SetupError;
use softhsm_setup::scheme::{Newcomer, Role};
use softhsm_setup::{Added, Edge, add};

use crate::chains::openssl_verify;
use crate::{contents, edge, go_on, id, own, scheme};

pub(crate) fn join(directory: &Directory, text: &str) -> Result<Added, SetupError> {
    add(directory.path(), text, &edge(), &mut go_on)
}

fn trusted(directory: &Directory, file: &str) -> (u64, Vec<String>) {
    let bytes = fs::read(directory.path().join("documents").join(file)).unwrap();
    let trust = TrustDocument::parse(&bytes, scheme().oids()).unwrap();
    let institutions = trust.trusted().iter();
    let institutions = institutions.map(|trusted| trusted.institution().to_string());
    (trust.version(), institutions.collect())
}

#[test]
fn a_newcomer_gets_what_it_needs_and_all_else_stays_byte_for_byte() {
    let (_folder, made) = own();
    // As an operator would leave it: with a comment, and without an end of line.
    let mut config = fs::read_to_string(made.config()).unwrap();
    config.push_str("\n# The next token comes in spring.");
    fs::write(made.config(), &config).unwrap();
    let before = contents(made.path());

    let added = join(&made, Newcomer::EXAMPLE).unwrap();
    let after = contents(made.path());
    for (path, content) in &before {
        if *path == made.config() {
            assert!(after[path].0.starts_with(config.as_bytes()));
            assert_eq!(after[path].1, content.1);
        } else {
            assert_eq!(after[path], *content, "{}", path.display());
        }
    }
    let gamma = id("gamma");
    let ids = fs::read_to_string(made.config())
        .unwrap()
        .parse::<toml::Table>()
        .unwrap();
    let ids = ids["institution"].as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|table| table["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["alfa", "beta", "mobilis", "gamma"]);

    for hierarchy in [Hierarchy::Device, Hierarchy::Signing] {
        let (root, crls) = (made.root(hierarchy), [made.root_crl(hierarchy)]);
        let (good, said) = openssl_verify(&root, &crls, &[], &made.ca(hierarchy, &gamma));
        assert!(good, "{said}");
    }
    let crls = [
        made.root_crl(Hierarchy::Signing),
        made.ca_crl(Hierarchy::Signing, &gamma),
    ];
    let chain = made.authorization_chain(&gamma);
    let (good, said) = openssl_verify(&made.root(Hierarchy::Signing), &crls, &[], &chain);
    assert!(good, "{said}");
    let chain = made.caller(&gamma, Role::Payments, "backend").chain;
    let purpose = ["-purpose", "sslclient"];
    let (good, said) = openssl_verify(&made.root(Hierarchy::Tls), &[], &purpose, &chain);
    assert!(good, "{said}");

    // Both sides: whom it trusts, and who trusts it from the next version on.
    let both = vec!["alfa".to_owned(), "gamma".to_owned()];
    assert_eq!(trusted(&made, "gamma-trust.toml"), (1, both));
    let all = ["alfa", "beta", "gamma"].map(str::to_owned).into();
    assert_eq!(trusted(&made, "alfa-trust-2.toml"), (2, all));
    assert!(!made.next_trust(&id("beta"), 2).exists());
    let [next] = added.trust_documents.as_slice() else {
        panic!("alfa's alone");
    };
    assert_eq!((next.institution.as_str(), next.version), ("alfa", 2));
    assert!(added.stale.is_empty());
    // Its profile leads to the same service.
    let profile = |institution| {
        let file = made
            .caller(&id(institution), Role::Auditor, "audit")
            .profile;
        let profile: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
        (profile["endpoint"].clone(), profile["server"].clone())
    };
    assert_eq!(profile("gamma"), profile("alfa"));
}

#[test]
fn newcomers_join_one_after_the_other_and_each_once() {
    let (_folder, made) = own();
    join(&made, Newcomer::EXAMPLE).unwrap();
    let before = contents(made.path());
    let again = join(&made, Newcomer::EXAMPLE).unwrap_err();
    assert!(matches!(again, SetupError::Scheme(_)), "{again}");
    assert!(
        again
            .to_string()
            .contains("gamma is an institution of this directory already")
    );
    assert_eq!(contents(made.path()), before);

    // delta trusts gamma, and alfa's third version follows its second.
    let delta = Newcomer::EXAMPLE
        .replace("id = \"gamma\"", "id = \"delta\"")
        .replace("trusts = [\"alfa\", \"gamma\"]", "trusts = [\"gamma\"]");
    join(&made, &delta).unwrap();
    assert_eq!(
        trusted(&made, "delta-trust.toml"),
        (1, vec!["gamma".to_owned()])
    );
    let all = ["alfa", "beta", "gamma", "delta"].map(str::to_owned).into();
    assert_eq!(trusted(&made, "alfa-trust-3.toml"), (3, all));
}

#[test]
fn the_operator_may_join_with_the_tls_ca_that_it_has() {
    let (_folder, made) = own();
    let operator = id("operator");
    let tls_ca = fs::read(made.ca(Hierarchy::Tls, &operator)).unwrap();
    let text = Newcomer::EXAMPLE
        .replace("id = \"gamma\"", "id = \"operator\"")
        .replace("trusts = [\"alfa\", \"gamma\"]", "trusts = []");
    join(&made, &text).unwrap();
    assert_eq!(
        fs::read(made.ca(Hierarchy::Tls, &operator)).unwrap(),
        tls_ca
    );
    let callers: toml::Table = fs::read_to_string(made.callers(&operator))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(callers["tls_ca"].as_str().unwrap().as_bytes(), tls_ca);
}

#[test]
fn a_crl_that_has_run_out_is_named() {
    let (_folder, made) = own();
    let later = Edge {
        now: edge().now + 31 * 86_400,
        ..edge()
    };
    let added = add(made.path(), Newcomer::EXAMPLE, &later, &mut go_on).unwrap();
    assert_eq!(added.stale, [id("alfa")]);
}
