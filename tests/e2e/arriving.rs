//! An institution comes: its persons and those of a peer type what the plan prints, until a customer of the newcomer has paid
//! at the peer.

use std::{fs, process::Command};

use e2e::{
    customer::{Customer, order_from},
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
};
use semops_proto::v1;
use serde_json::Value;
use softhsm_setup::scheme::Role;

use crate::leaving::desk::{Desk, commands, next};

const PLAN: &str = "semopsctl register onboard";

/// gamma, which nobody trusts yet, and which trusts nobody else.
fn joins(deployment: &Deployment) -> Result<(), Failure> {
    let setup = &programs::ours(Watched::No)?.softhsm_setup;
    let example = Command::new(setup)
        .args(["example", "--institution"])
        .output()?;
    let mut text = String::from_utf8(example.stdout)?;
    for (from, to) in [
        ("trusts = [\"alfa\", \"gamma\"]", "trusts = [\"gamma\"]"),
        ("trusted_by = [\"alfa\"]", "trusted_by = []"),
        (
            "payees = [\"alfa\", \"gamma\"]",
            "payees = [\"beta\", \"gamma\"]",
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    let file = deployment.directory().path().join("gamma.toml");
    fs::write(&file, text)?;
    let added = Command::new(setup)
        .args(["add", "--institution"])
        .arg(&file)
        .arg(deployment.directory().path())
        .env_remove("SOFTHSM2_CONF")
        .output()?;
    assert!(added.status.success(), "{added:?}");
    Ok(())
}

/// The state of the step with these words.
fn state<'a>(plan: &'a Value, what: &str) -> &'a Value {
    let steps = plan["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == what);
    step.unwrap_or_else(|| panic!("{what} is missing: {plan}"))
}

/// Whether beta takes what a customer of gamma pays.
async fn pays(deployment: &Deployment, customer: &Customer) -> Result<v1::Verdict, Failure> {
    let bank = deployment.client("gamma", Role::Payments).await?;
    let order = order_from("gamma", "1.00", "EUR")?;
    let paid = bank.cosign_order(customer.asks(&order)?).await?;
    let ask = v1::VerifyAuthorizationRequest {
        authorization_jws: paid.authorization_jws,
    };
    let peer = deployment.client("beta", Role::Payments).await?;
    Ok(peer.verify_authorization(ask).await?.verdict())
}

#[tokio::test]
async fn an_institution_comes_by_the_lines_that_are_printed() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    joins(&deployment)?;
    let gamma = Desk::new(&deployment, "gamma", ["karl-lind", "lena-moss"], None)?;
    let beta = Desk::new(&deployment, "beta", ["dora-egli", "emil-fuchs"], None)?;

    // Until its next start the service does not serve it.
    let plan = gamma.plan(PLAN).await?;
    let step = next(&plan).unwrap();
    assert_eq!(
        (&plan["institution"], &step["step"]),
        (&Value::Null, &"the service serves it".into())
    );
    for line in commands(step) {
        gamma.operates(line)?;
    }
    deployment.restart().await?;
    let issuer = deployment.client("gamma", Role::Enrolment).await?;
    let customer = Customer::enrolled_by(&issuer).await?;
    customer.accepted_by(&issuer).await?;
    assert_eq!(pays(&deployment, &customer).await?, v1::Verdict::Refused);

    // Each saves what the other needs; then each types what the plan prints.
    let plan = gamma
        .plan(&format!(
            "{PLAN} --out {}",
            beta.terminal.path("").display()
        ))
        .await?;
    beta.plan(&format!(
        "{PLAN} --out {}",
        gamma.terminal.path("").display()
    ))
    .await?;
    let step = next(&plan).unwrap();
    assert_eq!(step["step"], "it trusts beta");
    for line in commands(step) {
        gamma.agrees(step["who"].as_str().unwrap(), line)?;
    }
    let peers = state(&plan, "beta trusts it");
    assert_eq!(peers["state"], "ask");
    for line in commands(peers) {
        beta.agrees(peers["who"].as_str().unwrap(), line)?;
    }
    let plan = gamma.plan(PLAN).await?;
    assert_eq!(next(&plan), None, "{plan}");
    assert_eq!(state(&plan, "it trusts beta")["state"], "done");
    assert_eq!(pays(&deployment, &customer).await?, v1::Verdict::Valid);

    // The approval keys still lie where the ceremony left them.
    let keys = "each approval key is with its person alone";
    let detail = state(&plan, keys)["detail"].as_str().unwrap();
    for person in ["karl-lind", "lena-moss", "mila-novak"] {
        assert!(detail.contains(&format!("{person}.key")), "{detail}");
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 2);
    deployment.stop().await
}
