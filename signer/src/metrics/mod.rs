//! Owns what is measured: the instruments, made once from the [`catalog`], and the verbs by which the parts of the service
//! record. Where the numbers go is not known here: to nobody with [`Metrics::none`].
//!
//! A label is a word of this program, an institution of the configuration or a key of one, so that no caller can make new
//! series.

pub mod catalog;
mod connections;
mod exports;
mod flow;
mod keys;
mod limits;
mod roots;
mod rpc;
mod standing;
mod store;
mod tokens;

use std::{collections::BTreeMap, fmt, sync::Arc};

use opentelemetry::{
    KeyValue,
    metrics::{
        Counter, Gauge, Histogram, Meter, MeterProvider as _, UpDownCounter,
        noop::NoopMeterProvider,
    },
};
use semops_objects::institution::InstitutionId;

use self::{
    catalog::Spec, connections::Connections, flow::Stages, limits::Limits, rpc::Rpcs,
    standing::Standing, store::Commits, tokens::Calls,
};
pub use self::{
    connections::{Ended, OpenConnection, Turned},
    exports::Export,
    flow::{Flow, Stage},
    keys::KeyMoments,
    roots::RootMoments,
    rpc::{CLIENT_GONE, Rpc, UNKNOWN},
    standing::Swept,
    store::{Retried, Written},
    tokens::{Call, Failing, TokenMeter, TokenState},
};

/// The target of spans that are for traces alone: no log shows them.
pub const TRACES: &str = "signer::traces";

/// From 100 us, a step of a flow, to 10 s, SEMOPS's bound from end to end.
const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// A group has at most 256 rows.
const ROWS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The way to every instrument; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    meter: Meter,
    institutions: Institutions,
    rpcs: Rpcs,
    stages: Stages,
    calls: Calls,
    limits: Limits,
    commits: Commits,
    standing: Standing,
    connections: Connections,
}

/// The label of each institution, made once.
struct Institutions {
    known: BTreeMap<InstitutionId, KeyValue>,
    none: KeyValue,
}

impl Institutions {
    /// Every label, that of nobody included.
    fn all(&self) -> impl Iterator<Item = &KeyValue> {
        self.known.values().chain([&self.none])
    }

    /// The label; `none` for one that is not of the configuration.
    fn label(&self, institution: Option<&InstitutionId>) -> KeyValue {
        let known = institution.and_then(|institution| self.known.get(institution));
        known.unwrap_or(&self.none).clone()
    }
}

impl Metrics {
    /// The instruments of this meter, for these institutions and no others.
    pub fn new<'a>(
        meter: Meter,
        institutions: impl IntoIterator<Item = &'a InstitutionId>,
    ) -> Self {
        let label =
            |id: &InstitutionId| KeyValue::new("institution", Arc::<str>::from(id.as_str()));
        let institutions = Institutions {
            known: institutions
                .into_iter()
                .map(|id| (id.clone(), label(id)))
                .collect(),
            none: KeyValue::new("institution", "none"),
        };
        let metrics = Self(Arc::new(Instruments {
            rpcs: Rpcs::new(&meter),
            stages: Stages::new(&meter, &institutions),
            calls: Calls::new(&meter),
            limits: Limits::new(&meter),
            commits: Commits::new(&meter),
            standing: Standing::new(&meter),
            connections: Connections::new(&meter),
            meter,
            institutions,
        }));
        metrics.no_limit_refused_yet();
        metrics.no_connection_ended_yet();
        metrics.nothing_retried_yet();
        metrics.no_signature_faulty_yet();
        metrics
    }

    /// Instruments that record nothing.
    pub fn none() -> Self {
        Self::new(NoopMeterProvider::new().meter("none"), [])
    }
}

/// For the debug output of what holds it.
impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn counter(meter: &Meter, spec: &Spec) -> Counter<u64> {
    meter
        .u64_counter(spec.name)
        .with_description(spec.help)
        .build()
}

fn up_down(meter: &Meter, spec: &Spec) -> UpDownCounter<i64> {
    meter
        .i64_up_down_counter(spec.name)
        .with_description(spec.help)
        .build()
}

fn gauge(meter: &Meter, spec: &Spec) -> Gauge<u64> {
    meter
        .u64_gauge(spec.name)
        .with_description(spec.help)
        .build()
}

fn seconds(meter: &Meter, spec: &Spec) -> Histogram<f64> {
    let histogram = meter.f64_histogram(spec.name).with_description(spec.help);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}

fn rows(meter: &Meter, spec: &Spec) -> Histogram<u64> {
    let histogram = meter.u64_histogram(spec.name).with_description(spec.help);
    histogram.with_boundaries(ROWS.to_vec()).build()
}
