//! A key that others may know, and the one command that a custodian has for it: what the key signed is listed whole, another
//! takes its place, and every phone that it certified gets one other certificate, whatever is killed on the way.

mod desk;
mod phones;
mod signing_ca;
mod waves;

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    refusal::demand,
    until::until,
};
use semops_objects::{
    AuthorizationJws,
    key::{KeyId, Purpose},
};
use semops_pki::algorithm::sha256;
use serde_json::Value;
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;

use self::{
    desk::{Desk, steps},
    phones::{Paying, Phones},
};

const SOON: Duration = Duration::from_secs(60);
const PHONES: usize = 200;
/// So many phones have their new certificate when the command is killed, and when the service is.
const KILLED_AT: [i64; 2] = [10, 40];

/// The phones that have another certificate than before.
async fn replaced(deployment: &Deployment) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM reissue WHERE replaced_at IS NOT NULL";
    deployment.count(sql).await
}

/// Waits for so many of them.
async fn so_many(deployment: &Deployment, phones: i64) -> Result<(), Failure> {
    until("new certificates", SOON, async || {
        Ok((replaced(deployment).await? >= phones).then_some(()))
    })
    .await
}

/// Waits for a CRL with all that was replaced: it is the last one before the key is marked.
async fn all_listed(deployment: &Deployment) -> Result<(), Failure> {
    let missing = "SELECT count(*) FROM revocation r WHERE NOT EXISTS (SELECT 1 FROM crl c JOIN operation o ON o.id = c.operation \
                   WHERE c.issuer_key = r.issuer_key AND c.revocations >= r.sequence AND o.state = 'AUTHORIZED')";
    until("a CRL with all of them", SOON, async || {
        Ok((deployment.count(missing).await? == 0).then_some(()))
    })
    .await
}

/// The file says what the record does of the key: every object once.
async fn lists_all(deployment: &Deployment, desk: &Desk, key: KeyId) -> Result<(), Failure> {
    let lines = desk.saved("signed.jsonl")?;
    let lines = lines.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    let digests: BTreeSet<String> = lines
        .iter()
        .map(|line| line["sha256"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(digests.len(), lines.len());
    let record = rusqlite::Connection::open(deployment.record().await?)?;
    let mut statement = record
        .prepare("SELECT artifact FROM operation WHERE key_id = ?1 AND state = 'AUTHORIZED'")?;
    let stored = statement.query_map([key.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
    let stored = stored.map(|der| der.map(|der| hex(&sha256(&der))));
    let stored: BTreeSet<String> = stored.collect::<Result<_, _>>()?;
    assert_eq!(digests, stored);
    let table = desk.saved("signed.csv")?;
    assert_eq!(table.lines().count(), 1 + lines.len());
    Ok(())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ca_certified_is_certified_anew_once() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let many = "orders_per_day = 1000000";
    let scheme = Scheme::EXAMPLE.replace("orders_per_day = 50", many);
    let mut deployment = Deployment::prepare(&scheme, &mut |_| {})?;
    deployment.keep_record_in(&cluster).await?;
    deployment.start().await?;
    let mut phones = Phones::of_alfa(&deployment, PHONES).await?;
    let paying = Paying::start(&deployment).await?;
    let desk = Desk::new(&deployment, "device-ca")?;
    let old = Desk::key(&deployment, "DEVICE_CA").await?;

    // Suspended at once, and the next key made, which the root certifies.
    let said = desk.goes_on(0)?;
    assert_eq!(said["state"], "SUSPENDED");
    assert_eq!(
        steps(&said),
        ["done", "done", "done", "next", "later", "later", "later"]
    );
    lists_all(&deployment, &desk, old).await?;
    let refused = Customer::enrolled_by(&deployment.client("alfa", Role::Enrolment).await?).await;
    assert!(refused.is_err());
    desk.certified()?;
    let said = desk.goes_on(0)?;
    assert_eq!(
        steps(&said),
        ["done", "done", "done", "done", "next", "later", "later"]
    );
    desk.approves(&said)?;

    // In waves, through the death of the command and that of the service.
    let waves = desk.begins()?;
    so_many(&deployment, KILLED_AT[0]).await?;
    waves.kill()?;
    let waves = desk.begins()?;
    so_many(&deployment, KILLED_AT[1]).await?;
    deployment.kill()?;
    assert!(!waves.ends()?);
    deployment.start().await?;
    let before = replaced(&deployment).await?;
    assert!(before < i64::try_from(PHONES)?, "{before}");
    let said = desk.goes_on(0)?;
    let devices = &said["devices"];
    let all = i64::try_from(PHONES)?;
    // What the service was about to sign when it was killed is gone on with.
    assert_eq!(
        (&devices["before"], &devices["left"]),
        (&before.into(), &0.into())
    );
    assert_eq!(devices["now"], Value::from(all - before));
    assert_eq!(replaced(&deployment).await?, all);

    phones.verify(&deployment, old).await?;
    phones.pay_on(&deployment).await?;
    all_listed(&deployment).await?;
    let said = desk.goes_on(0)?;
    desk.approves(&said)?;
    let said = desk.goes_on(0)?;
    assert_eq!(said["state"], "COMPROMISED");
    assert_eq!(steps(&said), ["done"; 7]);
    assert_eq!(said["devices"]["before"], Value::from(all));
    lists_all(&deployment, &desk, old).await?;
    let paid = paying.end().await?;
    assert!(paid > 0);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, paid + phones.paid());
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_key_that_others_may_know_signs_no_more() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let desk = Desk::new(&deployment, "authorization")?;
    let old = Desk::key(&deployment, "AUTHORIZATION").await?;
    let mut jtis = BTreeSet::new();
    for value in ["1.00", "2.00", "3.00"] {
        let answer = bank
            .cosign_order(customer.asks(&order(value, "EUR")?)?)
            .await?;
        let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
        jtis.insert(jws.authorization().jti.to_string());
    }
    let said = desk.goes_on(0)?;
    assert_eq!(said["purpose"], Purpose::Authorization.name());
    assert_eq!(steps(&said), ["done", "done", "done", "next", "later"]);
    assert_eq!(said["signed"]["objects"], 3);
    let refused = bank
        .cosign_order(customer.asks(&order("4.00", "EUR")?)?)
        .await;
    demand(refused, Code::Unavailable, "KEY_NOT_ACTIVE")?;
    let lines = desk.saved("signed.jsonl")?;
    let listed = lines.lines().map(serde_json::from_str::<Value>);
    let listed: Result<BTreeSet<String>, _> = listed
        .map(|line| Ok::<_, Failure>(line?["id"].as_str().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(listed?, jtis);
    lists_all(&deployment, &desk, old).await?;
    let digest = hex(&sha256(lines.as_bytes()));
    assert_eq!(said["signed"]["jsonl_sha256"], Value::from(digest));

    desk.approves(&said)?;
    let said = desk.goes_on(0)?;
    let answer = bank
        .cosign_order(customer.asks(&order("4.00", "EUR")?)?)
        .await?;
    let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
    assert_ne!(KeyId::new(jws.kid()), old);
    // Given again it comes to the same, and is not proposed twice.
    assert_eq!(steps(&said), ["done", "done", "done", "done", "next"]);
    let again = desk.goes_on(0)?;
    assert_eq!(again["steps"], said["steps"]);
    desk.approves(&again)?;
    let said = desk.goes_on(0)?;
    assert_eq!(
        (steps(&said), &said["state"]),
        (vec!["done"; 5], &"COMPROMISED".into())
    );
    lists_all(&deployment, &desk, old).await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    deployment.stop().await
}
