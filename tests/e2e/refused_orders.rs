//! The well-formed orders that CosignOrder refuses by proof or policy: each with its code and reason, audited, and
//! without holding its `jti`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order, order_from},
    deployment::{Deployment, unix_now},
    failure::Failure,
    phone::Phone,
    recheck::recheck,
    refusal::demand,
};
use rusqlite::{Connection, OpenFlags};
use semops_objects::{Amount, Channel, Order, Payee};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};

use crate::bad_input::{
    row::Row,
    rows::{limits, orders},
};

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ask(order_jws: impl Into<String>) -> v1::CosignOrderRequest {
    v1::CosignOrderRequest {
        order_jws: order_jws.into(),
        end_to_end_id: None,
        uetr: None,
    }
}

/// Alfa's payments and enrolment, and a customer.
struct Alfa {
    payments: Client,
    customer: Customer,
}

impl Alfa {
    async fn cosign(&self, order: &Order) -> Result<v1::CosignOrderResponse, Status> {
        let ask = self.customer.asks(order).unwrap();
        self.payments.cosign_order(ask).await
    }

    /// Refused, and no `jti` is held by it.
    async fn refuses(&self, order: &Order, row: &Row) -> Result<(), Failure> {
        row.refuses(self.cosign(order).await)?;
        let find = v1::GetAuthorizationRequest {
            device_id: self.customer.device_id(),
            jti: order.jti.to_string(),
        };
        let found = self.payments.get_authorization(find).await;
        demand(found, Code::NotFound, "ORDER_NOT_FOUND")?;
        Ok(())
    }
}

#[tokio::test]
async fn proof_and_policy_refuse_with_the_reason_and_hold_nothing() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let enrolment = deployment.client("alfa", Role::Enrolment).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let alfa = Alfa {
        payments: deployment.client("alfa", Role::Payments).await?,
        customer: Customer::enrolled_by(&mobilis).await?,
    };
    let now = u64::try_from(unix_now()?)?;
    let good = order("10.00", "EUR")?;

    // Not accepted yet: as if there were no such device.
    alfa.refuses(&good, &orders::NOT_ACCEPTED).await?;
    let mut unknown = Phone::new()?;
    let nobody = jws_of_unknown(&mut unknown, &good)?;
    let called = alfa.payments.cosign_order(ask(nobody)).await;
    orders::UNKNOWN_DEVICE.refuses(called)?;
    alfa.customer.accepted_by(&enrolment).await?;
    alfa.customer
        .accepted_by(&deployment.client("beta", Role::Enrolment).await?)
        .await?;

    let later = |iat: u64, exp: u64| -> Result<Order, Failure> {
        Ok(Order {
            iat,
            exp,
            ..order("10.00", "EUR")?
        })
    };
    alfa.refuses(&later(now - 120, now - 60)?, &orders::EXPIRED)
        .await?;
    alfa.refuses(&later(now - 600, now)?, &orders::EXPIRED)
        .await?;
    alfa.refuses(&later(now + 90, now + 150)?, &orders::FROM_FUTURE)
        .await?;
    alfa.cosign(&later(now + 20, now + 80)?).await?; // 30 s ahead are let pass

    let payee = |institution: &str| {
        Payee::new(institution.parse().unwrap(), "M-17", "Kiosk").map_err(Failure::during("payee"))
    };
    alfa.refuses(&order("150.01", "EUR")?, &limits::OVER_POLICY)
        .await?;
    alfa.refuses(&order("1.00", "USD")?, &limits::CURRENCY_WITHOUT_LIMIT)
        .await?;
    alfa.refuses(&order("1.000", "KWD")?, &limits::CURRENCY_WITHOUT_LIMIT)
        .await?;
    let to_mobilis = Order {
        payee: payee("mobilis")?,
        ..order("1.00", "EUR")?
    };
    alfa.refuses(&to_mobilis, &limits::PAYEE).await?;

    // To beta, from a customer of beta's too: whoever is not in `aud` cannot have it.
    let called = beta.cosign_order(alfa.customer.asks(&good)?).await;
    orders::OTHER_AUDIENCE.refuses(called)?;
    let called = alfa.cosign(&order_from("beta", "1.00", "EUR")?).await;
    orders::OTHER_AUDIENCE.refuses(called)?;

    // Another's signature, or over another amount.
    let stranger = Customer::enrolled_by(&mobilis).await?;
    let input = good.signing_input(&alfa.customer.phone.kid()?);
    let forged = stranger.phone.sign_raw(input.as_bytes())?;
    let dearer = Order {
        amount: Amount::parse("99.00", "EUR").unwrap(),
        ..good.clone()
    };
    let own = alfa.customer.phone.sign(&good)?;
    let dearer = dearer.signing_input(&alfa.customer.phone.kid()?);
    for jws in [
        format!("{input}.{}", base64url(forged)),
        format!("{dearer}.{}", own.rsplit_once('.').unwrap().1),
    ] {
        let called = alfa.payments.cosign_order(ask(jws)).await;
        orders::FORGED.blames(called, "order_jws")?;
    }

    // What was refused before for want of acceptance is co-signed now, under its own id.
    alfa.cosign(&good).await?;

    changed_policy_and_status(&deployment, &alfa, &mobilis).await?;
    all_are_audited(&deployment)?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 3);
    Ok(())
}

/// An order by a phone that was never enrolled.
fn jws_of_unknown(phone: &mut Phone, order: &Order) -> Result<String, Failure> {
    let input = order.signing_input(&[7; 32]);
    Ok(format!(
        "{input}.{}",
        base64url(phone.sign_raw(input.as_bytes())?)
    ))
}

/// A policy that does not allow what it did, a release, a revocation: each counts from the next order on.
async fn changed_policy_and_status(
    deployment: &Deployment,
    alfa: &Alfa,
    mobilis: &Client,
) -> Result<(), Failure> {
    let enrolment = deployment.client("alfa", Role::Enrolment).await?;
    deployment.load_next("policy", "alfa", 2, |text| {
        let text = replaced(&text, "    \"p2p\",\n", "");
        replaced(&text, "    \"mobilis\",\n", "")
    })?;
    let waiting = order("10.00", "EUR")?;
    alfa.refuses(&waiting, &limits::ISSUER).await?;
    deployment.load_next("policy", "alfa", 3, |text| {
        replaced(&text, "    \"p2p\",\n", "")
    })?;
    let p2p = Order {
        channel: Channel::P2p,
        ..order("1.00", "EUR")?
    };
    alfa.refuses(&p2p, &limits::CHANNEL).await?;
    alfa.cosign(&waiting).await?;

    let release = v1::ReleaseDeviceRequest {
        device_id: alfa.customer.device_id(),
    };
    enrolment.release_device(release).await?;
    alfa.refuses(&order("1.00", "EUR")?, &orders::NOT_ACCEPTED)
        .await?;
    alfa.customer.accepted_by(&enrolment).await?;
    alfa.customer
        .revoked_by(mobilis, v1::RevocationReason::KeyCompromise)
        .await?;
    alfa.refuses(&order("1.00", "EUR")?, &orders::REVOKED)
        .await?;
    // What is done is answered for ever.
    alfa.cosign(&waiting).await?;
    Ok(())
}

/// The text with the one place `from` replaced.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
    text.replacen(from, to, 1)
}

/// Each refusal is an audit event that says nothing of amounts or people.
fn all_are_audited(deployment: &Deployment) -> Result<(), Failure> {
    let record =
        Connection::open_with_flags(deployment.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = record.prepare("SELECT CAST(leaf AS TEXT) FROM audit")?;
    let leaves = statement.query_map([], |row| row.get::<_, String>(0))?;
    let leaves: String = leaves.collect::<Result<Vec<_>, _>>()?.concat();
    for (reason, times) in [
        ("DEVICE_NOT_ACCEPTED", 3),
        ("ORDER_EXPIRED", 2),
        ("ORDER_FROM_FUTURE", 1),
        ("AMOUNT_OVER_POLICY", 1),
        ("CURRENCY_NOT_ALLOWED", 2),
        ("PAYEE_NOT_ALLOWED", 1),
        ("ORDER_AUDIENCE", 2),
        ("ORDER_SIGNATURE", 2),
        ("ISSUER_NOT_ALLOWED", 1),
        ("CHANNEL_NOT_ALLOWED", 1),
        ("DEVICE_REVOKED", 1),
    ] {
        let refusals = leaves.matches(&format!("\"reason\":\"{reason}\"")).count();
        assert_eq!(refusals, times, "{reason}");
    }
    for word in ["150.01", "Kiosk", "M-17", "EUR"] {
        assert!(
            !leaves.contains(word) && !deployment.log().contains(word),
            "{word}"
        );
    }
    Ok(())
}
