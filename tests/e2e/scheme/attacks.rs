//! What is tried against the scheme: at a service's start, at SIGHUP, in the record, at a custodian's desk.

use std::{fs, process::Command};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    terminal::Terminal,
};
use semops_objects::change::{ChangeFile, DocumentKind};
use softhsm_setup::scheme::Scheme;

use super::{desk::Desk, hang_up, trust_on};

/// A proposal of a second root, approved by vera alone, in `change.json`.
fn pending(deployment: &Deployment) -> Result<Desk, Failure> {
    let desk = Desk::new(deployment)?;
    let second = desk.root("second")?;
    desk.roots(2, &[&desk.first()?, &second])?;
    let said = desk.propose(
        "roots",
        "documents/roots-2.toml",
        "change.json",
        "vera-holm",
    )?;
    assert!(said.succeeded(), "{said:?}");
    Ok(desk)
}

/// Whether the service would start with these change files; what it says if not.
fn starts(deployment: &Deployment, files: &[&str]) -> Result<Result<(), String>, Failure> {
    let config = deployment.directory().config();
    let text = fs::read_to_string(&config)?;
    let line = "changes = [\"documents/scheme-ceremony.json\"]";
    assert!(text.contains(line));
    let tried = deployment.directory().path().join("tried.toml");
    let named = files.iter().map(|file| format!("\"{file}\""));
    let named = named.collect::<Vec<_>>().join(", ");
    fs::write(
        &tried,
        text.replacen(line, &format!("changes = [{named}]"), 1),
    )?;
    let mut command = Command::new(&programs::ours(Watched::No)?.signer);
    command.arg("--config").arg(&tried).arg("--check-config");
    let said = Terminal::new()?.run(&mut command)?;
    Ok(match said.code {
        Some(0) => Ok(()),
        Some(64) => Err(said.err),
        _ => panic!("{said:?}"),
    })
}

const CEREMONY: &str = "documents/scheme-ceremony.json";

#[tokio::test]
async fn nothing_but_the_schemes_quorum_brings_a_root_in() -> Result<(), Failure> {
    let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let desk = pending(&deployment)?;
    let refused = |files: &[&str], words: &str| -> Result<(), Failure> {
        let why = starts(&deployment, files)?.unwrap_err();
        assert!(
            why.contains("roots.changes") && why.contains(words),
            "{words}: {why}"
        );
        Ok(())
    };
    assert_eq!(starts(&deployment, &[CEREMONY])?, Ok(()));
    let both = [CEREMONY, "change.json"];
    refused(&both, "1 of the 2 persons that it needs have approved it")?;

    // Alfa's custodians are none of the scheme's: neither their tool nor the service takes them.
    let anna = deployment
        .directory()
        .path()
        .join("custodians/alfa/anna-berg.key");
    let said = desk.signs("approve", "change.json", &anna)?;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err.contains("no custodian has the approval key"),
        "{said:?}"
    );
    let file = |name: &str| -> Result<ChangeFile, Failure> {
        Ok(ChangeFile::parse(&fs::read(desk.path(name))?)?)
    };
    let write = |name: &str, file: &ChangeFile| fs::write(desk.path(name), file.to_json());
    let mut forged = file("change.json")?;
    let alfas = file("documents/alfa-ceremony.json")?;
    forged
        .approvals
        .extend(alfas.approvals.iter().take(1).cloned());
    write("forged.json", &forged)?;
    refused(&[CEREMONY, "forged.json"], "is no custodian's approval key")?;

    // An institution's history is none of the scheme's, nor the scheme's an institution's.
    refused(&["documents/alfa-ceremony.json"], "no ceremony")?;
    refused(
        &[CEREMONY, "documents/alfa-ceremony.json"],
        "the institution alfa",
    )?;
    let path = desk.path(CEREMONY);
    let told = deployment.run(&["change", "load", &path.to_string_lossy()]);
    let told = told.unwrap_err().to_string();
    assert!(told.contains("has no institution scheme"), "{told}");

    // With the quorum it is in force; a copy of a person's approval, a changed document, a cut or another chain is not.
    let said = desk.decides("approve", "change.json", "walter-iwata")?;
    assert!(said.succeeded(), "{said:?}");
    assert_eq!(starts(&deployment, &both)?, Ok(()));
    let good = file("change.json")?;
    let mut twice = good.clone();
    twice.approvals[1] = twice.approvals[0].clone();
    write("twice.json", &twice)?;
    refused(&[CEREMONY, "twice.json"], "has decided already")?;
    let mut changed = good.clone();
    changed.attachments[0].content.push('\n');
    write("changed.json", &changed)?;
    refused(&[CEREMONY, "changed.json"], "is not the one whose SHA-256")?;
    refused(&["change.json"], "no ceremony")?;
    refused(&[CEREMONY, "change.json", "change.json"], "has changed")?;
    refused(&[CEREMONY, "absent.json"], "absent.json")?;
    fs::write(desk.path("half.json"), &good.to_json()[..200])?;
    refused(&[CEREMONY, "half.json"], "change 2")
}

/// A root that nobody of the scheme approved is not started with, and where nobody rules it that is said.
#[tokio::test]
async fn a_service_uses_no_root_that_was_not_approved() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let desk = Desk::new(&deployment)?;
    let second = desk.root("second")?;
    desk.roots(2, &[&second])?;
    let said = desk.propose(
        "roots",
        "documents/roots-2.toml",
        "change.json",
        "vera-holm",
    )?;
    assert!(said.succeeded() && said.out.contains("removed"), "{said:?}");
    let said = desk.decides("approve", "change.json", "xenia-jung")?;
    assert!(said.succeeded(), "{said:?}");
    let why = starts(&deployment, &[CEREMONY, "change.json"])?.unwrap_err();
    for words in ["roots.device.certificate", "by change 2 of the scheme"] {
        assert!(why.contains(words), "{words}: {why}");
    }

    // A directory of before names no history: it is served, and every start says that nobody approved its roots.
    let line = "changes = [\"documents/scheme-ceremony.json\"]\n";
    deployment.configure(line, "")?;
    deployment.start().await?;
    let said = "nobody approved the roots of this scheme";
    assert!(deployment.log().contains(said));
    let trust = trust_on(&deployment, 2, &second)?;
    deployment.bring(&deployment.document_motion(DocumentKind::Trust, &trust)?)?;
    // From the next SIGHUP on the scheme is ruled: what rests on another root is used no more.
    deployment.configure("[roots]\n", &format!("[roots]\n{line}"))?;
    let told = hang_up(&mut deployment).await?;
    assert!(told.contains(super::TAKEN), "{told}");
    assert!(
        deployment
            .log()
            .contains("is none of the scheme's roots in force"),
        "{}",
        deployment.log()
    );
    deployment.stop().await
}
