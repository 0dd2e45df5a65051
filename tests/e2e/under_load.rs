//! The service killed again and again while several clients co-sign, enrol and revoke: what was answered stands, what was
//! not is answered by the retry, and no limit is passed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal::{self, persist},
    stored,
    story::Callers,
    until::until,
};
use semops_objects::Order;
use semops_proto::v1;
use tokio::task::{JoinSet, LocalSet};
use tonic::Code;
use uuid::Uuid;

const KILLS: usize = 30;
const CLIENTS: usize = 6;
const ENROLMENTS: usize = 2;
/// How long some answers may take: a start, on a busy machine, and some.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each device's day: 2000 orders, CNY 1000. A device that orders CNY 100 each time has ten of them.
const DEAR: &str = "100.00";
const DEAR_PER_DAY: u32 = 10;

fn many_orders(policy: String) -> String {
    policy.replace("orders_per_day = 50", "orders_per_day = 100000")
}

/// What the clients share.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicUsize,
}

/// An order with its answer; none if a limit refused it.
struct Ordered {
    customer: Arc<Customer>,
    order: Order,
    ask: v1::CosignOrderRequest,
    answer: Option<v1::CosignOrderResponse>,
}

/// Orders until the load is over.
async fn pay(
    callers: Callers,
    customer: Arc<Customer>,
    cny: &str,
    load: Arc<Load>,
) -> Result<Vec<Ordered>, Failure> {
    let mut ordered = Vec::new();
    while !load.over.load(Ordering::Relaxed) {
        let order = customer::order(cny, "CNY")?;
        let ask = customer.asks(&order)?;
        let client = &callers.alfa_payments;
        let answer = match persist(async || client.cosign_order(ask.clone()).await).await? {
            Err(status) => {
                refusal::demand(
                    Err::<(), _>(status),
                    Code::FailedPrecondition,
                    "DEVICE_AMOUNT_PER_DAY",
                )?;
                None
            }
            Ok(answer) => Some(answer),
        };
        load.answered.fetch_add(1, Ordering::Relaxed);
        let customer = Arc::clone(&customer);
        ordered.push(Ordered {
            customer,
            order,
            ask,
            answer,
        });
    }
    Ok(ordered)
}

/// Enrols phones, and revokes every second one, until the load is over.
async fn enrol(
    callers: Callers,
    load: Arc<Load>,
) -> Result<Vec<(v1::EnrollDeviceRequest, v1::EnrollDeviceResponse, bool)>, Failure> {
    let mut enrolled = Vec::new();
    let client = &callers.mobilis_enrolment;
    while !load.over.load(Ordering::Relaxed) {
        let mut phone = Phone::new()?;
        let ask = customer::enrolment(&phone, &pseudonym())?;
        let answer = persist(async || client.enroll_device(ask.clone()).await).await??;
        phone.take_certificate(&answer)?;
        let revoked = enrolled.len() % 2 == 1;
        if revoked {
            let revoke = v1::RevokeDeviceRequest {
                device_id: answer.device_id.clone(),
                reason: v1::RevocationReason::CessationOfOperation.into(),
            };
            persist(async || client.revoke_device(revoke.clone()).await).await??;
        }
        load.answered.fetch_add(1, Ordering::Relaxed);
        enrolled.push((ask, answer, revoked));
    }
    Ok(enrolled)
}

/// Kills the service after a random number of answers: from none, when it has hardly begun, to some thirty.
async fn kill_again_and_again(deployment: &mut Deployment, load: &Load) -> Result<(), Failure> {
    for _ in 0..KILLS {
        let more = usize::from(Uuid::new_v4().as_bytes()[0] % 32);
        let enough = load.answered.load(Ordering::Relaxed) + more;
        until("answers", PATIENCE, async || {
            Ok((load.answered.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await?;
        deployment.kill()?;
        deployment.start().await?;
    }
    Ok(())
}

#[tokio::test]
async fn thirty_kills_lose_nothing_and_double_nothing() -> Result<(), Failure> {
    // A client that persists is bound to its thread.
    LocalSet::new().run_until(thirty_kills()).await
}

async fn thirty_kills() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    deployment.load_next("policy", "alfa", 2, many_orders)?;
    let load = Arc::new(Load::default());

    let mut paying = JoinSet::new();
    // One device is used from three sides at once, at its limit.
    let dear = Arc::new(Customer::of_alfa(&deployment).await?);
    for client in 0..CLIENTS {
        let (customer, cny) = match client {
            0..3 => (Arc::clone(&dear), DEAR),
            _ => (Arc::new(Customer::of_alfa(&deployment).await?), "0.01"),
        };
        paying.spawn_local(pay(
            Callers::connect(&deployment).await?,
            customer,
            cny,
            Arc::clone(&load),
        ));
    }
    let mut enrolling = JoinSet::new();
    for _ in 0..ENROLMENTS {
        enrolling.spawn_local(enrol(
            Callers::connect(&deployment).await?,
            Arc::clone(&load),
        ));
    }
    let killed = kill_again_and_again(&mut deployment, &load).await;
    load.over.store(true, Ordering::Relaxed);
    let (paid, enrolled) = (paying.join_all().await, enrolling.join_all().await);
    killed?;

    let callers = Callers::connect(&deployment).await?;
    let mut authorized = 0;
    for ordered in paid
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
    {
        authorized += u32::from(found_again(&callers, &ordered).await?);
    }
    for (ask, answer, revoked) in enrolled
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
    {
        let again = callers.mobilis_enrolment.enroll_device(ask).await;
        if revoked {
            refusal::demand(again, Code::FailedPrecondition, "DEVICE_REVOKED")?;
        } else {
            assert_eq!(again?, answer);
        }
    }

    // Every intent has ended: each was retried to its end. The tight device has had its day, exactly.
    assert_eq!(stored::count(&deployment, "authorization", "PENDING")?, 0);
    assert_eq!(
        stored::count(&deployment, "authorization", "AUTHORIZED")?,
        authorized
    );
    assert_eq!(
        stored::orders_of(&deployment, &dear.device_id())?,
        DEAR_PER_DAY
    );
    let checked = recheck(&mut deployment).await?;
    assert_eq!(u32::try_from(checked.authorizations)?, authorized);
    assert!(checked.crls > 1, "{checked:?}");
    Ok(())
}

/// Whether it is authorized; asked again, it is answered as before, byte for byte.
async fn found_again(callers: &Callers, ordered: &Ordered) -> Result<bool, Failure> {
    let Ordered {
        customer,
        order,
        ask,
        answer,
    } = ordered;
    let again = callers.alfa_payments.cosign_order(ask.clone()).await;
    let Some(answer) = answer else {
        refusal::demand(again, Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY")?;
        return Ok(false);
    };
    assert_eq!(again?, *answer);
    let found = customer.standing(&callers.alfa_payments, order).await?;
    assert_eq!(found.state(), v1::OrderState::Authorized);
    assert_eq!(found.order_jws, answer.order_jws);
    assert_eq!(
        found.authorization_jws.as_ref(),
        Some(&answer.authorization_jws)
    );
    Ok(true)
}
