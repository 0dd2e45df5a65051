//! Rate limits from outside: each scope says how long to wait and keeps its word, a policy takes effect beside the running
//! server, one institution's flood is its own, and replicas share them.

mod flood;
mod limited;
mod public;
mod shared;

use std::time::Duration;

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    refusal::{demand, rate_limit},
    stored,
    until::until,
};
use limited::{AN_HOUR, keeps_its_word, policy, refused, scheme};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};

/// How long a document may take to rule those who are refused at the door.
const SOON: Duration = Duration::from_secs(30);

async fn bundle(client: &Client) -> Result<(), Status> {
    let ask = v1::GetTrustBundleRequest {};
    client.get_trust_bundle(ask).await.map(drop)
}

async fn cosign(bank: &Client, customer: &Customer) -> Result<(), Status> {
    let ask = customer.asks(&order("1.00", "CNY").unwrap()).unwrap();
    bank.cosign_order(ask).await.map(drop)
}

#[tokio::test]
async fn each_scope_keeps_its_word_to_a_lone_caller() -> Result<(), Failure> {
    // One comes back in 1.5 s.
    let narrow = "{ burst = 3, requests = 2, seconds = 3 }";
    let mut deployment = Deployment::limited(&scheme(&[("device", narrow)])).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    let desk = deployment.client("alfa", Role::Enrolment).await?;
    let beta = deployment.client("beta", Role::Payments).await?;

    let device = format!("device:{}", customer.device_id());
    keeps_its_word(async || cosign(&backend, &customer).await, &device).await?;

    policy(&deployment, 2, &[("caller", narrow)])?;
    let caller = "caller:spiffe://semops.example/alfa/payments/backend";
    keeps_its_word(async || bundle(&backend).await, caller).await?;
    bundle(&desk).await?;

    policy(&deployment, 3, &[("institution", narrow)])?;
    keeps_its_word(async || bundle(&backend).await, "institution:alfa").await?;
    // Whoever calls for it; no other institution, and nobody who asks for health.
    let slow = [("institution", AN_HOUR)];
    policy(&deployment, 4, &slow)?;
    refused(async || bundle(&backend).await, "institution:alfa").await?;
    refused(async || bundle(&desk).await, "institution:alfa").await?;
    for _ in 0..20 {
        bundle(&beta).await?;
    }
    assert!(deployment.is_healthy().await);
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_device_spends_with_proven_new_orders_alone() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(&scheme(&[("device", AN_HOUR)])).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;

    // Nobody burns another's quota: whoever knows the kid still cannot sign.
    for _ in 0..3 {
        let mut forged = customer.asks(&order("1.00", "CNY")?)?;
        let (input, _) = forged.order_jws.rsplit_once('.').unwrap();
        forged.order_jws = format!("{input}.{}", "A".repeat(86));
        let called = backend.cosign_order(forged).await;
        demand(called, Code::InvalidArgument, "ORDER_SIGNATURE")?;
    }
    let first = order("1.00", "CNY")?;
    let ask = customer.asks(&first)?;
    let cosigned = backend.cosign_order(ask.clone()).await?;
    let other = Customer::of_alfa(&deployment).await?;
    cosign(&backend, &other).await?;

    let status = cosign(&backend, &customer).await.unwrap_err();
    let (scope, wait) = rate_limit(&status)?;
    assert_eq!(scope, format!("device:{}", customer.device_id()));
    assert!(wait > Duration::from_secs(3_000), "{wait:?}");
    // What stands is answered, as often as it is asked for.
    for _ in 0..3 {
        assert_eq!(backend.cosign_order(ask.clone()).await?, cosigned);
        customer.standing(&backend, &first).await?;
    }
    let mut altered = order("2.00", "CNY")?;
    altered.jti = first.jti;
    let called = backend.cosign_order(customer.asks(&altered)?).await;
    demand(called, Code::AlreadyExists, "ORDER_CONFLICT")?;

    // A new version with the same windows gives nothing back, other windows begin anew; both from the next order on.
    policy(&deployment, 2, &[("device", AN_HOUR)])?;
    rate_limit(&cosign(&backend, &customer).await.unwrap_err())?;
    policy(
        &deployment,
        3,
        &[("device", "{ burst = 2, requests = 1, seconds = 3600 }")],
    )?;
    cosign(&backend, &customer).await?;
    cosign(&backend, &customer).await?;
    rate_limit(&cosign(&backend, &customer).await.unwrap_err())?;

    told_once(&deployment, &scope, &customer.device_id()).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    Ok(())
}

/// However often it was refused, it is told once a minute: this test may stand in two.
async fn told_once(deployment: &Deployment, scope: &str, device: &str) -> Result<(), Failure> {
    let told = until("the audit of a refusal", SOON, async || {
        let events = stored::events(deployment)?.into_iter();
        let told: Vec<_> = events.filter(|e| e["operation"] == "admission").collect();
        Ok((!told.is_empty()).then_some(told))
    })
    .await?;
    let mut minutes = std::collections::BTreeSet::new();
    for event in &told {
        assert_eq!(event["object"], scope);
        assert_eq!(event["device"], device);
        assert_eq!(event["result"], "REFUSED");
        assert_eq!(event["reason"], "RATE_LIMITED");
        assert_eq!(event["institution"], "alfa");
        assert!(event["policy"].is_string());
        let caller = "spiffe://semops.example/alfa/payments/backend";
        assert_eq!(event["caller"], caller);
        assert!(
            minutes.insert(event["time"].as_i64().unwrap() / 60_000_000),
            "{told:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_limit_that_is_raised_lets_those_in_who_were_refused_at_the_door() -> Result<(), Failure>
{
    let mut deployment = Deployment::limited(&scheme(&[("caller", AN_HOUR)])).await?;
    let backend = deployment.client("alfa", Role::Payments).await?;
    bundle(&backend).await?;
    for _ in 0..5 {
        let (scope, wait) = rate_limit(&bundle(&backend).await.unwrap_err())?;
        assert!(scope.starts_with("caller:"), "{scope}");
        assert!(wait > Duration::from_secs(3_000), "{wait:?}");
    }
    policy(&deployment, 2, &[])?;
    until("the new policy", SOON, async || {
        Ok(bundle(&backend).await.is_ok().then_some(()))
    })
    .await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn people_read_whose_limit_it_is_and_how_long_to_wait() -> Result<(), Failure> {
    use e2e::{
        programs::{self, Watched},
        terminal::Terminal,
    };
    let mut deployment = Deployment::limited(&scheme(&[("caller", AN_HOUR)])).await?;
    let id = "alfa".parse().unwrap();
    let profile = deployment
        .directory()
        .caller(&id, Role::Payments, "backend")
        .profile;
    let terminal = Terminal::new()?;
    let types = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&programs::ours(Watched::No)?.semopsctl);
        command.arg("--profile").arg(&profile).args(arguments);
        terminal.run(&mut command)
    };
    assert_eq!(
        types(&["crl", "--authority", "device-root", "--out", "a.der"])?.code,
        Some(0)
    );
    let again = ["crl", "--authority", "device-root", "--out", "b.der"];
    let said = types(&again)?;
    assert_eq!(said.code, Some(1));
    let scope = "caller:spiffe://semops.example/alfa/payments/backend";
    for part in [
        "RESOURCE_EXHAUSTED RATE_LIMITED",
        &format!("{scope}: 1 at once, of which 1 come back in 3600 s"),
        " s and call again with the same content",
    ] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
    let said = types(&[&["--json"][..], &again].concat())?;
    let error: serde_json::Value = serde_json::from_str(&said.err)?;
    assert_eq!(error["error"]["limits"][0]["scope"], scope);
    assert!(error["error"]["retry_after_seconds"].as_f64().unwrap() > 3_000.0);
    recheck(&mut deployment).await.map(drop)
}
