//! Owns which CAs publish by what a record holds, for whoever looks at it before it is served.

use semops_objects::institution::InstitutionId;

use crate::{
    authority::{
        change::Rules, gather_keys::gather, history::History, publish_crl::crl_address,
        restore::IssuingCa,
    },
    clock::Timestamp,
    domain::keyring::{Held, Keyring},
    store::{Histories, Store, StoreError},
};

/// The CAs of each institution at `now`: by its verified history, or those of the configuration alone, if it has none.
///
/// # Errors
/// The store does not tell.
pub async fn publishers(
    store: &dyn Store,
    rules: Rules<'_>,
    base: &str,
    now: Timestamp,
) -> Result<Vec<IssuingCa>, StoreError> {
    let histories = store.histories().await?;
    let mut all = Vec::new();
    for institution in rules.ceremonies.keys() {
        let keyring = keyring(rules, institution, &histories);
        let keys = keyring.keys().iter();
        all.extend(keys.filter_map(|key| issuing(key, base, now)));
    }
    Ok(all)
}

fn keyring(rules: Rules<'_>, institution: &InstitutionId, histories: &Histories) -> Keyring {
    let ceremony = rules.ceremonies.get(institution);
    let verified = ceremony.and_then(|ceremony| {
        History::verify(rules.scheme, ceremony, histories.of(institution), None).ok()
    });
    match verified {
        Some(history) => gather(rules.grounds, history.standing(), &histories.certificates).0,
        None => {
            let configured = rules.grounds.keys.get(institution);
            Keyring::of_ceremony(configured.into_iter().flatten().cloned())
        }
    }
}

fn issuing(key: &Held, base: &str, now: Timestamp) -> Option<IssuingCa> {
    let record = key.record();
    key.is_ca().then_some(())?;
    Some(IssuingCa {
        institution: record.institution.clone(),
        purpose: record.purpose,
        certificate: record.chain.first()?.clone(),
        address: crl_address(base, record),
        later: record.first_crl.is_none(),
        answers: key.answers(now),
    })
}
