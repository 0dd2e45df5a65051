//! `policy`, `trust` and `callers`: documents shown byte for byte, their versions, and what changes between them.

use std::fs;

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck};
use serde_json::{Value, json};

use super::desk::{ALFA, ALFA_AUDIT, ALFA_RA, ALFA_SECURITY, Desk};

const KINDS: [&str; 3] = ["policy", "trust", "callers"];

fn loaded(deployment: &Deployment, name: &str) -> Result<Vec<u8>, Failure> {
    let path = deployment.directory().path().join("documents").join(name);
    fs::read(&path).map_err(Failure::during(name))
}

#[tokio::test]
async fn documents_are_shown_byte_for_byte_and_compared() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    for kind in KINDS {
        first_version(&deployment, &desk, kind)?;
    }
    deployment.load_next("policy", "alfa", 2, |policy| {
        assert!(policy.contains("\"150.00\""));
        policy.replacen("\"150.00\"", "\"151.00\"", 1)
    })?;
    second_version(&deployment, &desk)?;
    refusals(&desk)?;
    recheck(&mut deployment).await?;
    Ok(())
}

fn first_version(deployment: &Deployment, desk: &Desk<'_>, kind: &str) -> Result<(), Failure> {
    let bytes = loaded(deployment, &format!("alfa-{kind}.toml"))?;
    let text = String::from_utf8(bytes.clone())?;
    let shown = desk.json(ALFA_AUDIT, &format!("{kind} show --out {kind}.toml"), 0)?;
    assert_eq!(
        (&shown["document"], &shown["version"], &shown["saved_to"]),
        (&json!(kind), &json!(1), &json!(format!("{kind}.toml")))
    );
    assert_eq!(shown["content"], text);
    assert_eq!(desk.terminal.read(&format!("{kind}.toml"))?, bytes);
    let digest = desk
        .terminal
        .openssl(&format!("dgst -sha256 -r {kind}.toml"))?;
    assert_eq!(digest.split(' ').next(), shown["sha256"].as_str());

    let said = desk.types(ALFA_SECURITY, &format!("{kind} show --version 1"))?;
    assert!(
        said.succeeded() && said.out.ends_with(&format!("\n\n{text}")),
        "{said:?}"
    );
    let versions = desk.json(ALFA_AUDIT, &format!("{kind} versions"), 0)?;
    let only = &versions["versions"][0];
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&only["version"], &only["sha256"]),
        (&json!(1), &shown["sha256"])
    );
    let same = desk.json(ALFA_AUDIT, &format!("{kind} diff {kind}.toml"), 0)?;
    assert_eq!((&same["same"], &same["diff"]), (&json!(true), &json!("")));
    let said = desk.types(ALFA_AUDIT, &format!("{kind} diff {kind}.toml"))?;
    assert!(said.out.contains("\ndigests   the same\n"), "{said:?}");
    Ok(())
}

fn second_version(deployment: &Deployment, desk: &Desk<'_>) -> Result<(), Failure> {
    let said = desk.table(ALFA_SECURITY, "policy versions", 0)?;
    assert!(
        said.starts_with("VERSION  LOADED                SHA256\n      2  "),
        "{said}"
    );
    assert!(said.contains("\nin force  version 2\n"), "{said}");
    let step = "semopsctl policy diff --versions 1 2";
    assert!(said.contains(step), "{said}");

    let changed = desk.json(ALFA_AUDIT, "policy diff --versions 1 2", 5)?;
    let first = desk.json(ALFA_AUDIT, "policy show --version 1", 0)?;
    let second = desk.json(ALFA_AUDIT, "policy show", 0)?;
    assert_eq!(changed["same"], false);
    assert_eq!(
        (&changed["old"]["sha256"], &changed["new"]["sha256"]),
        (&first["sha256"], &second["sha256"])
    );
    let lines: Vec<&str> = changed["diff"].as_str().unwrap().lines().collect();
    assert_eq!(lines[..2], ["--- version 1", "+++ version 2"]);
    let changes = lines[2..]
        .iter()
        .filter(|line| line.starts_with(['-', '+']));
    let changes: Vec<_> = changes.copied().collect();
    assert_eq!(
        changes,
        [
            "-version = 1",
            "+version = 2",
            "-EUR = \"150.00\"",
            "+EUR = \"151.00\""
        ]
    );

    // Before a version is loaded: what would change.
    let next = String::from_utf8(loaded(deployment, "alfa-policy-2.toml")?)?;
    desk.terminal
        .write("next.toml", next.replace('\n', "\r\n"))?;
    let said = desk.types(ALFA_SECURITY, "policy diff next.toml")?;
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.out.contains("\ndigests   differ\n"), "{said:?}");
    assert!(
        said.out.contains("\n--- version 2\n+++ next.toml\n@@ -1,"),
        "{said:?}"
    );
    assert!(said.out.contains("\n+version = 2\\r\n"), "{said:?}");
    let old = desk.json(ALFA_AUDIT, "policy diff policy.toml --version 1", 0)?;
    assert_eq!(
        (&old["same"], &old["new"]["file"]),
        (&json!(true), &json!("policy.toml"))
    );
    assert_eq!(old["new"]["version"], Value::Null);
    Ok(())
}

fn refusals(desk: &Desk<'_>) -> Result<(), Failure> {
    // The profile may stand anywhere; what is saved is said where it belongs.
    let said = desk.refused(ALFA_AUDIT, "trust --out folder show", 2, "usage", "")?;
    let way_out = said["way_out"].as_str().unwrap();
    assert!(way_out.contains("behind `show`"), "{way_out}");
    for line in [
        "trust --json versions",
        "trust versions --json",
        "--json trust versions",
    ] {
        let said = desk.types(ALFA_AUDIT, line)?;
        assert!(
            said.succeeded() && said.out.starts_with('{'),
            "{line}: {said:?}"
        );
    }
    for kind in KINDS {
        for line in ["show", "versions", "diff --versions 1 1"] {
            let line = format!("{kind} {line}");
            for caller in [ALFA, ALFA_RA] {
                desk.refused(caller, &line, 1, "refused", "ROLE_NOT_ALLOWED")?;
            }
        }
        let line = format!("{kind} show --version 99");
        let told = desk.refused(ALFA_AUDIT, &line, 1, "refused", "DOCUMENT_NOT_FOUND")?;
        let way_out = told["way_out"].as_str().unwrap();
        assert!(way_out.contains("`versions`"), "{way_out}");
        let line = format!("{kind} diff no-such-file");
        desk.refused(ALFA_AUDIT, &line, 2, "usage", "")?;
        for line in [
            "show --version 0",
            "diff",
            "diff policy.toml --versions 1 2",
            "diff --versions 1",
        ] {
            let error = &desk.json(ALFA_AUDIT, &format!("{kind} {line}"), 2)?["error"];
            assert_eq!(error["kind"], "usage", "{line}: {error}");
        }
    }
    Ok(())
}
