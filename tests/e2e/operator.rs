//! The local operator's `signer`: the configuration checked with all its mistakes at once, migrations that may be run
//! again, and changes that are brought in by their approvals, refused with the reason, and shown.

use std::{
    fs,
    path::{Path, PathBuf},
};

use e2e::{
    deployment::Deployment, failure::Failure, programs, recheck::recheck, terminal::Said,
    terminal::Terminal,
};
use semops_objects::change::DocumentKind;
use softhsm_setup::scheme::Scheme;
use toml::{Table, Value};

/// EX_USAGE of sysexits.h.
const MISTAKEN: Option<i32> = Some(64);

fn prepared() -> Result<Deployment, Failure> {
    Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})
}

/// `signer --config CONFIG WORDS`.
fn signer(deployment: &Deployment, config: &Path, words: &[&str]) -> Result<Said, Failure> {
    let mut command = std::process::Command::new(&programs::ours(programs::Watched::No)?.signer);
    command.arg("--config").arg(config).args(words);
    command.env(
        "SOFTHSM2_CONF",
        deployment.directory().softhsm_configuration(),
    );
    Terminal::new()?.run(&mut command)
}

/// The same with the deployment's configuration.
fn own(deployment: &Deployment, words: &[&str]) -> Result<Said, Failure> {
    signer(deployment, &deployment.directory().config(), words)
}

#[tokio::test]
async fn all_mistakes_of_a_configuration_come_at_once_with_code_64() -> Result<(), Failure> {
    let deployment = prepared()?;
    let folder = deployment.directory().path();
    let good = fs::read_to_string(deployment.directory().config())?;
    let said = own(&deployment, &["--check-config"])?;
    assert_eq!((said.code, said.all().as_str()), (Some(0), ""));

    let changes = [
        (
            "scheme = \"semops.example\"",
            "scheme = \"Semops\"",
            "scheme: ",
        ),
        ("threads = 2", "threads = 0", "hsm.threads: "),
        ("queue = 256", "queue = 256\nsurprise = 1", "hsm.surprise: "),
        ("level = \"info\"", "level = \"loud\"", "log.level: "),
        (
            "validity_days = 397",
            "validity_days = 398",
            "device_certificates.validity_days: ",
        ),
        (
            "refresh_hours = 24",
            "refresh_hours = 169",
            "crl.refresh_hours: ",
        ),
        (
            "[roots.device]",
            "[retention]\norders = 1\n\n[roots.device]",
            "retention.orders: ",
        ),
        (
            "\"pins/alfa\"",
            "\"pins/nobody\"",
            "institution[0].pin_file: ",
        ),
        (
            "\"beta/device-ca.pem\"",
            "\"alfa/device-ca.pem\"",
            "institution[1].device_ca.",
        ),
        (
            "token = \"mobilis\"",
            "token = \"beta\"",
            "institution[2].token: ",
        ),
        ("[drain]\nseconds = 15", "", "drain: "),
    ];
    let mut bad = good.clone();
    for (from, to, _) in changes {
        assert_eq!(bad.matches(from).count(), 1, "{from}");
        bad = bad.replacen(from, to, 1);
    }
    fs::write(folder.join("bad.toml"), &bad)?;
    for words in [&["--check-config"][..], &[]] {
        // Serving is refused alike.
        let said = signer(&deployment, &folder.join("bad.toml"), words)?;
        assert_eq!((said.code, said.out.as_str()), (MISTAKEN, ""), "{said:?}");
        for (_, _, key) in changes {
            let line = said
                .err
                .lines()
                .find(|line| line.trim_start().starts_with(key));
            // The key, what is wrong, and the way out.
            let parts = line.map(|line| line.splitn(3, ": ").count());
            assert_eq!(parts, Some(3), "{key} in {}", said.err);
        }
        let head = said.err.lines().next().unwrap_or_default();
        assert!(
            head.contains(&format!(
                "{} mistakes",
                said.err.trim_end().lines().count() - 1
            )),
            "{head}"
        );
    }
    fs::write(folder.join("bad.toml"), "scheme = ")?;
    for file in ["bad.toml", "no-such.toml"] {
        let said = signer(&deployment, &folder.join(file), &["--check-config"])?;
        assert_eq!(said.code, MISTAKEN, "{said:?}");
        assert!(said.err.contains(file), "{said:?}");
    }
    Ok(())
}

/// The paths of all keys, with the first of several tables only.
fn keys(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                keys(&format!("{path}.{key}"), value, found);
            }
        }
        Value::Array(values) => keys(path, &values[0], found),
        _ => found.push(path.to_owned()),
    }
}

/// Tables and keys that may be left out.
const OPTIONAL: [&str; 8] = [
    ".grpc.max_connection_age_seconds",
    ".hsm.environment.",
    ".hsm.hung_seconds",
    ".hsm.network",
    ".hsm.workers",
    ".oids.audit_eku",
    ".oids.statement_eku",
    ".roots.changes",
];

/// The keys that may not be left out.
fn keys_of(text: &str) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    keys("", &Value::Table(text.parse::<Table>()?), &mut found);
    found.retain(|key| !OPTIONAL.iter().any(|optional| key.starts_with(optional)));
    found.sort();
    Ok(found)
}

#[tokio::test]
async fn the_example_configuration_has_the_keys_of_a_real_one_and_passes_with_real_files()
-> Result<(), Failure> {
    let deployment = prepared()?;
    let folder = deployment.directory().path();
    let example = fs::read_to_string(programs::workspace().join("signer/signer.example.toml"))?;
    let real = fs::read_to_string(deployment.directory().config())?;
    assert_eq!(keys_of(&example)?, keys_of(&real)?);
    // Beside the files that it names nothing is wrong with it, and without any one of its keys something is.
    fs::write(folder.join("example.toml"), &example)?;
    let said = signer(
        &deployment,
        &folder.join("example.toml"),
        &["--check-config"],
    )?;
    assert_eq!((said.code, said.all().as_str()), (Some(0), ""));
    for key in keys_of(&example)? {
        let last = key.rsplit('.').next().unwrap_or_default();
        let line = example
            .lines()
            .find(|line| line.starts_with(&format!("{last} = ")))
            .unwrap();
        fs::write(folder.join("example.toml"), example.replacen(line, "", 1))?;
        let said = signer(
            &deployment,
            &folder.join("example.toml"),
            &["--check-config"],
        )?;
        assert_eq!(said.code, MISTAKEN, "without `{line}`");
        assert!(
            said.err.contains(&format!("{last}: is missing")),
            "without `{line}`: {}",
            said.err
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_store_is_made_once_and_migrating_again_changes_nothing() -> Result<(), Failure> {
    let mut deployment = prepared()?;
    deployment.start().await?;
    let first = own(&deployment, &["migrate"])?;
    assert!(
        first.succeeded() && first.out.contains("schema version 7"),
        "{first:?}"
    );
    assert_eq!(own(&deployment, &["migrate"])?, first);
    assert!(deployment.is_healthy().await);
    recheck(&mut deployment).await?;
    deployment.stop().await?;

    // A store that is not there is not made in passing; a newer program's is left alone.
    let elsewhere = deployment.directory().path().join("elsewhere.db");
    deployment.configure("sqlite = \"signer.db\"", "sqlite = \"elsewhere.db\"")?;
    for words in [&["policy", "show", "alfa"][..], &[]] {
        let said = own(&deployment, words)?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("migrate"), "{said:?}");
    }
    assert!(!elsewhere.exists());
    fs::copy(deployment.database(), &elsewhere)?;
    rusqlite::Connection::open(&elsewhere)?.pragma_update(None, "user_version", 99)?;
    for words in [&["migrate"][..], &["policy", "show", "alfa"], &[]] {
        let said = own(&deployment, words)?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("99"), "{said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_is_brought_in_by_its_approvals_and_shown_byte_for_byte() -> Result<(), Failure> {
    let mut deployment = prepared()?;
    deployment.start().await?;
    let alfa = "alfa".parse().unwrap();
    let custodians = deployment.custodians("alfa")?;
    let ceremony = deployment.directory().ceremony(&alfa);
    let bring = |file: &Path| own(&deployment, &["change", "load", &file.to_string_lossy()]);
    let said = bring(&ceremony)?;
    let again = "change 1 of alfa, ceremony, was effective already\n";
    assert!(said.succeeded() && said.out.starts_with(again), "{said:?}");
    let mut sequence = 1;
    for kind in DocumentKind::ALL {
        let word = kind.name();
        let show = || Ok::<_, Failure>(own(&deployment, &[word, "show", "alfa"])?.out);
        let first = fs::read_to_string(deployment.directory().first_document(&alfa, kind))?;
        assert_eq!(show()?, first);
        let text =
            deployment.next_version(kind, "alfa", 2, |text| format!("# Reviewed.\n{text}"))?;
        let motion = deployment.document_motion(kind, &text)?;
        // One person's approval brings nothing in.
        let alone = deployment.change_file(&motion, &custodians[..1])?;
        let said = bring(&alone)?;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains("1 of the 2 persons"), "{said:?}");
        assert_eq!(show()?, first);
        let file = deployment.change_file(&motion, &custodians[1..])?;
        sequence += 1;
        for effect in ["is effective now", "was effective already"] {
            let said = bring(&file)?;
            let expected = format!(
                "change {sequence} of alfa, document, {effect}\n{word} of alfa, version 2 {effect}\n"
            );
            assert_eq!((said.code, said.out), (Some(0), expected));
        }
        assert_eq!(show()?, text);
        let unknown = own(&deployment, &[word, "show", "gamma"])?;
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.err.contains("change load FILE"), "{unknown:?}");
    }
    let listed = own(&deployment, &["change", "list", "alfa"])?.out;
    assert_eq!(listed.lines().count(), 5, "{listed}");
    let last = listed.lines().next().unwrap_or_default();
    assert!(
        last.starts_with("5 ")
            && last.ends_with(" EXECUTED document custodians 2 approved-by boris-chan,chloe-diaz"),
        "{last}"
    );
    assert!(deployment.is_healthy().await);
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn a_change_that_is_none_is_refused_with_the_reason() -> Result<(), Failure> {
    let deployment = prepared()?;
    let folder = deployment.directory().path();
    let custodians = deployment.custodians("alfa")?;
    let next = |from: &str, to: &str| -> Result<PathBuf, Failure> {
        let kind = DocumentKind::Policy;
        let text = deployment.next_version(kind, "alfa", 2, |text| text)?;
        assert!(text.contains(from), "{from}");
        let motion = deployment.document_motion(kind, &text.replacen(from, to, 1))?;
        deployment.change_file(&motion, &custodians[..2])
    };
    let good = fs::read_to_string(next("version = 2", "version = 2")?)?;
    let write = |name: &str, text: &str| -> Result<PathBuf, Failure> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    for (file, words) in [
        (
            next("version = 2", "version = 3")?,
            "version 3 of policy: the next one is 2",
        ),
        (
            next("version = 2", "version = 2\nsurprise = 1")?,
            "surprise",
        ),
        (
            write("unknown.json", &good.replacen("{", "{\"surprise\":1,", 1))?,
            "surprise",
        ),
        (write("cut.json", &good[..good.len() - 1])?, "cut.json"),
        (
            write(
                "other.json",
                &good.replacen("acceptance_seconds = 60", "acceptance_seconds = 61", 1),
            )?,
            "SHA-256",
        ),
        (folder.join("no-such.json"), "no-such.json"),
    ] {
        let said = own(&deployment, &["change", "load", &file.to_string_lossy()])?;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    for words in [
        &["polcy", "show", "alfa"][..],
        &["policy", "load", "x.toml"],
    ] {
        assert_eq!(own(&deployment, words)?.code, Some(2), "{words:?}");
    }
    assert_eq!(deployment.base("alfa")?.sequence, 2);
    Ok(())
}
