//! Owns what is measured of the tokens: waits and calls as they end, and what is read of each token when somebody asks.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};
use semops_objects::institution::InstitutionId;

use super::{
    Metrics,
    catalog::{self, Spec},
    counter, seconds,
};
use crate::domain::{key::Purpose, operation::Kind};

pub(super) struct Calls {
    waited: Histogram<f64>,
    took: Histogram<f64>,
    faulty: Counter<u64>,
    failovers: Counter<u64>,
}

impl Calls {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            waited: seconds(meter, &catalog::HSM_WAIT),
            took: seconds(meter, &catalog::HSM_CALL),
            faulty: counter(meter, &catalog::FAULTY_SIGNATURES),
            failovers: counter(meter, &catalog::FAILOVERS),
        }
    }
}

/// What a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A signature.
    Sign,
    /// Random octets.
    Random,
    /// A key pair.
    Generate,
    /// A look at a key that is to be used.
    Adopt,
    /// The end of a key.
    Destroy,
}

impl Call {
    const ALL: [Self; 5] = [
        Self::Sign,
        Self::Random,
        Self::Generate,
        Self::Adopt,
        Self::Destroy,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Random => "random",
            Self::Generate => "generate",
            Self::Adopt => "adopt",
            Self::Destroy => "destroy",
        }
    }
}

/// Why a token did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Its queue was full.
    Full,
    /// Its share of the time was over.
    Late,
    /// It could not work.
    Unavailable,
    /// It refused.
    Refused,
    /// Its signature does not verify.
    Faulty,
}

impl Failing {
    const ALL: [Self; 5] = [
        Self::Full,
        Self::Late,
        Self::Unavailable,
        Self::Refused,
        Self::Faulty,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Faulty => "faulty",
        }
    }
}

/// What keys in several tokens may sign: a CRL is signed by its CA's key alone.
const FAILING_OVER: [Purpose; 2] = [Purpose::Authorization, Purpose::DeviceCa];

/// Of one token, with its labels made once.
#[derive(Clone)]
pub struct TokenMeter {
    metrics: Metrics,
    waited: [KeyValue; 2],
    calls: [(Call, [KeyValue; 3]); Call::ALL.len()],
}

impl Metrics {
    /// The meter of the institution's token with this label.
    pub fn token(&self, institution: &InstitutionId, token: &str) -> TokenMeter {
        self.no_failover_yet(institution, token);
        let [institution, token] = self.token_labels(institution, token);
        let labels = |call: Call| {
            let operation = KeyValue::new("operation", call.name());
            [institution.clone(), token.clone(), operation]
        };
        TokenMeter {
            calls: Call::ALL.map(|call| (call, labels(call))),
            waited: [institution, token],
            metrics: self.clone(),
        }
    }

    fn token_labels(&self, institution: &InstitutionId, token: &str) -> [KeyValue; 2] {
        let institution = self.0.institutions.label(Some(institution));
        [institution, KeyValue::new("token", token.to_owned())]
    }
}

impl Metrics {
    /// Every institution's token, with none: a rise from nothing is seen by those who watch.
    pub(super) fn no_signature_faulty_yet(&self) {
        for institution in self.0.institutions.known.values() {
            for kind in Kind::ALL {
                let labels = [institution.clone(), KeyValue::new("operation", kind.name())];
                self.0.calls.faulty.add(0, &labels);
            }
        }
    }

    /// With none: a rise from nothing is seen by those who watch.
    fn no_failover_yet(&self, institution: &InstitutionId, token: &str) {
        for purpose in FAILING_OVER {
            for why in Failing::ALL {
                self.add_failovers(0, institution, token, purpose, why);
            }
        }
    }

    /// An intent of a key of this purpose ended because its token did not sign, while a key in another token could.
    pub fn failed_over(
        &self,
        institution: &InstitutionId,
        token: &str,
        purpose: Purpose,
        why: Failing,
    ) {
        self.add_failovers(1, institution, token, purpose, why);
    }

    fn add_failovers(
        &self,
        count: u64,
        institution: &InstitutionId,
        token: &str,
        purpose: Purpose,
        why: Failing,
    ) {
        let [institution, token] = self.token_labels(institution, token);
        let purpose = KeyValue::new("purpose", purpose.name());
        let why = KeyValue::new("reason", why.name());
        let failovers = &self.0.calls.failovers;
        failovers.add(count, &[institution, token, purpose, why]);
    }

    /// The institution's token made a signature of this kind that does not verify.
    pub fn faulty_signature(&self, institution: &InstitutionId, kind: Kind) {
        let label = self.0.institutions.label(Some(institution));
        let labels = [label, KeyValue::new("operation", kind.name())];
        self.0.calls.faulty.add(1, &labels);
    }
}

impl TokenMeter {
    /// Work waited this long for a thread.
    pub fn waited(&self, time: Duration) {
        self.metrics
            .0
            .calls
            .waited
            .record(time.as_secs_f64(), &self.waited);
    }

    /// A call took this long.
    pub fn called(&self, call: Call, time: Duration) {
        let took = &self.metrics.0.calls.took;
        for (_, labels) in self.calls.iter().filter(|(known, _)| *known == call) {
            took.record(time.as_secs_f64(), labels);
        }
    }
}

/// How a token stands.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// Whose it is.
    pub institution: InstitutionId,
    /// Its label.
    pub token: String,
    /// The word for its health, one of the words that are given with it.
    pub health: &'static str,
    /// Work that waits.
    pub queue_depth: u64,
    /// Work that may wait.
    pub queue_capacity: u64,
    /// Worker processes that serve.
    pub workers: u64,
    /// Worker processes that ended or hung.
    pub replaced: u64,
    /// Threads alive.
    pub threads: u64,
    /// Threads in a call.
    pub threads_busy: u64,
    /// Sessions open.
    pub sessions: u64,
    /// How long the longest call under way has lasted.
    pub longest_call: Duration,
    /// Signatures made.
    pub signatures: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Work dropped unsigned.
    pub expired: u64,
    /// Logins made.
    pub logins: u64,
}

type Read = Arc<dyn Fn() -> Vec<TokenState> + Send + Sync>;

impl Metrics {
    /// Has `read` asked how the tokens stand whenever the numbers are looked at; `healths` are all the words for health.
    pub fn observe_tokens(
        &self,
        healths: &'static [&'static str],
        read: impl Fn() -> Vec<TokenState> + Send + Sync + 'static,
    ) {
        let read: Read = Arc::new(read);
        self.token_gauge(&catalog::HSM_QUEUE, &read, |token| token.queue_depth);
        self.token_gauge(&catalog::HSM_CAPACITY, &read, |token| token.queue_capacity);
        self.token_gauge(&catalog::HSM_WORKERS, &read, |token| token.workers);
        self.token_counter(&catalog::HSM_REPLACED, &read, |token| token.replaced);
        self.token_gauge(&catalog::HSM_THREADS, &read, |token| token.threads);
        self.token_gauge(&catalog::HSM_BUSY, &read, |token| token.threads_busy);
        self.token_gauge(&catalog::HSM_SESSIONS, &read, |token| token.sessions);
        self.token_counter(&catalog::HSM_SIGNATURES, &read, |token| token.signatures);
        self.token_counter(&catalog::HSM_FAILURES, &read, |token| token.failures);
        self.token_counter(&catalog::HSM_EXPIRED, &read, |token| token.expired);
        self.token_counter(&catalog::HSM_LOGINS, &read, |token| token.logins);
        self.longest_calls(&read);
        self.healths(healths, &read);
    }

    fn token_gauge(&self, spec: &Spec, read: &Read, value: fn(&TokenState) -> u64) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let gauge = self
            .0
            .meter
            .u64_observable_gauge(spec.name)
            .with_description(spec.help);
        let observed = gauge.with_callback(move |observer| {
            for token in read() {
                let labels = metrics.token_labels(&token.institution, &token.token);
                observer.observe(value(&token), &labels);
            }
        });
        observed.build();
    }

    fn token_counter(&self, spec: &Spec, read: &Read, value: fn(&TokenState) -> u64) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let counter = self
            .0
            .meter
            .u64_observable_counter(spec.name)
            .with_description(spec.help);
        let observed = counter.with_callback(move |observer| {
            for token in read() {
                let labels = metrics.token_labels(&token.institution, &token.token);
                observer.observe(value(&token), &labels);
            }
        });
        observed.build();
    }

    fn longest_calls(&self, read: &Read) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let spec = &catalog::HSM_LONGEST;
        let gauge = self
            .0
            .meter
            .f64_observable_gauge(spec.name)
            .with_description(spec.help);
        let observed = gauge.with_callback(move |observer| {
            for token in read() {
                let labels = metrics.token_labels(&token.institution, &token.token);
                observer.observe(token.longest_call.as_secs_f64(), &labels);
            }
        });
        observed.build();
    }

    fn healths(&self, healths: &'static [&'static str], read: &Read) {
        let (metrics, read) = (self.clone(), Arc::clone(read));
        let spec = &catalog::HSM_HEALTH;
        let gauge = self
            .0
            .meter
            .u64_observable_gauge(spec.name)
            .with_description(spec.help);
        let observed = gauge.with_callback(move |observer| {
            for token in read() {
                let [institution, label] = metrics.token_labels(&token.institution, &token.token);
                for health in healths {
                    let reason = KeyValue::new("reason", *health);
                    let labels = [institution.clone(), label.clone(), reason];
                    observer.observe(u64::from(*health == token.health), &labels);
                }
            }
        });
        observed.build();
    }
}
