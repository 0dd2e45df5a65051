//! KeyService: each key with its certificates, what the token says of it, and how often it signed.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
    refusal::{demand, demand_field},
    until::until,
};
use semops_objects::change::KeyOperation;
use semops_objects::jwk::thumbprint;
use semops_pki::{algorithm::PublicKey, certificate::Certificate};
use semops_proto::{
    client::Client,
    v1::{self, KeyPurpose, KeyState},
};
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tonic::{Code, Status};

use crate::changes::desk::of_key;

const SOON: Duration = Duration::from_secs(30);

async fn keys(client: &Client) -> Result<Vec<v1::Key>, Status> {
    Ok(client.list_keys(v1::ListKeysRequest {}).await?.keys)
}

async fn key(client: &Client, key_id: &str) -> Result<v1::Key, Status> {
    let key_id = key_id.to_owned();
    let answer = client.get_key(v1::GetKeyRequest { key_id }).await?;
    Ok(answer.key.unwrap_or_default())
}

/// What the ceremony left in files for one purpose.
fn certified(deployment: &Deployment, purpose: KeyPurpose) -> Result<Vec<Certificate>, Failure> {
    let (directory, alfa) = (deployment.directory(), "alfa".parse().unwrap());
    let file = match purpose {
        KeyPurpose::DeviceCa => directory.ca(Hierarchy::Device, &alfa),
        KeyPurpose::SigningCa => directory.ca(Hierarchy::Signing, &alfa),
        _ => directory.authorization_chain(&alfa),
    };
    Ok(Certificate::chain_from_pem(&fs::read_to_string(file)?)?)
}

#[tokio::test]
async fn each_key_is_shown_with_its_certificates_and_what_the_token_says() -> Result<(), Failure> {
    let before = unix_now()?;
    let mut deployment = Deployment::new().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    // The CRLs of its first minute are made, so that nothing is counted while it is looked at.
    let shown = until("the first CRLs", SOON, async || {
        let shown = keys(&custodian).await?;
        let signed = |key: &&v1::Key| key.signatures > 0;
        Ok((shown.iter().filter(signed).count() == 2).then_some(shown))
    })
    .await?;
    let purposes = [
        KeyPurpose::DeviceCa,
        KeyPurpose::SigningCa,
        KeyPurpose::Authorization,
    ];
    assert_eq!(
        shown.iter().map(v1::Key::purpose).collect::<Vec<_>>(),
        purposes
    );
    for one in &shown {
        let chain = certified(&deployment, one.purpose())?;
        let ders: Vec<&[u8]> = chain.iter().map(Certificate::der).collect();
        assert_eq!(one.certificate_chain, ders);
        let public = PublicKey::from_spki_der(&one.public_key)?;
        assert_eq!(one.key_id, URL_SAFE_NO_PAD.encode(thumbprint(&public)));
        assert_eq!(public, *chain[0].public_key());
        assert_eq!(
            (one.active_since, one.active_until),
            (chain[0].not_before(), chain[0].not_after())
        );
        assert_eq!(one.state(), KeyState::Active);
        // A CA's certificate outlasts the three years of its cryptoperiod, for its CRLs.
        let three_years = chain[0].not_before() + 1_096 * 86_400;
        let ends = chain[0].not_after().min(three_years);
        assert_eq!(one.signs_until, Some(ends));
        let planned = [one.activates_at, one.retires_at, one.destruction_at];
        assert_eq!(planned, [None; 3]);
        assert!((before..=unix_now()?).contains(&one.registered_at.unwrap()));
        for (name, value) in [
            ("CKA_SENSITIVE", true),
            ("CKA_EXTRACTABLE", false),
            ("CKA_NEVER_EXTRACTABLE", true),
            ("CKA_SIGN", true),
        ] {
            let told = one
                .attributes
                .iter()
                .find(|attribute| attribute.name == name);
            assert_eq!(
                told.and_then(|attribute| attribute.value),
                Some(value),
                "{name}"
            );
        }
        assert_eq!(key(&custodian, &one.key_id).await?, *one);
    }
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    assert_eq!(keys(&auditor).await?, shown);

    for key_id in ["", "AA", &format!("{}=", shown[0].key_id), &"+".repeat(43)] {
        demand_field(key(&custodian, key_id).await, "INVALID_FIELD", "key_id")?;
    }
    demand(
        key(&custodian, &"A".repeat(43)).await,
        Code::NotFound,
        "KEY_NOT_FOUND",
    )?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_key_counts_the_signatures_that_are_stored() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let counted = async |purpose: KeyPurpose| -> Result<u64, Status> {
        let keys = keys(&auditor).await?;
        let found = keys.iter().find(|key| key.purpose() == purpose);
        Ok(found.map_or(0, |key| key.signatures))
    };
    assert_eq!(counted(KeyPurpose::Authorization).await?, 0);
    let customer = Customer::of_alfa(&deployment).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(customer.asks(&order("1.00", "EUR")?)?);
    }
    for ask in &orders {
        backend.cosign_order(ask.clone()).await?;
    }
    assert_eq!(counted(KeyPurpose::Authorization).await?, 3);
    // A stored answer, and a refusal, are no signatures.
    backend.cosign_order(orders[0].clone()).await?;
    let dear = backend
        .cosign_order(customer.asks(&order("9999.00", "EUR")?)?)
        .await;
    demand(dear, Code::FailedPrecondition, "AMOUNT_OVER_POLICY")?;
    assert_eq!(counted(KeyPurpose::Authorization).await?, 3);
    // It is on the record, not in the process.
    deployment.restart().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let of_device_ca = counted(KeyPurpose::DeviceCa).await?;
    let own = deployment.client("alfa", Role::Enrolment).await?;
    Customer::enrolled_by(&own).await?;
    let shown = keys(&auditor).await?;
    assert_eq!(shown[2].signatures, 3);
    // Its CRLs count beside the certificate.
    assert!(shown[0].signatures > of_device_ca);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 3);
    Ok(())
}

#[tokio::test]
async fn a_suspended_key_is_shown_as_one_and_signs_nothing() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let ask = customer.asks(&order("1.00", "EUR")?)?;
    for (operation, shown) in [
        (KeyOperation::Suspend, KeyState::Suspended),
        (KeyOperation::Resume, KeyState::Active),
    ] {
        deployment.bring(&of_key(&deployment, operation)?)?;
        let states: Vec<_> = keys(&custodian).await?.iter().map(v1::Key::state).collect();
        assert_eq!(states, [KeyState::Active, KeyState::Active, shown]);
        let called = backend.cosign_order(ask.clone()).await;
        if shown == KeyState::Active {
            called?;
        } else {
            demand(called, Code::Unavailable, "KEY_NOT_ACTIVE")?;
        }
    }
    recheck(&mut deployment).await.map(drop)
}
