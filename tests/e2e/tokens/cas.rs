//! Two device CAs of one institution, each in a token of its own: phones are enrolled whatever befalls either token, each by
//! the CA that signed, and a CA whose token hangs holds up the CRL of nobody else.

use std::time::Duration;

use e2e::{
    customer::Customer,
    deployment::Deployment,
    failure::Failure,
    faults::{Fault, Faults},
    recheck::recheck,
    until::until,
    workers,
};
use rustix::process::{Signal, kill_process};
use semops_objects::key::{KeyId, Purpose};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::{client::Client, v1};
use softhsm_setup::{
    directory::Hierarchy,
    scheme::{Role, Scheme},
};
use uuid::Uuid;

use super::two::{FIRST, SECOND, add, told};
use crate::{
    crls::{fetch, get},
    rotation::{
        lanes::Lanes,
        path::Verifier,
        plan::{NewKey, signing_key},
    },
};

const SOON: Duration = Duration::from_secs(60);

/// Every call of C_Sign or for random octets hangs.
const HANGS: &str = "calls = [\"C_Sign\", \"C_GenerateRandom\"]\neffect = \"hang\"";

/// mobilis with a device CA in each of two tokens, over the fault module.
struct TwoCas {
    deployment: Deployment,
    faults: Faults,
    issuer: Client,
    cas: [KeyId; 2],
}

impl TwoCas {
    async fn begin() -> Result<Self, Failure> {
        let scheme = Scheme::EXAMPLE.replace("orders_per_day = 50", "orders_per_day = 1000000");
        let mut deployment = Deployment::prepare(&scheme, &mut |_| {})?;
        add(&deployment, "mobilis", "mobilis-2")?;
        let faults = Faults::under(&deployment)?;
        deployment.start().await?;
        let custodian = deployment.client("mobilis", Role::Custodian).await?;
        let first = signing_key(&custodian, Purpose::DeviceCa).await?;
        let ask = v1::CreateKeyRequest {
            purpose: v1::KeyPurpose::DeviceCa.into(),
            request_id: Uuid::new_v4().to_string(),
            token: "mobilis-2".to_owned(),
        };
        let key = custodian.create_key(ask).await?.key.unwrap_or_default();
        let new = NewKey::with_certificate(&deployment, &key)?;
        let motion = deployment.addition("mobilis", Purpose::DeviceCa, &new.certificate)?;
        deployment.bring(&motion)?;
        let issuer = deployment.client("mobilis", Role::Enrolment).await?;
        Ok(Self {
            deployment,
            faults,
            issuer,
            cas: [first, new.id],
        })
    }

    /// Has phones enrolled until one is by this CA, and gives that. None is refused.
    async fn issued_by(&self, ca: usize) -> Result<Customer, Failure> {
        until(&format!("a certificate by CA {ca}"), SOON, async || {
            let customer = Customer::enrolled_by(&self.issuer).await?;
            let by = issued(&customer)?.1;
            Ok((by == self.cas[ca]).then_some(customer))
        })
        .await
    }

    /// Revokes a phone.
    async fn revoke(&self, customer: &Customer) -> Result<(), Failure> {
        let reason = v1::RevocationReason::Superseded;
        customer.revoked_by(&self.issuer, reason).await?;
        Ok(())
    }
}

/// The phone's certificate, and the key of the CA that issued it.
fn issued(customer: &Customer) -> Result<(&Certificate, KeyId), Failure> {
    let [leaf, ca] = customer.phone.chain()? else {
        return Err(Failure::new("a chain is a certificate and the CA's"));
    };
    leaf.verify_issued_by(ca)?;
    Ok((leaf, KeyId::of(ca.public_key())))
}

/// Whether the CRL at the address in the phone's certificate lists it.
fn is_listed(customer: &Customer) -> Result<bool, Failure> {
    let leaf = issued(customer)?.0;
    let crl = CertificateRevocationList::from_der(&fetch(&leaf.crl_addresses()[0])?)?;
    Ok(crl.entry(leaf.serial()).is_some())
}

/// Waits for the first CRL of the CA that issued to the phone, which comes by itself.
async fn has_list(deployment: &Deployment, customer: &Customer) -> Result<(), Failure> {
    let address = &issued(customer)?.0.crl_addresses()[0];
    let base = format!("http://{}", deployment.scheme().http());
    let path = address.strip_prefix(&base).unwrap_or_default();
    let there = async || Ok((get(deployment, path)?.status == 200).then_some(()));
    until("a CRL of the CA", SOON, there).await
}

async fn listed(customer: &Customer) -> Result<(), Failure> {
    let lists = async || Ok(is_listed(customer)?.then_some(()));
    until("a CRL with the phone", SOON, lists).await
}

#[tokio::test]
async fn a_ca_whose_token_fails_stops_no_enrolment_and_no_other_list() -> Result<(), Failure> {
    let mut two = TwoCas::begin().await?;
    let [payments, enrolment] = [Role::Payments, Role::Enrolment];
    let bank = two.deployment.client("alfa", payments).await?;
    let accepter = two.deployment.client("alfa", enrolment).await?;
    let pair = |client: &Client| [client.clone(), client.clone()];
    let of_second = [two.issued_by(SECOND).await?, two.issued_by(SECOND).await?];
    has_list(&two.deployment, &of_second[0]).await?;
    let lanes = Lanes::enrolling(&pair(&two.issuer), &pair(&accepter), &pair(&bank));
    lanes.more(10).await?;

    // The token of the CA that issues hangs: the other CA issues, and only its list is made.
    two.faults.set(&[Fault::at("mobilis-2", "hangs", HANGS)])?;
    let mut of_first = Vec::new();
    for _ in 0..3 {
        of_first.push(two.issued_by(FIRST).await?);
    }
    two.revoke(&of_second[0]).await?;
    two.revoke(&of_first[0]).await?;
    listed(&of_first[0]).await?;
    lanes.phase("during").more(30).await?;
    assert!(two.faults.struck("hangs")? > 0);
    assert!(!is_listed(&of_second[0])?);
    two.faults.heal()?;
    listed(&of_second[0]).await?;
    drop(two.issued_by(SECOND).await?);

    // The other way round: with the first token, from which serial numbers come as well.
    two.faults
        .set(&[Fault::at("mobilis", "hangs-too", HANGS)])?;
    two.revoke(&of_first[1]).await?;
    until("a call that hangs", SOON, async || {
        Ok((two.faults.struck("hangs-too")? > 0).then_some(()))
    })
    .await?;
    two.revoke(&of_second[1]).await?;
    listed(&of_second[1]).await?;
    lanes.more(30).await?;
    assert!(!is_listed(&of_first[1])?);
    two.faults.heal()?;
    listed(&of_first[1]).await?;

    // Its worker process dies while it issues.
    let worker = workers::worker(&mut two.deployment, "mobilis-2").await?;
    kill_process(worker, Signal::KILL)?;
    lanes.phase("after").more(20).await?;
    let second = two.issued_by(SECOND).await?;
    let enrolled = lanes.end().await?;
    let mut by = [0, 0];
    for one in &enrolled {
        let (_, ca) = issued(&one.answer)?;
        let at = two.cas.iter().position(|key| *key == ca);
        by[at.ok_or_else(|| Failure::new("issued by another CA"))?] += 1;
    }
    eprintln!(
        "{} phones: {by:?} by the first and the second CA",
        enrolled.len()
    );
    assert!(by[FIRST] >= 20 && by[SECOND] >= 30, "{by:?}");
    by_openssl(&two, [&of_first[2], &second], &of_first[0])?;
    told(&two.deployment, "mobilis", "device-ca")?;
    let checked = recheck(&mut two.deployment).await?;
    assert_eq!(checked.authorizations, enrolled.len());
    two.deployment.stop().await
}

/// Each verifies by its own CA, with the CRLs of both; a revoked one does not.
fn by_openssl(two: &TwoCas, valid: [&Customer; 2], revoked: &Customer) -> Result<(), Failure> {
    let root = two.deployment.directory().root(Hierarchy::Device);
    let bad = issued(revoked)?.0;
    let leaves = [issued(valid[0])?.0, issued(valid[1])?.0, bad];
    let verifier = Verifier::of(&root, &leaves)?;
    // Each CA's, and the root's.
    assert_eq!(verifier.crls(), 3);
    for leaf in &leaves[..2] {
        assert!(verifier.errors(leaf)?.is_empty());
    }
    let errors = verifier.errors(bad)?;
    assert_eq!(errors, ["error 23 at 0 depth lookup: certificate revoked"]);
    Ok(())
}
