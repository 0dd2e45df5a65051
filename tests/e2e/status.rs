//! GetStatus: what runs, by which documents, how the institution's token fares, and how much of the limits is left.

use std::{fs, time::Duration};

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    held::Held,
    recheck::recheck,
    refusal::demand,
    until::until,
};
use prost::Message as _;
use semops_pki::algorithm::sha256;
use semops_proto::{
    client::Client,
    v1::{self, DocumentKind, TokenHealth},
};
use softhsm_setup::scheme::Role;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::isolation::INSTITUTIONS;

/// A call that hangs is told after ten seconds.
const HANGING: Duration = Duration::from_secs(60);

async fn status(client: &Client) -> Result<v1::GetStatusResponse, Status> {
    client.get_status(v1::GetStatusRequest {}).await
}

async fn token(client: &Client) -> Result<v1::Token, Status> {
    Ok(status(client).await?.token.unwrap_or_default())
}

#[tokio::test]
async fn each_caller_sees_what_runs_and_its_own_institution_alone() -> Result<(), Failure> {
    let before = unix_now()?;
    let mut deployment = Deployment::new().await?;
    for institution in INSTITUTIONS {
        for (role, name) in [
            (Role::Enrolment, "enrolment/ra"),
            (Role::Payments, "payments/backend"),
            (Role::Custodian, "custodian/security"),
            (Role::Auditor, "auditor/audit"),
        ] {
            let client = deployment.client(institution, role).await?;
            let shown = status(&client).await?;
            assert_eq!(shown.version, env!("CARGO_PKG_VERSION"));
            let now = shown.now_micros / 1_000_000;
            assert!(before <= shown.started_at && shown.started_at <= now && now <= unix_now()?);
            let scheme = deployment.scheme().name();
            assert_eq!(
                shown.caller,
                format!("spiffe://{scheme}/{institution}/{name}")
            );
            let token = shown.token.clone().unwrap();
            assert_eq!(token.label, institution);
            assert!(token.description.contains("SoftHSM"), "{token:?}");
            assert!(token.library.contains("SoftHSM"), "{token:?}");
            assert!(
                token.mechanisms.iter().any(|name| name == "CKM_ECDSA"),
                "{token:?}"
            );
            assert_eq!(
                (token.health(), token.health_detail.as_str()),
                (TokenHealth::Serving, "")
            );
            assert!(token.waiting <= token.waiting_limit, "{token:?}");
            // Of the others it says nothing at all.
            let said = String::from_utf8_lossy(&shown.encode_to_vec()).into_owned();
            for other in INSTITUTIONS.iter().filter(|other| **other != institution) {
                assert!(!said.contains(other), "{other} in {said}");
            }
        }
    }
    // Sessions are opened by the threads that work in them, beside the first requests.
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    until("sessions, and no work left", HANGING, async || {
        let token = token(&auditor).await?;
        Ok((token.sessions >= 1 && token.waiting == 0).then_some(()))
    })
    .await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn the_documents_in_force_are_named_as_soon_as_they_are() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let (directory, alfa) = (deployment.directory(), "alfa".parse().unwrap());
    let first = [
        (DocumentKind::Policy, directory.policy(&alfa)),
        (DocumentKind::Trust, directory.trust(&alfa)),
        (DocumentKind::Callers, directory.callers(&alfa)),
    ];
    let named = status(&auditor).await?.documents;
    assert_eq!(named.len(), 3);
    for ((kind, file), named) in first.into_iter().zip(&named) {
        assert_eq!((named.kind(), named.version), (kind, 1));
        assert_eq!(named.sha256, sha256(&fs::read(file)?));
    }
    deployment.load_next("trust", "alfa", 2, |text| format!("# Reviewed.\n{text}"))?;
    let next = status(&auditor).await?.documents;
    assert_eq!((&next[0], &next[2]), (&named[0], &named[2]));
    let ask = v1::GetDocumentRequest {
        kind: DocumentKind::Trust.into(),
        version: 2,
    };
    assert_eq!(
        auditor.get_document(ask).await?.document.as_ref(),
        Some(&next[1])
    );
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_token_that_hangs_is_told_to_its_institution_alone() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let [alfa, beta] = ["alfa", "beta"].map(|name| deployment.client(name, Role::Auditor));
    let (alfa, beta) = (alfa.await?, beta.await?);
    let customer = Customer::of_alfa(&deployment).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let held = Held::token(&deployment, "alfa")?;
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let (client, ask) = (backend.clone(), customer.asks(&order("1.00", "EUR")?)?);
        calls.spawn(async move { client.cosign_order(ask).await });
    }
    let hanging = until("a token that hangs", HANGING, async || {
        let token = token(&alfa).await?;
        Ok((token.health() == TokenHealth::Stuck).then_some(token))
    })
    .await?;
    assert!(
        hanging.health_detail.contains("start the service again"),
        "{hanging:?}"
    );
    assert!(hanging.waiting <= hanging.waiting_limit);
    assert_eq!(token(&beta).await?.health(), TokenHealth::Serving);
    drop(held);
    until("a token that serves again", HANGING, async || {
        let token = token(&alfa).await?;
        Ok((token.health() == TokenHealth::Serving && token.waiting == 0).then_some(()))
    })
    .await?;
    calls.join_all().await;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_token_that_fails_says_with_what_and_what_to_do() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let tokens = deployment.directory().tokens();
    let away = tokens.with_extension("away");
    fs::rename(&tokens, &away)?;
    let ask = customer.asks(&order("1.00", "EUR")?)?;
    demand(
        backend.cosign_order(ask.clone()).await,
        Code::Unavailable,
        "HSM_UNAVAILABLE",
    )?;
    let failing = token(&auditor).await?;
    assert_eq!(failing.health(), TokenHealth::Failing, "{failing:?}");
    for words in [
        "C_FindObjects: 0 private keys",
        "whether the key is in the token",
        "new start",
    ] {
        assert!(
            failing.health_detail.contains(words),
            "{words}: {failing:?}"
        );
    }
    fs::rename(&away, &tokens)?;
    deployment.restart().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    backend.cosign_order(ask).await?;
    let serving = token(&auditor).await?;
    assert_eq!(
        (serving.health(), serving.health_detail.as_str()),
        (TokenHealth::Serving, "")
    );
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    Ok(())
}
