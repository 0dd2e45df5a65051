//! Everything that must not pass for a second person's approval of a change, against the running service: each is refused
//! with its reason, and what stands does not move.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    custodian::{Custodian, Motion},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
    refusal::{demand, fields},
};
use semops_objects::change::{Approval, Decision, DocumentKind, KeyOperation, PersonId};
use semops_pki::local_key::LocalKey;
use semops_proto::{
    client::Client,
    v1::{self, ChangeState},
};
use semopsctl::{connection, profile::Profile};
use softhsm_setup::scheme::{Role, Scheme};
use toml::{Table, Value};
use tonic::{Code, Status};

use super::desk::{of_key, policy, refused, standing, stands};

/// Alfa with a fourth custodian, and with a second caller for them.
const MORE: [(&str, &str); 2] = [
    (
        "[\"anna-berg\", \"boris-chan\", \"chloe-diaz\"]",
        "[\"anna-berg\", \"boris-chan\", \"chloe-diaz\", \"david-eze\"]",
    ),
    (
        "\"custodian/security\", ",
        "\"custodian/security\", \"custodian/second\", ",
    ),
];

/// Custodians of alfa at work.
pub(super) struct Desk {
    pub(super) deployment: Deployment,
    pub(super) client: Client,
    pub(super) anna: Custodian,
    pub(super) boris: Custodian,
    pub(super) chloe: Custodian,
    david: Custodian,
}

impl Desk {
    pub(super) async fn open() -> Result<Self, Failure> {
        let mut scheme = Scheme::EXAMPLE.to_owned();
        for (from, to) in MORE {
            scheme = scheme.replacen(from, to, 1);
        }
        let deployment = Deployment::of(&scheme).await?;
        let [anna, boris, chloe, david] = deployment.custodians("alfa")?.try_into().unwrap();
        Ok(Self {
            client: deployment.client("alfa", Role::Custodian).await?,
            deployment,
            anna,
            boris,
            chloe,
            david,
        })
    }

    /// The connection of another caller of alfa's custodians, with a certificate of its own.
    async fn second_client(&self) -> Result<Client, Failure> {
        let (directory, alfa) = (self.deployment.directory(), &self.anna.institution);
        let files = directory.caller(alfa, Role::Custodian, "second");
        Ok(connection::client(&Profile::load(&files.profile)?).await?)
    }

    pub(super) fn sequence(&self) -> Result<u64, Failure> {
        Ok(self.deployment.base("alfa")?.sequence)
    }

    /// The next version of alfa's policy.
    pub(super) fn motion(&self) -> Result<Motion, Failure> {
        policy(&self.deployment, self.policy_version()? + 1, "9000.00")
    }

    pub(super) fn policy_version(&self) -> Result<u64, Failure> {
        let text = self.deployment.run(&["policy", "show", "alfa"])?;
        version(&text.parse()?)
    }

    /// The next version of alfa's register of custodians.
    pub(super) fn register(&self, edit: impl FnOnce(&mut Table)) -> Result<Motion, Failure> {
        let mut table: Table = self
            .deployment
            .run(&["custodians", "show", "alfa"])?
            .parse()?;
        let next = i64::try_from(version(&table)? + 1)?;
        table.insert("version".to_owned(), Value::Integer(next));
        edit(&mut table);
        self.deployment
            .document_motion(DocumentKind::Custodians, &toml::to_string(&table)?)
    }

    pub(super) async fn proposed(&self, motion: &Motion) -> Result<(), Failure> {
        let asked = self.anna.proposes(motion)?;
        let proposed = self.client.propose_change(asked).await?;
        assert_eq!(stands(proposed.change), (ChangeState::Pending, 1));
        Ok(())
    }

    /// An approval that is not by the rules, of a change that is pending.
    async fn approved_with(&self, motion: &Motion, approval: String) -> Result<(), Status> {
        let ask = v1::ApproveChangeRequest {
            change_id: motion.change_id(),
            approval,
        };
        self.client.approve_change(ask).await.map(drop)
    }
}

fn version(table: &Table) -> Result<u64, Failure> {
    let version = table.get("version").and_then(Value::as_integer);
    Ok(u64::try_from(version.unwrap_or_default())?)
}

/// The entry of a person in a register.
pub(super) fn entry<'t>(register: &'t mut Table, person: &str) -> &'t mut Table {
    let entries = register["custodian"].as_array_mut().unwrap().iter_mut();
    let mut tables = entries.map(|entry| entry.as_table_mut().unwrap());
    tables
        .find(|entry| entry["person"].as_str() == Some(person))
        .unwrap()
}

#[tokio::test]
async fn nothing_passes_for_the_approval_of_a_second_person() -> Result<(), Failure> {
    let mut desk = Desk::open().await?;
    nobody_approves_twice(&desk).await?;
    nobody_approves_for_another(&desk).await?;
    no_approval_counts_elsewhere(&desk).await?;
    nothing_counts_but_an_approval(&desk).await?;
    a_suspended_custodian_counts_for_nothing(&desk).await?;
    recheck(&mut desk.deployment).await.map(drop)
}

/// Neither by approving her own proposal, nor with a second key and a second TLS certificate.
async fn nobody_approves_twice(desk: &Desk) -> Result<(), Failure> {
    let second_key = LocalKey::generate()?;
    let pem = second_key.public_key().to_spki_pem();
    let two_keys = desk.register(|register| {
        let keys = entry(register, "anna-berg")["approval_keys"].as_array_mut();
        keys.unwrap().push(Value::String(pem));
    })?;
    desk.deployment.bring(&two_keys)?;
    let anna_again = Custodian {
        institution: desk.anna.institution.clone(),
        person: desk.anna.person.clone(),
        key: second_key,
    };
    let before = desk.sequence()?;
    let motion = desk.motion()?;
    desk.proposed(&motion).await?;
    let second = desk.second_client().await?;
    for (client, anna) in [
        (&desk.client, &desk.anna),
        (&second, &desk.anna),
        (&desk.client, &anna_again),
        (&second, &anna_again),
    ] {
        let again = client.approve_change(anna.approves(&motion)?).await?;
        assert_eq!(stands(again.change), (ChangeState::Pending, 1));
        let again = client.propose_change(anna.proposes(&motion)?).await?;
        assert_eq!(stands(again.change), (ChangeState::Pending, 1));
        refused(
            client.reject_change(anna.rejects(&motion)?).await,
            "ALREADY_DECIDED",
        )?;
    }
    assert_eq!(desk.sequence()?, before);
    // Another person it takes, from whichever connection.
    let approved = second.approve_change(desk.boris.approves(&motion)?).await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));
    assert_eq!(desk.sequence()?, before + 1);
    Ok(())
}

/// By the key that the TLS connection has, by a stranger's, by one's own in another's name.
async fn nobody_approves_for_another(desk: &Desk) -> Result<(), Failure> {
    let motion = desk.motion()?;
    desk.proposed(&motion).await?;
    let files =
        desk.deployment
            .directory()
            .caller(&desk.anna.institution, Role::Custodian, "security");
    let tls = LocalKey::from_pkcs8_pem(&fs::read_to_string(files.key)?)?;
    let by = |key: LocalKey, person: &PersonId| Custodian {
        institution: desk.anna.institution.clone(),
        person: person.clone(),
        key,
    };
    let dora = desk.deployment.custodian("beta", "dora-egli")?;
    let strangers = [
        by(tls, &desk.boris.person),
        by(LocalKey::generate()?, &desk.boris.person),
        // In beta's register, for alfa.
        by(dora.key, &dora.person),
    ];
    for stranger in strangers {
        let called = desk.client.approve_change(stranger.approves(&motion)?);
        refused(called.await, "NOT_A_CUSTODIAN")?;
    }
    let proposal = &motion.proposal;
    let now = u64::try_from(unix_now()?)?;
    let input = |kid, iss: &Custodian| {
        let (id, aud) = (proposal.id(), proposal.institution());
        Approval::signing_input(kid, &iss.person, aud, id, Decision::Approve, now)
    };
    for forged in [
        // Anna signs for Boris, with her kid and with his; Boris for Chloe.
        desk.anna.signs(&input(desk.anna.kid(), &desk.boris))?,
        desk.anna.signs(&input(desk.boris.kid(), &desk.boris))?,
        desk.boris.signs(&input(desk.boris.kid(), &desk.chloe))?,
    ] {
        refused(
            desk.approved_with(&motion, forged).await,
            "APPROVAL_INVALID",
        )?;
    }
    assert_eq!(
        standing(&desk.client, &motion).await?,
        (ChangeState::Pending, 1)
    );
    Ok(())
}

/// Replayed with another proposal, at another institution, before or after its time.
async fn no_approval_counts_elsewhere(desk: &Desk) -> Result<(), Failure> {
    let (one, other) = (desk.motion()?, desk.motion()?);
    desk.proposed(&one).await?;
    desk.proposed(&other).await?;
    let of_one = desk.boris.decides(&one.proposal, Decision::Approve)?;
    refused(
        desk.approved_with(&other, of_one.clone()).await,
        "OTHER_PROPOSAL",
    )?;
    let mut replayed = desk.anna.proposes(&desk.motion()?)?;
    replayed.approval = of_one;
    refused(desk.client.propose_change(replayed).await, "OTHER_PROPOSAL")?;
    let at = |iat: u64, aud: &Custodian| {
        desk.boris.signs(&Approval::signing_input(
            desk.boris.kid(),
            &desk.boris.person,
            &aud.institution,
            one.proposal.id(),
            Decision::Approve,
            iat,
        ))
    };
    let (iat, exp) = (one.proposal.iat(), one.proposal.exp());
    for moment in [iat - 31, exp, iat + 3_000] {
        refused(
            desk.approved_with(&one, at(moment, &desk.boris)?).await,
            "APPROVAL_INVALID",
        )?;
    }
    let dora = desk.deployment.custodian("beta", "dora-egli")?;
    refused(
        desk.approved_with(&one, at(iat, &dora)?).await,
        "OTHER_INSTITUTION",
    )?;
    // At beta there is no such change, and none of alfa can be proposed.
    let beta = desk.deployment.client("beta", Role::Custodian).await?;
    let called = beta.approve_change(desk.boris.approves(&one)?).await;
    demand(called, Code::NotFound, "CHANGE_NOT_FOUND")?;
    refused(
        beta.propose_change(desk.anna.proposes(&desk.motion()?)?)
            .await,
        "OTHER_INSTITUTION",
    )?;
    for motion in [&one, &other] {
        let pending = (ChangeState::Pending, 1);
        assert_eq!(standing(&desk.client, motion).await?, pending);
    }
    Ok(())
}

/// A signature that does not verify, another object of JOSE, the other decision.
async fn nothing_counts_but_an_approval(desk: &Desk) -> Result<(), Failure> {
    let motion = desk.motion()?;
    desk.proposed(&motion).await?;
    let good = desk.boris.decides(&motion.proposal, Decision::Approve)?;
    let (input, signature) = good.rsplit_once('.').unwrap();
    let mut octets = URL_SAFE_NO_PAD.decode(signature)?;
    octets[40] ^= 1;
    let bent = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&octets));
    refused(desk.approved_with(&motion, bent).await, "APPROVAL_INVALID")?;
    let (header, payload) = input.split_once('.').unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header)?)?;
    let mut malformed = vec![
        desk.boris.decides(&motion.proposal, Decision::Reject)?,
        format!("{input}."),
        "x".repeat(2049),
        String::new(),
    ];
    for (from, to) in [
        ("ES256", "none"),
        ("ES256", "HS256"),
        ("semops-approval-v1+jwt", "semops-order-v1+jwt"),
        ("{", "{\"crit\":[\"exp\"],"),
    ] {
        let other = URL_SAFE_NO_PAD.encode(header.replacen(from, to, 1));
        malformed.push(desk.boris.signs(&format!("{other}.{payload}"))?);
    }
    for approval in malformed {
        let called = desk.approved_with(&motion, approval).await;
        let blamed = fields(called.as_ref().unwrap_err());
        assert!(blamed.iter().all(|field| field.starts_with("approval")));
        demand(called, Code::InvalidArgument, "INVALID_FIELD")?;
    }
    let pending = (ChangeState::Pending, 1);
    assert_eq!(standing(&desk.client, &motion).await?, pending);
    let approved = desk.approved_with(&motion, good).await;
    approved.map_err(Failure::from)?;
    Ok(())
}

/// Neither as the second nor as the one who proposes.
async fn a_suspended_custodian_counts_for_nothing(desk: &Desk) -> Result<(), Failure> {
    let suspension = desk.register(|register| {
        let state = Value::String("suspended".to_owned());
        entry(register, "david-eze").insert("state".to_owned(), state);
    })?;
    desk.deployment.bring(&suspension)?;
    let motion = desk.motion()?;
    desk.proposed(&motion).await?;
    let approval = desk.david.approves(&motion)?;
    refused(
        desk.client.approve_change(approval).await,
        "CUSTODIAN_SUSPENDED",
    )?;
    // Not even what one may do alone.
    let suspend = of_key(&desk.deployment, KeyOperation::Suspend)?;
    let called = desk.client.propose_change(desk.david.proposes(&suspend)?);
    refused(called.await, "CUSTODIAN_SUSPENDED")?;
    let approved = desk
        .client
        .approve_change(desk.chloe.approves(&motion)?)
        .await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));
    Ok(())
}
