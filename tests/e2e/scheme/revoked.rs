//! An offline root revokes CAs: from SIGHUP on the service signs with nothing below them and believes nothing below them,
//! verifiers find the revocation where certificates say, and nothing brings back what was said before.

use std::{fs, path::Path, process::Command};

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    programs::{self, Watched},
    recheck::recheck,
    refusal,
};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::{
    client::Client,
    v1::{self, KeyPurpose, KeyState, Verdict},
};
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tonic::Code;

use super::{NOT_TAKEN, TAKEN, hang_up};
use crate::{crls::fetch, rotation::path::Verifier};

pub(crate) const REVOKED: &str = "error 23 at 1 depth";

/// Has a root revoke a CA, with its key back for a moment, as the people at the ceremony do.
pub(crate) fn revoke(deployment: &Deployment, ca: &Path) -> Result<(), Failure> {
    let output = Command::new(&programs::ours(Watched::No)?.softhsm_setup)
        .arg("root-crl")
        .arg(deployment.directory().path())
        .arg("--revoke")
        .arg(ca)
        .args(["--reason", "cACompromise", "--json"])
        .output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

async fn believed(client: &Client, jws: &str) -> Result<(Verdict, Option<String>), Failure> {
    let authorization_jws = jws.to_owned();
    let ask = v1::VerifyAuthorizationRequest { authorization_jws };
    let answer = client.verify_authorization(ask).await?;
    Ok((answer.verdict(), answer.reason))
}

async fn states(deployment: &Deployment) -> Result<Vec<(KeyPurpose, KeyState)>, Failure> {
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    Ok(keys
        .iter()
        .map(|key| (key.purpose(), key.state()))
        .collect())
}

/// What openssl finds wrong with a path, with everything from where certificates say it is.
pub(crate) fn wrong(
    deployment: &Deployment,
    root: Hierarchy,
    leaf: &Certificate,
) -> Result<String, Failure> {
    let root = deployment.directory().root(root);
    let found = Verifier::of(&root, &[leaf])?.errors(leaf)?;
    Ok(found.join("\n"))
}

fn published(deployment: &Deployment) -> Result<CertificateRevocationList, Failure> {
    let base = deployment.scheme().public_base_url();
    let der = fetch(&format!("{base}/crl/signing-root.crl"))?;
    Ok(CertificateRevocationList::from_der(&der)?)
}

#[tokio::test]
async fn what_a_root_revokes_counts_for_nothing_from_sighup_on() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let directory = deployment.directory().clone();
    let customer = Customer::of_alfa(&deployment).await?;
    let late = Customer::enrolled_by(&deployment.client("mobilis", Role::Enrolment).await?).await?;
    let beta_enrols = deployment.client("beta", Role::Enrolment).await?;
    customer.accepted_by(&beta_enrols).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let ask = customer.asks(&order("1.00", "EUR")?)?;
    let cosigned = alfa.cosign_order(ask.clone()).await?.authorization_jws;
    assert_eq!(believed(&beta, &cosigned).await?.0, Verdict::Valid);
    let leaf = fs::read_to_string(directory.authorization_chain(&"alfa".parse()?))?;
    let leaf = Certificate::chain_from_pem(&leaf)?.remove(0);
    assert_eq!(wrong(&deployment, Hierarchy::Signing, &leaf)?, "");

    // The signing CA: the operator has the new CRL, and the service does not know yet.
    let before = fs::read(directory.root_crl(Hierarchy::Signing))?;
    revoke(
        &deployment,
        &directory.ca(Hierarchy::Signing, &"alfa".parse()?),
    )?;
    alfa.cosign_order(customer.asks(&order("2.00", "EUR")?)?)
        .await?;
    let said = hang_up(&mut deployment).await?;
    assert!(
        said.contains(TAKEN) && said.contains("a key signs no more"),
        "{said}"
    );
    let refused = alfa.cosign_order(customer.asks(&order("3.00", "EUR")?)?);
    refusal::demand(refused.await, Code::Unavailable, "CA_REVOKED")?;
    let again = alfa.cosign_order(ask).await?.authorization_jws;
    assert_eq!(again, cosigned, "what was answered is answered for ever");
    let refused = (Verdict::Refused, Some("CA_REVOKED".to_owned()));
    assert_eq!(believed(&beta, &cosigned).await?, refused);
    let said = wrong(&deployment, Hierarchy::Signing, &leaf)?;
    assert!(said.contains(REVOKED), "{said}");
    let expected = [
        (KeyPurpose::DeviceCa, KeyState::Active),
        (KeyPurpose::SigningCa, KeyState::Deactivated),
        (KeyPurpose::Authorization, KeyState::Deactivated),
    ];
    assert_eq!(states(&deployment).await?, expected);

    // Beside it everybody else is served.
    beta.cosign_order(customer.asks(&order_from("beta", "4.00", "EUR")?)?)
        .await?;
    let device = customer.phone.chain()?[0].clone();
    assert_eq!(wrong(&deployment, Hierarchy::Device, &device)?, "");

    // The device CA: the phones that it certified pay no more, and no other becomes one.
    revoke(
        &deployment,
        &directory.ca(Hierarchy::Device, &"mobilis".parse()?),
    )?;
    let said = hang_up(&mut deployment).await?;
    assert!(said.contains(TAKEN), "{said}");
    let said = wrong(&deployment, Hierarchy::Device, &device)?;
    assert!(said.contains(REVOKED), "{said}");
    let refused = beta.cosign_order(customer.asks(&order_from("beta", "5.00", "EUR")?)?);
    refusal::demand(refused.await, Code::FailedPrecondition, "DEVICE_REVOKED")?;
    let refused = late.accepted_by(&beta_enrols).await;
    refusal::demand(refused, Code::FailedPrecondition, "DEVICE_NOT_ACCEPTABLE")?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let phone = e2e::phone::Phone::new()?;
    let enrols = e2e::customer::enrolment(&phone, &e2e::phone::pseudonym())?;
    let refused = mobilis.enroll_device(enrols).await;
    refusal::demand(refused, Code::Unavailable, "CA_REVOKED")?;

    what_was_said_stays(&mut deployment, &before).await?;
    recheck(&mut deployment).await.map(drop)
}

/// An earlier CRL in the place of the one in force is not taken, and that is seen.
async fn what_was_said_stays(deployment: &mut Deployment, earlier: &[u8]) -> Result<(), Failure> {
    let file = deployment.directory().root_crl(Hierarchy::Signing);
    let newest = fs::read(&file)?;
    let taken = |deployment: &Deployment| {
        let numbers = Numbers::of(deployment)?;
        Ok::<_, Failure>(numbers.sum("semops_roots_not_taken", &[]))
    };
    assert_eq!(taken(deployment)?, Some(0.0));
    fs::write(&file, earlier)?;
    let said = hang_up(deployment).await?;
    let word = "CRL 1 of the signing root";
    assert!(said.contains(NOT_TAKEN) && said.contains(word), "{said}");
    let number = published(deployment)?.number();
    assert_eq!((number, taken(deployment)?), (2, Some(1.0)));
    fs::write(&file, newest)?;
    let said = hang_up(deployment).await?;
    assert!(said.contains(TAKEN) && !said.contains(NOT_TAKEN), "{said}");
    assert_eq!(taken(deployment)?, Some(0.0));
    Ok(())
}
