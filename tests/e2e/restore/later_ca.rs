//! A restore after a CA was rotated: the CRLs of the old and of the new one are asked for, and what either revoked stays so.

use std::{fs, time::Duration};

use e2e::{customer::Customer, failure::Failure, recheck::recheck, until::until};
use semops_objects::key::{KeyId, Purpose};
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{DeviceStatus, GetDeviceRequest, RevocationReason},
};
use softhsm_setup::scheme::Role;

use super::{SOON, fetch, kept::Site, refused, start};
use crate::{
    crls,
    rotation::plan::{NewKey, Plan, signing_key},
};

/// Revoked, and on the CRL of the CA that issued its certificate.
async fn listed(customer: &Customer, issuer: &Client) -> Result<(), Failure> {
    customer
        .revoked_by(issuer, RevocationReason::KeyCompromise)
        .await?;
    let leaf = &customer.phone.chain()?[0];
    until("a CRL with the revoked device", SOON, async || {
        let list = crls::fetch(&leaf.crl_addresses()[0])?;
        let list = CertificateRevocationList::from_der(&list)?;
        Ok(list.entry(leaf.serial()).map(drop))
    })
    .await
}

#[tokio::test]
async fn a_restored_record_forgets_no_revocation_of_either_ca() -> Result<(), Failure> {
    let mut site = Site::with_a_file()?;
    start(&mut site, None).await?;
    let custodian = site.deployment.client("mobilis", Role::Custodian).await?;
    let issuer = site.deployment.client("mobilis", Role::Enrolment).await?;
    let by_old = Customer::enrolled_by(&issuer).await?;
    let old = signing_key(&custodian, Purpose::DeviceCa).await?;
    let new = NewKey::certified(&site.deployment, &custodian, Purpose::DeviceCa).await?;
    let plan = Plan::of("mobilis", old, &new, Duration::from_secs(2), Duration::ZERO)?;
    plan.execute(&site.deployment, &new)?;
    plan.retired().await?;
    let by_new = Customer::enrolled_by(&issuer).await?;
    let ca = KeyId::of(by_new.phone.chain()?[1].public_key());
    assert_eq!(ca, plan.to);
    let first = &by_new.phone.chain()?[0].crl_addresses()[0];
    let path = first.strip_prefix(&format!("http://{}", site.deployment.scheme().http()));
    until("the new CA's first CRL", SOON, async || {
        let answer = crls::get(&site.deployment, path.unwrap())?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;

    // Lost: that both were revoked.
    let folder = tempfile::tempdir()?;
    let (backup, published) = (
        folder.path().join("backup"),
        folder.path().join("published"),
    );
    site.backup(&backup)?;
    for customer in [&by_old, &by_new] {
        listed(customer, &issuer).await?;
    }
    fetch(&site.deployment, &published)?;
    let newest = crls::fetch(first)?;
    site.deployment.stop().await?;
    site.put_back(&backup)?;
    let said = refused(&site, &published).await?;
    let missing = format!("with key {ca}: no CRL of it is there: fetch {first}");
    assert!(said.err.contains(&missing), "{said:?}");

    fs::write(published.join("of the new CA"), newest)?;
    start(&mut site, Some(&published)).await?;
    let issuer = site.deployment.client("mobilis", Role::Enrolment).await?;
    for customer in [&by_old, &by_new] {
        let device_id = customer.device_id();
        let shown = issuer.get_device(GetDeviceRequest { device_id }).await?;
        let device = shown.device.unwrap_or_default();
        assert_eq!(device.status(), DeviceStatus::Revoked);
    }
    assert_eq!(recheck(&mut site.deployment).await?.authorizations, 0);
    site.deployment.stop().await
}
