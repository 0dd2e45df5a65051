//! The machine's clock is stepped. The service has that one clock and believes it: by a wrong one it refuses what is right,
//! and once it is put right everything is as before. What was answered is answered throughout.

use std::time::Duration;

use e2e::{
    clock::Hands,
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    held::Held,
    recheck::recheck,
    stored,
    story::Callers,
    until::until,
};
use semops_objects::Order;
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{self, Authority},
};
use softhsm_setup::scheme::Scheme;

use super::rows::{self as all, clock as rows};
use crate::crls::crl;

const HOUR: i64 = 3_600;
/// Less than the five minutes before the ceremony from which on certificates are valid.
const BACK: i64 = -120;
const SOON: Duration = Duration::from_secs(20);

/// A running deployment by a clock that is right, its callers, and a customer of alfa.
async fn by(hands: &Hands, scheme: &str) -> Result<(Deployment, Callers, Customer), Failure> {
    let mut deployment = Deployment::prepare(scheme, &mut |_| {})?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    Ok((deployment, callers, customer))
}

/// How many orders were co-signed, and how many ended otherwise. A CRL that was being made at a step is made anew.
fn orders(deployment: &Deployment) -> Result<[u32; 2], Failure> {
    let count = |state| stored::count(deployment, "authorization", state);
    let otherwise = count("EXPIRED")? + count("DENIED")? + count("FAILED")? + count("PENDING")?;
    Ok([count("AUTHORIZED")?, otherwise])
}

#[tokio::test]
async fn a_clock_that_is_stepped_and_put_right() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let (mut deployment, callers, customer) = by(&hands, Scheme::EXAMPLE).await?;
    let alfa = &callers.alfa_payments;
    let done = customer.asks(&order("1.00", "CNY")?)?;
    let answered = alfa.cosign_order(done.clone()).await?;
    for (ahead, row) in [(HOUR, &rows::AHEAD), (BACK, &rows::BEHIND)] {
        let now = order("1.00", "CNY")?;
        let ask = customer.asks(&now)?;
        hands.set(ahead)?;
        row.refuses(alfa.cosign_order(ask.clone()).await)?;
        assert_eq!(alfa.cosign_order(done.clone()).await?, answered);
        // New connections are made, and the schedule goes on.
        assert!(deployment.is_healthy().await);
        hands.set(0)?;
        alfa.cosign_order(ask).await?;
        assert_eq!(alfa.cosign_order(done.clone()).await?, answered);
    }
    recheck(&mut deployment).await?;
    assert_eq!(orders(&deployment)?, [3, 0]);
    Ok(())
}

#[tokio::test]
async fn a_step_while_the_token_signs() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let (mut deployment, callers, customer) = by(&hands, Scheme::EXAMPLE).await?;
    let mut begun = Vec::new();
    for ahead in [HOUR, BACK] {
        let bank = Held::token(&deployment, "alfa")?;
        let order = order("1.00", "CNY")?;
        let (alfa, ask) = (callers.alfa_payments.clone(), customer.asks(&order)?);
        let sent = ask.clone();
        let call = tokio::spawn(async move { alfa.cosign_order(sent).await });
        let jti = order.jti.to_string();
        stored::in_state(&deployment, "authorization", Some(&jti), "PENDING").await?;
        hands.set(ahead)?;
        drop(bank);
        begun.push((call.await?, ask, jti));
        hands.set(0)?;
    }
    let alfa = &callers.alfa_payments;
    let [(late, late_ask, late_jti), (early, early_ask, _)] = begun.try_into().unwrap();
    // Forward past its exp: nothing that was signed is stored or sent, now or after.
    rows::AHEAD_UNDER_WAY.refuses(late)?;
    rows::AHEAD_UNDER_WAY.refuses(alfa.cosign_order(late_ask).await)?;
    let ended = stored::in_state(&deployment, "authorization", Some(&late_jti), "EXPIRED").await?;
    assert_eq!(ended.artifact, None);
    // Back: it was in time, and is answered as ever.
    assert_eq!(early?, alfa.cosign_order(early_ask).await?);
    recheck(&mut deployment).await?;
    assert_eq!(orders(&deployment)?, [1, 1]);
    Ok(())
}

#[tokio::test]
async fn what_a_wrong_clock_signed_says_so() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let (mut deployment, callers, _) = by(&hands, Scheme::EXAMPLE).await?;
    hands.set(HOUR)?;
    let enrolled_ahead = Customer::of_alfa(&deployment).await?;
    // Before the time to which the clock is set back next: a certificate has a beginning.
    hands.set(BACK - 60)?;
    let customer = Customer::of_alfa(&deployment).await?;
    hands.set(BACK)?;
    // A phone whose clock is as far behind: the service cannot know better.
    let ask = customer.asks(&moved(order("1.00", "CNY")?, BACK))?;
    let cosigned = callers.alfa_payments.cosign_order(ask).await?;
    hands.set(0)?;

    let authorization_jws = cosigned.authorization_jws;
    let ask = v1::VerifyAuthorizationRequest { authorization_jws };
    let verified = callers.beta_payments.verify_authorization(ask).await?;
    assert_eq!(verified.verdict(), v1::Verdict::Expired);
    let ask = enrolled_ahead.asks(&order("1.00", "CNY")?)?;
    rows::ENROLLED_AHEAD.refuses(callers.alfa_payments.cosign_order(ask).await)?;
    let ask = customer.asks(&order("1.00", "CNY")?)?;
    callers.alfa_payments.cosign_order(ask).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

/// The same order of another time.
fn moved(order: Order, seconds: i64) -> Order {
    Order {
        iat: order.iat.saturating_add_signed(seconds),
        exp: order.exp.saturating_add_signed(seconds),
        ..order
    }
}

#[tokio::test]
async fn money_limits_count_what_a_set_back_clock_left_ahead() -> Result<(), Failure> {
    let scheme = Scheme::EXAMPLE.replace("EUR = \"500.00\"", "EUR = \"100.00\"");
    let hands = Hands::new()?;
    let (mut deployment, callers, customer) = by(&hands, &scheme).await?;
    hands.set(2 * HOUR)?;
    // A phone whose clock is just as wrong.
    let of_then = moved(order("100.00", "EUR")?, 2 * HOUR);
    let alfa = &callers.alfa_payments;
    alfa.cosign_order(customer.asks(&of_then)?).await?;
    hands.set(0)?;
    let over = customer.asks(&order("0.01", "EUR")?)?;
    rows::DAY_IS_NOT_OVER.refuses(alfa.cosign_order(over).await)?;
    alfa.cosign_order(customer.asks(&order("1.00", "CNY")?)?)
        .await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

#[tokio::test]
async fn a_crl_of_the_future_is_made_anew() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let (mut deployment, callers, customer) = by(&hands, Scheme::EXAMPLE).await?;
    let mobilis = &callers.mobilis_enrolment;
    let before = crl(mobilis, "mobilis", Authority::DeviceCa).await?;

    hands.set(HOUR)?;
    let reason = v1::RevocationReason::KeyCompromise;
    customer.revoked_by(mobilis, reason).await?;
    let ahead = after(mobilis, before.crl_number).await?;
    assert!(ahead.1.this_update() > unix_now()?);

    hands.set(0)?;
    let (number, right) = after(mobilis, ahead.0).await?;
    assert!(right.this_update() <= unix_now()? && number > ahead.0);
    let serial = customer.phone.chain()?.first().unwrap().serial();
    assert!(right.entry(serial).is_some());
    let refused = customer.asks(&order("1.00", "CNY")?)?;
    all::orders::REVOKED.refuses(callers.alfa_payments.cosign_order(refused).await)?;
    recheck(&mut deployment).await.map(drop)
}

/// The first CRL of the phone's CA after that number, with its own.
async fn after(client: &Client, number: u64) -> Result<(u64, CertificateRevocationList), Failure> {
    until("the next CRL", SOON, async || {
        let newest = crl(client, "mobilis", Authority::DeviceCa).await?;
        let list = CertificateRevocationList::from_der(&newest.crl)?;
        Ok((newest.crl_number > number).then_some((newest.crl_number, list)))
    })
    .await
}
