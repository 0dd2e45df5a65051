//! DocumentService: the documents that rule an institution, byte for byte as they were loaded, in every version.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
    refusal::{demand, demand_field},
    stored,
};
use semops_objects::authorization::AuthorizationJws;
use semops_pki::algorithm::sha256;
use semops_proto::{
    client::Client,
    v1::{self, DocumentKind},
};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};

/// Some moment before this was written.
const PAST: i64 = 1_700_000_000;

pub(crate) async fn document(
    client: &Client,
    kind: DocumentKind,
    version: u64,
) -> Result<v1::GetDocumentResponse, Status> {
    let kind = kind.into();
    client
        .get_document(v1::GetDocumentRequest { kind, version })
        .await
}

async fn versions(
    client: &Client,
    kind: DocumentKind,
    below: u64,
) -> Result<Vec<v1::DocumentVersion>, Status> {
    let ask = v1::ListDocumentVersionsRequest {
        kind: kind.into(),
        below,
    };
    Ok(client.list_document_versions(ask).await?.documents)
}

#[tokio::test]
async fn every_version_is_shown_byte_for_byte_and_named_by_its_digest() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let (directory, alfa) = (deployment.directory(), "alfa".parse().unwrap());
    for (kind, word, file) in [
        (DocumentKind::Policy, "policy", directory.policy(&alfa)),
        (DocumentKind::Trust, "trust", directory.trust(&alfa)),
        (DocumentKind::Callers, "callers", directory.callers(&alfa)),
        (
            DocumentKind::Custodians,
            "custodians",
            directory.custodians(&alfa),
        ),
    ] {
        let first = fs::read(file)?;
        let shown = document(&custodian, kind, 0).await?;
        assert_eq!(shown.content, first, "{word}");
        let named = shown.document.clone().unwrap();
        assert_eq!((named.kind(), named.version), (kind, 1));
        assert_eq!(named.sha256, sha256(&first));
        assert!((PAST..=unix_now()?).contains(&named.loaded_at));
        assert_eq!(document(&auditor, kind, 1).await?, shown);
        assert_eq!(
            versions(&auditor, kind, 0).await?,
            std::slice::from_ref(&named)
        );

        // Odd bytes stay as they are.
        deployment.load_next(word, "alfa", 2, |text| {
            format!("{text}\r\n# reviewed \u{2713}")
        })?;
        let next = document(&custodian, kind, 0).await?;
        let second = next.document.clone().unwrap();
        assert_eq!(second.version, 2);
        assert!(next.content.ends_with("\r\n# reviewed \u{2713}".as_bytes()));
        assert_eq!(second.sha256, sha256(&next.content));
        assert_eq!(document(&custodian, kind, 2).await?, next);
        assert_eq!(document(&custodian, kind, 1).await?, shown);
        assert_eq!(
            versions(&auditor, kind, 0).await?,
            [second.clone(), named.clone()]
        );
        assert_eq!(versions(&auditor, kind, 3).await?, [second, named.clone()]);
        assert_eq!(versions(&auditor, kind, 2).await?, [named]);
        assert_eq!(versions(&auditor, kind, 1).await?, []);
        for version in [3, u64::MAX] {
            let called = document(&custodian, kind, version).await;
            demand(called, Code::NotFound, "DOCUMENT_NOT_FOUND")?;
        }
    }
    for kind in [0, 5, -1] {
        let called = custodian
            .get_document(v1::GetDocumentRequest { kind, version: 1 })
            .await;
        demand_field(called, "INVALID_FIELD", "kind")?;
        let ask = v1::ListDocumentVersionsRequest { kind, below: 0 };
        demand_field(
            custodian.list_document_versions(ask).await,
            "INVALID_FIELD",
            "kind",
        )?;
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn an_authorization_names_the_policy_that_is_shown() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    for version in 1..=2 {
        if version == 2 {
            deployment.load_next("policy", "alfa", 2, |text| format!("# Reviewed.\n{text}"))?;
        }
        let cosigned = backend
            .cosign_order(customer.asks(&order("1.00", "EUR")?)?)
            .await?;
        let authorization = AuthorizationJws::parse(&cosigned.authorization_jws)?;
        let shown = document(&auditor, DocumentKind::Policy, version).await?;
        let digest = shown.document.unwrap().sha256;
        assert_eq!(authorization.authorization().policy.as_slice(), digest);
        let events = stored::events(&deployment)?;
        let loaded = format!("{version}.{}", URL_SAFE_NO_PAD.encode(&digest));
        let named = events
            .iter()
            .filter(|event| event["object"] == loaded.as_str());
        assert_eq!(named.count(), 1);
        let change = deployment.base("alfa")?.previous.unwrap().to_string();
        let executed = events.iter().filter(|event| {
            event["operation"] == "change.execute" && event["object"] == change.as_str()
        });
        assert_eq!(executed.count(), 1);
    }
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);

    // 250 versions come in three answers of 100 at most. Written past the operator's command, so after the check.
    let sql = "WITH RECURSIVE n (v) AS (SELECT 3 UNION ALL SELECT v + 1 FROM n WHERE v < 250) \
               INSERT INTO document SELECT institution, kind, v, CAST(v AS BLOB), loaded_at FROM n, document \
               WHERE kind = 'policy' AND version = 1 AND institution = ?1";
    assert_eq!(stored::change(&deployment, sql, "alfa")?, 248);
    let (mut below, mut seen) = (0, Vec::new());
    for expected in [100, 100, 50] {
        let some = versions(&auditor, DocumentKind::Policy, below).await?;
        assert_eq!(some.len(), expected);
        below = some.last().map_or(0, |last| last.version);
        seen.extend(some);
    }
    let numbers: Vec<u64> = seen.iter().map(|one| one.version).collect();
    assert_eq!(numbers, (1..=250).rev().collect::<Vec<_>>());
    assert_eq!(seen[0].sha256, sha256(b"250"));
    Ok(())
}
