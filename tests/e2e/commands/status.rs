//! `status`: what each role reads of the service, its token, its documents and its limits.

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck};
use serde_json::{Value, json};
use softhsm_setup::scheme::Role;

use super::desk::{ALFA_AUDIT, Desk};

#[tokio::test]
async fn every_role_reads_how_the_service_fares() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let callers = [
        (Role::Enrolment, "spiffe://semops.example/alfa/enrolment/ra"),
        (
            Role::Payments,
            "spiffe://semops.example/alfa/payments/backend",
        ),
        (
            Role::Custodian,
            "spiffe://semops.example/alfa/custodian/security",
        ),
        (Role::Auditor, "spiffe://semops.example/alfa/auditor/audit"),
    ];
    for (role, spiffe) in callers {
        let caller = Some(("alfa", role));
        let status = desk.json(caller, "status", 0)?;
        assert_eq!(status["caller"], spiffe);
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        // One machine, one clock.
        assert_eq!(status["clock"]["differs"], false, "{status}");
        assert_eq!(
            (&status["token"]["label"], &status["token"]["health"]),
            (&json!("alfa"), &json!("SERVING"))
        );
        // This call alone: every one before it has been answered.
        assert_eq!(
            (&status["in_flight"], &status["in_flight_limit"]),
            (&json!(1), &json!(4096))
        );
        assert_eq!(status["held_seconds"], 0);
        assert_eq!(status["scheme"]["change"], 1);
        let mechanisms = status["token"]["mechanisms"].as_array().unwrap();
        assert!(mechanisms.contains(&json!("CKM_ECDSA")), "{status}");
        let said = desk.table(caller, "status", 0)?;
        for expected in [
            format!("\ncaller    {spiffe}\n"),
            "\nhealth    SERVING\n".to_owned(),
            "\nscheme    ruled by its custodians, by change 1\n".to_owned(),
            "\npolicy            1  ".to_owned(),
        ] {
            assert!(said.contains(&expected), "{expected} in {said}");
        }
        assert!(!said.contains("\nwarning "), "{said}");
    }
    digests_and_limits(&desk)?;
    recheck(&mut deployment).await?;
    Ok(())
}

/// The documents that it names are those that `show` shows; each limit leaves what was not spent.
fn digests_and_limits(desk: &Desk<'_>) -> Result<(), Failure> {
    let status = desk.json(ALFA_AUDIT, "status", 0)?;
    let documents = status["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 4);
    for named in documents {
        let kind = named["document"].as_str().unwrap();
        let shown = desk.json(ALFA_AUDIT, &format!("{kind} show"), 0)?;
        for member in ["version", "sha256", "loaded_at"] {
            assert_eq!(shown[member], named[member], "{kind} {member}");
        }
    }
    let limits = status["limits"].as_array().unwrap();
    for scope in ["institution", "caller"] {
        assert!(
            limits.iter().any(|limit| limit["scope"] == scope),
            "{status}"
        );
    }
    let number = |limit: &Value, member: &str| limit[member].as_u64().unwrap();
    for limit in limits {
        let (left, burst) = (number(limit, "left"), number(limit, "burst"));
        assert!(0 < left && left <= burst, "{limit}");
    }
    Ok(())
}
