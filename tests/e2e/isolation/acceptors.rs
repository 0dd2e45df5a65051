//! One device accepted by two banks: each has its own acceptance, its own orders, limits and keys.

use e2e::{
    customer::{Customer, order_from},
    deployment::Deployment,
    failure::Failure,
    phone::pseudonym,
    recheck::recheck,
    refusal,
};
use prost::Message as _;
use semops_objects::{authorization::AuthorizationJws, jwk::thumbprint};
use semops_pki::{certificate::Certificate, local_key::LocalKey};
use semops_proto::v1;
use tonic::Code;

use super::{House, device, release};

#[tokio::test]
async fn two_banks_and_the_issuer_see_each_their_own_of_a_device() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let [alfa, beta, mobilis] = houses.as_slice() else {
        panic!("three")
    };
    let at_alfa = Customer::enrolled_by(&mobilis.enrolment).await?;
    let (id, at_beta) = (at_alfa.device_id(), pseudonym());
    at_alfa.accepted_by(&alfa.enrolment).await?;
    let ask = v1::AcceptDeviceRequest {
        device_id: id.clone(),
        account_reference: at_beta.clone(),
    };
    beta.enrolment.accept_device(ask).await?;

    for (bank, account) in [(alfa, &at_alfa.account), (beta, &at_beta)] {
        for client in [&bank.enrolment, &bank.payments] {
            let seen = device(client, &id).await?;
            let accepted_at = seen.acceptance.as_ref().unwrap().accepted_at;
            let allowed = v1::Device {
                device_id: id.clone(),
                status: v1::DeviceStatus::Active.into(),
                assurance: v1::Assurance::SoftwareKeyUnattested.into(),
                issued: None,
                acceptance: Some(v1::Acceptance {
                    account_reference: account.clone(),
                    accepted_at,
                }),
            };
            // Octet by octet: no field that this test does not know either.
            assert_eq!(
                seen.encode_to_vec(),
                allowed.encode_to_vec(),
                "{}",
                bank.name
            );
        }
    }
    let issued = device(&mobilis.enrolment, &id).await?;
    assert_eq!(issued.acceptance, None, "the issuer sees who accepted");
    assert_eq!(
        issued.issued.unwrap().subscriber_reference,
        at_alfa.subscriber
    );

    // What one bank ends goes on at the other.
    release(alfa, &id).await?;
    let gone = device(&alfa.enrolment, &id).await;
    refusal::demand(gone, Code::NotFound, "DEVICE_NOT_FOUND")?;
    assert_eq!(
        device(&beta.enrolment, &id)
            .await?
            .acceptance
            .unwrap()
            .account_reference,
        at_beta
    );
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn one_jti_at_two_banks_is_two_orders_each_under_its_own_key_and_limit() -> Result<(), Failure>
{
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let [alfa, beta, mobilis] = houses.as_slice() else {
        panic!("three")
    };
    let customer = Customer::enrolled_by(&mobilis.enrolment).await?;
    let mut jws = Vec::new();
    let to_alfa = order_from("alfa", "150.00", "EUR")?;
    for bank in [alfa, beta] {
        customer.accepted_by(&bank.enrolment).await?;
        let mut order = order_from(bank.name, "150.00", "EUR")?;
        order.jti = to_alfa.jti;
        let cosigned = bank.payments.cosign_order(customer.asks(&order)?).await?;
        let authorization = AuthorizationJws::parse(&cosigned.authorization_jws)?;
        assert_eq!(authorization.authorization().iss.as_str(), bank.name);
        for other in [alfa, beta, mobilis] {
            let key = authorization_certificate(&deployment, other.name)?;
            let key = key.public_key();
            let is_its_own = other.name == bank.name;
            assert_eq!(
                authorization.verify(key).is_ok(),
                is_its_own,
                "{}",
                other.name
            );
            assert_eq!(
                authorization.kid() == thumbprint(key),
                is_its_own,
                "{}",
                other.name
            );
        }
        jws.push(cosigned.authorization_jws);
    }
    assert_ne!(jws[0], jws[1]);

    // EUR 500.00 in a day, at each of them.
    for _ in 0..2 {
        let order = order_from("alfa", "150.00", "EUR")?;
        alfa.payments.cosign_order(customer.asks(&order)?).await?;
    }
    let refused = alfa
        .payments
        .cosign_order(customer.asks(&order_from("alfa", "150.00", "EUR")?)?)
        .await;
    refusal::demand(refused, Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY")?;
    let order = order_from("beta", "150.00", "EUR")?;
    beta.payments.cosign_order(customer.asks(&order)?).await?;

    // Whoever it is not addressed to gets the verdict, and no use of it.
    let ask = v1::VerifyAuthorizationRequest {
        authorization_jws: jws[0].clone(),
    };
    let verdict = mobilis.payments.verify_authorization(ask).await?;
    assert_eq!(
        (verdict.verdict(), verdict.reason.as_deref()),
        (v1::Verdict::Refused, Some("NOT_FOR_CALLER"))
    );
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 5);
    Ok(())
}

#[tokio::test]
async fn a_key_certified_elsewhere_is_refused_as_any_other() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let [alfa, beta, mobilis] = houses.as_slice() else {
        panic!("three")
    };
    let key = LocalKey::generate()?;
    let ask = |name: &str| -> Result<_, Failure> {
        Ok(v1::EnrollDeviceRequest {
            certification_request: key.certification_request(name)?,
            subscriber_reference: pseudonym(),
        })
    };
    let first = ask("phone")?;
    let issued = mobilis.enrolment.enroll_device(first.clone()).await?;
    // Each device certificate comes from the issuer's own CA.
    let certificate = Certificate::from_der(&issued.certificate_chain[0])?;
    assert_eq!(certificate.subject_organization(), Some("mobilis"));
    let mut told = Vec::new();
    for house in [alfa, beta] {
        for again in [first.clone(), ask("again")?] {
            let refused = house.enrolment.enroll_device(again).await.unwrap_err();
            told.push(refused.message().to_owned());
            refusal::demand(
                Err::<(), _>(refused),
                Code::InvalidArgument,
                "KEY_NOT_ACCEPTABLE",
            )?;
        }
    }
    // The issuer itself, under another request, is told the same.
    let own = mobilis
        .enrolment
        .enroll_device(ask("again")?)
        .await
        .unwrap_err();
    told.push(own.message().to_owned());
    refusal::demand(
        Err::<(), _>(own),
        Code::InvalidArgument,
        "KEY_NOT_ACCEPTABLE",
    )?;
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.certificates, 1);
    Ok(())
}

fn authorization_certificate(deployment: &Deployment, name: &str) -> Result<Certificate, Failure> {
    let id = name.parse().map_err(Failure::during(name))?;
    let pem = std::fs::read_to_string(deployment.directory().authorization_chain(&id))?;
    Ok(Certificate::chain_from_pem(&pem)?.remove(0))
}
