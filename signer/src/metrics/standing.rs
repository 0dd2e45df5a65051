//! Owns what is measured of how things stand: intents, documents, the process. The schedule refreshes it; a
//! look at the numbers reads no store.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter},
};
use semops_objects::institution::InstitutionId;

use super::{Metrics, catalog, counter, gauge};
use crate::{
    clock::Timestamp,
    domain::{document::DocumentKind, reason::Reason, retention::Kept},
};

pub(super) struct Standing {
    pending: Gauge<u64>,
    overdue: Gauge<u64>,
    swept: Counter<u64>,
    pruned: Counter<u64>,
    generation: Gauge<u64>,
    version: Gauge<u64>,
    unapproved: Gauge<u64>,
    unread: Gauge<u64>,
    recoveries: Gauge<u64>,
    destructions: Gauge<u64>,
    server_until: Gauge<u64>,
    leader: Gauge<u64>,
    build: Gauge<u64>,
    started: Gauge<u64>,
}

impl Standing {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            pending: gauge(meter, &catalog::INTENTS_PENDING),
            overdue: gauge(meter, &catalog::INTENTS_OVERDUE),
            swept: counter(meter, &catalog::INTENTS_SWEPT),
            pruned: counter(meter, &catalog::ROWS_PRUNED),
            generation: gauge(meter, &catalog::DOCUMENTS_GENERATION),
            version: gauge(meter, &catalog::DOCUMENT_VERSION),
            unapproved: gauge(meter, &catalog::UNAPPROVED),
            unread: gauge(meter, &catalog::ROOTS_NOT_TAKEN),
            recoveries: gauge(meter, &catalog::RECOVERIES),
            destructions: gauge(meter, &catalog::DESTRUCTIONS),
            server_until: gauge(meter, &catalog::SERVER_UNTIL),
            leader: gauge(meter, &catalog::LEADER),
            build: gauge(meter, &catalog::BUILD),
            started: gauge(meter, &catalog::STARTED),
        }
    }
}

/// How the sweep closed operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Orders, past their `exp`.
    Expired,
    /// Others, past their time.
    Overdue,
}

impl Swept {
    const fn name(self) -> &'static str {
        match self {
            Self::Expired => Reason::OrderExpired.name(),
            Self::Overdue => Reason::Overdue.name(),
        }
    }
}

impl Metrics {
    /// The process, from its start on.
    pub fn process(&self, version: &'static str, started: Timestamp) {
        let standing = &self.0.standing;
        standing
            .build
            .record(1, &[KeyValue::new("version", version)]);
        standing.started.record(moment(started), &[]);
        // A counter shows once it has counted: at zero here, so that a rise from nothing is seen.
        for swept in [Swept::Expired, Swept::Overdue] {
            self.swept(swept, 0);
        }
        for kept in Kept::ALL {
            self.pruned(kept, 0);
        }
    }

    /// Whether this process does the scheduled work that one does for all of the record.
    pub fn leads(&self, leads: bool) {
        self.0.standing.leader.record(u64::from(leads), &[]);
    }

    /// Operations recorded and not ended, and how many of them are past their time.
    pub fn intents(&self, pending: u64, overdue: u64) {
        self.0.standing.pending.record(pending, &[]);
        self.0.standing.overdue.record(overdue, &[]);
    }

    /// The sweep closed so many.
    pub fn swept(&self, how: Swept, count: u64) {
        self.0
            .standing
            .swept
            .add(count, &[KeyValue::new("reason", how.name())]);
    }

    /// So many rows were removed.
    pub fn pruned(&self, kept: Kept, count: u64) {
        self.0
            .standing
            .pruned
            .add(count, &[KeyValue::new("kind", kept.name())]);
    }

    /// The documents' generation.
    pub fn documents(&self, generation: u64) {
        self.0.standing.generation.record(generation, &[]);
    }

    /// A document in force.
    pub fn document(&self, institution: &InstitutionId, kind: DocumentKind, version: u64) {
        let label = self.0.institutions.label(Some(institution));
        self.0
            .standing
            .version
            .record(version, &[label, KeyValue::new("kind", kind.name())]);
    }

    /// Whether a part of what rules an institution is not approved.
    pub fn unapproved(&self, institution: &InstitutionId, what: &'static str, is: bool) {
        let label = self.0.institutions.label(Some(institution));
        self.0
            .standing
            .unapproved
            .record(u64::from(is), &[label, KeyValue::new("what", what)]);
    }

    /// Whether the roots as they were last read are not those in use.
    pub fn roots_not_taken(&self, is: bool) {
        self.0.standing.unread.record(u64::from(is), &[]);
    }

    /// How many recoveries of an institution's custodians wait.
    pub fn recoveries(&self, institution: &InstitutionId, count: u64) {
        let label = self.0.institutions.label(Some(institution));
        self.0.standing.recoveries.record(count, &[label]);
    }

    /// How many keys of an institution are to be destroyed, and are not.
    pub fn destructions(&self, institution: &InstitutionId, count: u64) {
        let label = self.0.institutions.label(Some(institution));
        self.0.standing.destructions.record(count, &[label]);
    }

    /// Until when the server's TLS certificate is valid.
    pub fn server_certificate(&self, until: Timestamp) {
        self.0.standing.server_until.record(moment(until), &[]);
    }

    /// Has `read` asked whether the service takes requests whenever the numbers are looked at.
    pub fn observe_ready(&self, read: impl Fn() -> bool + Send + Sync + 'static) {
        let spec = &catalog::READY;
        let gauge = self
            .0
            .meter
            .u64_observable_gauge(spec.name)
            .with_description(spec.help);
        gauge
            .with_callback(move |observer| observer.observe(u64::from(read()), &[]))
            .build();
    }

    /// Has `read` asked for how long no order is co-signed yet, whenever the numbers are looked at.
    pub fn observe_hold(&self, read: impl Fn() -> Duration + Send + Sync + 'static) {
        let spec = &catalog::HOLD;
        let gauge = self
            .0
            .meter
            .f64_observable_gauge(spec.name)
            .with_description(spec.help);
        gauge
            .with_callback(move |observer| observer.observe(read().as_secs_f64(), &[]))
            .build();
    }
}

/// Seconds since 1970.
pub(super) fn moment(moment: Timestamp) -> u64 {
    u64::try_from(moment.seconds()).unwrap_or(0)
}
