//! The PIN of a further token is changed while orders are signed in it, and nothing befalls the first one.

use std::{fs, process::Command};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    faults::Fault,
    programs::{self, Watched},
    recheck::recheck,
    token, workers,
};

use super::two::{SECOND, TwoTokens};
use crate::rotation::{
    lanes::Lanes,
    pin::{READ, STAYS, TAKEN, hang_up},
};

/// Gives the token `alfa-2` a new PIN, and writes it to its file.
fn change(deployment: &Deployment) -> Result<(), Failure> {
    let directory = deployment.directory();
    let first = fs::read_to_string(directory.pin(&"alfa".parse()?))?;
    let mut command = Command::new(&programs::ours(Watched::No)?.softhsm_setup);
    command.arg("change-pin").arg(directory.path());
    // The module in signer.toml is the one that disturbs calls.
    command.env("SEMOPS_FAULT_CONTROL", directory.path().join("faults.toml"));
    command.args(["--institution", "alfa", "--token", "alfa-2", "--json"]);
    let done = command.output()?;
    let refused = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{refused}");
    let told: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!(
        (&told["institution"], &told["token"]),
        (&"alfa".into(), &"alfa-2".into())
    );
    assert_eq!(fs::read_to_string(directory.pin(&"alfa".parse()?))?, first);
    Ok(())
}

#[tokio::test]
async fn the_pin_of_a_further_token_is_changed_under_load() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let banks = two.banks().await?;
    two.signs_with(SECOND).await?;
    let lanes = Lanes::paying(&two.deployment, &banks).await?;
    lanes.more(100).await?;
    let service = two.deployment.server()?.pid().as_raw_nonzero();
    let before = workers::of(service)?;
    let file = two.deployment.directory().pin(&"alfa-2".parse()?);
    let old = fs::read_to_string(&file)?;
    let path = two.deployment.log_path();
    let log = || fs::read_to_string(&path).unwrap_or_default();

    // The new one is taken, in new worker processes of this token alone.
    change(&two.deployment)?;
    let new = fs::read_to_string(&file)?;
    assert_ne!(new, old);
    hang_up(two.deployment.server()?, log, TAKEN).await?;
    lanes.phase("during").more(100).await?;
    two.signs_with(SECOND).await?;
    let after = workers::of(service)?;
    assert_ne!(before["alfa-2"], after["alfa-2"]);
    for (token, pid) in &before {
        assert!(token == "alfa-2" || after[token] == *pid, "{token}");
    }

    // The one before, which the token refuses now, is sent once, however often it is found.
    let counted = "calls = ['C_Login']\neffect = 'pass'";
    two.faults.set(&[Fault::at("alfa-2", "login", counted)])?;
    fs::write(&file, &old)?;
    hang_up(two.deployment.server()?, log, STAYS).await?;
    hang_up(two.deployment.server()?, log, "has refused this PIN before").await?;
    assert_eq!(two.faults.struck("login")?, 1);
    assert_eq!(workers::of(service)?, after);
    fs::write(&file, &new)?;
    hang_up(two.deployment.server()?, log, READ).await?;
    two.signs_with(SECOND).await?;
    lanes.phase("after").more(100).await?;

    // Not one was refused.
    let paid = lanes.end().await?;
    let said = log();
    assert_eq!(said.matches(TAKEN).count(), 1, "{said}");
    assert_eq!(said.matches("CKR_PIN_INCORRECT").count(), 1, "{said}");
    assert!(![&old, &new].iter().any(|pin| said.contains(pin.trim_end())));
    // The next start tells the new one.
    two.deployment.restart().await?;
    two.signs_with(SECOND).await?;
    assert!(!token::pin_count_low(&two.deployment, "alfa-2")?);
    let checked = recheck(&mut two.deployment).await?;
    assert_eq!(checked.authorizations, paid.len() + two.asked());
    two.deployment.stop().await
}
