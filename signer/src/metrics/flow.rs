//! Owns what is measured of an operation: how long each of its stages took, for the histogram and as a span of the trace.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Instant};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use semops_objects::institution::InstitutionId;
use tracing::{Instrument as _, Span, trace_span};

use super::{Institutions, Metrics, TRACES, catalog, seconds};
use crate::domain::operation::Kind;

/// A stage of an operation, as the house plan numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What stands in the record about it.
    Recall,
    /// The phone's signature, certificate and status.
    Prove,
    /// Policy.
    Decide,
    /// Recording the intent.
    Begin,
    /// The wait for the token and its call.
    Sign,
    /// Recording the end.
    Complete,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] = [
        Self::Recall,
        Self::Prove,
        Self::Decide,
        Self::Begin,
        Self::Sign,
        Self::Complete,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Prove => "prove",
            Self::Decide => "decide",
            Self::Begin => "begin",
            Self::Sign => "sign",
            Self::Complete => "complete",
        }
    }

    fn span(self) -> Span {
        trace_span!(target: TRACES, "stage", otel.name = self.name())
    }
}

type Labels = [KeyValue; 3];

pub(super) struct Stages {
    took: Histogram<f64>,
    known: BTreeMap<InstitutionId, Arc<OfInstitution>>,
    none: Arc<OfInstitution>,
}

/// The labels of one institution's stages, made once: they are looked up six times per order.
struct OfInstitution {
    authorization: OfOperation,
    device_certificate: OfOperation,
    crl: OfOperation,
    authorization_certificate: OfOperation,
    key_certificate: OfOperation,
    certification_request: OfOperation,
}

struct OfOperation {
    recall: Labels,
    prove: Labels,
    decide: Labels,
    begin: Labels,
    sign: Labels,
    complete: Labels,
}

impl OfInstitution {
    fn new(institution: &KeyValue) -> Self {
        let operation = |kind: Kind| {
            let labels = |stage: Stage| {
                [
                    KeyValue::new("operation", kind.name()),
                    KeyValue::new("stage", stage.name()),
                    institution.clone(),
                ]
            };
            OfOperation {
                recall: labels(Stage::Recall),
                prove: labels(Stage::Prove),
                decide: labels(Stage::Decide),
                begin: labels(Stage::Begin),
                sign: labels(Stage::Sign),
                complete: labels(Stage::Complete),
            }
        };
        Self {
            authorization: operation(Kind::Authorization),
            device_certificate: operation(Kind::DeviceCertificate),
            crl: operation(Kind::Crl),
            authorization_certificate: operation(Kind::AuthorizationCertificate),
            key_certificate: operation(Kind::KeyCertificate),
            certification_request: operation(Kind::CertificationRequest),
        }
    }

    const fn labels(&self, kind: Kind, stage: Stage) -> &Labels {
        let operation = match kind {
            Kind::Authorization => &self.authorization,
            Kind::DeviceCertificate => &self.device_certificate,
            Kind::Crl => &self.crl,
            Kind::AuthorizationCertificate => &self.authorization_certificate,
            Kind::KeyCertificate => &self.key_certificate,
            Kind::CertificationRequest => &self.certification_request,
        };
        match stage {
            Stage::Recall => &operation.recall,
            Stage::Prove => &operation.prove,
            Stage::Decide => &operation.decide,
            Stage::Begin => &operation.begin,
            Stage::Sign => &operation.sign,
            Stage::Complete => &operation.complete,
        }
    }
}

impl Stages {
    pub(super) fn new(meter: &Meter, institutions: &Institutions) -> Self {
        let known = institutions.known.iter();
        let made = |label: &KeyValue| Arc::new(OfInstitution::new(label));
        Self {
            took: seconds(meter, &catalog::STAGE_DURATION),
            known: known.map(|(id, label)| (id.clone(), made(label))).collect(),
            none: made(&institutions.none),
        }
    }
}

/// One operation under way.
#[derive(Clone)]
pub struct Flow {
    metrics: Metrics,
    of: Arc<OfInstitution>,
    kind: Kind,
}

impl Metrics {
    /// An operation of this kind, for this institution.
    pub fn flow(&self, kind: Kind, institution: &InstitutionId) -> Flow {
        let stages = &self.0.stages;
        Flow {
            of: Arc::clone(stages.known.get(institution).unwrap_or(&stages.none)),
            metrics: self.clone(),
            kind,
        }
    }
}

impl Flow {
    /// Has a stage done, and measures it. A stage that is dropped unfinished is not measured.
    pub async fn stage<T>(&self, stage: Stage, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.instrument(stage.span()).await;
        self.took(stage, began);
        done
    }

    /// The same for a stage that does not wait.
    pub fn step<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = stage.span().in_scope(work);
        self.took(stage, began);
        done
    }

    fn took(&self, stage: Stage, began: Instant) {
        let took = &self.metrics.0.stages.took;
        took.record(
            began.elapsed().as_secs_f64(),
            self.of.labels(self.kind, stage),
        );
    }
}
