//! The same thing asked many times at once, over several connections: one outcome, and everybody is told the same.

use std::{collections::BTreeSet, future::Future};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal, stored,
    story::Callers,
};
use semops_objects::{Amount, Order};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};

const CALLS: usize = 32;
const CONNECTIONS: usize = 4;

/// The order of the group of P-256, big-endian (SEC 2 s2.4.2).
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Clients of one caller, each with a connection of its own.
async fn clients(
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

/// Makes all calls at once, call number i over connection i modulo their number; answers in the order of the asks.
async fn at_once<Q, A, F>(
    clients: &[Client],
    asks: Vec<Q>,
    call: impl Fn(Client, Q) -> F,
) -> Result<Vec<Result<A, Status>>, Failure>
where
    A: Send + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    let calls: Vec<_> = asks
        .into_iter()
        .zip(clients.iter().cycle())
        .map(|(ask, client)| tokio::spawn(call(client.clone(), ask)))
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await?);
    }
    Ok(answers)
}

async fn cosign(
    client: Client,
    ask: v1::CosignOrderRequest,
) -> Result<v1::CosignOrderResponse, Status> {
    client.cosign_order(ask).await
}

async fn enroll(
    client: Client,
    ask: v1::EnrollDeviceRequest,
) -> Result<v1::EnrollDeviceResponse, Status> {
    client.enroll_device(ask).await
}

/// The one answer that all calls got.
fn one<A: PartialEq + std::fmt::Debug>(answers: Vec<Result<A, Status>>) -> Result<A, Failure> {
    let mut answers = answers.into_iter();
    let first = answers.next().unwrap()?;
    for answer in answers {
        assert_eq!(answer?, first);
    }
    Ok(first)
}

/// The same order with the signature (r, n - s): as valid as (r, s), and made without the key.
fn malleated(jws: &str) -> String {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(N).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert_eq!(borrow, 0);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn orders_have_one_outcome() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let bank = clients(&deployment, "alfa", Role::Payments).await?;

    // One call, made many times.
    let customer = Customer::of_alfa(&deployment).await?;
    let order = customer::order("1.00", "CNY")?;
    let ask = customer.asks(&order)?;
    let cosigned = one(at_once(&bank, vec![ask.clone(); CALLS], cosign).await?)?;
    assert_eq!(cosigned.order_jws, ask.order_jws);

    // One order, each time with another valid signature: the one recorded first is the order.
    let order = customer::order("1.00", "CNY")?;
    let first = customer.phone.sign(&order)?;
    let mut signatures = vec![malleated(&first), first];
    while signatures.len() < CALLS {
        let signed = customer.phone.sign(&order)?;
        signatures.push(malleated(&signed));
        signatures.push(signed);
    }
    assert_eq!(signatures.iter().collect::<BTreeSet<_>>().len(), CALLS);
    let asks = signatures.iter().map(|jws| v1::CosignOrderRequest {
        order_jws: jws.clone(),
        ..Default::default()
    });
    let cosigned = one(at_once(&bank, asks.clone().collect(), cosign).await?)?;
    assert!(signatures.contains(&cosigned.order_jws));
    // And so it stays, even under a signature that does not verify: nothing is decided again.
    let (input, _) = signatures[0].rsplit_once('.').unwrap();
    let unsigned = v1::CosignOrderRequest {
        order_jws: format!("{input}.{}", "A".repeat(86)),
        ..Default::default()
    };
    let later = asks.chain([unsigned]).collect();
    assert_eq!(one(at_once(&bank, later, cosign).await?)?, cosigned);
    let found = customer.standing(&callers.alfa_payments, &order).await?;
    assert_eq!(found.order_jws, cosigned.order_jws);
    assert_eq!(found.authorization_jws, Some(cosigned.authorization_jws));

    let (jti, refused) = different_contents(&callers, &bank, &customer).await?;
    assert_eq!(
        stored::count(&deployment, "authorization", "AUTHORIZED")?,
        3
    );
    let conflicts = stored::events(&deployment)?
        .into_iter()
        .filter(|event| event["reason"] == "ORDER_CONFLICT" && event["object"] == jti.as_str());
    assert_eq!(conflicts.count(), refused);

    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (3, 0));
    Ok(())
}

/// Other content under one `jti`: other amounts, and the same order with other references of the bank. One wins. Gives the
/// `jti` and how many calls were refused.
async fn different_contents(
    callers: &Callers,
    bank: &[Client],
    customer: &Customer,
) -> Result<(String, usize), Failure> {
    let order = customer::order("1.00", "CNY")?;
    let mut asks = Vec::new();
    for number in 1..=CALLS / 2 {
        let amount = Amount::parse(&format!("0.{number:02}"), "CNY").unwrap();
        asks.push(customer.asks(&Order {
            amount,
            ..order.clone()
        })?);
        asks.push(v1::CosignOrderRequest {
            end_to_end_id: Some(format!("invoice {number}")),
            ..customer.asks(&order)?
        });
    }
    // Two of them are the same content: both of these may win.
    asks[3] = asks[1].clone();
    let answers = at_once(bank, asks.clone(), cosign).await?;
    let won: Vec<usize> = (0..CALLS).filter(|&index| answers[index].is_ok()).collect();
    assert!(won.len() == 1 || won == [1, 3], "{won:?}");
    let winner = answers[won[0]].clone()?;
    for (index, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(answer) => assert_eq!(answer, winner),
            Err(_) => {
                refusal::demand(answer, Code::AlreadyExists, "ORDER_CONFLICT")?;
            }
        }
        // Later they are told the same.
        let later = callers
            .alfa_payments
            .cosign_order(asks[index].clone())
            .await;
        assert_eq!(later.is_ok(), won.contains(&index), "{later:?}");
    }
    Ok((order.jti.to_string(), 2 * (CALLS - won.len())))
}

#[tokio::test]
async fn enrolments_and_acceptances_have_one_outcome() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let operator = clients(&deployment, "mobilis", Role::Enrolment).await?;
    let bank = clients(&deployment, "alfa", Role::Enrolment).await?;

    let mut phone = Phone::new()?;
    let ask = customer::enrolment(&phone, &pseudonym())?;
    let enrolled = one(at_once(&operator, vec![ask.clone(); CALLS], enroll).await?)?;
    phone.take_certificate(&enrolled)?;
    assert_eq!(operator[0].enroll_device(ask.clone()).await?, enrolled);
    // The same request for somebody else.
    let other = v1::EnrollDeviceRequest {
        subscriber_reference: pseudonym(),
        ..ask
    };
    refusal::demand(
        operator[0].enroll_device(other).await,
        Code::AlreadyExists,
        "REQUEST_CONFLICT",
    )?;

    // One request, a subscriber each: one gets the phone.
    let ask = v1::EnrollDeviceRequest {
        certification_request: Phone::new()?.request()?,
        ..Default::default()
    };
    let asks = (0..CALLS).map(|_| v1::EnrollDeviceRequest {
        subscriber_reference: pseudonym(),
        ..ask.clone()
    });
    let answers = at_once(&operator, asks.collect(), enroll).await?;
    one_wins(answers, Code::AlreadyExists, "REQUEST_CONFLICT")?;

    // One key at two institutions: it is certified once in the whole deployment, by whichever was first.
    let ask = customer::enrolment(&Phone::new()?, &pseudonym())?;
    let registrars: Vec<Client> = (0..CALLS)
        .map(|index| [&operator, &bank][index % 2][index / 2 % CONNECTIONS].clone())
        .collect();
    let answers = at_once(&registrars, vec![ask; CALLS], enroll).await?;
    let (first, second): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);
    let [first, second] = [first, second].map(|of| of.into_iter().map(|(_, answer)| answer));
    let (winner, other): (Vec<_>, Vec<_>) = if first.clone().any(|answer| answer.is_ok()) {
        (first.collect(), second.collect())
    } else {
        (second.collect(), first.collect())
    };
    one(winner)?;
    for answer in other {
        refusal::demand(answer, Code::InvalidArgument, "KEY_NOT_ACCEPTABLE")?;
    }

    // One device, an account each: one of them has it.
    let asks = (0..CALLS).map(|_| v1::AcceptDeviceRequest {
        device_id: enrolled.device_id.clone(),
        account_reference: pseudonym(),
    });
    let asks: Vec<_> = asks.collect();
    let accept = |client: Client, ask| async move { client.accept_device(ask).await };
    let answers = at_once(&bank, asks.clone(), accept).await?;
    let winner = one_wins(answers, Code::AlreadyExists, "DEVICE_ACCEPTED_OTHERWISE")?;
    // Its own account again is no other.
    let again = at_once(&bank, vec![asks[winner].clone(); CALLS], accept).await?;
    one(again)?;

    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.certificates, checked.unsigned), (3, 0));
    Ok(())
}

/// Which one was answered, when all others were refused with this.
fn one_wins<A>(
    answers: Vec<Result<A, Status>>,
    code: Code,
    reason: &str,
) -> Result<usize, Failure> {
    let mut won = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        if answer.is_ok() {
            won.push(index);
        } else {
            refusal::demand(answer, code, reason)?;
        }
    }
    assert_eq!(won.len(), 1, "{won:?} were answered");
    Ok(won[0])
}
