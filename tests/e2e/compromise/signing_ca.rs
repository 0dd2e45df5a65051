//! A signing CA that others may know: another one takes its place, each key that it certified gets a successor which that one
//! certifies, and in the end the root revokes it, while orders are co-signed all the time.

use std::fs;

use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
    until::until,
};
use semops_objects::{AuthorizationJws, key::KeyId};
use semops_pki::certificate::Certificate;
use semops_proto::v1;
use softhsm_setup::{directory::Hierarchy, scheme::Role};

use super::{
    SOON,
    desk::{Desk, steps},
};
use crate::scheme::{
    hang_up,
    revoked::{REVOKED, revoke, wrong},
};

/// The certificate of a key, and how many keys there are.
async fn shown(deployment: &Deployment, key: KeyId) -> Result<(Certificate, usize), Failure> {
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    let of = keys.iter().find(|one| one.key_id == key.to_string());
    let der = of.and_then(|one| one.certificate_chain.first());
    let der = der.ok_or_else(|| Failure::new("the key is not shown"))?;
    Ok((Certificate::from_der(der)?, keys.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_signing_ca_certified_is_replaced_and_the_root_revokes_it() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let pays = async || {
        let ask = customer.asks(&order("1.00", "EUR")?)?;
        let answer = bank.cosign_order(ask).await?;
        let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
        Ok::<_, Failure>(KeyId::new(jws.kid()))
    };
    let desk = Desk::new(&deployment, "signing-ca")?;
    let old = Desk::key(&deployment, "AUTHORIZATION").await?;
    let (before, keys) = shown(&deployment, old).await?;
    assert_eq!((pays().await?, keys), (old, 3));

    let said = desk.goes_on(0)?;
    let states = ["done", "done", "done", "next", "later", "later", "later"];
    assert_eq!(steps(&said), states);
    assert_eq!(said["dependents"], serde_json::Value::Null);
    desk.certified()?;
    let said = desk.goes_on(0)?;
    desk.approves(&said)?;

    // Of the keys that it certified there is one, and its rotation is proposed once.
    let said = desk.goes_on(0)?;
    let states = ["done", "done", "done", "done", "done", "next", "later"];
    assert_eq!(steps(&said), states);
    assert_eq!(pays().await?, old);
    let paid = unix_now()?;
    let again = desk.goes_on(0)?;
    assert_eq!(again["dependents"], said["dependents"]);
    assert_eq!(said["dependents"][0]["key_id"], old.to_string());
    // A rotation whose moment has passed when it is approved counts from the whole second on.
    until("the next second", SOON, async || {
        Ok((unix_now()? > paid).then_some(()))
    })
    .await?;
    desk.approves(&again)?;
    let said = desk.until_done("all it certified is replaced").await?;
    assert_eq!(said["dependents"], serde_json::json!([]));
    desk.approves(&said)?;
    let said = desk.goes_on(0)?;
    assert_eq!(
        (steps(&said), &said["state"]),
        (vec!["done"; 7], &"COMPROMISED".into())
    );

    let new = pays().await?;
    let (after, keys) = shown(&deployment, new).await?;
    assert_eq!(keys, 5);
    assert_ne!(new, old);
    assert_ne!(after.issuer_der(), before.issuer_der());
    let chain = desk.saved(&format!("dependents/{old}/chain.pem"))?;
    assert!(chain.starts_with(&after.to_pem()), "{chain}");
    assert_eq!(wrong(&deployment, Hierarchy::Signing, &after)?, "");

    let ca = deployment
        .directory()
        .ca(Hierarchy::Signing, &"alfa".parse()?);
    assert!(fs::exists(&ca)?);
    revoke(&deployment, &ca)?;
    hang_up(&mut deployment).await?;
    let said = wrong(&deployment, Hierarchy::Signing, &before)?;
    assert!(said.contains(REVOKED), "{said}");
    assert_eq!(wrong(&deployment, Hierarchy::Signing, &after)?, "");
    assert_eq!(pays().await?, new);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    deployment.stop().await
}
