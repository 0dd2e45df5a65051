//! The CRLs of the issuers, watched: numbers never fall, a number is one list, and in the end every revocation stands in
//! the newest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use semops_objects::InstitutionId;
use semops_pki::{algorithm::sha256, crl::CertificateRevocationList};
use semops_proto::v1::{self, GetCrlRequest, GetCrlResponse};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{lane::Issuer, ledger::Ledger};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// In which a revocation is in the newest CRL: it is made by the next tick of a second.
const LISTED: Duration = Duration::from_secs(30);

/// What was seen of one issuer's CRL.
#[derive(Debug, Default)]
pub struct Seen {
    /// By number, the SHA-256 of the list.
    lists: BTreeMap<u64, [u8; 32]>,
}

impl Seen {
    /// Takes the next that was shown. Gives what is wrong with it.
    fn take(&mut self, issuer: &InstitutionId, number: u64, der: &[u8]) -> Option<String> {
        let newest = self.lists.last_key_value().map(|(number, _)| *number);
        let digest = sha256(der);
        let known = *self.lists.entry(number).or_insert(digest);
        if known != digest {
            return Some(format!(
                "GetCrl: {issuer}: two lists have the number {number}"
            ));
        }
        let fell = newest.filter(|newest| *newest > number)?;
        Some(format!(
            "GetCrl: {issuer}: number {number} came after {fell}"
        ))
    }

    /// Lists that were seen.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.len()
    }
}

/// Watches until it is told to end, and then until every revocation is listed.
pub async fn watch(
    issuer: Arc<Issuer>,
    ledger: Arc<Ledger>,
    mut end: watch::Receiver<bool>,
) -> Seen {
    let mut seen = Seen::default();
    loop {
        if let Some((_, wrong)) = look(&issuer, &mut seen).await
            && let Some(wrong) = wrong
        {
            ledger.finding(wrong);
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = end.wait_for(|end| *end) => break,
        }
    }
    let until = Instant::now() + LISTED;
    loop {
        match missing(&issuer, &ledger, &mut seen).await {
            None => return seen,
            Some(why) if Instant::now() > until => {
                ledger.finding(format!("GetCrl: {}: {why}", issuer.institution));
                return seen;
            }
            Some(_) => sleep(LOOK).await,
        }
    }
}

/// The newest CRL and what is wrong with its number; none if there was no answer.
async fn look(issuer: &Issuer, seen: &mut Seen) -> Option<(GetCrlResponse, Option<String>)> {
    let ask = GetCrlRequest {
        institution: issuer.institution.to_string(),
        authority: v1::Authority::DeviceCa.into(),
        key_id: String::new(),
    };
    let answer = issuer.enrolment.next().get_crl(ask).await.ok()?;
    let wrong = seen.take(&issuer.institution, answer.crl_number, &answer.crl);
    Some((answer, wrong))
}

/// Why the newest CRL does not hold every revocation; none if it does.
async fn missing(issuer: &Issuer, ledger: &Ledger, seen: &mut Seen) -> Option<String> {
    let (serials, ca) = ledger.to_be_listed(&issuer.institution);
    let Some((answer, wrong)) = look(issuer, seen).await else {
        return Some("the newest CRL cannot be fetched".to_owned());
    };
    if wrong.is_some() {
        return wrong;
    }
    let list = match CertificateRevocationList::from_der(&answer.crl) {
        Ok(list) => list,
        Err(error) => return Some(format!("the newest CRL: {error}")),
    };
    if list.number() != answer.crl_number {
        return Some("the newest CRL has another number than the answer says".to_owned());
    }
    if let Some(Err(error)) = ca.map(|ca| list.verify_issued_by(&ca)) {
        return Some(format!("the newest CRL: {error}"));
    }
    let absent = serials.iter().filter(|serial| list.entry(serial).is_none());
    let absent = absent.count();
    (absent > 0).then(|| format!("{absent} revoked phones are not in the newest CRL"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_rise_and_each_is_one_list() {
        let issuer = "mobilis".parse().unwrap();
        let mut seen = Seen::default();
        for (number, der) in [(3, b"a"), (3, b"a"), (4, b"b")] {
            assert_eq!(seen.take(&issuer, number, der), None);
        }
        let fell = seen.take(&issuer, 3, b"a").unwrap();
        assert!(fell.contains("number 3 came after 4"), "{fell}");
        let other = seen.take(&issuer, 4, b"c").unwrap();
        assert!(other.contains("two lists"), "{other}");
        assert_eq!(seen.lists(), 2);
    }
}
