//! The sealed recovery key of an institution that has lost its custodians' keys: what it asks for is shown and alarmed, waits,
//! is called off by a quorum that is still there, and is executed once, at its time and not before.

use std::time::Duration;

use e2e::{
    clock::Hands,
    cluster::Cluster,
    custodian::{Custodian, Motion},
    deployment::{Deployment, replica::Replica, unix_now},
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    until::until,
};
use semops_objects::change::{
    Attachment, AttachmentKind, DocumentKind, DocumentName, Operation, Proposal, RECOVERY,
};
use semops_pki::local_key::LocalKey;
use semops_proto::{
    client::Client,
    v1::{self, ChangeState},
};
use softhsm_setup::scheme::{Role, Scheme};
use uuid::Uuid;

use super::desk::{policy, refused, standing, stands};

const SOON: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600;
const PENDING: &str = "semops_recovery_pending";

/// Two services and their record, by one clock.
struct Two {
    hands: Hands,
    deployment: Deployment,
    replica: Replica,
    desks: [Client; 2],
}

impl Two {
    async fn start(cluster: &Cluster, hands: Hands) -> Result<Self, Failure> {
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        deployment.configure("refresh_hours = 24", "refresh_hours = 12")?;
        deployment.keep_record_in(cluster).await?;
        let signer = hands.of(deployment.signer()?);
        deployment.start_with(signer).await?;
        let replica = deployment.replica(|command| hands.of(command)).await?;
        let desks = replica.both(&deployment, "alfa", Role::Custodian).await?;
        Ok(Self {
            hands,
            deployment,
            replica,
            desks,
        })
    }

    /// Waits until both services measure so many recoveries that wait.
    async fn measured(&self, count: u64) -> Result<(), Failure> {
        until("the recoveries to be measured", SOON, async || {
            let of = |numbers: Numbers| numbers.sum(PENDING, &[("institution", "alfa")]);
            let told = [
                of(Numbers::of(&self.deployment)?),
                of(self.replica.numbers()?),
            ];
            let told = told.map(|told| told.map(|told| format!("{told:.0}")));
            let expected = Some(count.to_string());
            Ok((told == [expected.clone(), expected]).then_some(()))
        })
        .await
    }

    async fn stands(&self, motion: &Motion, expected: ChangeState) -> Result<(), Failure> {
        for desk in &self.desks {
            assert_eq!(standing(desk, motion).await?, (expected, 1));
        }
        Ok(())
    }

    /// The version of the register of custodians in force.
    async fn register(&self) -> Result<u64, Failure> {
        let ask = v1::GetDocumentRequest {
            kind: v1::DocumentKind::Custodians.into(),
            version: 0,
        };
        let answer = self.desks[1].get_document(ask).await?;
        Ok(answer.document.map_or(0, |document| document.version))
    }

    /// Waits until the work of this time is done: a CRL is made that is at most so old.
    async fn worked(&self, hours: i64) -> Result<(), Failure> {
        let since = unix_now()? + hours * HOUR;
        until("a CRL of this time", SOON, async || {
            let numbers = Numbers::of(&self.deployment)?;
            let labels = [("institution", "alfa"), ("purpose", "device-ca")];
            let made = numbers.count("semops_crl_this_update_timestamp_seconds", &labels);
            Ok((i64::try_from(made)? > since).then_some(()))
        })
        .await
    }
}

/// Somebody with this key, who says to be the recovery.
fn sealed(key: LocalKey) -> Result<Custodian, Failure> {
    Ok(Custodian {
        institution: "alfa".parse()?,
        person: RECOVERY.parse()?,
        key,
    })
}

/// The register with the recovery key, and with Dora in Chloe's place from version 3 on.
fn register(
    deployment: &Deployment,
    version: u64,
    key: &LocalKey,
    dora: &LocalKey,
) -> Result<String, Failure> {
    let pem = |key: &LocalKey| key.public_key().to_spki_pem();
    deployment.next_version(DocumentKind::Custodians, "alfa", version, |text| {
        let dora = match version {
            2 => String::new(),
            _ => format!(
                "[[custodian]]\nperson = \"dora-eng\"\nname = \"Dora Eng\"\nstate = \"active\"\napproval_keys = ['''\n{}''']\n",
                pem(dora)
            ),
        };
        format!("{text}\n{dora}[recovery]\ndelay_hours = 24\napproval_key = '''\n{}'''\n", pem(key))
    })
}

/// What the recovery key asks for, with time for its delay.
fn recovery(deployment: &Deployment, content: String) -> Result<Motion, Failure> {
    let kind = DocumentKind::Custodians;
    let (_, name) =
        DocumentName::of(kind, content.as_bytes()).map_err(Failure::during("the register"))?;
    let operation = Operation::RecoverCustodians {
        version: name.version,
        sha256: name.sha256,
    };
    let now = u64::try_from(unix_now()?)?;
    let (nonce, until) = (Uuid::new_v4().into_bytes(), now + 4 * 86_400);
    let proposal = Proposal::new(deployment.base("alfa")?, operation, nonce, now, until)?;
    let attachments = vec![Attachment {
        kind: AttachmentKind::Document(kind),
        content,
    }];
    Ok(Motion {
        proposal,
        attachments,
    })
}

#[tokio::test]
async fn a_recovery_waits_is_called_off_or_executed_once_at_its_time() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let cluster = Cluster::start_in(&hands.environment())?;
    let two = Two::start(&cluster, hands).await?;
    let (key, dora) = (LocalKey::generate()?, LocalKey::generate()?);
    let deployment = &two.deployment;
    let named = register(deployment, 2, &key, &dora)?;
    let motion = deployment.document_motion(DocumentKind::Custodians, &named)?;
    deployment.bring(&motion)?;
    let next = register(deployment, 3, &key, &dora)?;
    let asked = recovery(deployment, next.clone())?;
    refusals(&two, &asked, &key).await?;

    let recovers = sealed(key)?;
    let told = two.desks[0]
        .propose_change(recovers.proposes(&asked)?)
        .await?;
    assert_eq!(stands(told.change), (ChangeState::Pending, 1));
    two.measured(1).await?;
    two.stands(&asked, ChangeState::Pending).await?;
    // Whoever is still there calls it off by any change.
    deployment.bring(&policy(deployment, 2, "120.00")?)?;
    two.measured(0).await?;
    two.stands(&asked, ChangeState::Superseded).await?;

    let asked = recovery(deployment, next)?;
    two.desks[1]
        .propose_change(recovers.proposes(&asked)?)
        .await?;
    two.measured(1).await?;
    two.hands.set(24 * HOUR - 600)?;
    two.worked(23).await?;
    two.measured(1).await?;
    two.stands(&asked, ChangeState::Pending).await?;
    assert_eq!(two.register().await?, 2);
    two.hands.set(24 * HOUR + 60)?;
    two.measured(0).await?;
    two.stands(&asked, ChangeState::Executed).await?;
    assert_eq!(two.register().await?, 3);
    // The re-check demands that it is told once, of the two that could have executed it.
    let Two {
        mut deployment,
        replica,
        ..
    } = two;
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}

/// Neither another key's recovery, nor anything else by the recovery key.
async fn refusals(two: &Two, asked: &Motion, key: &LocalKey) -> Result<(), Failure> {
    let wrong = sealed(LocalKey::generate()?)?;
    let anna = two.deployment.custodian("alfa", "anna-berg")?;
    let desk = &two.desks[0];
    refused(
        desk.propose_change(wrong.proposes(asked)?).await,
        "NOT_A_CUSTODIAN",
    )?;
    refused(
        desk.propose_change(anna.proposes(asked)?).await,
        "RECOVERY_REFUSED",
    )?;
    let recovers = sealed(LocalKey::from_pkcs8_pem(&key.to_pkcs8_pem()?)?)?;
    let other = policy(&two.deployment, 2, "1.00")?;
    refused(
        desk.propose_change(recovers.proposes(&other)?).await,
        "RECOVERY_REFUSED",
    )?;
    two.measured(0).await
}
