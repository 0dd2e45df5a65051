//! Rotations under load, on two services that share one record: nobody who pays or enrols notices, every signature is by
//! the key whose time it was, and whoever verifies needs the new certificate when the new key begins to sign, not before.

mod cas;
mod kills;
pub(crate) mod lanes;
pub(crate) mod path;
pub(crate) mod pin;
pub(crate) mod plan;
mod wear;

use std::time::Duration;

use e2e::{
    cluster::Cluster,
    deployment::{Deployment, replica::Replica, unix_now},
    failure::Failure,
    recheck::recheck,
};
use semops_objects::{
    AuthorizationJws, InstitutionId,
    change::DocumentKind,
    key::{KeyId, Purpose},
    trust::{TrustDocument, Verdict, verify_authorization},
};
use semops_pki::certificate::Certificate;
use softhsm_setup::scheme::{Role, Scheme};

use self::{
    lanes::{Done, Lanes},
    plan::{NewKey, Plan, signing_key},
};

const SOON: Duration = Duration::from_secs(60);

/// The example with orders without end for each device of alfa.
async fn two(cluster: &Cluster) -> Result<(Deployment, Replica), Failure> {
    let many = "orders_per_day = 1000000";
    let scheme = Scheme::EXAMPLE.replace("orders_per_day = 50", many);
    Deployment::prepare(&scheme, &mut |_| {})?
        .doubled(cluster)
        .await
}

/// beta's trust in alfa: what it was at first, and with the new certificate beside the old one.
struct Bundles {
    old: TrustDocument,
    both: TrustDocument,
}

impl Bundles {
    /// Has beta's custodians put the second one in force.
    fn publish(deployment: &Deployment, new: &Certificate) -> Result<Self, Failure> {
        let with = |text: String| {
            let list = "authorization_certificates = [";
            let pem = format!("{list}\n\"\"\"{}\"\"\",", new.to_pem());
            let (before, alfa) = text.split_at(text.find("institution = \"alfa\"").unwrap());
            format!("{before}{}", alfa.replacen(list, &pem, 1))
        };
        let oids = deployment.scheme().oids();
        let kind = DocumentKind::Trust;
        let first = deployment.next_version(kind, "beta", 1, |text| text)?;
        let next = deployment.next_version(kind, "beta", 2, with)?;
        deployment.load_next("trust", "beta", 2, with)?;
        Ok(Self {
            old: TrustDocument::parse(first.as_bytes(), oids)?,
            both: TrustDocument::parse(next.as_bytes(), oids)?,
        })
    }
}

/// Whether an authorization verifies, at the latest moment at which that is asked.
fn verifies(trust: &TrustDocument, paid: &Done<String>) -> Result<bool, Failure> {
    let beta: InstitutionId = "beta".parse()?;
    let now = u64::try_from(unix_now()?)?;
    let verdict = verify_authorization(&paid.answer, trust, &beta, now);
    Ok(matches!(verdict, Verdict::Valid(_) | Verdict::Expired(_)))
}

/// What the two services signed, and with which key: the old one until the moment at which the new one begins, that one from
/// then on.
fn each_by_its_key(paid: &[Done<String>], old: KeyId, plan: &Plan) -> Result<[usize; 2], Failure> {
    let mut counted = [0, 0];
    for one in paid {
        let jws = AuthorizationJws::parse(&one.answer)?;
        let new = jws.authorization().iat >= plan.activate_at;
        let expected = if new { plan.to } else { old };
        assert_eq!(
            KeyId::new(jws.kid()),
            expected,
            "iat {}",
            jws.authorization().iat
        );
        counted[usize::from(new)] += 1;
    }
    Ok(counted)
}

#[tokio::test]
async fn an_authorization_key_is_rotated_under_load() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let custodians = replica.both(&deployment, "alfa", Role::Custodian).await?;
    let lanes = Lanes::paying(&deployment, &banks).await?;
    lanes.more(100).await?;

    // The key is made by one service and used by both.
    let old = signing_key(&custodians[0], Purpose::Authorization).await?;
    let new = NewKey::certified(&deployment, &custodians[0], Purpose::Authorization).await?;
    let bundles = Bundles::publish(&deployment, &new.certificate)?;
    // No overlap: not one moment is left in which both keys may sign, or none.
    let plan = Plan::of("alfa", old, &new, Duration::from_secs(4), Duration::ZERO)?;
    plan.execute(&deployment, &new)?;
    lanes.phase("during").more(100).await?;
    plan.retired().await?;
    lanes.phase("after").more(200).await?;
    let paid = lanes.end().await?;
    let [by_old, by_new] = each_by_its_key(&paid, old, &plan)?;
    assert!(by_old >= 100 && by_new >= 150, "{by_old} {by_new}");
    for one in &paid {
        let by_new = KeyId::new(AuthorizationJws::parse(&one.answer)?.kid()) == plan.to;
        assert_eq!(verifies(&bundles.old, one)?, !by_new);
        assert!(verifies(&bundles.both, one)?);
    }
    for custodian in &custodians {
        assert_eq!(
            signing_key(custodian, Purpose::Authorization).await?,
            plan.to
        );
        plan.shown_to(custodian).await?;
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, paid.len());
    replica.stop().await?;
    deployment.stop().await
}
