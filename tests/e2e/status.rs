//! GetStatus: what runs, by which documents, how the institution's token fares, and how much of the limits is left.

use std::{fs, time::Duration};

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, limits::limited, unix_now},
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
use softhsm_setup::scheme::{Role, Scheme};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::isolation::INSTITUTIONS;

/// A call that hangs is told after five seconds, and its process replaced after ten.
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
        (DocumentKind::Custodians, directory.custodians(&alfa)),
    ];
    let named = status(&auditor).await?.documents;
    assert_eq!(named.len(), 4);
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

/// Windows that give nothing back while a test runs.
const LIMITS: [(&str, &str); 3] = [
    ("in_flight", "7"),
    (
        "institution",
        "{ burst = 100, requests = 1, seconds = 20000 }, { burst = 50, requests = 1, seconds = 20000 }",
    ),
    ("caller", "{ burst = 10, requests = 1, seconds = 20000 }"),
];

#[tokio::test]
async fn what_is_left_is_what_can_still_be_asked() -> Result<(), Failure> {
    let scheme = limited(Scheme::EXAMPLE, Some("alfa"), &LIMITS)?;
    let mut deployment = Deployment::limited(&scheme).await?;
    let [custodian, auditor] =
        [Role::Custodian, Role::Auditor].map(|role| deployment.client("alfa", role));
    let (custodian, auditor) = (custodian.await?, auditor.await?);
    let left = async |client: &Client| -> Result<Vec<(String, u32, u32)>, Status> {
        let shown = status(client).await?;
        // This one included; the one before may still be on its way out.
        assert!((1..=2).contains(&shown.in_flight) && shown.in_flight_limit == 7);
        let limits = shown.limits.into_iter();
        let limits = limits.map(|limit| {
            assert_eq!((limit.requests, limit.seconds), (1, 20_000));
            (limit.scope, limit.burst, limit.left)
        });
        Ok(limits.collect())
    };
    let expected = |of_all: u32, of_caller: u32| {
        let limit = |scope: &str, burst, left| (scope.to_owned(), burst, left);
        vec![
            limit("institution", 100, 100 - of_all),
            limit("institution", 50, 50 - of_all),
            limit("caller", 10, 10 - of_caller),
        ]
    };
    for call in 1..=4 {
        assert_eq!(
            left(&auditor).await?,
            expected(call, call),
            "each call counts itself"
        );
    }
    assert_eq!(
        left(&custodian).await?,
        expected(5, 1),
        "another caller has its own window"
    );
    for call in 5..=10 {
        assert_eq!(left(&auditor).await?, expected(call + 1, call));
    }
    demand(
        status(&auditor).await,
        Code::ResourceExhausted,
        "RATE_LIMITED",
    )?;
    assert_eq!(
        left(&custodian).await?,
        expected(12, 2),
        "a refusal spends nothing"
    );
    let beta = deployment.client("beta", Role::Auditor).await?;
    let of_beta = status(&beta).await?.limits;
    assert!(of_beta.iter().all(|limit| limit.left > 100), "{of_beta:?}");
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
        hanging.health_detail.contains("killed and replaced"),
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
