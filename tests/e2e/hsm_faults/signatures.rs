//! Signatures that the token makes wrong.

use e2e::{
    customer::{Customer, enrolment},
    failure::Failure,
    faults::Fault,
    numbers::Numbers,
    phone::{Phone, pseudonym},
    stored,
};
use semops_proto::v1;

use super::drill::Drill;
use crate::bad_input::rows::outages as rows;

const WRONG: [&str; 3] = ["bit", "zero", "other"];
const TIMES: usize = 2;
const REASON: &str = "FAULTY_SIGNATURE";

fn wrong(institution: &str, name: &str, how: &str, times: usize) -> Fault {
    let rule = format!("first = {times}\neffect = {{ signature = '{how}' }}");
    Fault::at(institution, name, &rule)
}

#[tokio::test]
async fn a_wrong_signature_never_gets_out() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    for how in WRONG {
        drill.faults.set(&[wrong("alfa", how, how, TIMES)])?;
        let (order, ask) = drill.order()?;
        for _ in 0..TIMES {
            rows::TOKEN_LIES.refuses(drill.cosign(&ask).await)?;
            let shown = drill
                .customer
                .standing(&drill.callers.alfa_payments, &order);
            let shown = shown.await?;
            assert_eq!(shown.state(), v1::OrderState::Pending, "{how}");
            assert_eq!(shown.authorization_jws, None, "{how}");
        }
        drill.answered_later(&[ask]).await?;
        assert_eq!(drill.faults.struck(how)?, TIMES, "{how}");
    }
    let times = WRONG.len() * TIMES;
    let told = [("institution", "alfa"), ("reason", REASON)];
    let numbers = Numbers::of(&drill.deployment)?;
    let counted = numbers.count("semops_rpc_requests_total", &told);
    assert_eq!(counted, u64::try_from(times)?);
    assert_eq!(disowned(&drill, "alfa", "authorization")?, counted);
    assert_eq!(refusals(&drill, "alfa", "authorization")?, times);
    drill.end(WRONG.len()).await
}

/// Certificates and CRLs go the same way: a later try makes them, and no wrong one is kept.
#[tokio::test]
async fn a_wrong_signature_is_in_no_certificate_and_no_crl() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let issuer = &drill.callers.mobilis_enrolment;
    drill
        .faults
        .set(&[wrong("mobilis", "certificate", "other", 1)])?;
    let mut phone = Phone::new()?;
    let ask = enrolment(&phone, &pseudonym())?;
    rows::TOKEN_LIES.refuses(issuer.enroll_device(ask.clone()).await)?;
    phone.take_certificate(&issuer.enroll_device(ask).await?)?;
    assert_eq!(drill.faults.struck("certificate")?, 1);

    let leaver = Customer::enrolled_by(issuer).await?;
    let before = stored::count(&drill.deployment, "crl", "AUTHORIZED")?;
    drill.faults.set(&[wrong("mobilis", "crl", "bit", 1)])?;
    leaver
        .revoked_by(issuer, v1::RevocationReason::KeyCompromise)
        .await?;
    e2e::until::until("the CRL", super::drill::SOON, async || {
        let made = stored::count(&drill.deployment, "crl", "AUTHORIZED")?;
        Ok((made > before).then_some(()))
    })
    .await?;
    assert_eq!(drill.faults.struck("crl")?, 1);
    assert_eq!(refusals(&drill, "mobilis", "device-certificate")?, 1);
    assert_eq!(refusals(&drill, "mobilis", "crl")?, 1);
    for operation in ["device-certificate", "crl"] {
        assert_eq!(disowned(&drill, "mobilis", operation)?, 1, "{operation}");
    }
    drill.end(0).await
}

/// How many signatures for this operation are measured as thrown away.
fn disowned(drill: &Drill, institution: &str, operation: &str) -> Result<u64, Failure> {
    let of = [("institution", institution), ("operation", operation)];
    Ok(Numbers::of(&drill.deployment)?.count("semops_faulty_signatures_total", &of))
}

/// How many audit events tell of a signature that was thrown away; each names its key.
fn refusals(drill: &Drill, institution: &str, operation: &str) -> Result<usize, Failure> {
    let mut found = 0;
    for event in stored::events(&drill.deployment)? {
        let is = |member: &str, value: &str| event[member] == value;
        if is("institution", institution) && is("operation", operation) && is("reason", REASON) {
            assert_eq!(event["result"], "REFUSED");
            assert!(
                event["key"].is_string() && event["object"].is_string(),
                "{event}"
            );
            found += 1;
        }
    }
    Ok(found)
}
