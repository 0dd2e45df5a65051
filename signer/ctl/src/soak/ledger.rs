//! What was answered so far: counted, compared with all before it, and kept where it will be asked for again.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use semops_objects::{AuthorizationJws, InstitutionId};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{
    CosignOrderRequest, CosignOrderResponse, EnrollDeviceRequest, EnrollDeviceResponse,
};

use super::lane::Lane;
use crate::bench::work::lock;

/// Answers of each kind that are kept to be asked for again.
const KEPT: usize = 1_000;
/// Findings that are told; all are counted.
const TOLD: usize = 20;

/// An order that was co-signed.
#[derive(Clone, Debug)]
pub struct Cosigned {
    /// By whom.
    pub lane: Lane,
    /// What was asked.
    pub ask: CosignOrderRequest,
    /// What was answered.
    pub answer: CosignOrderResponse,
}

/// A phone that was enrolled.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// By whom.
    pub lane: Lane,
    /// What was asked.
    pub ask: EnrollDeviceRequest,
    /// What was answered.
    pub answer: EnrollDeviceResponse,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Phones enrolled.
    pub enrolled: u64,
    /// Phones accepted.
    pub accepted: u64,
    /// Orders co-signed; each verified.
    pub authorized: u64,
    /// Phones revoked.
    pub revoked: u64,
    /// Orders of revoked phones that were refused, as they must be.
    pub refused_after_revocation: u64,
    /// Calls that were sent again, for they had no final answer.
    pub repeated: u64,
    /// Answers that came again, byte for byte.
    pub same: u64,
    /// Answers other than what was asked for, by code and reason.
    pub otherwise: BTreeMap<(String, String), u64>,
    /// What must not be.
    pub findings: u64,
}

/// Everything.
#[derive(Debug)]
pub struct Ledger {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    findings: Vec<String>,
    /// Serial numbers with their issuers, ids of devices and authorizations, pseudonyms of payers: none comes twice.
    seen: HashSet<(Sort, Vec<u8>)>,
    cosigned: Kept<Cosigned>,
    enrolled: Kept<Enrolled>,
    /// Serial numbers that a CRL must list.
    revoked: BTreeMap<InstitutionId, HashSet<Vec<u8>>>,
    authorities: BTreeMap<InstitutionId, Certificate>,
    last_answer: Instant,
    longest_silence: Duration,
}

/// What must be unique, each among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Serial,
    Device,
    Authorization,
    Payer,
}

/// The first answers, and from then on each with the same chance.
#[derive(Debug)]
struct Kept<T> {
    items: Vec<T>,
    offered: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            offered: 0,
        }
    }
}

impl<T> Kept<T> {
    /// Algorithm R: item n takes the place of another with the chance KEPT/n; `random` is any number.
    fn offer(&mut self, item: T, random: usize) {
        self.offered = self.offered.saturating_add(1);
        if self.items.len() < KEPT {
            self.items.push(item);
        } else if let Some(place) = self.items.get_mut(random % self.offered) {
            *place = item;
        }
    }
}

impl Ledger {
    /// An empty one, that begins now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            started: now,
            state: Mutex::new(State {
                counts: Counts::default(),
                findings: Vec::new(),
                seen: HashSet::new(),
                cosigned: Kept::default(),
                enrolled: Kept::default(),
                revoked: BTreeMap::new(),
                authorities: BTreeMap::new(),
                last_answer: now,
                longest_silence: Duration::ZERO,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How often what happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Counts something.
    pub fn count(&self, what: impl FnOnce(&mut Counts) -> &mut u64) {
        let mut state = self.state();
        let counted = what(&mut state.counts);
        *counted = counted.saturating_add(1);
    }

    /// A call was answered with what it asked for.
    pub fn answered(&self) {
        let mut state = self.state();
        let silence = state.last_answer.elapsed();
        state.longest_silence = state.longest_silence.max(silence);
        state.last_answer = Instant::now();
    }

    /// The longest time in which no call was answered with what it asked for.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        self.state().longest_silence
    }

    /// A call was answered otherwise, or not at all.
    pub fn otherwise(&self, code: &str, reason: &str) {
        let mut state = self.state();
        let key = (code.to_owned(), reason.to_owned());
        let counted = state.counts.otherwise.entry(key).or_default();
        *counted = counted.saturating_add(1);
    }

    /// Something that must not be.
    pub fn finding(&self, what: impl Into<String>) {
        let mut state = self.state();
        state.counts.findings = state.counts.findings.saturating_add(1);
        if state.findings.len() < TOLD {
            state.findings.push(what.into());
        }
    }

    /// The first findings.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        self.state().findings.clone()
    }

    /// A phone was enrolled with this certificate of its own and that of its CA.
    pub fn enrolled(&self, enrolled: Enrolled, certificate: &Certificate, ca: Certificate) {
        let institution = enrolled.lane.issuer.institution.clone();
        let serial = [certificate.issuer_der(), certificate.serial()].concat();
        let device = enrolled.answer.device_id.clone().into_bytes();
        let random = random();
        let mut state = self.state();
        state.counts.enrolled = state.counts.enrolled.saturating_add(1);
        let new = state.is_new(Sort::Serial, serial) & state.is_new(Sort::Device, device);
        state.authorities.entry(institution).or_insert(ca);
        let id = enrolled.answer.device_id.clone();
        state.enrolled.offer(enrolled, random);
        drop(state);
        if !new {
            self.finding(format!(
                "EnrollDevice: device {id}: its id or its serial number came before"
            ));
        }
    }

    /// An order was co-signed with this authorization, which has been checked.
    pub fn authorized(&self, cosigned: Cosigned, authorization: &AuthorizationJws) {
        let said = authorization.authorization();
        let (jti, payer) = (said.jti, said.payer);
        let random = random();
        let mut state = self.state();
        state.counts.authorized = state.counts.authorized.saturating_add(1);
        let new = state.is_new(Sort::Authorization, jti.as_bytes().to_vec())
            & state.is_new(Sort::Payer, payer.to_vec());
        state.cosigned.offer(cosigned, random);
        drop(state);
        if !new {
            self.finding(format!(
                "CosignOrder: authorization {jti}: its id or its pseudonym came before"
            ));
        }
    }

    /// A phone with this serial number was revoked by its issuer.
    pub fn revoked(&self, issuer: &InstitutionId, serial: Vec<u8>) {
        let mut state = self.state();
        state.counts.revoked = state.counts.revoked.saturating_add(1);
        state
            .revoked
            .entry(issuer.clone())
            .or_default()
            .insert(serial);
    }

    /// Whether this phone was revoked.
    #[must_use]
    pub fn is_revoked(&self, issuer: &InstitutionId, serial: &[u8]) -> bool {
        let state = self.state();
        let serials = state.revoked.get(issuer);
        serials.is_some_and(|serials| serials.contains(serial))
    }

    /// The serial numbers that the CRL of this issuer must list, and its CA, if it has certified a phone.
    #[must_use]
    pub fn to_be_listed(&self, issuer: &InstitutionId) -> (Vec<Vec<u8>>, Option<Certificate>) {
        let state = self.state();
        let serials = state.revoked.get(issuer);
        let serials = serials.into_iter().flatten().cloned().collect();
        (serials, state.authorities.get(issuer).cloned())
    }

    /// What is to be asked for again.
    #[must_use]
    pub fn kept(&self) -> (Vec<Enrolled>, Vec<Cosigned>) {
        let state = self.state();
        (state.enrolled.items.clone(), state.cosigned.items.clone())
    }
}

impl State {
    fn is_new(&mut self, sort: Sort, value: Vec<u8>) -> bool {
        self.seen.insert((sort, value))
    }
}

/// For the choice of what is kept: no secret hangs on it.
fn random() -> usize {
    let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
    usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_first_are_kept_and_later_ones_take_places() {
        let mut kept = Kept::default();
        for number in 0..KEPT {
            kept.offer(number, number);
        }
        assert_eq!(kept.items.len(), KEPT);
        // The next is kept in the place that was drawn, or not at all.
        kept.offer(KEPT, 7);
        kept.offer(KEPT + 1, KEPT + 1);
        assert_eq!(kept.items.len(), KEPT);
        assert_eq!(kept.items.get(7), Some(&KEPT));
        assert!(!kept.items.contains(&(KEPT + 1)));
    }

    #[test]
    fn what_came_before_is_found_among_its_like_alone() {
        let ledger = Ledger::new();
        let mut state = ledger.state();
        assert!(state.is_new(Sort::Serial, vec![1]));
        assert!(state.is_new(Sort::Device, vec![1]));
        assert!(!state.is_new(Sort::Serial, vec![1]));
    }

    #[test]
    fn many_findings_are_counted_and_the_first_are_told() {
        let ledger = Ledger::new();
        for number in 0..TOLD + 5 {
            ledger.finding(number.to_string());
        }
        let told = ledger.findings();
        assert_eq!((told.len(), ledger.counts().findings), (TOLD, 25));
        assert_eq!(told.first().unwrap(), "0");
    }

    #[test]
    fn outcomes_are_counted_by_code_and_reason() {
        let ledger = Ledger::new();
        for (code, reason) in [("UNAVAILABLE", "X"), ("UNAVAILABLE", "X"), ("NONE", "Y")] {
            ledger.otherwise(code, reason);
        }
        let counts = ledger.counts().otherwise;
        let of = |code: &str, reason: &str| counts.get(&(code.to_owned(), reason.to_owned()));
        assert_eq!(
            (of("UNAVAILABLE", "X"), of("NONE", "Y")),
            (Some(&2), Some(&1))
        );
    }
}
