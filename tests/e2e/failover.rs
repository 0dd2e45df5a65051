//! A primary with a synchronous standby: the primary dies under load, the standby takes its place, and nothing that was
//! answered is lost or done twice. When the old primary comes back as if nothing had been, nobody uses it.

use std::time::Duration;

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    refusal::{demand, persist},
    terminal::Terminal,
    until::until,
};
use softhsm_setup::scheme::{Role, Scheme};
use tokio::task::LocalSet;
use tonic::Code;

use crate::lives::{Load, callers};

const SOON: Duration = Duration::from_secs(60);
/// Lives until all clients have been at it.
const SOME: usize = 4;

/// A primary and a standby that every commit waits for.
async fn pair() -> Result<[Cluster; 2], Failure> {
    let primary = Cluster::start()?;
    let standby = Cluster::standby_of(&primary)?;
    primary.run(&[
        "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
        "SELECT pg_reload_conf()",
    ])?;
    let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    until("the standby to be synchronous", SOON, async || {
        Ok((primary.run(&[synchronous])? == "1").then_some(()))
    })
    .await?;
    Ok([primary, standby])
}

/// What docs/replicas.md tells the operator to do.
fn promote(standby: &Cluster) -> Result<(), Failure> {
    standby.run(&[
        "ALTER SYSTEM RESET synchronous_standby_names",
        "SELECT pg_reload_conf()",
        "SELECT pg_promote()",
    ])?;
    Ok(())
}

/// What is written with every order, and with every look at the store's health.
const WRITTEN: [&str; 2] = ["SELECT count(*) FROM audit", "SELECT beat FROM pulse"];

#[tokio::test]
async fn the_standby_takes_over_and_the_old_primary_is_left_alone() -> Result<(), Failure> {
    // A client that persists is bound to its thread.
    LocalSet::new().run_until(failover()).await
}

async fn failover() -> Result<(), Failure> {
    let [primary, standby] = pair().await?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment
        .keep_record_in_one_of(&[&primary, &standby])
        .await?;
    // Time for every retry.
    deployment.load_next("policy", "alfa", 2, |text| {
        text.replace("acceptance_seconds = 60", "acceptance_seconds = 600")
    })?;
    deployment.start().await?;
    let replica = deployment.replica(|command| command).await?;
    let mut load = Load::new();
    for _ in 0..2 {
        load.add(callers(&deployment, None).await?);
        load.add(callers(&deployment, Some(&replica)).await?);
    }
    load.lives(SOME).await?;

    // Under load: what is under way is cut off at any step.
    primary.kill()?;
    promote(&standby)?;
    load.lives(SOME).await?;

    // The first of the hosts takes writes again, with what was never answered, and holds up whoever asks it to commit.
    primary.start_again()?;
    let database = deployment.database_name()?;
    let old = || primary.ask(&database, &WRITTEN);
    let before = old()?;
    for _ in 0..2 {
        standby.run(&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'signer'"])?;
        load.lives(SOME).await?;
    }
    // One that has seen neither takes the newer one.
    let fresh = deployment.replica(|command| command).await?;
    load.add(callers(&deployment, Some(&fresh)).await?);
    load.lives(SOME).await?;

    // Rather none than the old one.
    load.rest();
    let bank = replica.client(&deployment, "alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    standby.kill()?;
    let ask = customer.asks(&order("0.01", "CNY")?)?;
    let refused = bank.cosign_order(ask.clone()).await;
    demand(refused, Code::Unavailable, "STORE_UNAVAILABLE")?;
    until("the log to say why", SOON, async || {
        let why = "it is a former primary, on timeline 1 after 2 was seen";
        Ok(replica.log().contains(why).then_some(()))
    })
    .await?;
    // Nor does a process that has seen no other: its first commit there waits for the standby.
    let mut show = deployment.signer()?;
    let said = Terminal::new()?.run(show.args(["policy", "show", "alfa"]))?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("does not answer"), "{said:?}");
    standby.start_again()?;
    persist(async || bank.cosign_order(ask.clone()).await).await??;
    load.lives(SOME).await?;
    assert_eq!(old()?, before);

    deployment.record_moved_to(&standby)?;
    let callers = callers(&deployment, Some(&replica)).await?;
    load.end(&callers, &mut deployment, (1, 1)).await?;
    fresh.stop().await?;
    replica.stop().await?;
    deployment.stop().await
}
