//! Reads the sources of the workspace and fails on what goes against its arrows: an import, a dependency, a call that
//! has one place, a file or function that has grown too long. The rules are tables in layering/rules.rs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

#[path = "layering/manifests.rs"]
mod manifests;
#[path = "layering/rules.rs"]
mod rules;
#[path = "layering/source.rs"]
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rules::{ARROWS, FILE, FUNCTION, IMPURE, OPERATION, PLACES, PURE};
use source::Source;

#[test]
fn the_sources_follow_the_arrows() {
    let signer = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = signer.parent().unwrap();
    let mut found = manifests::findings(workspace);
    found.extend(arrows_of("", &signer.join("src")));
    found.extend(arrows_of("pki", &workspace.join("pki/src")));
    found.extend(arrows_of("objects", &signer.join("objects/src")));
    found.extend(tokens_of(&signer.join("ctl/src")));
    for folder in ["proto", "pki", "signer", "softhsm-setup", "tests"] {
        for file in rust_files(&workspace.join(folder)) {
            found.extend(lengths_of(&file, workspace));
        }
    }
    assert!(
        found.is_empty(),
        "{} against the house plan:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Findings in the sources of one crate; `owner` names a crate that is one module to the rules, empty for `signer`.
fn arrows_of(owner: &str, root: &Path) -> Vec<String> {
    let sources: Vec<(PathBuf, Vec<String>, Source)> = rust_files(root)
        .into_iter()
        .map(|path| {
            let module = module_of(path.strip_prefix(root).unwrap());
            let text = fs::read_to_string(&path).unwrap();
            let source = source::read(&text, if module == ["main"] { &[] } else { &module });
            (path, module, source)
        })
        .collect();
    assert!(!sources.is_empty(), "{}: no sources", root.display());
    let for_tests: Vec<&Vec<String>> = sources
        .iter()
        .flat_map(|(_, _, source)| &source.test_modules)
        .collect();
    let shipped = |module: &[String]| !for_tests.iter().any(|test| module.starts_with(test));
    let mut found = Vec::new();
    for (path, module, source) in sources.iter().filter(|(_, module, _)| shipped(module)) {
        let top = if owner.is_empty() {
            module.first().map_or("lib", String::as_str)
        } else {
            owner
        };
        let shown = path.strip_prefix(root.parent().unwrap()).unwrap().display();
        for (line, what) in judge(top, source) {
            found.push(format!("{owner}/{shown}:{line}: {what}"));
        }
    }
    found
}

/// What the paths of a file in the top-level module `top` have against them, each matter at its first line.
fn judge(top: &str, source: &Source) -> Vec<(usize, String)> {
    let arrows = ARROWS.iter().find(|(module, _)| *module == top);
    let mut found = Vec::new();
    if arrows.is_none() && !["pki", "objects", "lib"].contains(&top) {
        found.push((
            1,
            format!("`{top}` is not in the table of modules: say what it may name"),
        ));
    }
    for mention in &source.mentions {
        let path = spelled(&mention.path, top);
        let against = [
            arrows.and_then(|(_, allowed)| against_arrows(&path, top, allowed)),
            out_of_place(&path, top),
            not_pure(&path, top),
        ];
        for what in against.into_iter().flatten() {
            if found.iter().all(|(_, known)| *known != what) {
                found.push((mention.line, what));
            }
        }
    }
    found
}

/// Where the command line reaches for a PKCS#11 token outside the one module that may: a custodian's approval key.
fn tokens_of(root: &Path) -> Vec<String> {
    let place = root.join("custody/token.rs");
    let mut found = Vec::new();
    let mut in_place = false;
    for path in rust_files(root) {
        let text = fs::read_to_string(&path).unwrap();
        let source = source::read(&text, &[]);
        let paths = source
            .mentions
            .iter()
            .map(|mention| mention.path.join("::"));
        let named = paths.into_iter().any(|path| below(&path, "cryptoki"));
        if path == place {
            in_place = named;
        } else if named {
            found.push(format!("{}: `cryptoki` has no place here", path.display()));
        }
    }
    assert!(in_place, "{}: no token is reached", place.display());
    found
}

fn against_arrows(path: &str, top: &str, allowed: &[&str]) -> Option<String> {
    let named = path.strip_prefix("crate::")?.split("::").next()?;
    let is_module = ARROWS.iter().any(|(module, _)| *module == named);
    let refused = is_module && named != top && !allowed.contains(&named);
    refused.then(|| format!("`{top}` must not name `{named}`"))
}

fn out_of_place(path: &str, top: &str) -> Option<String> {
    let refused =
        |(prefix, places): &&(&str, &[&str])| below(path, prefix) && !places.contains(&top);
    let (prefix, _) = PLACES.iter().find(refused)?;
    Some(format!("`{prefix}` has no place in `{top}`"))
}

fn not_pure(path: &str, top: &str) -> Option<String> {
    let reached = IMPURE.iter().find(|prefix| below(path, prefix))?;
    PURE.contains(&top)
        .then(|| format!("`{top}` decides and must not reach for `{reached}`"))
}

/// A path in one spelling: `main` sees the library as `signer`, and `core` is `std`.
fn spelled(path: &[String], top: &str) -> String {
    let joined = path.join("::");
    match joined.split_once("::") {
        Some(("signer", rest)) if top == "main" => format!("crate::{rest}"),
        Some(("core" | "alloc", rest)) => format!("std::{rest}"),
        _ => joined,
    }
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn lengths_of(path: &Path, workspace: &Path) -> Vec<String> {
    let shown = path.strip_prefix(workspace).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE {
        found.push(format!(
            "{}: {lines} lines; a file has {FILE} at most",
            shown.display()
        ));
    }
    let is_test = shown.iter().any(|part| {
        ["e2e", "benches", "tests.rs", "contract", "interleavings"]
            .contains(&part.to_str().unwrap_or_default())
    }) || (shown.iter().any(|part| part == "tests")
        && !shown.starts_with("tests/src"));
    if is_test {
        return found;
    }
    let limit = if shown.starts_with("signer/src/authority") {
        OPERATION
    } else {
        FUNCTION
    };
    for function in source::read(&text, &[]).functions {
        if function.length > limit {
            let source::Function { name, line, length } = function;
            found.push(format!(
                "{}:{line}: `{name}` has {length} lines; {limit} at most",
                shown.display()
            ));
        }
    }
    found
}

/// `hsm/pool.rs` is `["hsm", "pool"]`, `hsm/mod.rs` is `["hsm"]`, `lib.rs` is the root.
fn module_of(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let parts = stem.iter().map(|part| part.to_str().unwrap().to_owned());
    parts
        .filter(|part| part != "mod" && part != "lib")
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// How many findings `text` has as a file of `module`.
fn flagged(module: &str, text: &str) -> usize {
    let path: Vec<String> = module.split("::").map(str::to_owned).collect();
    let top = path[0].clone();
    judge(&top, &source::read(text, &path)).len()
}

#[test]
fn what_goes_against_the_arrows_is_flagged() {
    let cases = [
        ("store::sqlite", "use crate::hsm::Key;"),
        ("hsm::pool", "use crate::store;"),
        ("hsm", "use crate::{domain, store::{Intent, self}};"),
        ("hsm::pool", "use super::super::store::Intent;"),
        ("policy", "fn f() { crate::store::open(); }"),
        ("domain", "use crate::policy::Approved;"),
        ("rpc::cosigning", "use crate::signing::Draft;"),
        ("authority::cosign", "use crate::rpc;"),
        ("authority::cosign", "use crate::hsm::Signer;"),
        (
            "authority::cosign",
            "use crate::hsm; fn f(s: hsm::Signer) {}",
        ),
        ("authority::cosign", "use tonic::Status;"),
        ("store", "fn f() -> tonic::Status {}"),
        ("signing", "use cryptoki::session::Session as S;"),
        ("hsm", "fn f(c: rusqlite::Connection) {}"),
        ("rpc", "use axum::Router;"),
        ("rpc", "#[axum::debug_handler] fn f() {}"),
        ("rpc", "fn f() { vec![std::time::SystemTime::now()]; }"),
        (
            "store",
            "use std::time::SystemTime; fn f() { SystemTime::now(); }",
        ),
        (
            "store",
            "use std::time::{self as t}; fn f() { t::SystemTime::now(); }",
        ),
        (
            "store",
            "use std::time::SystemTime as Wall; const F: fn() = Wall::now;",
        ),
        ("authority", "fn f() { uuid::Uuid::now_v7(); }"),
        ("server", "use std::env; fn f() { env::set_var(1, 2) }"),
        ("hsm", "fn f() { unsafe { g() } }"),
        ("authority", "use semops_pki::local_key::LocalKey;"),
        ("pki", "use std::fs::File;"),
        ("objects", "async fn f() { tokio::time::sleep(d).await }"),
        ("policy", "mod inner { use super::super::store; }"),
        ("brand_new", "fn f() {}"),
        ("main", "use signer::store::Store;"),
    ];
    for (module, text) in cases {
        assert_ne!(flagged(module, text), 0, "{module}: {text}");
    }
}

#[test]
fn what_follows_the_arrows_is_not_flagged() {
    let cases = [
        (
            "store",
            "// use crate::hsm;\n/* tonic::Status */ /// crate::hsm::Signer\nfn f() {}",
        ),
        ("store", "const S: &str = \"crate::hsm::Signer unsafe\";"),
        (
            "store",
            "#[cfg(test)]\nmod tests { use crate::hsm; fn f() { std::time::SystemTime::now(); } }",
        ),
        (
            "store",
            "#[cfg(test)]\n#[allow(x)]\nmod tests;\nuse rusqlite::Connection;",
        ),
        (
            "hsm",
            "use cryptoki::session::Session; use self::pool::Pool; use super::domain::key::KeyId;",
        ),
        (
            "signing",
            "use crate::{hsm::Signer, store::{Intent, Store}, policy::Approved};",
        ),
        (
            "rpc",
            "fn f(x: X) -> Result<(), tonic::Status> { x.store::<u8>().tokio }",
        ),
        ("clock", "fn f() { std::time::SystemTime::now(); }"),
        (
            "pki",
            "use aws_lc_rs::signature::UnparsedPublicKey; use crate::error::Error;",
        ),
        ("main", "use signer::{config, server};"),
    ];
    for (module, text) in cases {
        assert_eq!(flagged(module, text), 0, "{module}: {text}");
    }
}

#[test]
fn lengths_count_lines_of_code() {
    let text = "fn long() {\n    // why\n\n    one(\n        2,\n    );\n    let s = \"a\nb\";\n}\nfn short() {}\n\
                #[cfg(test)]\nmod tests {\n    fn t() {\n        x();\n    }\n}\n";
    let functions = source::read(text, &[]).functions;
    let lengths: Vec<_> = functions
        .iter()
        .map(|f| (f.name.as_str(), f.line, f.length))
        .collect();
    assert_eq!(lengths, [("long", 1, 5), ("short", 10, 0)]);
}
