//! The service is replaced by its next versions, really built, each with one migration more: on PostgreSQL replica by
//! replica under load, with both versions at work at once; on a file after a drain.

use std::{path::Path, process::Command};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::{Deployment, replica::Replica},
    failure::Failure,
    next::{self, Version},
    terminal::{Said, Terminal},
};
use semops_proto::client::Client;
use softhsm_setup::scheme::{Role, Scheme};
use tokio::task::LocalSet;

use crate::lives::{Load, callers};

/// Lives until all clients have been at it.
const SOME: usize = 4;

/// Runs a version of the service to its end.
fn said(mut command: Command, words: &[&str]) -> Result<Said, Failure> {
    Terminal::new()?.run(command.args(words))
}

fn migrated(deployment: &Deployment, version: &Version, to: usize) -> Result<(), Failure> {
    let said = said(deployment.run_by(&version.signer), &["migrate"])?;
    assert!(said.succeeded(), "{said:?}");
    let made = format!("schema version {to}\n");
    assert!(said.out.contains(&made), "{said:?}");
    Ok(())
}

/// It neither serves nor migrates what it finds, and says why.
fn refused(command: Command, words: &[&str], why: &str) -> Result<(), Failure> {
    let said = said(command, words)?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(why), "{why}: {said:?}");
    Ok(())
}

fn too_old(found: usize, needed: usize) -> String {
    format!(
        "the store's schema has version {found}, this program needs {needed}: run the newer program that brought it there"
    )
}

fn too_new(found: usize, needed: usize) -> String {
    format!(
        "the store's schema has version {found}, this program needs {needed}: run `signer --config FILE migrate`"
    )
}

/// Two replicas and clients of both.
struct Two {
    deployment: Deployment,
    replica: Replica,
    load: Load,
    banks: [Client; 2],
    customer: Customer,
    /// Orders beside the load.
    orders: usize,
}

impl Two {
    async fn start(cluster: &Cluster) -> Result<Self, Failure> {
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        deployment.keep_record_in(cluster).await?;
        deployment.start().await?;
        let replica = deployment.replica(|command| command).await?;
        let mut load = Load::new();
        for _ in 0..2 {
            load.add(callers(&deployment, None).await?);
            load.add(callers(&deployment, Some(&replica)).await?);
        }
        let banks = [
            deployment.client("alfa", Role::Payments).await?,
            replica.client(&deployment, "alfa", Role::Payments).await?,
        ];
        let customer = Customer::of_alfa(&deployment).await?;
        Ok(Self {
            deployment,
            replica,
            load,
            banks,
            customer,
            orders: 0,
        })
    }

    async fn replace_first(&mut self, by: &Path) -> Result<(), Failure> {
        self.deployment.stop().await?;
        let command = self.deployment.run_by(by);
        self.deployment.start_with(command).await
    }

    async fn start_second(&mut self, program: &Path) -> Result<(), Failure> {
        let command = self.replica.run_by(program);
        self.replica
            .start_again(&mut self.deployment, command)
            .await
    }

    /// The load goes on, and what both are asked at once has one answer.
    async fn serve(&mut self) -> Result<(), Failure> {
        self.load.lives(SOME).await?;
        for _ in 0..4 {
            let ask = self.customer.asks(&order("0.01", "CNY")?)?;
            let [one, two] = &self.banks;
            let (one, two) = tokio::join!(one.cosign_order(ask.clone()), two.cosign_order(ask));
            assert_eq!(one?, two?);
            self.orders += 1;
        }
        Ok(())
    }

    async fn begun_by(&self, name: &str) -> Result<i64, Failure> {
        let sql =
            format!("SELECT count(*) FROM cosigned_order WHERE coalesce(begun_by, '') = '{name}'");
        self.deployment.count(&sql).await
    }
}

#[tokio::test]
async fn replicas_of_two_versions_serve_together() -> Result<(), Failure> {
    // A client that persists is bound to its thread.
    LocalSet::new().run_until(rolling_upgrade()).await
}

async fn rolling_upgrade() -> Result<(), Failure> {
    let versions = tokio::task::spawn_blocking(next::versions).await??;
    let [this, expands, contracts] = versions;
    let cluster = Cluster::start()?;
    let mut two = Two::start(&cluster).await?;
    two.serve().await?;

    // The first statement of the migration succeeds, the second fails, and nothing is left of either.
    two.replica.drain().await?;
    let in_the_way = "CREATE TABLE cosigned_order_begun_by ()";
    two.deployment.execute(in_the_way).await?;
    let early = two.replica.run_by(&expands.signer);
    refused(early, &["migrate"], "cosigned_order_begun_by")?;
    let early = two.replica.run_by(&expands.signer);
    refused(early, &[], &too_new(this.postgres, expands.postgres))?;
    two.start_second(&this.signer).await?;
    two.serve().await?;
    let away = "DROP TABLE cosigned_order_begun_by";
    two.deployment.execute(away).await?;

    migrated(&two.deployment, expands, expands.postgres)?;
    two.serve().await?;
    two.replica.drain().await?;
    two.start_second(&expands.signer).await?;
    two.serve().await?;
    let [old, new] = [this, expands].map(|version| version.name);
    let before = [two.begun_by(old).await?, two.begun_by(new).await?];
    // Both versions are at work, and one of before the migration may start again.
    two.replace_first(&this.signer).await?;
    two.serve().await?;
    let after = [two.begun_by(old).await?, two.begun_by(new).await?];
    let both = before[0] < after[0] && 0 < before[1] && before[1] < after[1];
    assert!(both, "{before:?} {after:?}");
    two.replace_first(&expands.signer).await?;
    two.serve().await?;

    migrated(&two.deployment, contracts, contracts.postgres)?;
    two.serve().await?;
    two.replica.drain().await?;
    for words in [&[][..], &["migrate"]] {
        let late = two.replica.run_by(&this.signer);
        refused(late, words, &too_old(contracts.postgres, this.postgres))?;
    }
    two.start_second(&contracts.signer).await?;
    two.serve().await?;
    two.replace_first(&contracts.signer).await?;
    two.serve().await?;
    assert_eq!(two.begun_by(old).await?, 0);
    let Two {
        mut deployment,
        replica,
        load,
        orders,
        ..
    } = two;
    let callers = callers(&deployment, Some(&replica)).await?;
    load.end(&callers, &mut deployment, (orders, 1)).await?;
    replica.stop().await?;
    deployment.stop().await
}

#[tokio::test]
async fn a_file_is_served_by_the_next_version_after_a_drain() -> Result<(), Failure> {
    LocalSet::new().run_until(upgrade_of_a_file()).await
}

async fn upgrade_of_a_file() -> Result<(), Failure> {
    let [this, next, _] = tokio::task::spawn_blocking(next::versions).await??;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.start().await?;
    let mut load = Load::new();
    for _ in 0..2 {
        load.add(callers(&deployment, None).await?);
    }
    load.lives(SOME).await?;
    // Drained under load: what the clients ask for meanwhile, the next version answers.
    deployment.stop().await?;
    let early = deployment.run_by(&next.signer);
    refused(early, &[], &too_new(this.sqlite, next.sqlite))?;
    for _ in 0..2 {
        migrated(&deployment, next, next.sqlite)?;
    }
    for words in [&[][..], &["migrate"]] {
        let late = deployment.run_by(&this.signer);
        refused(late, words, &too_old(next.sqlite, this.sqlite))?;
    }
    deployment
        .start_with(deployment.run_by(&next.signer))
        .await?;
    load.lives(SOME).await?;
    let callers = callers(&deployment, None).await?;
    load.end(&callers, &mut deployment, (0, 0)).await?;
    deployment.stop().await
}
