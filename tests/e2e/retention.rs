//! What is not kept any longer: orders go and never open their id again, and the audit stays one chain.

mod erasure;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    clock::Hands,
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::{Authorities, Rule, check, recheck},
    refusal::demand,
    until::until,
};
use rusqlite::{Connection, OpenFlags};
use semops_objects::Order;
use semops_pki::algorithm::sha256;
use semops_proto::{
    client::Client,
    v1::{CosignOrderRequest, RevocationReason},
};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;

use crate::recheck::doctor;

const SOON: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400;
/// What is kept for two days is due: by whole days, so on the third.
const LATER: i64 = 4 * DAY;
const ORDERS: usize = 6;

fn prepared(retention: &str) -> Result<Deployment, Failure> {
    let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let with = format!("{retention}\n[roots.device]");
    deployment.configure("[roots.device]", &with)?;
    Ok(deployment)
}

/// An order of a phone whose clock is so many seconds ahead of ours.
fn order(ahead: i64) -> Result<Order, Failure> {
    let order = customer::order("7.77", "CNY")?;
    let iat = order.iat.saturating_add_signed(ahead);
    Ok(Order {
        iat,
        exp: iat + 600,
        ..order
    })
}

fn open(deployment: &Deployment) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Ok(Connection::open_with_flags(deployment.database(), flags)?)
}

fn number(deployment: &Deployment, sql: &str) -> Result<i64, Failure> {
    Ok(open(deployment)?.query_row(sql, [], |row| row.get(0))?)
}

/// The audit events with their numbers.
fn leaves(deployment: &Deployment) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let connection = open(deployment)?;
    let mut statement = connection.prepare("SELECT seq, leaf FROM audit ORDER BY seq")?;
    let leaves = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(leaves.collect::<Result<_, _>>()?)
}

/// What an auditor who has kept the removed events computes over them.
fn digest(leaves: &[(i64, Vec<u8>)], through: i64) -> [u8; 32] {
    let removed = leaves.iter().filter(|(seq, _)| *seq <= through);
    removed.fold([0; 32], |digest, (_, leaf)| {
        sha256(&[digest.as_slice(), leaf].concat())
    })
}

/// All orders of before are gone, and the events, which go last. A CRL that is superseded only now goes the day after.
async fn all_gone(deployment: &Deployment) -> Result<(), Failure> {
    let due = [
        "SELECT count(*) FROM cosigned_order",
        "SELECT count(*) FROM operation WHERE kind = 'authorization'",
    ];
    until("the removal of what is due", SOON, async || {
        let mut left = 0;
        for sql in due {
            left += number(deployment, sql)?;
        }
        let through = number(deployment, "SELECT through FROM audit_prefix")?;
        Ok((left == 0 && through > 0).then_some(()))
    })
    .await
}

/// The same content and other content under each id: refused, and nothing is signed.
async fn ask_again(
    bank: &Client,
    customer: &Customer,
    asks: &[(Order, CosignOrderRequest)],
) -> Result<(), Failure> {
    for (order, ask) in asks {
        let same = bank.cosign_order(ask.clone()).await;
        demand(same, Code::FailedPrecondition, "OUTCOME_PRUNED")?;
        let shown = customer.standing(bank, order).await;
        demand(shown, Code::FailedPrecondition, "OUTCOME_PRUNED")?;
        let other = Order {
            jti: order.jti,
            ..self::order(LATER)?
        };
        let other = bank.cosign_order(customer.asks(&other)?).await;
        demand(other, Code::AlreadyExists, "ORDER_CONFLICT")?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_kept_any_longer_is_never_opened_again() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment =
        prepared("[retention]\norders = 2\ncrls = 2\nsubscribers = 2\nevents = 2\n")?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let mut asks = Vec::new();
    for _ in 0..ORDERS {
        let order = order(0)?;
        let ask = customer.asks(&order)?;
        bank.cosign_order(ask.clone()).await?;
        asks.push((order, ask));
    }
    // One that has nothing to do with it, so that there is more than one CRL.
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let stolen = Customer::enrolled_by(&mobilis).await?;
    stolen
        .revoked_by(&mobilis, RevocationReason::KeyCompromise)
        .await?;
    until("a second CRL", SOON, async || {
        let crls = "SELECT max(number) FROM crl JOIN operation ON id = operation WHERE state = 'AUTHORIZED'";
        Ok((number(&deployment, crls)? > 2).then_some(()))
    })
    .await?;
    let kept = leaves(&deployment)?;

    hands.set(LATER)?;
    all_gone(&deployment).await?;
    ask_again(&bank, &customer, &asks).await?;
    let unsigned = "SELECT count(*) FROM operation WHERE kind = 'authorization'";
    assert_eq!(number(&deployment, unsigned)?, 0);
    let stays = "SELECT count(*) FROM pruned_order WHERE state = 'AUTHORIZED'";
    assert_eq!(usize::try_from(number(&deployment, stays)?)?, ORDERS);

    // Whoever kept the removed events finds their digest, and the others go on behind them.
    let prefix = open(&deployment)?.query_row(
        "SELECT through, leaves, sha256 FROM audit_prefix",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let (through, removed, sha256): (i64, i64, [u8; 32]) = prefix;
    assert!(usize::try_from(removed)? >= 2 * ORDERS && through >= removed);
    assert_eq!(digest(&kept, through), sha256);
    let told = format!("events.{through}.{}", URL_SAFE_NO_PAD.encode(sha256));
    let left = leaves(&deployment)?;
    assert!(left.iter().all(|(seq, _)| *seq > through));
    let tells = |(_, leaf): &(i64, Vec<u8>)| String::from_utf8_lossy(leaf).contains(&told);
    assert!(left.iter().any(tells), "{told}");
    let numbers = Numbers::of(&deployment)?;
    let pruned = |kind| numbers.count("semops_rows_pruned_total", &[("kind", kind)]);
    assert_eq!(pruned("orders"), u64::try_from(ORDERS)?);
    assert_eq!(pruned("events"), removed.cast_unsigned());
    assert!(pruned("crls") > 0);

    // Life goes on.
    let new = order(LATER)?;
    bank.cosign_order(customer.asks(&new)?).await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 1);
    deployment.stop().await?;
    doctored(&deployment)
}

/// What is done to a record of which much is gone, and the rule that it breaks.
const DOCTORED: [(Rule, &str); 8] = [
    (
        Rule::AuditPrefix,
        "UPDATE audit_prefix SET sha256 = zeroblob(32)",
    ),
    (
        Rule::AuditPrefix,
        "UPDATE audit_prefix SET through = through - 1",
    ),
    (
        Rule::AuditPrefix,
        "UPDATE audit SET leaf = CAST(replace(leaf, '\"events.', '\"events.1') AS BLOB)",
    ),
    (
        Rule::AuditPrefix,
        "DELETE FROM audit WHERE seq IN (SELECT min(seq) FROM audit)",
    ),
    (
        Rule::AuditPrefix,
        "INSERT INTO audit SELECT 1, leaf FROM audit ORDER BY seq LIMIT 1",
    ),
    (
        Rule::Consistent,
        "DELETE FROM pruned_order WHERE jti IN (SELECT min(jti) FROM pruned_order)",
    ),
    (
        Rule::Consistent,
        "UPDATE removed SET signatures = signatures - 1 WHERE kind = 'authorization'",
    ),
    (
        Rule::AuditPairs,
        "DELETE FROM removed WHERE kind = 'crl'; DELETE FROM crl WHERE number = \
         (SELECT max(n.number) FROM crl n WHERE n.issuer_key = crl.issuer_key); \
         DELETE FROM operation WHERE kind = 'crl' AND id NOT IN (SELECT operation FROM crl)",
    ),
];

fn doctored(deployment: &Deployment) -> Result<(), Failure> {
    let authorities = Authorities::read(deployment)?;
    let (good, never) = (deployment.database(), 0);
    assert_eq!(check(&good, &authorities, never)?.1, []);
    for (rule, sql) in DOCTORED {
        let copy = good.with_extension("doctored");
        doctor(&good, &copy, sql)?;
        let (_, findings) = check(&copy, &authorities, never)?;
        assert!(
            findings.iter().any(|finding| finding.rule == rule),
            "{sql}: {rule:?} is not in {findings:#?}"
        );
    }
    Ok(())
}
