//! Orderly ends, deadlines and full queues: what is under way is answered, what cannot be is found by the retry.

use std::time::{Duration, Instant};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    held::Held,
    recheck::recheck,
    refusal, stored,
    story::Callers,
    until::until,
};
use rustix::process::Signal;
use semops_objects::Order;
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::{Role, Scheme};
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::bad_input::rows::outages as rows;

const SOON: Duration = Duration::from_secs(10);

/// A running deployment; each pair is a change of its configuration.
async fn deployment(configuration: &[(&str, &str)]) -> Result<Deployment, Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    for (from, to) in configuration {
        deployment.configure(from, to)?;
    }
    deployment.start().await?;
    Ok(deployment)
}

type Call = JoinHandle<Result<v1::CosignOrderResponse, Status>>;

/// A call for a new order that the held token keeps from ending.
async fn held_call(deployment: &Deployment) -> Result<(v1::CosignOrderRequest, Call), Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    let order = customer::order("1.00", "CNY")?;
    let ask = customer.asks(&order)?;
    let (client, sent) = (
        deployment.client("alfa", Role::Payments).await?,
        ask.clone(),
    );
    let call = tokio::spawn(async move { client.cosign_order(sent).await });
    pending(deployment, &order.jti.to_string()).await?;
    Ok((ask, call))
}

async fn pending(deployment: &Deployment, jti: &str) -> Result<(), Failure> {
    stored::in_state(deployment, "authorization", Some(jti), "PENDING").await?;
    Ok(())
}

/// Waits until the log says so once more than `times`.
async fn logged(deployment: &Deployment, text: &str, times: usize) -> Result<(), Failure> {
    until(&format!("`{text}` in the log"), SOON, async || {
        Ok((deployment.log().matches(text).count() > times).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_takes_nothing_new() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let bank = Held::token(&deployment, "alfa")?;
    let (ask, call) = held_call(&deployment).await?;

    deployment.server()?.signal(Signal::TERM)?;
    until("new connections to be refused", SOON, async || {
        let refused = deployment.client("beta", Role::Payments).await.is_err();
        Ok(refused.then_some(()))
    })
    .await?;
    deployment.server()?.still_runs()?;
    assert!(!call.is_finished());
    drop(bank);
    let cosigned = call.await??;
    let status = deployment.server()?.wait().await?;
    assert_eq!(status.code(), Some(0), "{}", deployment.log());
    deployment.kill()?;

    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;
    assert_eq!(callers.alfa_payments.cosign_order(ask).await?, cosigned);
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_drain_has_an_end() -> Result<(), Failure> {
    let mut deployment = deployment(&[("seconds = 15", "seconds = 1")]).await?;
    let bank = Held::token(&deployment, "alfa")?;
    let (first, call) = held_call(&deployment).await?;
    deployment.server()?.signal(Signal::TERM)?;
    // The token is held all the time.
    let status = deployment.server()?.wait().await?;
    assert_eq!(status.code(), Some(1));
    assert!(
        deployment.log().contains("the drain was cut short"),
        "{}",
        deployment.log()
    );
    call.await?.unwrap_err();
    deployment.kill()?;
    drop(bank);

    // An hour to drain, and somebody in a hurry.
    deployment.configure("seconds = 1\n", "seconds = 3600\n")?;
    deployment.start().await?;
    let bank = Held::token(&deployment, "alfa")?;
    let (second, call) = held_call(&deployment).await?;
    deployment.server()?.signal(Signal::TERM)?;
    logged(&deployment, "draining", 1).await?;
    deployment.server()?.signal(Signal::INT)?;
    let status = deployment.server()?.wait().await?;
    assert_eq!(status.code(), Some(1));
    assert!(
        deployment.log().contains("second signal"),
        "{}",
        deployment.log()
    );
    call.await?.unwrap_err();
    deployment.kill()?;
    drop(bank);

    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;
    for ask in [first, second] {
        callers.alfa_payments.cosign_order(ask).await?;
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_client_that_waits_no_longer_finds_its_order_later() -> Result<(), Failure> {
    let mut deployment = deployment(&[("threads = 2", "threads = 8")]).await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = Held::token(&deployment, "alfa")?;

    // A client with 300 ms. The service answers shortly before; on a busy machine the client's own clock may be first.
    let channel = deployment.channel("alfa", Role::Payments).await?;
    let hasty = Client::new(channel, Duration::from_millis(300));
    let order = customer::order("1.00", "CNY")?;
    let late = customer.asks(&order)?;
    until("DEADLINE_EXCEEDED from the service", SOON, async || {
        let asked = Instant::now();
        let status = hasty.cosign_order(late.clone()).await.unwrap_err();
        assert!(asked.elapsed() < SOON / 4, "{:?}", asked.elapsed());
        assert!(
            [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()),
            "{status:?}"
        );
        if refusal::reason(&status).is_none() {
            return Ok(None);
        }
        rows::TOKEN_HANGS.refuses(Err::<(), _>(status)).map(Some)
    })
    .await?;
    pending(&deployment, &order.jti.to_string()).await?;

    // One that goes away, with its connection.
    let leaving = customer::order("1.00", "CNY")?;
    let left = customer.asks(&leaving)?;
    let (client, sent) = (
        deployment.client("alfa", Role::Payments).await?,
        left.clone(),
    );
    let call = tokio::spawn(async move { client.cosign_order(sent).await });
    pending(&deployment, &leaving.jti.to_string()).await?;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(bank);
    // Nobody asks again, and it ends all the same.
    let jti = leaving.jti.to_string();
    let ended = stored::in_state(&deployment, "authorization", Some(&jti), "AUTHORIZED").await?;

    let found = callers.alfa_payments.cosign_order(left).await?;
    assert_eq!(Some(found.authorization_jws.into_bytes()), ended.artifact);
    let resumed = callers.alfa_payments.cosign_order(late.clone()).await?;
    assert_eq!(callers.alfa_payments.cosign_order(late).await?, resumed);
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_full_queue_is_said_at_once_and_is_one_institutions() -> Result<(), Failure> {
    const WAITING: usize = 8;
    let narrow = [("threads = 2", "threads = 1"), ("queue = 256", "queue = 1")];
    let mut deployment = deployment(&narrow).await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = Held::token(&deployment, "alfa")?;
    let (_, at_work) = held_call(&deployment).await?;
    bank.is_waited_for().await?;

    // One may wait; all others are told at once, and the token is held all the time.
    let mut calls = JoinSet::new();
    let mut asks = Vec::new();
    for _ in 0..WAITING {
        let ask = customer.asks(&customer::order("1.00", "CNY")?)?;
        let client = callers.alfa_payments.clone();
        asks.push(ask.clone());
        calls.spawn(async move { client.cosign_order(ask).await });
    }
    for _ in 1..WAITING {
        let status = calls.join_next().await.unwrap()?.unwrap_err();
        let status = rows::TOKEN_QUEUE_FULL.refuses(Err::<(), _>(status))?;
        assert!(status.get_error_details().retry_info().is_some());
    }
    // Others' tokens have queues of their own.
    Customer::of_alfa(&deployment).await?;
    assert_eq!(calls.len(), 1);
    assert!(!at_work.is_finished());

    drop(bank);
    at_work.await??;
    calls.join_next().await.unwrap()??;
    for ask in asks {
        callers.alfa_payments.cosign_order(ask).await?;
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1 + WAITING, 0));
    Ok(())
}

#[tokio::test]
async fn a_token_that_hangs_holds_up_no_other_institution() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let callers = Callers::connect(&deployment).await?;
    let (of_mobilis, of_alfa) = (
        Customer::of_alfa(&deployment).await?,
        Customer::enrolled_by(&callers.alfa_enrolment).await?,
    );
    let paying = Customer::of_alfa(&deployment).await?;
    let operator = Held::token(&deployment, "mobilis")?;
    let reason = v1::RevocationReason::KeyCompromise;
    of_mobilis
        .revoked_by(&callers.mobilis_enrolment, reason)
        .await?;
    stored::in_state(&deployment, "crl", None, "PENDING").await?;

    // The CRL of mobilis waits for its token; that of alfa does not, nor does the sweep.
    of_alfa.revoked_by(&callers.alfa_enrolment, reason).await?;
    stored::in_state(&deployment, "crl", None, "AUTHORIZED").await?;
    let bank = Held::token(&deployment, "alfa")?;
    let order = customer::order("1.00", "CNY")?;
    let order = Order {
        exp: order.iat + 3,
        ..order
    };
    let (client, ask) = (callers.alfa_payments.clone(), paying.asks(&order)?);
    let call = tokio::spawn(async move { client.cosign_order(ask).await });
    let jti = order.jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&jti), "EXPIRED").await?;
    assert_eq!(stored::count(&deployment, "crl", "PENDING")?, 1);
    drop((bank, operator));
    rows::TOKEN_EXPIRES.refuses(call.await?)?;

    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (0, 1));
    Ok(())
}
