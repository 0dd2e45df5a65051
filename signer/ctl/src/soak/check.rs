//! The end: what was kept is asked for again, and must be what it was.

use semops_pki::certificate::Certificate;

use super::{
    calls::Calls,
    ledger::{Cosigned, Enrolled, Ledger},
};

/// Asks for everything that was kept.
pub async fn again(calls: Calls<'_>) {
    let (enrolled, cosigned) = calls.ledger.kept();
    for one in &cosigned {
        order(calls, one).await;
    }
    for one in &enrolled {
        enrolment(calls, one).await;
    }
}

async fn order(calls: Calls<'_>, kept: &Cosigned) {
    let client = kept.lane.payer.payments.next();
    let call = || client.cosign_order(kept.ask.clone());
    match calls.persist("CosignOrder at the end", call).await {
        Ok(answer) => same(calls.ledger, "CosignOrder", answer == kept.answer),
        Err(Some(reason)) => lost(calls.ledger, "CosignOrder", &reason),
        Err(None) => {}
    }
}

async fn enrolment(calls: Calls<'_>, kept: &Enrolled) {
    let client = kept.lane.issuer.enrolment.next();
    let call = || client.enroll_device(kept.ask.clone());
    let revoked = is_revoked(calls.ledger, kept);
    match calls.persist("EnrollDevice at the end", call).await {
        Ok(_) if revoked => calls
            .ledger
            .finding("EnrollDevice: a revoked phone was given its certificate again"),
        Ok(answer) => same(calls.ledger, "EnrollDevice", answer == kept.answer),
        Err(Some(reason)) if revoked && reason == "DEVICE_REVOKED" => {}
        Err(Some(reason)) => lost(calls.ledger, "EnrollDevice", &reason),
        Err(None) => {}
    }
}

fn is_revoked(ledger: &Ledger, kept: &Enrolled) -> bool {
    let der = kept.answer.certificate_chain.first();
    let certificate = der.and_then(|der| Certificate::from_der(der).ok());
    let issuer = &kept.lane.issuer.institution;
    certificate.is_some_and(|certificate| ledger.is_revoked(issuer, certificate.serial()))
}

fn same(ledger: &Ledger, what: &str, same: bool) {
    if same {
        ledger.count(|counts| &mut counts.same);
    } else {
        ledger.finding(format!(
            "{what}: asked again at the end, another answer came"
        ));
    }
}

fn lost(ledger: &Ledger, what: &str, reason: &str) {
    ledger.finding(format!(
        "{what}: what was answered is refused at the end: {reason}"
    ));
}
