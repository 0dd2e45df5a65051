//! What the load is made of: phones, their requests and their orders, signed before anything is measured, for the
//! signing of phones is no part of the service.

use std::{sync::Arc, time::Duration};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    phone::{self, Phone},
};
use semops_objects::{Amount, InstitutionId, Order, Payee, payment::MAX_LIFETIME};
use semops_proto::{client::Client, v1};
use serde::Serialize;
use softhsm_setup::scheme::Role;

use crate::load::{self, Jobs, Level};

const CONCURRENCY: [usize; 4] = [1, 8, 64, 256];
const CONNECTIONS: usize = 4;
const ENROLLING: Duration = Duration::from_millis(1_000);
const COSIGNING: Duration = Duration::from_millis(2_000);
/// Requests and orders made beforehand; a level ends early rather than run out of them.
const PHONES: usize = 20_000;
const ORDERS: usize = 44_000;
/// Of one phone: within the default policy, 50 orders and EUR 500.00 a day.
const ORDERS_OF_A_PHONE: usize = 20;
const AMOUNT: (&str, &str) = ("4.99", "EUR");
const ACCEPTING: usize = 16;

/// What one exchange carries, octets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sizes {
    pub(crate) request: usize,
    /// Of the answer, without what it repeats of the request.
    pub(crate) answer: usize,
}

/// One RPC under load.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) levels: Vec<Level>,
    pub(crate) sizes: Sizes,
}

impl Measured {
    /// How many were done at all levels.
    pub(crate) fn operations(&self) -> usize {
        self.levels.iter().map(|level| level.operations).sum()
    }

    /// The level with the most per second.
    pub(crate) fn best(&self) -> Result<&Level, Failure> {
        let by_rate = |a: &&Level, b: &&Level| a.per_second.total_cmp(&b.per_second);
        let best = self.levels.iter().max_by(by_rate);
        best.ok_or_else(|| Failure::new("nothing was measured"))
    }
}

/// Enrols phones at `mobilis`. Gives those that have a certificate now.
pub(crate) async fn enrol(
    deployment: &Deployment,
    server: u32,
) -> Result<(Measured, Vec<Phone>), Failure> {
    let phones = (0..PHONES).map(|_| Phone::new().map(Some));
    let mut phones = phones.collect::<Result<Vec<_>, Failure>>()?;
    let ask = |phone: &Phone| {
        Ok(v1::EnrollDeviceRequest {
            certification_request: phone.request()?,
            subscriber_reference: phone::pseudonym(),
        })
    };
    let asks = phones.iter().flatten().map(ask);
    let asks = Arc::new(asks.collect::<Result<Vec<_>, Failure>>()?);
    let clients = Arc::new(connections(deployment, "mobilis", Role::Enrolment).await?);
    let jobs = Jobs::new(asks.len());
    let (mut measured, mut enrolled) = (Measured::default(), Vec::new());
    for concurrency in CONCURRENCY {
        let (clients, asks) = (Arc::clone(&clients), Arc::clone(&asks));
        let call = move |caller, job| {
            let prepared = prepared(&clients, caller, &asks, job);
            async move {
                let (client, ask) = prepared?;
                let sent = ask.certification_request.len();
                Ok((job, sent, client.enroll_device(ask).await?))
            }
        };
        let (level, answers) = load::run(&jobs, concurrency, ENROLLING, server, call).await?;
        measured.levels.push(level);
        for (job, sent, answer) in answers {
            measured.sizes = Sizes {
                request: sent,
                answer: answer.certificate_chain.iter().map(Vec::len).sum(),
            };
            if let Some(mut phone) = phones.get_mut(job).and_then(Option::take) {
                phone.take_certificate(&answer)?;
                enrolled.push(phone);
            }
        }
    }
    Ok((measured, enrolled))
}

/// Has `alfa` accept as many of the phones as its orders need.
pub(crate) async fn accept(
    deployment: &Deployment,
    server: u32,
    phones: &[Phone],
) -> Result<usize, Failure> {
    let ask = |phone: &Phone| {
        Ok(v1::AcceptDeviceRequest {
            device_id: phone.device_id()?.to_owned(),
            account_reference: phone::pseudonym(),
        })
    };
    let phones = phones.iter().take(ORDERS / ORDERS_OF_A_PHONE);
    let asks = Arc::new(phones.map(ask).collect::<Result<Vec<_>, Failure>>()?);
    let (jobs, count) = (Jobs::new(asks.len()), asks.len());
    let clients = Arc::new(connections(deployment, "alfa", Role::Enrolment).await?);
    let call = move |caller, job| {
        let prepared = prepared(&clients, caller, &asks, job);
        async move {
            let (client, ask) = prepared?;
            Ok(client.accept_device(ask).await?)
        }
    };
    let (level, _) = load::run(&jobs, ACCEPTING, Duration::from_secs(60), server, call).await?;
    if level.operations == count {
        Ok(count)
    } else {
        Err(Failure::new("not every phone was accepted in a minute"))
    }
}

/// Has `alfa` co-sign orders of these phones, each once.
pub(crate) async fn cosign(
    deployment: &Deployment,
    server: u32,
    phones: &[Phone],
) -> Result<Measured, Failure> {
    let orders = Arc::new(orders(phones)?);
    let clients = Arc::new(connections(deployment, "alfa", Role::Payments).await?);
    let jobs = Jobs::new(orders.len());
    let mut measured = Measured::default();
    for concurrency in CONCURRENCY {
        let (clients, orders) = (Arc::clone(&clients), Arc::clone(&orders));
        let call = move |caller, job| {
            let prepared = prepared(&clients, caller, &orders, job);
            async move {
                let (client, order_jws) = prepared?;
                let ask = v1::CosignOrderRequest {
                    order_jws: order_jws.clone(),
                    ..Default::default()
                };
                let answer = client.cosign_order(ask).await?;
                if answer.order_jws != order_jws {
                    return Err(Failure::new("another order came back"));
                }
                Ok(Sizes {
                    request: order_jws.len(),
                    answer: answer.authorization_jws.len(),
                })
            }
        };
        let (level, sizes) = load::run(&jobs, concurrency, COSIGNING, server, call).await?;
        measured.levels.push(level);
        measured.sizes = sizes.last().copied().unwrap_or_default();
    }
    Ok(measured)
}

/// Signed orders, phone after phone, so that no two under way at a time are of one phone.
fn orders(phones: &[Phone]) -> Result<Vec<String>, Failure> {
    let amount = Amount::parse(AMOUNT.0, AMOUNT.1).map_err(Failure::during("amount"))?;
    let beta: InstitutionId = "beta".parse().map_err(Failure::during("beta"))?;
    let payee = Payee::new(beta, "7000123", "BENCH").map_err(Failure::during("payee"))?;
    let each = |phone: &Phone| {
        let order = phone::order("alfa", amount, payee.clone())?;
        // Made long before it is sent.
        let exp = order.iat.saturating_add(MAX_LIFETIME);
        phone.sign(&Order { exp, ..order })
    };
    let rounds = phones.iter().cycle().take(phones.len() * ORDERS_OF_A_PHONE);
    rounds.map(each).collect()
}

/// Connections of one caller.
pub(crate) async fn connections(
    deployment: &Deployment,
    institution: &str,
    role: Role,
) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(deployment.client(institution, role).await?);
    }
    Ok(clients)
}

/// The connection of a caller, and what it is to send.
fn prepared<T: Clone>(
    clients: &[Client],
    caller: usize,
    asks: &[T],
    job: usize,
) -> Result<(Client, T), Failure> {
    let client = clients.iter().cycle().nth(caller % CONNECTIONS).cloned();
    let ask = asks.get(job).cloned();
    client
        .zip(ask)
        .ok_or_else(|| Failure::new("there is no such connection or job"))
}
