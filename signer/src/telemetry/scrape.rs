//! Owns the reading of all instruments as Prometheus text.

use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Encoder as _, Registry, TextEncoder};

use super::TelemetryError;

/// Reads the instruments; cheap to clone.
#[derive(Clone)]
pub(crate) struct Scrape(Registry);

impl Scrape {
    /// With the reader to be added to the instruments.
    pub(super) fn new() -> Result<(Self, PrometheusExporter), TelemetryError> {
        let registry = Registry::new();
        // Names are complete as they stand in the catalogue.
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        let reader = reader.map_err(|e| TelemetryError(e.to_string()))?;
        Ok((Self(registry), reader))
    }

    /// Its media type.
    pub(crate) const MEDIA_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// Everything, now. Takes about a millisecond.
    ///
    /// # Errors
    /// A name or label that Prometheus does not take: a fault of this program.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::{Duration, Instant},
    };

    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use semops_objects::institution::InstitutionId;

    use super::*;
    use crate::{
        clock::Timestamp,
        domain::{
            document::DocumentKind,
            key::{KeyId, Purpose},
            operation::Kind,
        },
        metrics::{
            Call, Ended, Export, KeyMoments, Metrics, Retried, RootMoments, Stage, Swept,
            TokenState, Turned, UNKNOWN, Written, catalog,
        },
        telemetry::bounded,
    };

    fn id(text: &str) -> InstitutionId {
        text.parse().unwrap()
    }

    fn measured() -> (SdkMeterProvider, Metrics, Scrape) {
        let (scrape, reader) = Scrape::new().unwrap();
        let provider = SdkMeterProvider::builder()
            .with_view(|instrument: &_| bounded(instrument, 2))
            .with_reader(reader)
            .build();
        let metrics = Metrics::new(provider.meter("test"), [&id("alfa"), &id("beta")]);
        (provider, metrics, scrape)
    }

    fn token(institution: &InstitutionId) -> TokenState {
        TokenState {
            token: "first".to_owned(),
            institution: institution.clone(),
            health: "SERVING",
            queue_depth: 1,
            queue_capacity: 2,
            threads: 3,
            threads_busy: 4,
            sessions: 5,
            longest_call: Duration::from_millis(1500),
            signatures: 6,
            failures: 7,
            expired: 8,
            logins: 9,
            workers: 10,
            replaced: 11,
        }
    }

    fn key(of: &InstitutionId) -> KeyMoments {
        let then = Timestamp::from_seconds(1_800_000_000);
        KeyMoments {
            institution: of.clone(),
            purpose: Purpose::SigningCa,
            key: KeyId::new([7; 32]),
            since: then,
            ends: then,
            until: then,
            missing: false,
            worn: Some((1, 2)),
            crl: Some((then, then)),
        }
    }

    /// Every verb, for an institution.
    fn record_all(metrics: &Metrics, of: &InstitutionId) {
        let (then, took) = (
            Timestamp::from_seconds(1_800_000_000),
            Duration::from_millis(1),
        );
        let mut rpc = metrics.rpc("/a.b/C", Instant::now());
        rpc.called_by(of);
        rpc.answered("NOT_FOUND", "ORDER_NOT_FOUND");
        metrics
            .flow(Kind::Authorization, of)
            .step(Stage::Prove, || ());
        let meter = metrics.token(of, "first");
        meter.waited(took);
        meter.called(Call::Sign, took);
        meter.called(Call::Random, took);
        metrics.limits_admitted(Some(of), "caller");
        metrics.limit_refused(Some(of), "device");
        metrics.committed(Written::Begin, 3, took);
        metrics.process("1", then);
        metrics.intents(4, 1);
        metrics.swept(Swept::Expired, 2);
        metrics.documents(7);
        metrics.document(of, DocumentKind::Policy, 3);
        metrics.server_certificate(then);
        metrics.turned_away(Turned::Slow);
        metrics.disconnected(Ended::Age);
        metrics.room(16, 32);
        metrics.retried(Retried::Deadlock);
        metrics.store_clock(took);
        metrics.faulty_signature(of, Kind::Crl);
        metrics.leads(true);
        metrics.unapproved(of, "keys", true);
        metrics.recoveries(of, 1);
        metrics.destructions(of, 1);
        metrics.roots_not_taken(true);
    }

    /// The series by name, each with its labels.
    fn series(scrape: &Scrape) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
        let mut found = BTreeMap::<_, Vec<_>>::new();
        for family in scrape.0.gather() {
            for metric in family.get_metric() {
                let labels = metric.get_label().iter();
                let labels = labels.map(|l| (l.name().to_owned(), l.value().to_owned()));
                found
                    .entry(family.name().to_owned())
                    .or_default()
                    .push(labels.collect());
            }
        }
        found
    }

    #[test]
    fn all_that_is_in_the_catalogue_is_recorded_with_its_labels_and_no_others() {
        let (_provider, metrics, scrape) = measured();
        let alfa = id("alfa");
        let _open = metrics.connected();
        record_all(&metrics, &alfa);
        let key = key(&alfa);
        let root = ("device-root", key.key, key.until);
        metrics.observe_keys(move || vec![key.clone()]);
        metrics.observe_roots(move || RootMoments {
            change: 1,
            crls: vec![root],
        });
        metrics.observe_tokens(&["SERVING", "FATAL"], move || vec![token(&alfa)]);
        let export = Export {
            what: "traces",
            sent: 1,
            lost: 2,
        };
        metrics.observe_exports(move || {
            [
                export,
                Export {
                    what: "metrics",
                    ..export
                },
            ]
        });
        metrics.observe_ready(|| true);
        metrics.observe_hold(|| Duration::from_secs(1));
        let found = series(&scrape);
        let names: BTreeSet<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, catalog::ALL.iter().map(|spec| spec.name).collect());
        for spec in catalog::ALL {
            let keys: BTreeSet<_> = spec
                .labels
                .iter()
                .flat_map(|label| label.keys())
                .copied()
                .collect();
            for labels in &found[spec.name] {
                assert_eq!(
                    labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                    keys,
                    "{}",
                    spec.name
                );
            }
            assert!(found[spec.name].len() <= spec.series(2), "{}", spec.name);
        }
    }

    #[test]
    fn whoever_is_not_configured_is_nobody() {
        let (_provider, metrics, scrape) = measured();
        for number in 0..1000 {
            record_all(&metrics, &id(&format!("stranger-{number}")));
            drop(metrics.rpc(UNKNOWN, Instant::now()));
        }
        let found = series(&scrape);
        for (name, series) in &found {
            for labels in series {
                let institution = labels.get("institution").map_or("none", String::as_str);
                assert!(["alfa", "beta", "none"].contains(&institution), "{name}");
            }
        }
        assert_eq!(found["semops_stage_duration_seconds"].len(), 1);
        // One answered, one whose client went away.
        assert_eq!(found["semops_rpc_requests_total"].len(), 2);
    }

    #[test]
    fn the_text_says_what_was_measured() {
        let (_provider, metrics, scrape) = measured();
        let alfa = id("alfa");
        let mut rpc = metrics.rpc("/a.b/C", Instant::now());
        let text = || String::from_utf8(scrape.text().unwrap()).unwrap();
        let in_flight = |count| format!("semops_rpc_in_flight{{method=\"/a.b/C\"}} {count}\n");
        assert!(text().contains(&in_flight(1)), "{}", text());
        rpc.called_by(&alfa);
        rpc.answered("OK", "none");
        for expected in [
            in_flight(0).as_str(),
            "# TYPE semops_rpc_requests_total counter\n",
            "semops_rpc_requests_total{code=\"OK\",institution=\"alfa\",method=\"/a.b/C\",reason=\"none\"} 1\n",
            "semops_rpc_duration_seconds_bucket{institution=\"alfa\",method=\"/a.b/C\",le=\"0.0001\"} ",
            "semops_rpc_duration_seconds_bucket{institution=\"alfa\",method=\"/a.b/C\",le=\"10\"} 1\n",
            "semops_rpc_duration_seconds_count{institution=\"alfa\",method=\"/a.b/C\"} 1\n",
        ] {
            assert!(
                text().contains(expected),
                "{expected} is not in\n{}",
                text()
            );
        }
    }
}
