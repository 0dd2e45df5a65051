//! Two tokens of one institution, each with an active authorization key: whatever befalls the one whose key signs, orders go
//! on by the key in the other one, within the time that each request has, and by the first again when its token serves.

mod cas;
mod pin;
mod two;
mod wear;

use std::time::Duration;

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::unix_now,
    failure::Failure,
    faults::Fault,
    recheck::recheck,
    refusal, stored,
    token::{self, Aside},
    until::until,
    workers,
};
use rustix::process::{Signal, kill_process};
use semops_objects::{
    AuthorizationJws, InstitutionId, Order,
    key::KeyId,
    trust::{Verdict, verify_authorization},
};
use semops_proto::v1::{self, OrderState};
use softhsm_setup::scheme::Role;
use tonic::Code;

use self::two::{FIRST, SECOND, TwoTokens, told};
use crate::rotation::lanes::{Done, Lanes};

const SOON: Duration = Duration::from_secs(60);

/// How many orders a token signs wrongly.
const WRONG: usize = 3;

/// The intents that ended because the token of their key did not sign.
const ENDED: &str =
    "SELECT count(*) FROM audit WHERE convert_from(leaf, 'UTF8') LIKE '%TOKEN_FAILED%'";

/// How many of these are by each key; each verifies with the document that has both certificates.
fn by_key(two: &TwoTokens, paid: &[Done<String>]) -> Result<[usize; 2], Failure> {
    let beta: InstitutionId = "beta".parse()?;
    let now = u64::try_from(unix_now()?)?;
    let mut counted = [0, 0];
    for one in paid {
        let verdict = verify_authorization(&one.answer, &two.trust, &beta, now);
        let valid = matches!(verdict, Verdict::Valid(_) | Verdict::Expired(_));
        assert!(valid, "{verdict:?}");
        let kid = KeyId::new(AuthorizationJws::parse(&one.answer)?.kid());
        let at = two.keys.iter().position(|key| *key == kid);
        counted[at.ok_or_else(|| Failure::new("signed by another key"))?] += 1;
    }
    Ok(counted)
}

/// The second token's key is the one activated last, so that it signs as long as its token is ready.
#[tokio::test]
async fn whatever_befalls_a_token_orders_go_on() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let banks = two.banks().await?;
    two.signs_with(SECOND).await?;
    let lanes = Lanes::paying(&two.deployment, &banks).await?;
    lanes.more(100).await?;

    // It hangs.
    let worker = workers::worker(&mut two.deployment, "alfa-2").await?;
    kill_process(worker, Signal::STOP)?;
    two.signs_with(FIRST).await?;
    lanes.phase("during").more(200).await?;
    // Meanwhile it may have been killed for it, and replaced.
    let _ = kill_process(worker, Signal::CONT);
    two.signs_with(SECOND).await?;

    // It dies, and its worker process is replaced.
    lanes.more(50).await?;
    let worker = workers::worker(&mut two.deployment, "alfa-2").await?;
    kill_process(worker, Signal::KILL)?;
    lanes.more(50).await?;
    two.signs_with(SECOND).await?;

    // It fails at every signature.
    let broken = "calls = [\"C_Sign\"]\neffect = { return = \"CKR_DEVICE_ERROR\" }";
    two.faults.set(&[Fault::at("alfa-2", "broken", broken)])?;
    lanes.more(200).await?;
    assert!(two.faults.struck("broken")? > 0);
    two.faults.heal()?;
    two.signs_with(SECOND).await?;

    // It is away, and so is whatever could be started in its place.
    let away = Aside::moved(token::folder(&two.deployment, "alfa-2")?)?;
    let worker = workers::worker(&mut two.deployment, "alfa-2").await?;
    kill_process(worker, Signal::KILL)?;
    two.signs_with(FIRST).await?;
    // Once that is known, nobody tries it first: but for those under way, no order goes over.
    let moved = two.moved()?;
    lanes.more(200).await?;
    let moved = two.moved()? - moved;
    assert!(moved <= 16, "{moved} orders tried the token that is away");
    drop(away);
    two.signs_with(SECOND).await?;
    lanes.phase("after").more(100).await?;

    // Not one was refused, and none came late.
    let paid = lanes.end().await?;
    let [by_first, by_second] = by_key(&two, &paid)?;
    eprintln!(
        "{} orders: {by_first} by the first key, {by_second} by the second",
        paid.len()
    );
    assert!(
        by_first >= 300 && by_second >= 200,
        "{by_first} {by_second}"
    );
    let moved = told(&two.deployment, "alfa", "authorization")?;
    eprintln!("{moved} of them went over from one to the other");
    let checked = recheck(&mut two.deployment).await?;
    assert_eq!(checked.authorizations, paid.len() + two.asked());
    two.deployment.stop().await
}

#[tokio::test]
async fn two_services_fail_over_each_by_itself() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let mut two = TwoTokens::begin(Some(&cluster)).await?;
    let banks = two.banks().await?;
    two.signs_with(SECOND).await?;
    let lanes = Lanes::paying(&two.deployment, &banks).await?;
    lanes.more(100).await?;
    // At the one service the second token hangs, at the other it serves.
    let worker = workers::worker(&mut two.deployment, "alfa-2").await?;
    kill_process(worker, Signal::STOP)?;
    two.signs_at(&banks[0], FIRST).await?;
    lanes.phase("during").more(300).await?;
    // Meanwhile it may have been killed for it, and replaced.
    let _ = kill_process(worker, Signal::CONT);
    two.signs_with(SECOND).await?;
    lanes.phase("after").more(100).await?;
    let paid = lanes.end().await?;
    let [by_first, by_second] = by_key(&two, &paid)?;
    assert!(by_first >= 50 && by_second >= 200, "{by_first} {by_second}");
    let recorded = two.deployment.count(ENDED).await?;
    assert!(recorded > 0);
    assert_eq!(two.moved()?, u64::try_from(recorded)?);
    let checked = recheck(&mut two.deployment).await?;
    assert_eq!(checked.authorizations, paid.len() + two.asked());
    two.stop().await
}

/// One order whose row goes over to the other key: one authorization, the same at every repetition.
#[tokio::test]
async fn what_was_begun_with_one_key_is_signed_once() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let bank = two.deployment.client("alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&two.deployment).await?;
    two.signs_with(SECOND).await?;
    let broken = "calls = [\"C_Sign\"]\neffect = { return = \"CKR_DEVICE_ERROR\" }";
    two.faults.set(&[Fault::at("alfa-2", "broken", broken)])?;
    let ordered = order("0.01", "EUR")?;
    let ask = customer.asks(&ordered)?;
    let answer = bank.cosign_order(ask.clone()).await?;
    assert!(two.faults.struck("broken")? > 0);
    let kid = AuthorizationJws::parse(&answer.authorization_jws)?.kid();
    assert_eq!(KeyId::new(kid), two.keys[FIRST]);
    two.faults.heal()?;
    assert_eq!(bank.cosign_order(ask).await?, answer);
    let of_order = |event: &serde_json::Value| event["object"] == ordered.jti.to_string();
    let events = stored::events(&two.deployment)?;
    let said = events.iter().filter(|event| of_order(event));
    let said = said.map(|event| {
        (
            event["key"].as_str().unwrap_or_default(),
            event["result"].as_str(),
        )
    });
    let [first, second] = two.keys.map(|key| key.to_string());
    let expected = [
        (second.as_str(), Some("BEGUN")),
        (second.as_str(), Some("FAILED")),
        (first.as_str(), Some("BEGUN")),
        (first.as_str(), Some("AUTHORIZED")),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    told(&two.deployment, "alfa", "authorization")?;
    recheck(&mut two.deployment).await?;
    two.deployment.stop().await
}

/// Killed between intent and signature: what is resumed is signed by the key named in it, or by none.
#[tokio::test]
async fn a_resumed_intent_is_never_signed_by_another_key() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let customer = Customer::of_alfa(&two.deployment).await?;
    two.signs_with(SECOND).await?;
    let mut asks = Vec::new();
    for _ in 0..2 {
        let ordered = order("0.01", "EUR")?;
        let ordered = Order {
            exp: ordered.iat + 600,
            ..ordered
        };
        let ask = customer.asks(&ordered)?;
        two.killed_between(&ask, &ordered).await?;
        two.deployment.start().await?;
        two.signs_with(SECOND).await?;
        asks.push((ordered, ask));
    }
    two.deployment.kill()?;
    let [(away, ask_away), (back, ask_back)] = asks.as_slice() else {
        unreachable!("two were asked")
    };

    // The token of its key is away: it ends, although another key could sign.
    let folder = Aside::moved(token::folder(&two.deployment, "alfa-2")?)?;
    two.deployment.start().await?;
    let bank = two.deployment.client("alfa", Role::Payments).await?;
    let resumed = bank.cosign_order(ask_away.clone()).await;
    refusal::demand(resumed, Code::FailedPrecondition, "TOKEN_FAILED")?;
    let again = bank.cosign_order(ask_away.clone()).await;
    refusal::demand(again, Code::FailedPrecondition, "TOKEN_FAILED")?;
    let new = bank
        .cosign_order(customer.asks(&order("0.01", "EUR")?)?)
        .await?;
    let kid = AuthorizationJws::parse(&new.authorization_jws)?.kid();
    assert_eq!(KeyId::new(kid), two.keys[FIRST]);

    // It is back: what was begun with its key is signed with it.
    drop(folder);
    two.signs_with(SECOND).await?;
    let signed = bank.cosign_order(ask_back.clone()).await?;
    let kid = AuthorizationJws::parse(&signed.authorization_jws)?.kid();
    assert_eq!(KeyId::new(kid), two.keys[SECOND]);
    for (ordered, state) in [(away, OrderState::Failed), (back, OrderState::Authorized)] {
        let found = bank
            .get_authorization(v1::GetAuthorizationRequest {
                device_id: customer.device_id(),
                jti: ordered.jti.to_string(),
            })
            .await?;
        assert_eq!(found.state(), state);
    }
    until("no intent", SOON, async || {
        Ok((stored::count(&two.deployment, "authorization", "PENDING")? == 0).then_some(()))
    })
    .await?;
    recheck(&mut two.deployment).await?;
    two.deployment.stop().await
}

/// Such a token looks well; in one request it is asked once, and the key in the other one signs.
#[tokio::test]
async fn a_token_that_signs_wrongly_is_asked_once() -> Result<(), Failure> {
    let mut two = TwoTokens::begin(None).await?;
    let bank = two.deployment.client("alfa", Role::Payments).await?;
    let customer = Customer::of_alfa(&two.deployment).await?;
    two.signs_with(SECOND).await?;
    let wrong = "effect = { signature = 'bit' }";
    two.faults.set(&[Fault::at("alfa-2", "wrong", wrong)])?;
    for asked in 1..=WRONG {
        let ask = customer.asks(&order("0.01", "EUR")?)?;
        let answer = bank.cosign_order(ask).await?;
        let kid = AuthorizationJws::parse(&answer.authorization_jws)?.kid();
        assert_eq!(KeyId::new(kid), two.keys[FIRST]);
        assert_eq!(two.faults.struck("wrong")?, asked);
    }
    two.faults.heal()?;
    two.signs_with(SECOND).await?;
    assert_eq!(
        told(&two.deployment, "alfa", "authorization")?,
        u64::try_from(WRONG)?
    );
    let checked = recheck(&mut two.deployment).await?;
    assert_eq!(checked.authorizations, WRONG + two.asked());
    two.deployment.stop().await
}
