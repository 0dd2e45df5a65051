//! `keys rotate --drill`: two custodians rehearse a rotation at their desks, one of them ended again and again in the middle;
//! the key that signs is the same throughout, and the throwaway key ends in no signature.

use std::fs;

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    stored, token,
};
use semops_objects::key::Purpose;
use serde_json::Value;
use softhsm_setup::scheme::Role;

use super::desk::{ALFA_SECURITY, Desk};
use crate::rotation::plan::certified;

/// The steps that are done, and the change that waits, if one does.
fn done(report: &Value) -> usize {
    let steps = report["steps"].as_array().unwrap();
    let states: Vec<_> = steps.iter().map(|step| &step["state"]).collect();
    let done = states.iter().filter(|state| **state == "done").count();
    assert!(states[..done].iter().all(|state| **state == "done"));
    done
}

fn pending(desk: &Desk<'_>) -> Result<Vec<String>, Failure> {
    let listed = desk.json(ALFA_SECURITY, "change list", 0)?;
    let changes = listed["changes"].as_array().unwrap().iter();
    let open = changes.filter(|change| change["state"] == "PENDING");
    Ok(open
        .map(|change| change["change_id"].as_str().unwrap().to_owned())
        .collect())
}

async fn pays(deployment: &Deployment, customer: &Customer) -> Result<(), Failure> {
    let bank = deployment.client("alfa", Role::Payments).await?;
    let ask = customer.asks(&order("0.01", "EUR")?)?;
    bank.cosign_order(ask).await?;
    Ok(())
}

#[tokio::test]
async fn a_drill_is_gone_through_by_two_and_undone() -> Result<(), Failure> {
    gone_through(Purpose::Authorization).await
}

/// The root certifies the throwaway CA, which never issues.
#[tokio::test]
async fn a_drill_of_a_ca_needs_the_root_too() -> Result<(), Failure> {
    gone_through(Purpose::DeviceCa).await
}

async fn gone_through(purpose: Purpose) -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let folder = tempfile::tempdir()?;
    let custodians = deployment
        .directory()
        .approval_keys(&"alfa".parse().unwrap());
    let key = |person: &str| {
        custodians
            .join(format!("{person}.key"))
            .display()
            .to_string()
    };
    let out = folder.path().join("drill");
    let drill = format!(
        "keys rotate {} --drill --out {} --approval-key {} --yes",
        purpose.name(),
        out.display(),
        key("anna-berg")
    );
    if purpose.is_ca() {
        let desk = Desk::new(&deployment)?;
        for _ in 0..2 {
            let report = desk.json(ALFA_SECURITY, &drill, 0)?;
            assert_eq!((done(&report), pending(&desk)?.len()), (1, 0), "{report}");
        }
        let certificate = certified(&deployment, &out.join("request.pem"))?;
        fs::write(out.join("chain.pem"), certificate.to_pem())?;
    }
    // Each run of it proposes the next change, and a run more proposes nothing.
    let mut throwaway = None;
    for waits in [3, 5, 7] {
        for _ in 0..2 {
            let desk = Desk::new(&deployment)?;
            let report = desk.json(ALFA_SECURITY, &drill, 0)?;
            assert_eq!(done(&report), waits, "{report}");
            assert_eq!(
                *throwaway.get_or_insert(report["key"].clone()),
                report["key"]
            );
            assert_eq!(report["would_sign_at"].is_null(), waits == 7);
            assert!(!report["checked"].as_array().unwrap().is_empty());
            assert_eq!(pending(&desk)?.len(), 1);
        }
        deployment.kill()?;
        deployment.start().await?;
        let desk = Desk::new(&deployment)?;
        let change = &pending(&desk)?[0];
        let approve = format!(
            "change approve {change} --approval-key {} --yes",
            key("boris-chan")
        );
        desk.json(ALFA_SECURITY, &approve, 0)?;
        pays(&deployment, &customer).await?;
    }
    let desk = Desk::new(&deployment)?;
    let report = desk.json(ALFA_SECURITY, &drill, 0)?;
    assert_eq!((done(&report), pending(&desk)?.len()), (8, 0), "{report}");
    // It waits for its end, and signed nothing but a CA's own request.
    let keys = desk.json(ALFA_SECURITY, "keys", 0)?;
    let keys = keys["keys"].as_array().unwrap();
    let own = keys
        .iter()
        .find(|one| one["key_id"] == report["key"])
        .unwrap();
    assert_eq!(
        (&own["state"], own["signatures"].as_u64()),
        (&"PRE_ACTIVATION".into(), Some(u64::from(purpose.is_ca())))
    );
    assert_eq!(token::private_keys(&deployment, "alfa")?, 4);
    let executed = stored::events(&deployment)?;
    let executed = executed
        .iter()
        .filter(|event| event["operation"] == "change.execute" && event["institution"] == "alfa");
    assert_eq!(executed.count(), 4);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 3);
    deployment.stop().await
}
