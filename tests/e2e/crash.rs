//! SIGKILL, revocation and the passing of time between `begin` and `complete`: a held token keeps requests there.

use std::time::Duration;

use e2e::{
    customer::{self, Customer},
    deployment::{Deployment, unix_now},
    failure::Failure,
    held::Held,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal, stored,
    story::Callers,
    until::until,
};
use semops_objects::Order;
use semops_proto::v1::{self, OrderState};
use softhsm_setup::scheme::Scheme;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

const PASSED: Duration = Duration::from_secs(20);

/// Enough threads for every request that a test holds, and some for what goes on beside them.
async fn deployment() -> Result<Deployment, Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.configure("threads = 2", "threads = 6")?;
    deployment.start().await?;
    Ok(deployment)
}

type Call<T> = JoinHandle<Result<T, Status>>;

/// Has an order co-signed while its bank's token is held: it is recorded, and the call waits.
async fn cosign_held(
    deployment: &Deployment,
    callers: &Callers,
    customer: &Customer,
    order: &Order,
) -> Result<(v1::CosignOrderRequest, Call<v1::CosignOrderResponse>), Failure> {
    let ask = customer.asks(order)?;
    let (client, sent) = (callers.alfa_payments.clone(), ask.clone());
    let call = tokio::spawn(async move { client.cosign_order(sent).await });
    stored::in_state(
        deployment,
        "authorization",
        Some(&order.jti.to_string()),
        "PENDING",
    )
    .await?;
    Ok((ask, call))
}

async fn must_be(
    callers: &Callers,
    customer: &Customer,
    order: &Order,
    state: OrderState,
    reason: &str,
) -> Result<(), Failure> {
    let found = customer.standing(&callers.alfa_payments, order).await?;
    assert_eq!(
        (found.state(), found.reason.as_deref()),
        (state, Some(reason))
    );
    assert_eq!(found.authorization_jws, None);
    Ok(())
}

#[tokio::test]
async fn a_killed_request_is_resumed_and_has_one_outcome() -> Result<(), Failure> {
    let mut deployment = deployment().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let order = customer::order("23.72", "CNY")?;
    let jti = order.jti.to_string();

    let bank = Held::token(&deployment, "alfa")?;
    let (ask, cosigning) = cosign_held(&deployment, &callers, &customer, &order).await?;
    let operator = Held::token(&deployment, "mobilis")?;
    let mut new_phone = Phone::new()?;
    let request = customer::enrolment(&new_phone, &pseudonym())?;
    let (client, sent) = (callers.mobilis_enrolment.clone(), request.clone());
    let enrolling = tokio::spawn(async move { client.enroll_device(sent).await });
    stored::in_state(&deployment, "device-certificate", None, "PENDING").await?;
    let recorded = stored::operation(&deployment, "authorization", Some(&jti))?.unwrap();

    deployment.kill()?;
    drop((bank, operator));
    let cut = [
        cosigning.await?.map(drop).unwrap_err(),
        enrolling.await?.map(drop).unwrap_err(),
    ];
    for status in cut {
        assert_eq!(refusal::reason(&status), None, "{status:?}");
    }
    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;
    assert_eq!(
        customer
            .standing(&callers.alfa_payments, &order)
            .await?
            .state(),
        OrderState::Pending
    );

    // The phone signs the same order anew: what was recorded first counts.
    let again = customer.asks(&order)?;
    assert_ne!(again, ask);
    let cosigned = callers.alfa_payments.cosign_order(again).await?;
    assert_eq!(cosigned.order_jws, ask.order_jws);
    let (signed, _) = cosigned.authorization_jws.rsplit_once('.').unwrap();
    assert_eq!(signed.as_bytes(), recorded.to_be_signed);
    assert_eq!(callers.alfa_payments.cosign_order(ask).await?, cosigned);

    let enrolled = callers
        .mobilis_enrolment
        .enroll_device(request.clone())
        .await?;
    new_phone.take_certificate(&enrolled)?;
    assert_eq!(
        callers.mobilis_enrolment.enroll_device(request).await?,
        enrolled
    );

    let checked = recheck(&mut deployment).await?;
    assert_eq!(
        (
            checked.authorizations,
            checked.certificates,
            checked.unsigned
        ),
        (1, 2, 0)
    );
    Ok(())
}

/// Nothing of alfa's customer is left when an order of CNY 400 stands.
fn one_order_a_day(policy: String) -> String {
    policy
        .replace("acceptance_seconds = 60", "acceptance_seconds = 4")
        .replace("\nCNY = \"1000.00\"", "\nCNY = \"400.00\"")
}

#[tokio::test]
async fn what_is_resumed_too_late_ends_without_a_signature() -> Result<(), Failure> {
    let mut deployment = deployment().await?;
    deployment.load_next("policy", "alfa", 2, one_order_a_day)?;
    let callers = Callers::connect(&deployment).await?;
    let (forgotten, slow, stolen) = (
        Customer::of_alfa(&deployment).await?,
        Customer::of_alfa(&deployment).await?,
        Customer::of_alfa(&deployment).await?,
    );

    let bank = Held::token(&deployment, "alfa")?;
    let order = customer::order("400.00", "CNY")?;
    let expiring = Order {
        exp: order.iat + 5,
        ..order
    };
    let (late, denied) = (
        customer::order("400.00", "CNY")?,
        customer::order("400.00", "CNY")?,
    );
    let (_, call) = cosign_held(&deployment, &callers, &forgotten, &expiring).await?;
    let (late_ask, late_call) = cosign_held(&deployment, &callers, &slow, &late).await?;
    let (denied_ask, denied_call) = cosign_held(&deployment, &callers, &stolen, &denied).await?;
    // What is pending counts.
    let more = forgotten.asks(&customer::order("0.01", "CNY")?)?;
    let refused = callers.alfa_payments.cosign_order(more.clone()).await;
    refusal::demand(refused, Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY")?;
    deployment.kill()?;
    drop(bank);
    for call in [call, late_call, denied_call] {
        call.await?.unwrap_err();
    }
    deployment.start().await?;
    let callers = Callers::connect(&deployment).await?;

    // Revoked meanwhile.
    let ask = v1::RevokeDeviceRequest {
        device_id: stolen.device_id(),
        reason: v1::RevocationReason::KeyCompromise.into(),
    };
    callers.mobilis_enrolment.revoke_device(ask).await?;
    for _ in 0..2 {
        let resumed = callers.alfa_payments.cosign_order(denied_ask.clone()).await;
        refusal::demand(resumed, Code::FailedPrecondition, "DEVICE_REVOKED")?;
        must_be(
            &callers,
            &stolen,
            &denied,
            OrderState::Denied,
            "DEVICE_REVOKED",
        )
        .await?;
    }

    // Less than half of the authorization's four seconds is left.
    let half = i64::try_from(late.iat)? + 3;
    until("half of the time to have passed", PASSED, async || {
        Ok((unix_now()? >= half).then_some(()))
    })
    .await?;
    for _ in 0..2 {
        let resumed = callers.alfa_payments.cosign_order(late_ask.clone()).await;
        refusal::demand(resumed, Code::FailedPrecondition, "TOO_LATE")?;
        must_be(&callers, &slow, &late, OrderState::Failed, "TOO_LATE").await?;
    }

    // Nobody came for it.
    let jti = expiring.jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&jti), "EXPIRED").await?;
    must_be(
        &callers,
        &forgotten,
        &expiring,
        OrderState::Expired,
        "ORDER_EXPIRED",
    )
    .await?;
    let retried = forgotten.asks(&expiring)?;
    let refused = callers.alfa_payments.cosign_order(retried).await;
    refusal::demand(refused, Code::FailedPrecondition, "ORDER_EXPIRED")?;

    // All money is given back; one order may be refused and asked for again until its exp.
    callers.alfa_payments.cosign_order(more).await?;
    let whole_day = slow.asks(&customer::order("400.00", "CNY")?)?;
    callers.alfa_payments.cosign_order(whole_day).await?;

    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (2, 3));
    Ok(())
}

#[tokio::test]
async fn a_revocation_stops_what_is_not_yet_recorded() -> Result<(), Failure> {
    let mut deployment = deployment().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = Held::token(&deployment, "alfa")?;
    let order = customer::order("1.00", "CNY")?;
    let (ask, call) = cosign_held(&deployment, &callers, &customer, &order).await?;

    // Orders come from all sides while the phone is revoked.
    let mut others = Vec::new();
    for _ in 0..32 {
        let (client, ask) = (
            callers.alfa_payments.clone(),
            customer.asks(&customer::order("1.00", "CNY")?)?,
        );
        others.push(tokio::spawn(async move { client.cosign_order(ask).await }));
    }
    let revoke = v1::RevokeDeviceRequest {
        device_id: customer.device_id(),
        reason: v1::RevocationReason::KeyCompromise.into(),
    };
    callers.mobilis_enrolment.revoke_device(revoke).await?;
    let after = customer.asks(&customer::order("1.00", "CNY")?)?;
    let refused = callers.alfa_payments.cosign_order(after).await;
    refusal::demand(refused, Code::FailedPrecondition, "DEVICE_REVOKED")?;

    drop(bank);
    // Recorded before the revocation: it may end, and is answered for ever.
    let cosigned = call.await??;
    assert_eq!(callers.alfa_payments.cosign_order(ask).await?, cosigned);
    for other in others {
        if let Err(status) = other.await? {
            assert_eq!(refusal::reason(&status).as_deref(), Some("DEVICE_REVOKED"));
        }
    }
    recheck(&mut deployment).await?;
    // Events stand in the order of their commits.
    let events = stored::events(&deployment)?;
    let revoked = events
        .iter()
        .position(|event| event["operation"] == "revoke")
        .unwrap();
    let begun_later = events[revoked..]
        .iter()
        .filter(|event| event["operation"] == "authorization" && event["result"] == "BEGUN");
    assert_eq!(begun_later.count(), 0);
    Ok(())
}

#[tokio::test]
async fn an_order_that_expires_under_way_is_never_signed() -> Result<(), Failure> {
    let mut deployment = deployment().await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = Held::token(&deployment, "alfa")?;
    let order = customer::order("23.72", "CNY")?;
    let order = Order {
        exp: order.iat + 3,
        ..order
    };
    let jti = order.jti.to_string();
    let (ask, call) = cosign_held(&deployment, &callers, &customer, &order).await?;

    // The token still has it when the sweep closes it.
    let expired = stored::in_state(&deployment, "authorization", Some(&jti), "EXPIRED").await?;
    assert_eq!(expired.reason.as_deref(), Some("ORDER_EXPIRED"));
    drop(bank);
    refusal::demand(call.await?, Code::FailedPrecondition, "ORDER_EXPIRED")?;
    // The token serves again: the signature it made for the held call has had its chance to be stored.
    let next = customer.asks(&customer::order("1.00", "CNY")?)?;
    callers.alfa_payments.cosign_order(next).await?;
    let refused = callers.alfa_payments.cosign_order(ask).await;
    refusal::demand(refused, Code::FailedPrecondition, "ORDER_EXPIRED")?;
    must_be(
        &callers,
        &customer,
        &order,
        OrderState::Expired,
        "ORDER_EXPIRED",
    )
    .await?;
    assert_eq!(
        stored::operation(&deployment, "authorization", Some(&jti))?,
        Some(expired)
    );
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1, 1));
    Ok(())
}
