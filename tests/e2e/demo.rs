//! The demo as a user runs it: what it prints, what it leaves, and that what it prints can be pasted.

use std::{collections::BTreeSet, fs, process::Command};

use e2e::{
    deployment::Deployment,
    evidence::FILES,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
    stranger,
};

/// In this order, each with its result.
const TOLD: [(&str, &str); 29] = [
    ("mobilis enrols a phone", "device "),
    (
        "alfa accepts the device",
        "ACTIVE, SOFTWARE_KEY_UNATTESTED (",
    ),
    (
        "the phone reads the merchant's EMV QR code",
        "CNY 23.72 to BEST TRANSPORT (A93FO3230Q) (",
    ),
    ("alfa's backend has the order co-signed", "AUTHORIZED ("),
    (
        "beta verifies the authorization",
        "VALID: alfa guarantees CNY 23.72 (",
    ),
    ("alfa calls again with the same order", "the same bytes ("),
    (
        "an altered order under the same id",
        "refused: ORDER_CONFLICT (",
    ),
    (
        "the same order at the other bank",
        "refused: ORDER_AUDIENCE (",
    ),
    (
        "CNY 500.01, above alfa's policy",
        "refused: AMOUNT_OVER_POLICY (",
    ),
    (
        "the phone orders again and again",
        "AUTHORIZED, then refused: RATE_LIMITED, device, for ",
    ),
    ("alfa waits just as long and calls again", "AUTHORIZED ("),
    (
        "Anna, a custodian of alfa, proposes",
        "PENDING, 1 approval (",
    ),
    ("Anna approves it a second time", "PENDING, 1 approval ("),
    (
        "Boris, another custodian, approves",
        "EXECUTED, 2 approvals (",
    ),
    (
        "another customer of alfa orders CNY 400.00",
        "refused: AMOUNT_OVER_POLICY (",
    ),
    (
        "Chloe alone suspends alfa's authorization key",
        "EXECUTED, 1 approval (",
    ),
    ("the customer orders CNY 23.72", "refused: KEY_NOT_ACTIVE ("),
    ("Anna and Boris resume it", "EXECUTED, 2 approvals ("),
    ("alfa's backend calls again with that order", "AUTHORIZED ("),
    ("8 customers of alfa order", "8 AUTHORIZED so far ("),
    ("alfa has a new key made in its token", "key "),
    ("Dora and Emil of beta", "EXECUTED, 2 approvals ("),
    ("Anna proposes that it follows", "PENDING, 1 approval ("),
    ("Boris approves the rotation", "EXECUTED, 2 approvals ("),
    ("the customers order on", "by the old key, "),
    ("beta verifies the old key's last", "VALID, key "),
    ("beta verifies one of the new key's", "VALID, key "),
    ("mobilis revokes the phone", "REVOKED ("),
    ("the phone's next order", "refused: DEVICE_REVOKED ("),
];

#[test]
fn the_demo_tells_the_story_and_its_lines_can_be_pasted() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let evidence = folder.path().join("evidence");
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg(&evidence)
        .current_dir(folder.path())
        .output()?;
    let told = String::from_utf8(output.stdout)?;
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut lines = told.lines();
    for (step, result) in TOLD {
        let line = lines
            .find(|line| line.contains(step))
            .unwrap_or_else(|| panic!("{step}\n{told}"));
        assert!(
            line.contains(&format!(" {result}")) && line.ends_with(')'),
            "{line}"
        );
    }
    as_in_the_readme(&told)?;
    let left: BTreeSet<String> = fs::read_dir(&evidence)?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, FILES.map(str::to_owned).into());

    // What is printed after `cd`, run as printed.
    let (_, pasted) = told
        .split_once(&format!("\ncd {}\n\n", evidence.display()))
        .expect("the line with cd");
    let outcomes = stranger::run(pasted, &evidence)?;
    assert_eq!(outcomes.len(), stranger::steps(stranger::LINES).len());
    for outcome in outcomes {
        assert!(outcome.as_expected(), "{outcome:#?}");
    }
    Ok(())
}

/// The README's story has the steps that the demo tells, in their order.
fn as_in_the_readme(told: &str) -> Result<(), Failure> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"))?;
    let mut lines = told.lines();
    let mut steps = 0;
    for shown in readme.lines().filter(|line| line.starts_with("[  ")) {
        let name = shown
            .split("] ")
            .nth(1)
            .and_then(|rest| rest.split(" ..").next());
        let name = name.unwrap();
        assert!(lines.any(|line| line.contains(name)), "{name}\n{told}");
        steps += 1;
    }
    assert!(steps > TOLD.len());
    Ok(())
}

#[test]
fn a_stranger_sees_whatever_was_changed() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg(folder.path())
        .output()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // CRLs of roots and CAs are asked for by `-crl_check_all`, so that one without the right signature is no CRL.
    for name in FILES {
        let path = folder.path().join(name);
        let good = fs::read(&path)?;
        let middle = good.len() * 3 / 4;
        let mut bad = good.clone();
        bad[middle] = if bad[middle] == b'A' { b'B' } else { b'A' };
        fs::write(&path, bad)?;
        let outcomes = stranger::run(stranger::LINES, folder.path())?;
        assert!(
            !outcomes.iter().all(stranger::Outcome::as_expected),
            "{name} was changed and nobody saw it"
        );
        fs::write(&path, good)?;
    }
    Ok(())
}

#[test]
fn the_demo_fails_loudly() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("mine"), "x")?;
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg(folder.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("demo FAILED") && said.contains("way out"),
        "{said}"
    );
    let usage = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["a", "b"])
        .output()?;
    assert_eq!(usage.status.code(), Some(64));
    Ok(())
}

#[test]
fn the_readme_shows_the_lines_that_the_demo_prints() -> Result<(), Failure> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"))?;
    assert!(readme.contains(&format!(
        "```sh\ncd demo-evidence\n\n{}```\n",
        stranger::LINES
    )));
    Ok(())
}

/// The commands that the README shows for the first payment by hand, in a deployment of the test's own.
#[tokio::test]
async fn the_readmes_first_commands_work() -> Result<(), Failure> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"))?;
    let block = readme
        .split("```")
        .find(|block| block.starts_with("sh\nas() {"))
        .expect("the block");
    let commands = block.strip_prefix("sh\n").unwrap();

    let mut deployment = Deployment::new().await?;
    let folder = programs::ours(Watched::No)?.semopsctl.parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(folder.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )?;
    let output = Command::new("bash")
        .args(["-euc", commands])
        .current_dir(deployment.directory().path())
        .env("PATH", path)
        .env("REPOSITORY", programs::workspace())
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("VALID") && said.contains("REVOKED"), "{said}");
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    Ok(())
}
