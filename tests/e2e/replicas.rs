//! Two services on one PostgreSQL database and the same tokens: whatever both are asked at once, one order of things stands.
//! The database goes and comes while they serve.

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    clock::Hands,
    cluster::Cluster,
    customer::{Customer, enrolment, order},
    deployment::{Deployment, replica::Replica},
    failure::Failure,
    numbers::Numbers,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal::{demand, reason},
    until::until,
};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(60);
const APART: &str = "semops_store_clock_apart_seconds";
const LEADER: &str = "semops_leader";

/// The example with EUR 100.00 a day for each device of alfa and beta.
async fn two(cluster: &Cluster) -> Result<(Deployment, Replica), Failure> {
    let scheme = Scheme::EXAMPLE.replace("EUR = \"500.00\"", "EUR = \"100.00\"");
    Deployment::prepare(&scheme, &mut |_| {})?
        .doubled(cluster)
        .await
}

/// Asks by turns one and the other, all at once; answers in the order of the asks.
async fn at_once(
    banks: &[Client; 2],
    asks: Vec<v1::CosignOrderRequest>,
) -> Result<Vec<Result<v1::CosignOrderResponse, Status>>, Failure> {
    let calls: Vec<_> = asks
        .into_iter()
        .zip(banks.iter().cycle())
        .map(|(ask, bank)| {
            let bank = bank.clone();
            tokio::spawn(async move { bank.cosign_order(ask).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await?);
    }
    Ok(answers)
}

fn signed(answers: &[Result<v1::CosignOrderResponse, Status>]) -> usize {
    answers.iter().filter(|answer| answer.is_ok()).count()
}

#[tokio::test]
async fn both_keep_one_record() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let same = the_same_order_has_one_authorization(&deployment, &banks).await?;
    let within = money_limits_are_exact(&deployment, &banks).await?;
    let before = nothing_is_signed_after_a_revocation(&deployment, &replica, &banks).await?;
    one_request_has_one_certificate(&deployment, &replica).await?;
    a_document_rules_both(&deployment, &banks).await?;

    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, same + within + before);
    // 1, 4, 5 and 1 customers, and the phone that both were asked to enrol.
    assert_eq!(checked.certificates, 12);
    replica.stop().await?;
    deployment.stop().await
}

async fn the_same_order_has_one_authorization(
    deployment: &Deployment,
    banks: &[Client; 2],
) -> Result<usize, Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    for _ in 0..10 {
        let ask = customer.asks(&order("1.00", "EUR")?)?;
        let mut answers = BTreeSet::new();
        for answer in at_once(banks, vec![ask; 16]).await? {
            let answer = answer?;
            answers.insert((answer.order_jws, answer.authorization_jws));
        }
        assert_eq!(answers.len(), 1);
    }
    Ok(10)
}

async fn money_limits_are_exact(
    deployment: &Deployment,
    banks: &[Client; 2],
) -> Result<usize, Failure> {
    for _ in 0..4 {
        let customer = Customer::of_alfa(deployment).await?;
        let ask = |_| customer.asks(&order("30.00", "EUR")?);
        let asks = (0..16).map(ask).collect::<Result<_, Failure>>()?;
        let answers = at_once(banks, asks).await?;
        assert_eq!(signed(&answers), 3);
        for refused in answers.into_iter().filter(Result::is_err) {
            demand(refused, Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY")?;
        }
    }
    Ok(12)
}

/// Orders at both while one is told to revoke: once it has answered, the other signs none.
async fn nothing_is_signed_after_a_revocation(
    deployment: &Deployment,
    replica: &Replica,
    banks: &[Client; 2],
) -> Result<usize, Failure> {
    let issuers = replica.both(deployment, "mobilis", Role::Enrolment).await?;
    let mut before = 0;
    for round in 0..5 {
        let customer = Customer::of_alfa(deployment).await?;
        let ask = |_| customer.asks(&order("1.00", "EUR")?);
        let asks = (0..8).map(ask).collect::<Result<Vec<_>, Failure>>()?;
        let (under_way, revoked) = tokio::join!(
            at_once(banks, asks),
            customer.revoked_by(&issuers[round % 2], v1::RevocationReason::KeyCompromise)
        );
        revoked?;
        before += signed(&under_way?);
        for bank in banks {
            let ask = customer.asks(&order("1.00", "EUR")?)?;
            let late = bank.cosign_order(ask).await;
            demand(late, Code::FailedPrecondition, "DEVICE_REVOKED")?;
        }
    }
    Ok(before)
}

async fn one_request_has_one_certificate(
    deployment: &Deployment,
    replica: &Replica,
) -> Result<(), Failure> {
    let issuers = replica.both(deployment, "mobilis", Role::Enrolment).await?;
    let ask = enrolment(&Phone::new()?, &pseudonym())?;
    let calls: Vec<_> = (0..8)
        .map(|call| {
            let (issuer, ask) = (issuers[call % 2].clone(), ask.clone());
            tokio::spawn(async move { issuer.enroll_device(ask).await })
        })
        .collect();
    let mut chains = BTreeSet::new();
    for call in calls {
        chains.insert(call.await??.certificate_chain);
    }
    assert_eq!(chains.len(), 1);
    Ok(())
}

/// What is loaded beside them counts at both from then on.
async fn a_document_rules_both(
    deployment: &Deployment,
    banks: &[Client; 2],
) -> Result<(), Failure> {
    let lower = |text: String| text.replace("EUR = \"150.00\"", "EUR = \"2.00\"");
    let customer = Customer::of_alfa(deployment).await?;
    deployment.load_next("policy", "alfa", 2, lower)?;
    for bank in banks {
        let ask = customer.asks(&order("2.01", "EUR")?)?;
        let refused = bank.cosign_order(ask).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::FailedPrecondition,
            "{:?}",
            reason(&refused)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_whose_clock_is_apart_signs_nothing() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.keep_record_in(&cluster).await?;
    deployment.start().await?;
    let hands = Hands::new()?;
    let replica = deployment.replica(|command| hands.of(command)).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    for ahead in [3, -3] {
        hands.set(ahead)?;
        let ask = customer.asks(&order("1.00", "EUR")?)?;
        let refused = banks[1].cosign_order(ask.clone()).await;
        demand(refused, Code::Unavailable, "CLOCK_APART")?;
        // The other one signs it, and what is signed is told by both.
        let cosigned = banks[0].cosign_order(ask.clone()).await?;
        assert_eq!(banks[1].cosign_order(ask).await?, cosigned);
        hands.set(0)?;
        let ask = customer.asks(&order("1.00", "EUR")?)?;
        banks[1].cosign_order(ask).await?;
    }
    let apart = || {
        let apart = replica.numbers()?.sum(APART, &[]);
        apart.ok_or_else(|| Failure::new("not measured"))
    };
    hands.set(3)?;
    until("the log to say why", SOON, async || {
        Ok(replica.log().contains("set both by NTP").then_some(()))
    })
    .await?;
    until("the clock to be measured", SOON, async || {
        Ok((apart()? > 2.0).then_some(()))
    })
    .await?;
    assert!(apart()? <= 3.0, "at least, and never more than it is");
    hands.set(0)?;
    until("the clock to be right", SOON, async || {
        Ok((apart()? < 0.5).then_some(()))
    })
    .await?;
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    replica.stop().await
}

/// CRLs that are signed and list so many revocations of mobilis.
const LISTED: &str = "SELECT count(*) FROM crl l JOIN operation o ON o.id = l.operation \
                      WHERE o.state = 'AUTHORIZED' AND l.revocations >= ";

#[tokio::test]
async fn scheduled_work_passes_from_one_that_dies_to_the_other() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let issuer = replica
        .client(&deployment, "mobilis", Role::Enrolment)
        .await?;
    for revocation in 1..=2 {
        let customer = Customer::enrolled_by(&issuer).await?;
        customer
            .revoked_by(&issuer, v1::RevocationReason::KeyCompromise)
            .await?;
        let listed = format!("{LISTED}{revocation}");
        until("the CRL that lists it", SOON, async || {
            Ok((deployment.count(&listed).await? > 0).then_some(()))
        })
        .await?;
        if revocation == 1 {
            let leads = Numbers::of(&deployment)?.count(LEADER, &[]);
            assert_eq!(leads + replica.numbers()?.count(LEADER, &[]), 1);
            deployment.kill()?;
        }
    }
    // Said after it is seen.
    until("the replica to say that it made it", SOON, async || {
        Ok(replica.log().contains("CRL published").then_some(()))
    })
    .await?;
    assert_eq!(replica.numbers()?.count(LEADER, &[]), 1);
    assert!(deployment.count("SELECT term FROM lease").await? >= 2);
    deployment.start().await?;
    assert_eq!(recheck(&mut deployment).await?.certificates, 2);
    replica.stop().await
}

#[tokio::test]
async fn scheduled_work_passes_from_one_that_is_stopped_at_once() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    // The first leads, for it was alone.
    let (mut deployment, replica) = two(&cluster).await?;
    let term = deployment.count("SELECT term FROM lease").await?;
    let issuer = replica
        .client(&deployment, "mobilis", Role::Enrolment)
        .await?;
    deployment.stop().await?;
    // What it held would still be held for some seconds.
    assert!(deployment.count("SELECT term FROM lease").await? > term);
    let customer = Customer::enrolled_by(&issuer).await?;
    customer
        .revoked_by(&issuer, v1::RevocationReason::KeyCompromise)
        .await?;
    let listed = format!("{LISTED}1");
    until("the CRL that lists it", SOON, async || {
        Ok((deployment.count(&listed).await? > 0).then_some(()))
    })
    .await?;
    assert!(!replica.log().contains("could not be given up"));
    deployment.start().await?;
    recheck(&mut deployment).await?;
    replica.stop().await
}

#[tokio::test]
async fn a_database_that_was_killed_comes_back() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let ask = customer.asks(&order("1.00", "EUR")?)?;
    let cosigned = banks[0].cosign_order(ask.clone()).await?;
    for _ in 0..2 {
        cluster.kill()?;
        let new = customer.asks(&order("1.00", "EUR")?)?;
        for bank in &banks {
            let refused = bank.cosign_order(new.clone()).await;
            demand(refused, Code::Unavailable, "STORE_UNAVAILABLE")?;
        }
        until("the health to say so", SOON, async || {
            Ok((!deployment.is_healthy().await).then_some(()))
        })
        .await?;
        cluster.start_again()?;
        // Without a new start of either: what was answered stands, and what is new is signed.
        for bank in &banks {
            assert_eq!(bank.cosign_order(ask.clone()).await?, cosigned);
        }
        let answers = at_once(&banks, vec![new; 8]).await?;
        assert_eq!(signed(&answers), 8);
        until("the health to say so", SOON, async || {
            Ok(deployment.is_healthy().await.then_some(()))
        })
        .await?;
    }
    assert!(deployment.log().contains("check that the primary runs"));
    assert!(!deployment.log().contains("internal"));
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (3, 0));
    replica.stop().await
}
