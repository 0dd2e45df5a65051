//! The end of keys: destroyed in their tokens once their custodians' time has come, by one of the replicas and wherever one
//! was killed; not before, not if it was called off, and told once.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    clock::Hands,
    cluster::Cluster,
    deployment::{Deployment, unix_now},
    failure::Failure,
    faults::{Fault, Faults},
    numbers::Numbers,
    recheck::recheck,
    refusal::{demand, persist},
    stored, token,
    until::until,
};
use semops_objects::{
    change::{Approval, Decision, KeyOperation, Operation, Proposal},
    key::KeyId,
};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{self, KeyState};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
const WINDOW: i64 = 7 * 86_400;
/// Until when the tests have to have scheduled it, seconds.
const SCHEDULED: i64 = 300;
const DUE: &str = "semops_key_destructions_due";

/// The authorization key with which an institution began.
fn first_key(deployment: &Deployment, institution: &str) -> Result<KeyId, Failure> {
    let chain = deployment
        .directory()
        .authorization_chain(&institution.parse().unwrap());
    let chain = Certificate::chain_from_pem(&std::fs::read_to_string(chain)?)?;
    Ok(KeyId::of(chain[0].public_key()))
}

/// Has an institution's custodians do this to its first authorization key.
fn rule(
    deployment: &Deployment,
    institution: &str,
    operations: &[KeyOperation],
) -> Result<KeyId, Failure> {
    let key = first_key(deployment, institution)?;
    for operation in operations {
        let operation = *operation;
        let motion = deployment.motion(institution, Operation::Key { operation, key })?;
        deployment.bring(&motion)?;
    }
    Ok(key)
}

/// What ends a key a week from now.
fn ends() -> Result<[KeyOperation; 2], Failure> {
    let at = u64::try_from(unix_now()? + WINDOW + SCHEDULED)?;
    let schedule = KeyOperation::ScheduleDestruction { at };
    Ok([KeyOperation::Deactivate, schedule])
}

/// How many halves of a key its institution's token shows.
fn halves(deployment: &Deployment, institution: &str, key: KeyId) -> Result<usize, Failure> {
    token::public_objects_with(deployment, institution, key.as_bytes())
}

async fn gone(deployment: &Deployment, institution: &str, key: KeyId) -> Result<(), Failure> {
    until("the end of the key", SOON, async || {
        Ok((halves(deployment, institution, key)? == 0).then_some(()))
    })
    .await
}

/// How an institution's key is shown.
async fn state(
    deployment: &Deployment,
    institution: &str,
    key: KeyId,
) -> Result<KeyState, Failure> {
    let custodian = deployment.client(institution, Role::Custodian).await?;
    let key_id = key.to_string();
    let shown = custodian.get_key(v1::GetKeyRequest { key_id }).await?.key;
    Ok(shown.unwrap_or_default().state())
}

/// How often each step of the end of each key is told.
fn told(deployment: &Deployment) -> Result<BTreeMap<(String, String), usize>, Failure> {
    let mut told = BTreeMap::new();
    for event in stored::events(deployment)? {
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if word("operation").starts_with("key.destroy") {
            *told.entry((word("key"), word("operation"))).or_default() += 1;
        }
    }
    Ok(told)
}

fn once(keys: &[KeyId]) -> BTreeMap<(String, String), usize> {
    let steps = ["key.destroying", "key.destroy"];
    let both = |key: &KeyId| steps.map(|step| ((key.to_string(), step.to_owned()), 1));
    keys.iter().flat_map(both).collect()
}

/// Waits until the scheduled work has been done at the time that the clock shows now: the first CRLs of it are made.
async fn a_round(deployment: &Deployment) -> Result<(), Failure> {
    let before = stored::count(deployment, "crl", "AUTHORIZED")?;
    until("the CRLs of that time", SOON, async || {
        let made = stored::count(deployment, "crl", "AUTHORIZED")?;
        Ok((made >= before + 6).then_some(()))
    })
    .await
}

async fn starts(deployment: &mut Deployment, hands: &Hands) -> Result<(), Failure> {
    let signer = hands.of(deployment.signer()?);
    deployment.start_with(signer).await
}

/// alfa's key ends; beta's was called off in time.
#[tokio::test]
async fn a_key_ends_when_its_custodians_say_so() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let faults = Faults::under(&deployment)?;
    starts(&mut deployment, &hands).await?;
    let alfas = rule(&deployment, "alfa", &ends()?)?;
    let betas = rule(&deployment, "beta", &ends()?)?;
    rule(&deployment, "beta", &[KeyOperation::CallOffDestruction])?;

    // Until its time nothing happens to it.
    hands.set(WINDOW - SCHEDULED)?;
    a_round(&deployment).await?;
    assert_eq!(halves(&deployment, "alfa", alfas)?, 1);

    // Then the token refuses, is asked again, and it is told that it should have been.
    let refuses = "calls = ['C_DestroyObject']\neffect = { return = 'CKR_DEVICE_ERROR' }";
    faults.set(&[Fault::at("alfa", "refuses", refuses)])?;
    hands.set(WINDOW + 2 * SCHEDULED)?;
    until("two attempts", SOON, async || {
        Ok((faults.struck("refuses")? > 1).then_some(()))
    })
    .await?;
    until("what is due", SOON, async || {
        let due = |of| {
            Numbers::of(&deployment)?
                .sum(DUE, &[("institution", of)])
                .ok_or_else(|| Failure::new(DUE))
        };
        Ok(((due("alfa")?, due("beta")?) == (1.0, 0.0)).then_some(()))
    })
    .await?;
    assert_eq!(halves(&deployment, "alfa", alfas)?, 1);
    assert_eq!(
        state(&deployment, "alfa", alfas).await?,
        KeyState::Deactivated
    );
    // Nothing of it stands in the way of a start.
    deployment.kill()?;
    starts(&mut deployment, &hands).await?;

    faults.heal()?;
    gone(&deployment, "alfa", alfas).await?;
    until("its record", SOON, async || {
        let state = state(&deployment, "alfa", alfas).await?;
        Ok((state == KeyState::Destroyed).then_some(()))
    })
    .await?;
    assert_eq!(halves(&deployment, "beta", betas)?, 1);
    assert_eq!(
        state(&deployment, "beta", betas).await?,
        KeyState::Deactivated
    );
    assert_eq!(told(&deployment)?, once(&[alfas]));
    assert_eq!(token::private_keys(&deployment, "alfa")?, 2);
    nothing_brings_it_back(&deployment, alfas).await?;

    // It starts without the key that the configuration names, and publishes what the others sign.
    deployment.stop().await?;
    starts(&mut deployment, &hands).await?;
    assert_eq!(
        state(&deployment, "alfa", alfas).await?,
        KeyState::Destroyed
    );
    recheck(&mut deployment).await?;
    deployment.stop().await
}

/// From destroyed nothing leads anywhere.
async fn nothing_brings_it_back(deployment: &Deployment, key: KeyId) -> Result<(), Failure> {
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let anna = &deployment.custodians("alfa")?[0];
    let now = u64::try_from(unix_now()? + WINDOW + 2 * SCHEDULED)?;
    for operation in [
        KeyOperation::Resume,
        KeyOperation::CallOffDestruction,
        KeyOperation::MarkCompromised,
    ] {
        let operation = Operation::Key { operation, key };
        let nonce = Uuid::new_v4().into_bytes();
        let base = deployment.base("alfa")?;
        let proposal = Proposal::new(base, operation, nonce, now, now + 3_600)?;
        let approval = anna.signs(&Approval::signing_input(
            anna.kid(),
            &anna.person,
            &anna.institution,
            proposal.id(),
            Decision::Approve,
            now,
        ))?;
        let asked = v1::ProposeChangeRequest {
            proposal: proposal.bytes().to_vec(),
            approval,
            ..Default::default()
        };
        let refused = custodian.propose_change(asked).await;
        demand(refused, Code::FailedPrecondition, "KEY_STATE")?;
    }
    Ok(())
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_kill_at_each_step_leaves_each_end_told_once() -> Result<(), Failure> {
    use rustix::process::Signal;
    use signer::fault::{Point, VARIABLE};
    use std::os::unix::process::ExitStatusExt as _;
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    starts(&mut deployment, &hands).await?;
    let mut keys = Vec::new();
    for institution in ["alfa", "beta", "mobilis"] {
        keys.push((institution, rule(&deployment, institution, &ends()?)?));
    }
    deployment.stop().await?;
    hands.set(WINDOW + 2 * SCHEDULED)?;
    // All three end at once: the first that comes to the step dies with the service.
    let armed = deployment.directory().path().join("armed");
    for point in [
        Point::DestroyBegun,
        Point::DestroyGone,
        Point::DestroyRecorded,
    ] {
        std::fs::write(&armed, format!("{} 1", point.name()))?;
        let mut signer = hands.of(deployment.signer()?);
        signer.env(VARIABLE, &armed);
        let status = deployment.spawn(signer)?.wait().await?;
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point:?}");
    }
    starts(&mut deployment, &hands).await?;
    for (institution, key) in &keys {
        gone(&deployment, institution, *key).await?;
    }
    let keys: Vec<KeyId> = keys.into_iter().map(|(_, key)| key).collect();
    until("each end, told", SOON, async || {
        Ok((told(&deployment)? == once(&keys)).then_some(()))
    })
    .await?;
    recheck(&mut deployment).await?;
    deployment.stop().await
}

#[tokio::test]
async fn of_two_replicas_one_destroys_a_key_and_neither_uses_it() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let cluster = Cluster::start_in(&hands.environment())?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.keep_record_in(&cluster).await?;
    starts(&mut deployment, &hands).await?;
    let replica = deployment.replica(|command| hands.of(command)).await?;
    let alfas = rule(&deployment, "alfa", &ends()?)?;
    hands.set(WINDOW + 2 * SCHEDULED)?;
    gone(&deployment, "alfa", alfas).await?;
    let custodians = replica.both(&deployment, "alfa", Role::Custodian).await?;
    for custodian in &custodians {
        until("both to know", SOON, async || {
            let key_id = alfas.to_string();
            let shown = custodian.get_key(v1::GetKeyRequest { key_id }).await?.key;
            let shown = shown.unwrap_or_default();
            // What a token may use is shown with its attributes.
            let ended = shown.state() == KeyState::Destroyed && shown.attributes.is_empty();
            Ok(ended.then_some(()))
        })
        .await?;
    }
    for step in ["key.destroying", "key.destroy"] {
        let sql = format!(
            "SELECT count(*) FROM audit WHERE convert_from(leaf, 'UTF8') LIKE '%\"operation\":\"{step}\"%'"
        );
        assert_eq!(deployment.count(&sql).await?, 1, "{step}");
    }
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}

/// A new key is made by one replica and given up at the other, which never used it.
#[tokio::test]
async fn a_new_key_is_given_up_at_either_replica() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let prepared = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let (mut deployment, replica) = prepared.doubled(&cluster).await?;
    let [one, other] = replica.both(&deployment, "alfa", Role::Custodian).await?;
    let before = token::private_keys(&deployment, "alfa")?;
    for purpose in [v1::KeyPurpose::Authorization, v1::KeyPurpose::DeviceCa] {
        // More than may wait at once.
        for _ in 0..3 {
            let ask = v1::CreateKeyRequest {
                purpose: purpose.into(),
                request_id: Uuid::new_v4().to_string(),
                token: String::new(),
            };
            let made = one.create_key(ask).await?.key.unwrap_or_default();
            let id = URL_SAFE_NO_PAD.decode(&made.key_id)?;
            let key_id = made.key_id;
            let discard = v1::DiscardKeyRequest { key_id };
            // Each of them changes what the other one reads, and may be told to call again.
            let (first, second) = tokio::join!(
                persist(async || other.discard_key(discard.clone()).await),
                persist(async || one.discard_key(discard.clone()).await)
            );
            first??;
            second??;
            assert_eq!(token::public_objects_with(&deployment, "alfa", &id)?, 0);
        }
    }
    assert_eq!(token::private_keys(&deployment, "alfa")?, before);
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}
