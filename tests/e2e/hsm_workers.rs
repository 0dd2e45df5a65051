//! Worker processes killed, stopped and orphaned: no order is lost or done twice, other tokens are untouched, and nothing
//! of it needs a new start of the service.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    held::Held,
    numbers::Numbers,
    recheck::recheck,
    refusal, stored,
    story::Callers,
    until::until,
    workers::{self, worker},
};
use rustix::process::{Pid, Signal, kill_process};
use semops_proto::{
    client::Client,
    v1::{self, TokenHealth},
};
use softhsm_setup::scheme::{Role, Scheme};
use tokio::task::JoinSet;

const KILLS: u64 = 10;
const CLIENTS: usize = 8;
/// Between one kill and the next.
const ORDERS: usize = 24;
const SOON: Duration = Duration::from_secs(60);

/// A deployment in which a bank's policy counts no orders.
async fn deployment(changes: &[(&str, &str)]) -> Result<Deployment, Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    for (from, to) in changes {
        deployment.configure(from, to)?;
    }
    for bank in ["alfa", "beta"] {
        deployment.load_next("policy", bank, 2, |policy| {
            policy.replace("orders_per_day = 50", "orders_per_day = 100000")
        })?;
    }
    deployment.start().await?;
    Ok(deployment)
}

/// A customer of `bank`, enrolled and accepted by it.
async fn customer_of(bank: &Client) -> Result<Arc<Customer>, Failure> {
    let customer = Customer::enrolled_by(bank).await?;
    customer.accepted_by(bank).await?;
    Ok(Arc::new(customer))
}

/// Has `count` orders co-signed one after the other, each asked for until its answer is final. Gives how often one had to be
/// asked for again.
async fn pay(
    (bank, name): (Client, &'static str),
    customer: Arc<Customer>,
    count: usize,
    answered: Arc<AtomicUsize>,
) -> Result<usize, Failure> {
    let mut again = 0;
    for _ in 0..count {
        let ask = customer.asks(&order_from(name, "0.01", "CNY")?)?;
        let begun = Instant::now();
        let answer = loop {
            match bank.cosign_order(ask.clone()).await {
                Ok(answer) => break answer,
                Err(status) if refusal::may_be_repeated(&status) && begun.elapsed() < SOON => {
                    again += 1;
                }
                Err(status) => return Err(status.into()),
            }
        };
        assert_eq!(bank.cosign_order(ask).await?, answer, "byte for byte");
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(again)
}

async fn all(tasks: JoinSet<Result<usize, Failure>>) -> Result<usize, Failure> {
    let mut sum = 0;
    for done in tasks.join_all().await {
        sum += done?;
    }
    Ok(sum)
}

fn count(deployment: &Deployment, name: &str, institution: &str) -> Result<u64, Failure> {
    Ok(Numbers::of(deployment)?.count(name, &[("institution", institution)]))
}

/// Waits until alfa's token is served by its worker processes again, so many having been replaced.
async fn replaced(deployment: &Deployment, times: u64) -> Result<(), Failure> {
    until("another worker process", SOON, async || {
        // In this order: what serves after the last one was missed is another one.
        let replaced = count(deployment, "semops_hsm_workers_replaced_total", "alfa")?;
        let workers = count(deployment, "semops_hsm_workers", "alfa")?;
        assert!(replaced <= times, "{replaced} of {times}");
        Ok((workers == 1 && replaced == times).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_killed_worker_loses_and_doubles_nothing() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let callers = Callers::connect(&deployment).await?;
    let (alfas, betas) = (
        customer_of(&callers.alfa_enrolment).await?,
        customer_of(&callers.beta_enrolment).await?,
    );
    let (of_alfa, of_beta) = (Arc::default(), Arc::default());
    let (mut at_alfa, mut at_beta) = (JoinSet::new(), JoinSet::new());
    let each = ORDERS * usize::try_from(KILLS)? / CLIENTS;
    for _ in 0..CLIENTS {
        let (bank, done) = (callers.alfa_payments.clone(), Arc::clone(&of_alfa));
        at_alfa.spawn(pay((bank, "alfa"), Arc::clone(&alfas), each, done));
    }
    let (bank, done) = (callers.beta_payments.clone(), Arc::clone(&of_beta));
    at_beta.spawn(pay((bank, "beta"), betas, each, done));

    let (service, betas_worker) = (
        deployment.server()?.pid(),
        worker(&mut deployment, "beta").await?,
    );
    for kill in 1..=KILLS {
        let pid = worker(&mut deployment, "alfa").await?;
        kill_process(pid, Signal::KILL)?;
        replaced(&deployment, kill).await?;
        let passed = of_alfa.load(Ordering::SeqCst);
        until("some orders more", SOON, async || {
            let now = of_alfa.load(Ordering::SeqCst);
            Ok((now >= passed + 4 || now == each * CLIENTS).then_some(()))
        })
        .await?;
    }
    all(at_alfa).await?;
    // Not one of beta's had to be asked for again, and nothing of beta's token was touched.
    assert_eq!(all(at_beta).await?, 0);
    assert_eq!(worker(&mut deployment, "beta").await?, betas_worker);
    assert_eq!(
        count(&deployment, "semops_hsm_workers_replaced_total", "beta")?,
        0
    );
    assert_eq!(count(&deployment, "semops_hsm_failures_total", "beta")?, 0);
    assert_eq!(deployment.server()?.pid(), service, "no new start");

    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let token = auditor
        .get_status(v1::GetStatusRequest {})
        .await?
        .token
        .unwrap();
    assert_eq!((token.workers, token.workers_replaced), (1, KILLS));
    assert_eq!(
        (token.health(), token.health_detail.as_str()),
        (TokenHealth::Serving, "")
    );
    assert_eq!(stored::count(&deployment, "authorization", "PENDING")?, 0);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(
        (checked.authorizations, checked.unsigned),
        (each * (CLIENTS + 1), 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_worker_that_hangs_is_replaced_and_its_work_done() -> Result<(), Failure> {
    let mut deployment = deployment(&[("threads = 2", "threads = 2\nhung_seconds = 1")]).await?;
    let callers = Callers::connect(&deployment).await?;
    let (alfas, betas) = (
        customer_of(&callers.alfa_enrolment).await?,
        customer_of(&callers.beta_enrolment).await?,
    );
    for hang in 1..=2 {
        let stopped = worker(&mut deployment, "alfa").await?;
        kill_process(stopped, Signal::STOP)?;
        let mut calls = JoinSet::new();
        for _ in 0..CLIENTS {
            let (bank, ask) = (
                callers.alfa_payments.clone(),
                alfas.asks(&order("0.01", "CNY")?)?,
            );
            calls.spawn(async move { bank.cosign_order(ask).await });
        }
        // Beta's need no second try while alfa's stand still.
        let done = Arc::default();
        let bank = (callers.beta_payments.clone(), "beta");
        assert_eq!(pay(bank, Arc::clone(&betas), CLIENTS, done).await?, 0);
        // Each within its caller's own deadline, without being asked for again.
        for answer in calls.join_all().await {
            answer?;
        }
        replaced(&deployment, hang).await?;
        assert_ne!(worker(&mut deployment, "alfa").await?, stopped);
        assert!(
            !Path::new(&format!("/proc/{stopped}")).exists(),
            "and waited for"
        );
    }
    // One that has nothing to do is found out as well.
    kill_process(worker(&mut deployment, "alfa").await?, Signal::STOP)?;
    replaced(&deployment, 3).await?;
    assert!(deployment.log().contains("a call did not return for 1 s"));
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (4 * CLIENTS, 0));
    Ok(())
}

#[tokio::test]
async fn a_worker_is_confined_and_ends_with_the_service() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let service = deployment.server()?.pid().as_raw_nonzero();
    let found = workers::of(service)?;
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        ["alfa", "beta", "mobilis"]
    );
    // The service itself has no module.
    let mapped = |pid| fs::read_to_string(format!("/proc/{pid}/maps"));
    assert!(!mapped(service)?.contains("softhsm"));
    for (institution, pid) in &found {
        assert!(mapped(*pid)?.contains("libsofthsm2.so"), "{institution}");
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(
                status.lines().any(|found| found == line),
                "{line}: {status}"
            );
        }
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let core: Vec<_> = core.unwrap_or_default().split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"]);
        // Of a PIN nothing is seen from outside.
        for other in found.keys() {
            let pin = fs::read_to_string(deployment.directory().pin(&other.parse().unwrap()))?;
            for file in ["environ", "cmdline"] {
                let shown = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
                assert!(!shown.contains(pin.trim_end()), "{file} of {institution}");
            }
        }
        // What has no name of its own in the file system is the socket, the module's log and the like.
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            let target = fs::read_link(entry?.path())?.display().to_string();
            assert!(
                !target.contains("signer.db") && !target.contains("/pins/"),
                "{target}"
            );
        }
    }
    // One in the middle of a call, which would not read the end of its socket.
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let held = Held::token(&deployment, "alfa")?;
    let ask = customer.asks(&order("0.01", "CNY")?)?;
    let (bank, sent) = (callers.alfa_payments.clone(), ask.clone());
    let call = tokio::spawn(async move { bank.cosign_order(sent).await });
    held.is_waited_for().await?;
    deployment.kill()?;
    until("the end of all worker processes", SOON, async || {
        let left = found
            .values()
            .filter(|pid| Path::new(&format!("/proc/{pid}/exe")).exists());
        Ok((left.count() == 0).then_some(()))
    })
    .await?;
    drop(held);
    call.await?.unwrap_err();
    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;
    callers.alfa_payments.cosign_order(ask).await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1, 0));
    Ok(())
}

/// SIGTERM to a worker process is nothing to it: the service says when it ends.
#[tokio::test]
async fn a_worker_minds_the_service_alone() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let pid: Pid = worker(&mut deployment, "alfa").await?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal)?;
    }
    bank.cosign_order(customer.asks(&order("0.01", "CNY")?)?)
        .await?;
    assert_eq!(worker(&mut deployment, "alfa").await?, pid);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 1);
    deployment.stop().await?;
    assert!(!deployment.log().contains("a worker process has ended"));
    Ok(())
}
