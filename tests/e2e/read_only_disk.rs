//! The disk of the record becomes read-only under the running service, and can be written again: nothing is signed
//! meanwhile, what was answered stands, and nothing is lost.

use std::time::Duration;

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    disk::Disk,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    stored,
    story::Callers,
    until::until,
};
use semops_proto::v1;
use softhsm_setup::scheme::Scheme;

use crate::bad_input::rows::outages as rows;

const SOON: Duration = Duration::from_secs(60);
/// Times that it becomes read-only.
const TIMES: usize = 2;

async fn health(deployment: &Deployment, serving: bool) -> Result<(), Failure> {
    until("the health to say so", SOON, async || {
        Ok((deployment.is_healthy().await == serving).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_loses_nothing() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let disk = Disk::under(&deployment)?;
    let signer = disk.of(&deployment.signer()?, &deployment.database())?;
    deployment.start_with(signer).await?;
    let callers = Callers::connect(&deployment).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let mut answered = Vec::new();
    for _ in 0..TIMES {
        let ask = customer.asks(&customer::order("0.01", "CNY")?)?;
        let answer = callers.alfa_payments.cosign_order(ask.clone()).await?;
        answered.push((ask, answer));
        let before = (stored::events(&deployment)?.len(), disk.refused()?);

        disk.is_read_only()?;
        let ask = customer.asks(&customer::order("0.01", "CNY")?)?;
        rows::DISK_READ_ONLY.refuses(callers.alfa_payments.cosign_order(ask.clone()).await)?;
        let mut phone = Phone::new()?;
        let enrolment = customer::enrolment(&phone, &pseudonym())?;
        let enrolled = callers.mobilis_enrolment.enroll_device(enrolment.clone());
        rows::DISK_READ_ONLY.refuses(enrolled.await)?;
        let reason = v1::RevocationReason::KeyCompromise;
        let revoked = customer.revoked_by(&callers.mobilis_enrolment, reason);
        rows::DISK_READ_ONLY.refuses(revoked.await)?;
        health(&deployment, false).await?;
        for (ask, answer) in &answered {
            let again = callers.alfa_payments.cosign_order(ask.clone()).await?;
            assert_eq!(again, *answer);
        }
        // It was asked to write, and nothing of it is there.
        assert!(disk.refused()? >= before.1 + 4);
        assert_eq!(stored::events(&deployment)?.len(), before.0);

        disk.is_writable()?;
        health(&deployment, true).await?;
        let answer = callers.alfa_payments.cosign_order(ask.clone()).await?;
        answered.push((ask, answer));
        phone.take_certificate(&callers.mobilis_enrolment.enroll_device(enrolment).await?)?;
    }
    let said = deployment.log();
    assert!(said.contains("read-only"), "{said}");
    assert!(said.contains("can be read and written again"), "{said}");
    assert!(!said.contains("internal"), "{said}");

    // It is on the disk, and not in what a process remembers.
    deployment.kill()?;
    drop(disk);
    deployment.start().await?;
    let alfa = Callers::connect(&deployment).await?.alfa_payments;
    for (ask, answer) in &answered {
        assert_eq!(alfa.cosign_order(ask.clone()).await?, *answer);
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(
        (checked.authorizations, checked.unsigned),
        (2 * TIMES, 0),
        "{checked:?}"
    );
    assert_eq!(checked.certificates, 1 + TIMES);
    Ok(())
}
