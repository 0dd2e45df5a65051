//! The system gives the process few open files: connections beyond these are closed, those that are open go on with all
//! that the token and the record need for them, and there is room again when others have gone.

use std::{process::Command, time::Duration};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    story::Callers,
    until::until,
    wire::Wire,
};
use softhsm_setup::scheme::{Role, Scheme};
use tokio::net::TcpStream;

use crate::{
    bad_input::rows::starts as rows,
    connections::served,
    tls::{caller, credentials::Credentials},
};

/// Some hundred more than the service sets aside for itself in the example scheme.
const FEW: usize = 400;
const FEWER: usize = 200;
/// More connections than there is room for, of each of two institutions.
const TRIED: usize = 50;
const SOON: Duration = Duration::from_secs(30);

/// The same command as a process that may have so many files open.
fn limited(command: &Command, files: usize) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh"])
        .arg(files.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
}

#[tokio::test]
async fn too_few_for_the_service_itself() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let mut process = deployment.spawn(limited(&deployment.signer()?, FEWER))?;
    let status = process.wait().await?;
    rows::TOO_FEW_FILES.ends(status.code(), &deployment.log())?;
    deployment.start().await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn connections_beyond_are_closed_and_open_ones_go_on() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let command = limited(&deployment.signer()?, FEW);
    deployment.start_with(command).await?;
    assert!(deployment.log().contains("allows fewer connections"));
    let callers = Callers::connect(&deployment).await?;
    let before = Customer::of_alfa(&deployment).await?;

    let files = caller(&deployment, "alfa", Role::Auditor, "audit");
    let alfa = Credentials::of(files.chain, files.key);
    let open = served(&deployment, &alfa, TRIED).await?;
    let files = caller(&deployment, "beta", Role::Auditor, "audit");
    let more = served(&deployment, &Credentials::of(files.chain, files.key), TRIED).await?;
    // Neither had all; and those who say nothing at all wait outside.
    let room = open.len() + more.len();
    assert!((40..=2 * TRIED - 10).contains(&room), "{room}");
    let mut silent = Vec::new();
    for _ in 0..FEW {
        silent.push(TcpStream::connect(deployment.scheme().grpc()).await?);
    }
    let turned = Numbers::of(&deployment)?;
    let turned = ["TOO_MANY", "SHARE_TAKEN"]
        .map(|why| turned.count("semops_connections_refused_total", &[("reason", why)]));
    let turned: u64 = turned.iter().sum();
    assert_eq!(usize::try_from(turned)?, 2 * TRIED - room);
    let numbers = Numbers::of(&deployment)?;
    let [allowed, configured] = ["allowed", "configured"]
        .map(|which| numbers.count(&format!("semops_connections_{which}"), &[]));
    assert_eq!(configured, 1024);
    assert!(
        (room..FEW).contains(&usize::try_from(allowed)?),
        "{allowed}"
    );

    // On connections that were open before: the token signs, the record is written.
    let ask = before.asks(&customer::order("1.00", "CNY")?)?;
    let answer = callers.alfa_payments.cosign_order(ask.clone()).await?;
    let enrolled = Customer::enrolled_by(&callers.mobilis_enrolment).await?;
    enrolled.accepted_by(&callers.alfa_enrolment).await?;

    drop((open, more, silent));
    until("room for others", SOON, async || {
        let open = served(&deployment, &alfa, 1).await?;
        Ok((open.len() == 1).then_some(()))
    })
    .await?;
    let again = Wire::of(&deployment, "alfa", Role::Payments, "backend").await?;
    assert!(again.is_open());
    assert_eq!(callers.alfa_payments.cosign_order(ask).await?, answer);
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.certificates), (1, 2));
    Ok(())
}
