//! Devices after their enrolment: the limit for each subscriber, acceptance and its end, who sees what, revocation; and
//! the pseudonyms under which people are known.

use e2e::{
    customer::Customer,
    deployment::Deployment,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal::{demand, demand_field},
};
use semops_proto::{
    client::Client,
    v1::{self, DeviceStatus, RevocationReason},
};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The enrolment systems.
struct Systems {
    mobilis: Client,
    alfa: Client,
    beta: Client,
}

impl Systems {
    async fn of(deployment: &Deployment) -> Result<Self, Failure> {
        Ok(Self {
            mobilis: deployment.client("mobilis", Role::Enrolment).await?,
            alfa: deployment.client("alfa", Role::Enrolment).await?,
            beta: deployment.client("beta", Role::Enrolment).await?,
        })
    }
}

async fn accept(client: &Client, device_id: &str, account: &str) -> Result<v1::Device, Status> {
    let ask = v1::AcceptDeviceRequest {
        device_id: device_id.to_owned(),
        account_reference: account.to_owned(),
    };
    Ok(client.accept_device(ask).await?.device.unwrap())
}

async fn release(client: &Client, device_id: &str) -> Result<v1::ReleaseDeviceResponse, Status> {
    let device_id = device_id.to_owned();
    client
        .release_device(v1::ReleaseDeviceRequest { device_id })
        .await
}

async fn device(client: &Client, device_id: &str) -> Result<v1::Device, Status> {
    let device_id = device_id.to_owned();
    let answer = client
        .get_device(v1::GetDeviceRequest { device_id })
        .await?;
    Ok(answer.device.unwrap())
}

/// All that a status tells, but for the id of its request.
fn told<T: std::fmt::Debug>(called: Result<T, Status>) -> (Code, String, String, String) {
    let status = called.unwrap_err();
    let mut details = status.get_error_details();
    assert!(!details.request_info().unwrap().request_id.is_empty());
    details.set_request_info("", "");
    let info = details.error_info().unwrap().reason.clone();
    (
        status.code(),
        status.message().to_owned(),
        info,
        format!("{details:?}"),
    )
}

#[tokio::test]
async fn a_subscriber_has_five_devices_at_most_and_a_revoked_one_gives_its_place_back()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let subscriber = pseudonym();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let ask = v1::EnrollDeviceRequest {
            certification_request: Phone::new()?.request()?,
            subscriber_reference: subscriber.clone(),
        };
        let client = mobilis.clone();
        calls.spawn(async move { client.enroll_device(ask).await });
    }
    let (enrolled, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(enrolled.len(), 5);
    for called in refused {
        demand(called, Code::FailedPrecondition, "SUBSCRIBER_DEVICE_LIMIT")?;
    }
    Customer::enrolled_by(&mobilis).await?; // another subscriber's

    let waiting = v1::EnrollDeviceRequest {
        certification_request: Phone::new()?.request()?,
        subscriber_reference: subscriber,
    };
    let called = mobilis.enroll_device(waiting.clone()).await;
    demand(called, Code::FailedPrecondition, "SUBSCRIBER_DEVICE_LIMIT")?;
    let revoke = v1::RevokeDeviceRequest {
        device_id: enrolled[0].as_ref().unwrap().device_id.clone(),
        reason: RevocationReason::CessationOfOperation.into(),
    };
    mobilis.revoke_device(revoke).await?;
    let granted = mobilis.enroll_device(waiting.clone()).await?;
    assert_eq!(mobilis.enroll_device(waiting).await?, granted);
    let one_more = v1::EnrollDeviceRequest {
        certification_request: Phone::new()?.request()?,
        subscriber_reference: device(&mobilis, &granted.device_id)
            .await?
            .issued
            .unwrap()
            .subscriber_reference,
    };
    let called = mobilis.enroll_device(one_more).await;
    demand(called, Code::FailedPrecondition, "SUBSCRIBER_DEVICE_LIMIT")?;
    assert_eq!(recheck(&mut deployment).await?.certificates, 7);
    Ok(())
}

#[tokio::test]
async fn an_acceptance_is_for_one_account_until_it_is_released() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let systems = Systems::of(&deployment).await?;
    let customer = Customer::enrolled_by(&systems.mobilis).await?;
    let id = customer.device_id();

    let first = accept(&systems.alfa, &id, &customer.account).await?;
    assert_eq!(accept(&systems.alfa, &id, &customer.account).await?, first);
    let other = pseudonym();
    let called = accept(&systems.alfa, &id, &other).await;
    demand(called, Code::AlreadyExists, "DEVICE_ACCEPTED_OTHERWISE")?;
    // What alfa holds binds nobody else.
    let at_beta = accept(&systems.beta, &id, &other).await?;
    assert_eq!(at_beta.acceptance.unwrap().account_reference, other);

    for _ in 0..2 {
        release(&systems.alfa, &id).await?;
    }
    release(&systems.alfa, &Uuid::new_v4().to_string()).await?; // never accepted: nothing to end
    let again = accept(&systems.alfa, &id, &other).await?;
    let acceptance = again.acceptance.unwrap();
    assert_eq!(acceptance.account_reference, other);
    assert!(acceptance.accepted_at >= first.acceptance.unwrap().accepted_at);
    assert!(device(&systems.beta, &id).await?.acceptance.is_some());
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_accepted_looks_the_same() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let systems = Systems::of(&deployment).await?;
    let revoked = Customer::enrolled_by(&systems.mobilis).await?;
    revoked
        .revoked_by(&systems.mobilis, RevocationReason::KeyCompromise)
        .await?;
    // Alfa's policy takes devices of alfa and mobilis.
    let of_beta = Customer::enrolled_by(&systems.beta).await?;
    let unknown = Uuid::new_v4().to_string();

    let refusal = told(accept(&systems.alfa, &unknown, &pseudonym()).await);
    assert_eq!(
        (refusal.0, refusal.2.as_str()),
        (Code::FailedPrecondition, "DEVICE_NOT_ACCEPTABLE")
    );
    for id in [revoked.device_id(), of_beta.device_id()] {
        assert_eq!(
            told(accept(&systems.alfa, &id, &pseudonym()).await),
            refusal
        );
        assert_eq!(
            told(device(&systems.alfa, &id).await),
            told(device(&systems.alfa, &unknown).await)
        );
    }
    of_beta.accepted_by(&systems.beta).await?; // its own phone

    // Accepted before, revoked since: the same acceptance is not given again.
    let customer = Customer::enrolled_by(&systems.mobilis).await?;
    customer.accepted_by(&systems.alfa).await?;
    customer
        .revoked_by(&systems.mobilis, RevocationReason::KeyCompromise)
        .await?;
    let called = accept(&systems.alfa, &customer.device_id(), &customer.account).await;
    assert_eq!(told(called), refusal);
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn the_issuer_sees_all_an_acceptor_little_and_others_nothing() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let systems = Systems::of(&deployment).await?;
    let customer = Customer::enrolled_by(&systems.mobilis).await?;
    let id = customer.device_id();
    let accepted = customer.accepted_by(&systems.alfa).await?;

    let seen = device(&systems.mobilis, &id).await?;
    let issued = seen.issued.clone().unwrap();
    let certificate = &customer.phone.chain()?[0];
    assert_eq!(issued.subscriber_reference, customer.subscriber);
    assert_eq!(issued.certificate_chain.len(), 2);
    assert_eq!(issued.certificate_chain[0], certificate.der());
    let serial: String = certificate
        .serial()
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    assert_eq!(issued.serial_number, serial);
    assert_eq!(
        (issued.not_before, issued.not_after),
        (certificate.not_before(), certificate.not_after())
    );
    assert_eq!((issued.revoked_at, issued.revocation_reason), (None, None));
    assert_eq!(seen.status(), DeviceStatus::Active);
    assert_eq!(seen.assurance(), v1::Assurance::SoftwareKeyUnattested);
    // Of the acceptances it sees its own alone, and there is none yet.
    assert_eq!(seen.acceptance, None);
    accept(&systems.mobilis, &id, &customer.subscriber).await?;
    let own = device(&systems.mobilis, &id).await?.acceptance.unwrap();
    assert_eq!(own.account_reference, customer.subscriber);

    let at_alfa = device(&systems.alfa, &id).await?;
    assert_eq!(at_alfa, accepted);
    assert_eq!(
        (at_alfa.device_id.as_str(), at_alfa.status()),
        (id.as_str(), DeviceStatus::Active)
    );
    assert_eq!(at_alfa.assurance(), v1::Assurance::SoftwareKeyUnattested);
    assert_eq!(at_alfa.issued, None);
    assert_eq!(
        at_alfa.acceptance.unwrap().account_reference,
        customer.account
    );
    let payments = deployment.client("alfa", Role::Payments).await?;
    assert_eq!(device(&payments, &id).await?, accepted);

    let unknown = told(device(&systems.beta, &Uuid::new_v4().to_string()).await);
    assert_eq!(
        (unknown.0, unknown.2.as_str()),
        (Code::NotFound, "DEVICE_NOT_FOUND")
    );
    assert_eq!(told(device(&systems.beta, &id).await), unknown);
    release(&systems.alfa, &id).await?;
    assert_eq!(told(device(&systems.alfa, &id).await), unknown);
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn the_issuer_alone_revokes_and_the_first_reason_stays() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let systems = Systems::of(&deployment).await?;
    let customer = Customer::enrolled_by(&systems.mobilis).await?;
    customer.accepted_by(&systems.alfa).await?;

    let first = RevocationReason::AffiliationChanged;
    let stranger = Customer::enrolled_by(&systems.beta).await?;
    let unknown = told(stranger.revoked_by(&systems.mobilis, first).await);
    assert_eq!(
        (unknown.0, unknown.2.as_str()),
        (Code::NotFound, "DEVICE_NOT_FOUND")
    );
    for client in [&systems.alfa, &systems.beta] {
        assert_eq!(told(customer.revoked_by(client, first).await), unknown);
    }
    for code in [2, 6, 7, 8, 10, 11, -1] {
        let ask = v1::RevokeDeviceRequest {
            device_id: customer.device_id(),
            reason: code,
        };
        demand_field(
            systems.mobilis.revoke_device(ask).await,
            "INVALID_FIELD",
            "reason",
        )?;
    }
    let id = customer.device_id();
    assert_eq!(
        device(&systems.alfa, &id).await?.status(),
        DeviceStatus::Active
    );

    let revoked = customer.revoked_by(&systems.mobilis, first).await?;
    assert_eq!(revoked.status(), DeviceStatus::Revoked);
    let issued = revoked.issued.clone().unwrap();
    assert_eq!(issued.revocation_reason(), first);
    assert!(issued.revoked_at.unwrap() <= e2e::deployment::unix_now()?);
    let again = customer
        .revoked_by(&systems.mobilis, RevocationReason::KeyCompromise)
        .await?;
    assert_eq!(again, revoked);
    assert_eq!(device(&systems.mobilis, &id).await?, revoked);
    let at_alfa = device(&systems.alfa, &id).await?;
    assert_eq!(
        (at_alfa.status(), at_alfa.issued),
        (DeviceStatus::Revoked, None)
    );
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn people_are_known_by_pseudonyms_alone() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let systems = Systems::of(&deployment).await?;
    let request = Phone::new()?.request()?;
    let enroll = |reference: &str| {
        systems.mobilis.enroll_device(v1::EnrollDeviceRequest {
            certification_request: request.clone(),
            subscriber_reference: reference.to_owned(),
        })
    };
    let customer = Customer::enrolled_by(&systems.mobilis).await?;
    let id = customer.device_id();
    let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
    let digits = "4".repeat(22);
    for reference in [
        "",
        "+393331234567",
        "IT60X0542811101000000123456 ",
        "a.person@bank.example.org",
        "AbCdEfGhIjKlMnOpQrStU",
        too_long.as_str(),
        digits.as_str(),
        "AbCdEfGhIjKlMnOpQrSt+/",
        "AbCdEfGhIjKlMnOpQrStUv==",
        "\u{e9}bCdEfGhIjKlMnOpQrStUvW",
        "{b2f1c9e4-7c55-4d8e-9f43-0a1b2c3d4e5f}",
    ] {
        demand_field(
            enroll(reference).await,
            "INVALID_FIELD",
            "subscriber_reference",
        )
        .map_err(|failure| failure.in_step(reference))?;
        let called = accept(&systems.alfa, &id, reference).await;
        demand_field(called, "INVALID_FIELD", "account_reference")
            .map_err(|failure| failure.in_step(reference))?;
    }
    for device_id in ["", "1", &id.to_uppercase(), &id.replace('-', "")] {
        let called = accept(&systems.alfa, device_id, &longest).await;
        demand_field(called, "INVALID_FIELD", "device_id")?;
        demand_field(
            device(&systems.alfa, device_id).await,
            "INVALID_FIELD",
            "device_id",
        )?;
        demand_field(
            release(&systems.alfa, device_id).await,
            "INVALID_FIELD",
            "device_id",
        )?;
    }
    for reference in [
        "AbCdEfGhIjKlMnOpQrStUv",
        "-_34567890123456789012",
        &pseudonym(),
        &longest,
    ] {
        let request = Phone::new()?.request()?;
        let ask = v1::EnrollDeviceRequest {
            certification_request: request,
            subscriber_reference: reference.to_owned(),
        };
        let enrolled = systems.mobilis.enroll_device(ask).await?;
        let accepted = accept(&systems.alfa, &enrolled.device_id, reference).await?;
        assert_eq!(accepted.acceptance.unwrap().account_reference, reference);
    }
    // None of them stands in the log (domain.md: never references).
    let log = deployment.log();
    for word in [
        "AbCdEfGhIjKlMnOpQrStU",
        "393331234567",
        &customer.account,
        &customer.subscriber,
    ] {
        assert!(!log.contains(word), "{word}");
    }
    recheck(&mut deployment).await?;
    Ok(())
}
