//! The PIN of a token is changed while the services run: whoever pays notices nothing, and one that the token refuses is
//! sent once.

use std::{collections::BTreeMap, fs, num::NonZeroI32, process::Command};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::{Deployment, process::Process},
    failure::Failure,
    faults::{Fault, Faults},
    programs::{self, Watched},
    recheck::recheck,
    token,
    until::until,
    workers,
};
use rustix::process::{Signal, kill_process};
use softhsm_setup::scheme::{Role, Scheme};

use super::{SOON, lanes::Lanes, two};

pub(crate) const TAKEN: &str = "the token takes the new PIN";
pub(crate) const STAYS: &str = "the PIN in use stays";
pub(crate) const READ: &str = "new TLS handshakes use";

/// Gives alfa's token a new PIN, and writes it to its file.
fn change(deployment: &Deployment) -> Result<(), Failure> {
    let directory = deployment.directory();
    let before = fs::read_to_string(directory.pin(&"alfa".parse()?))?;
    let mut command = Command::new(&programs::ours(Watched::No)?.softhsm_setup);
    command.arg("change-pin").arg(directory.path());
    let done = command.args(["--institution", "alfa"]).output()?;
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let after = fs::read_to_string(directory.pin(&"alfa".parse()?))?;
    assert_ne!(before, after);
    Ok(())
}

/// Sends SIGHUP, and waits for a line with `word` more than there was.
pub(crate) async fn hang_up(
    process: &Process,
    log: impl Fn() -> String,
    word: &str,
) -> Result<(), Failure> {
    let before = log().matches(word).count();
    process.signal(Signal::HUP)?;
    until(word, SOON, async || {
        let said = log();
        let more = said.matches(word).count() > before && said.ends_with('\n');
        Ok(more.then_some(()))
    })
    .await
}

type Pids = BTreeMap<String, NonZeroI32>;

/// Whether of two looks at the worker processes those of alfa are others, and all else are the same.
fn assert_replaced(before: &Pids, after: &Pids) {
    assert_eq!(before.len(), after.len());
    for (institution, pid) in before {
        let same = after.get(institution) == Some(pid);
        assert_eq!(
            same,
            institution != "alfa",
            "{institution}: {before:?} {after:?}"
        );
    }
}

#[tokio::test]
async fn a_pin_is_changed_under_load() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, mut replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let lanes = Lanes::paying(&deployment, &banks).await?;
    lanes.more(100).await?;
    let pids = [deployment.server()?.pid(), replica.process().pid()];
    let of = |pids: [rustix::process::Pid; 2]| pids.map(|pid| workers::of(pid.as_raw_nonzero()));
    let before = of(pids);

    // Whoever is logged in goes on, whatever the PIN has become.
    change(&deployment)?;
    lanes.phase("during").more(100).await?;
    let path = deployment.log_path();
    let log = || fs::read_to_string(&path).unwrap_or_default();
    hang_up(deployment.server()?, log, TAKEN).await?;
    lanes.more(50).await?;
    replica.process().signal(Signal::HUP)?;
    until(TAKEN, SOON, async || {
        Ok(replica.log().contains(TAKEN).then_some(()))
    })
    .await?;
    lanes.phase("after").more(100).await?;
    let after = of(pids);
    for (before, after) in before.into_iter().zip(after) {
        assert_replaced(&before?, &after?);
    }

    // Whoever logs in from now on is told the new one: the next process, and that of the next start.
    let worker = workers::worker(&mut deployment, "alfa").await?;
    kill_process(worker, Signal::KILL)?;
    lanes.more(100).await?;
    let paid = lanes.end().await?;
    assert!(paid.len() >= 450, "{}", paid.len());
    deployment.restart().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    bank.cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    assert!(!token::pin_count_low(&deployment, "alfa")?);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, paid.len() + 1);
    replica.stop().await?;
    deployment.stop().await
}

#[tokio::test]
async fn a_pin_that_the_token_refuses_is_sent_once_and_changes_nothing() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let faults = Faults::under(&deployment)?;
    deployment.start().await?;
    let counted = Fault::at("alfa", "login", "calls = ['C_Login']\neffect = 'pass'");
    faults.set(&[counted])?;
    let service = deployment.server()?.pid().as_raw_nonzero();
    let before = workers::of(service)?;
    let path = deployment.log_path();
    let log = || fs::read_to_string(&path).unwrap_or_default();
    let file = deployment.directory().pin(&"alfa".parse()?);
    let right = fs::read_to_string(&file)?;

    let wrong: String = right.chars().rev().collect();
    for (pin, word, tries) in [
        (&wrong, STAYS, 1),
        // It is known; another one is not.
        (&wrong, "has refused this PIN before", 1),
        (&right, READ, 1),
        (&wrong, "has refused this PIN before", 1),
        (&format!("{wrong}1"), STAYS, 2),
        (&right, READ, 2),
    ] {
        fs::write(&file, pin)?;
        hang_up(deployment.server()?, log, word).await?;
        until("the end of what SIGHUP does", SOON, async || {
            Ok((faults.struck("login")? >= tries).then_some(()))
        })
        .await?;
        assert_eq!(faults.struck("login")?, tries, "{word}");
    }
    let said = log();
    assert_eq!(said.matches("CKR_PIN_INCORRECT").count(), 2, "{said}");
    assert!(!said.contains(&wrong) && !said.contains(&right));
    assert!(!said.contains(TAKEN));
    assert_eq!(workers::of(service)?, before);

    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    bank.cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    recheck(&mut deployment).await.map(drop)
}
