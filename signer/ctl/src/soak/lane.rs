//! Who takes part: an issuer that enrols phones, and a payer's institution that accepts them and has their orders
//! co-signed.

use std::sync::Arc;

use semops_objects::InstitutionId;

use crate::bench::{authorities::Authorities, callers::Connections, order::Terms};

/// An issuer of phones.
#[derive(Debug)]
pub struct Issuer {
    /// Which institution.
    pub institution: InstitutionId,
    /// Its enrolment caller.
    pub enrolment: Connections,
}

/// A payer's institution.
#[derive(Debug)]
pub struct Payer {
    /// Its enrolment caller.
    pub acceptance: Connections,
    /// Its payments caller.
    pub payments: Connections,
    /// What its orders say.
    pub terms: Terms,
    /// The keys by which its authorizations are verified.
    pub authorities: Authorities,
}

/// One of each, as their phones have them.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Who enrols.
    pub issuer: Arc<Issuer>,
    /// Who accepts and co-signs.
    pub payer: Arc<Payer>,
}

impl Lane {
    /// Every payer's institution with every issuer.
    #[must_use]
    pub fn all(issuers: &[Arc<Issuer>], payers: &[Arc<Payer>]) -> Vec<Self> {
        let of = |payer: &Arc<Payer>| {
            let payer = Arc::clone(payer);
            issuers.iter().map(move |issuer| Self {
                issuer: Arc::clone(issuer),
                payer: Arc::clone(&payer),
            })
        };
        payers.iter().flat_map(of).collect()
    }
}
