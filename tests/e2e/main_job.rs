//! The main job, as the demo plays it, with what the demo does not say aloud.

use e2e::{
    deployment::Deployment,
    evidence::FILES,
    failure::Failure,
    phone::{Phone, order},
    recheck::{Checked, recheck},
    refusal::demand,
    story::{self, Callers, Narrator},
    stranger,
};
use semops_objects::{Amount, OrderJws, Payee};
use semops_proto::v1;
use softhsm_setup::scheme::Scheme;
use tonic::Code;

#[tokio::test]
async fn a_phone_pays_and_a_stranger_verifies_it() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    let evidence = story::play(&deployment, &Narrator::silent()).await?;

    let folder = tempfile::tempdir()?;
    evidence.write(folder.path())?;
    for outcome in stranger::run(stranger::LINES, folder.path())? {
        assert!(outcome.as_expected(), "{outcome:#?}");
    }

    let checked = recheck(&mut deployment).await?;
    // The phone, another customer's, and those of the eight who pay while a key is rotated.
    assert_eq!(checked.certificates, 10);
    // The payment, what passed of the burst, and the order that was told to come again.
    assert!(checked.authorizations >= 3, "{checked:?}");
    deployment.stop().await?;
    assert_eq!(recheck(&mut deployment).await?, checked);
    Ok(())
}

#[tokio::test]
async fn what_was_answered_is_found_after_a_restart() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    let evidence = story::play(&deployment, &Narrator::silent()).await?;
    let played = recheck(&mut deployment).await?.authorizations;
    deployment.restart().await?;

    let callers = Callers::connect(&deployment).await?;
    let device = evidence.device_chain[0]
        .subject_common_name()
        .unwrap()
        .to_owned();
    let order = OrderJws::parse(&evidence.order_jws)?;
    let ask = v1::GetAuthorizationRequest {
        device_id: device.clone(),
        jti: order.order().jti.to_string(),
    };
    let found = callers.alfa_payments.get_authorization(ask.clone()).await?;
    assert_eq!(found.state(), v1::OrderState::Authorized);
    assert_eq!(found.order_jws, evidence.order_jws);
    assert_eq!(
        found.authorization_jws,
        Some(evidence.authorization_jws.clone())
    );
    // Revoked since: what is done is answered for ever.
    let ask_again = v1::CosignOrderRequest {
        order_jws: evidence.order_jws.clone(),
        ..Default::default()
    };
    let again = callers.alfa_payments.cosign_order(ask_again).await?;
    assert_eq!(again.authorization_jws, evidence.authorization_jws);
    // The payee's bank was never asked to co-sign it.
    let foreign = callers
        .beta_payments
        .get_authorization(ask)
        .await
        .unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    // The issuer sees why; an acceptor sees the state alone.
    let ask = v1::GetDeviceRequest { device_id: device };
    let issued = callers
        .mobilis_enrolment
        .get_device(ask.clone())
        .await?
        .device
        .unwrap();
    let reason = issued.issued.unwrap().revocation_reason;
    assert_eq!(reason, Some(v1::RevocationReason::KeyCompromise.into()));
    let accepted = callers.alfa_payments.get_device(ask).await?.device.unwrap();
    assert_eq!(
        (accepted.status(), accepted.issued),
        (v1::DeviceStatus::Revoked, None)
    );

    let Checked { authorizations, .. } = recheck(&mut deployment).await?;
    assert_eq!(authorizations, played);
    Ok(())
}

#[tokio::test]
async fn evidence_replaces_earlier_evidence_and_nothing_else() -> Result<(), Failure> {
    let deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    let evidence = story::play(&deployment, &Narrator::silent()).await?;
    let folder = tempfile::tempdir()?;
    evidence.write(folder.path())?;
    evidence.write(folder.path())?;
    let mut names: Vec<_> = std::fs::read_dir(folder.path())?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let mut listed = FILES.map(str::to_owned);
    listed.sort_unstable();
    assert_eq!(names, listed);
    std::fs::write(folder.path().join("mine"), "x")?;
    let refused = evidence.write(folder.path()).unwrap_err().to_string();
    assert!(
        refused.contains("mine") && refused.contains("way out"),
        "{refused}"
    );
    assert!(folder.path().join("order.jws").exists());
    Ok(())
}

#[tokio::test]
async fn a_phone_spends_what_its_day_allows_and_no_more() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = Callers::connect(&deployment).await?;
    let phone = Phone::of_customer(&callers.mobilis_enrolment, &callers.alfa_enrolment).await?;
    let cosign = async |value: &str| {
        let amount = Amount::parse(value, "CNY").unwrap();
        let payee = Payee::new("beta".parse().unwrap(), "A1", "Kiosk").unwrap();
        let order_jws = phone.sign(&order("alfa", amount, payee).unwrap()).unwrap();
        let ask = v1::CosignOrderRequest {
            order_jws,
            ..Default::default()
        };
        callers.alfa_payments.cosign_order(ask).await
    };
    // The default policy: CNY 500.00 an order, 1000.00 a day.
    cosign("500.00").await?;
    cosign("499.99").await?;
    let over = cosign("0.02").await;
    demand(over, Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY")?;
    cosign("0.01").await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 3);
    Ok(())
}
