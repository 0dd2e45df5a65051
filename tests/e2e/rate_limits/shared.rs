//! Limits that replicas share: together they give an institution its quota and no more, one alone gives all of it, and
//! where none is lent no new order is signed, while what stands is told.

use std::{
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::{Deployment, replica::Replica},
    failure::Failure,
    recheck::recheck,
    refusal::{demand, rate_limit},
    until::until,
};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

use super::{SOON, bundle, cosign, limited::keeps_its_word, policy, scheme};

/// How long a lease lasts: what the bound adds to the time of a flood.
const LEASE: Duration = Duration::from_secs(1);
const FLOOD: Duration = Duration::from_secs(3);
/// Customers that order as fast as they can at each replica.
const CUSTOMERS: usize = 4;

async fn two(cluster: &Cluster) -> Result<(Deployment, Replica, [Client; 2]), Failure> {
    let prepared = Deployment::prepare_limited(&scheme(&[]), &mut |_| {})?;
    let (deployment, replica) = prepared.doubled(cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    Ok((deployment, replica, banks))
}

/// Orders by all customers at these replicas, as fast as they go, until the time is over and `least` are signed: how many
/// were, and how long it took.
async fn flood(
    banks: &[Client],
    customers: &[Arc<Customer>],
    least: usize,
) -> Result<(usize, Duration), Failure> {
    let (began, signed) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for (customer, bank) in customers.iter().zip(banks.iter().cycle()) {
        let (customer, bank, signed) = (Arc::clone(customer), bank.clone(), Arc::clone(&signed));
        tasks.spawn(async move {
            let mut refused = 0;
            let mut ask = customer.asks(&order("0.01", "CNY")?)?;
            while began.elapsed() < FLOOD || signed.load(Ordering::Relaxed) < least {
                match bank.cosign_order(ask.clone()).await {
                    Ok(_) => {
                        signed.fetch_add(1, Ordering::Relaxed);
                        ask = customer.asks(&order("0.01", "CNY")?)?;
                    }
                    Err(status) => {
                        assert_eq!(rate_limit(&status)?.0, "institution:alfa");
                        refused += 1;
                    }
                }
            }
            Ok::<_, Failure>(refused)
        });
    }
    let floods = async {
        let mut refused = 0;
        while let Some(one) = tasks.join_next().await {
            refused += one??;
        }
        Ok::<usize, Failure>(refused)
    };
    let refused = timeout(SOON, floods).await??;
    assert!(refused > 0, "this machine is too slow for a flood");
    Ok((signed.load(Ordering::Relaxed), began.elapsed()))
}

/// Floods under a new version of the policy with such a window. No more is signed than it gives in the time and a lease, and
/// as much as it gives in the time of a flood is signed soon.
async fn gives_its_quota(
    deployment: &Deployment,
    version: u64,
    (burst, per_second): (u32, u32),
    banks: &[Client],
    customers: &[Arc<Customer>],
) -> Result<usize, Failure> {
    let window = format!("{{ burst = {burst}, requests = {per_second}, seconds = 1 }}");
    policy(deployment, version, &[("institution", &window)])?;
    // Each has read it once it has decided by it; until then the last version may refuse at the door.
    for bank in banks {
        until("the new policy", SOON, async || {
            Ok(cosign(bank, &customers[0]).await.ok())
        })
        .await?;
    }
    let gives = |time: Duration| f64::from(burst) + f64::from(per_second) * time.as_secs_f64();
    let flood_seconds = usize::try_from(FLOOD.as_secs())?;
    let least = usize::try_from(burst)? + usize::try_from(per_second)? * flood_seconds;
    let (signed, time) = flood(banks, customers, least).await?;
    let most = gives(time + LEASE);
    let counted = f64::from(u32::try_from(signed)?);
    assert!(counted <= most, "{signed} signed in {time:?}, of {most}");
    Ok(signed + banks.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_together_give_an_institution_its_quota_and_one_alone_all_of_it()
-> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, mut replica, banks) = two(&cluster).await?;
    let mut customers = Vec::new();
    for _ in 0..banks.len() * CUSTOMERS {
        customers.push(Arc::new(Customer::of_alfa(&deployment).await?));
    }
    let together = gives_its_quota(&deployment, 2, (10, 5), &banks, &customers).await?;
    replica.process().signal(rustix::process::Signal::KILL)?;
    replica.process().wait().await?;
    let alone = gives_its_quota(&deployment, 3, (12, 4), &banks[..1], &customers).await?;

    // What the record says is as exact as what one process would say.
    let narrow = "{ burst = 3, requests = 2, seconds = 3 }";
    policy(&deployment, 4, &[("caller", narrow)])?;
    let caller = "caller:spiffe://semops.example/alfa/payments/backend";
    keeps_its_word(async || bundle(&banks[0]).await, caller).await?;

    let lent = deployment.count("SELECT count(*) FROM quota").await?;
    assert!(lent > 0, "{lent}");
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, together + alone);
    Ok(())
}

/// What stands is told by both, byte for byte, and what is new is refused and leaves nothing.
async fn tells_what_stands(
    deployment: &Deployment,
    banks: &[Client; 2],
    customer: &Customer,
    signed: &(v1::CosignOrderRequest, v1::CosignOrderResponse),
) -> Result<(), Failure> {
    let count = "SELECT count(*) FROM operation WHERE kind = 'authorization'";
    let before = deployment.count(count).await?;
    for bank in banks {
        assert_eq!(bank.cosign_order(signed.0.clone()).await?, signed.1);
        let verdict = bank
            .verify_authorization(v1::VerifyAuthorizationRequest {
                authorization_jws: signed.1.authorization_jws.clone(),
            })
            .await;
        verdict?;
        let new = bank.cosign_order(customer.asks(&order("1.00", "CNY")?)?);
        demand(new.await, Code::Unavailable, "STORE_UNAVAILABLE")?;
    }
    assert_eq!(deployment.count(count).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_is_signed_without_quota_and_what_stands_is_told() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica, banks) = two(&cluster).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let ask = customer.asks(&order("1.00", "CNY")?)?;
    let signed = (ask.clone(), banks[0].cosign_order(ask).await?);

    // The record can be read and lends nothing: at once, and then for longer than anybody waits.
    deployment.tell("ALTER TABLE quota RENAME TO away").await?;
    tells_what_stands(&deployment, &banks, &customer, &signed).await?;
    deployment.tell("ALTER TABLE away RENAME TO quota").await?;
    let ask = customer.asks(&order("1.00", "CNY")?)?;
    banks[1].cosign_order(ask).await?;

    let locked = "DO $$ BEGIN LOCK TABLE quota; PERFORM pg_sleep(60); END $$";
    let hold = async { deployment.tell(locked).await };
    let during = async {
        let held = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
                    WHERE c.relname = 'quota' AND l.mode = 'AccessExclusiveLock' AND l.granted";
        until("the lock", SOON, async || {
            Ok((deployment.count(held).await? > 0).then_some(()))
        })
        .await?;
        // What was lent before is used up or has ended.
        until("the last lease to end", SOON, async || {
            let new = customer.asks(&order("1.00", "CNY")?)?;
            Ok(banks[0].cosign_order(new).await.is_err().then_some(()))
        })
        .await?;
        tells_what_stands(&deployment, &banks, &customer, &signed).await?;
        let end =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'DO %'";
        deployment.count(end).await.map(drop)
    };
    let (held, during) = tokio::join!(hold, during);
    during?;
    assert!(held.is_err());
    let ask = customer.asks(&order("1.00", "CNY")?)?;
    let again = async || Ok(banks[1].cosign_order(ask.clone()).await.ok());
    until("quotas to be lent again", SOON, again).await?;
    recheck(&mut deployment).await?;
    replica.stop().await
}

/// What takes a primary's log as a standby does, until it is dropped.
struct Standby(Child);

impl Standby {
    fn of(cluster: &Cluster) -> Result<Self, Failure> {
        let mut command = cluster.program("pg_receivewal")?;
        command.args(["--directory=standby", "--synchronous"]);
        // By its own name the signer takes it for what backups are made with.
        command.env("PGAPPNAME", "standby");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(child.spawn()?))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the primary has so many standbys, each of which it waits for.
async fn standbys(deployment: &Deployment, wanted: i64) -> Result<(), Failure> {
    until("the standby to come or go", SOON, async || {
        let [all, synchronous] = ["true", "sync_state = 'sync'"]
            .map(|state| format!("SELECT count(*) FROM pg_stat_replication WHERE {state}"));
        let all = deployment.count(&all).await?;
        let synchronous = deployment.count(&synchronous).await?;
        Ok((all == wanted && synchronous == wanted).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_standby_is_gone_what_stands_is_told() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica, banks) = two(&cluster).await?;
    let standby = Standby::of(&cluster)?;
    let names = "ALTER SYSTEM SET synchronous_standby_names = 'standby'";
    deployment.tell(names).await?;
    deployment.tell("SELECT pg_reload_conf()").await?;
    standbys(&deployment, 1).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let first = order("1.00", "CNY")?;
    let ask = customer.asks(&first)?;
    let cosigned = banks[0].cosign_order(ask.clone()).await?;

    drop(standby);
    standbys(&deployment, 0).await?;
    let (new, told) = tokio::join!(
        banks[0].cosign_order(customer.asks(&order("1.00", "CNY")?)?),
        async {
            for bank in &banks {
                for _ in 0..20 {
                    assert_eq!(bank.cosign_order(ask.clone()).await?, cosigned);
                    customer.standing(bank, &first).await?;
                }
            }
            Ok::<_, Failure>(())
        }
    );
    told?;
    demand(new, Code::Unavailable, "STORE_UNAVAILABLE")?;
    // Quotas are lent meanwhile: not by the replicas' own windows was it told.
    let lent = "SELECT count(*) FROM quota WHERE scope = 'institution:alfa'";
    assert!(deployment.count(lent).await? > 0);

    let _standby = Standby::of(&cluster)?;
    standbys(&deployment, 1).await?;
    recheck(&mut deployment).await?;
    replica.stop().await
}
