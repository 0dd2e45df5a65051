//! The collector gets the numbers that everybody can read; one that is away or hangs disturbs nothing, and no variable of
//! the environment turns anything.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use e2e::{
    collector::{Collector, configuration, text},
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    until::until,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point::Value};
use softhsm_setup::scheme::Role;
use tokio::{net::TcpListener, task::JoinHandle};

use super::traces::prepare;

const SOON: Duration = Duration::from_secs(60);

/// The sum over a counter's series.
fn sum(metrics: &[Metric], name: &str) -> i64 {
    let metric = metrics
        .iter()
        .find(|metric| metric.name == name)
        .expect(name);
    let Some(Data::Sum(sum)) = &metric.data else {
        panic!("{name} is no counter")
    };
    let values = sum.data_points.iter().map(|point| match point.value {
        Some(Value::AsInt(value)) => value,
        _ => panic!("{name} is no whole number"),
    });
    values.sum()
}

async fn pay(deployment: &Deployment, times: usize) -> Result<(), Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    for _ in 0..times {
        alfa.cosign_order(customer.asks(&order("1.00", "CNY")?)?)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_collector_gets_what_everybody_can_read() -> Result<(), Failure> {
    let collector = Collector::start().await?;
    let mut deployment = prepare(&collector.configuration())?;
    // What the libraries would take from the environment.
    let mut signer = deployment.signer()?;
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-of-the-environment=taken"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "x-of-the-environment=taken",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "of.the.environment=taken"),
        ("OTEL_SERVICE_NAME", "of-the-environment"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("RUST_LOG", "trace"),
    ] {
        signer.env(name, value);
    }
    deployment.start_with(signer).await?;
    pay(&deployment, 5).await?;
    let numbers = Numbers::of(&deployment)?;
    deployment.stop().await?;

    let seen = collector.seen();
    for name in ["semops_rpc_requests_total", "semops_hsm_signatures_total"] {
        assert_eq!(
            sum(&seen.metrics, name),
            i64::try_from(numbers.count(name, &[]))?,
            "{name}"
        );
    }
    let there: BTreeSet<_> = numbers.types().keys().map(String::as_str).collect();
    let here: BTreeSet<_> = seen
        .metrics
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    // The end may have brought one that was not there before.
    assert!(there.is_subset(&here), "{there:?}\n{here:?}");
    let payments = seen
        .spans
        .iter()
        .filter(|span| span.name.ends_with("/CosignOrder"))
        .count();
    assert_eq!(payments, 5);
    for resource in &seen.resources {
        let keys: BTreeSet<_> = resource
            .attributes
            .iter()
            .map(|one| one.key.as_str())
            .collect();
        assert_eq!(
            keys,
            ["service.instance.id", "service.name", "service.version"].into()
        );
        assert_eq!(
            text(&resource.attributes, "service.name"),
            Some("semops-signer")
        );
    }
    let octets = String::from_utf8_lossy(&seen.octets);
    assert!(octets.contains("CosignOrder") && !octets.contains("environment"));
    assert!(!deployment.log().contains("TRACE"));
    deployment.start().await?;
    recheck(&mut deployment).await.map(drop)
}

/// Takes connections and never says a word.
async fn hanging() -> Result<(SocketAddr, JoinHandle<()>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Ok((address, held))
}

/// Nobody listens there.
async fn away() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

#[tokio::test]
async fn a_collector_that_does_not_take_it_disturbs_nothing() -> Result<(), Failure> {
    let (hanging, held) = hanging().await?;
    for address in [away().await?, hanging] {
        let mut deployment = prepare(&configuration(address))?;
        deployment.start().await?;
        pay(&deployment, 20).await?;
        until("lost traces", SOON, async || {
            let labels = [("operation", "traces"), ("reason", "LOST")];
            let lost = Numbers::of(&deployment)?.count("semops_telemetry_exports_total", &labels);
            // On a quiet machine all spans of these orders are one batch.
            Ok((lost > 0).then_some(()))
        })
        .await?;
        pay(&deployment, 20).await?;
        let numbers = Numbers::of(&deployment)?;
        let sent = numbers.count("semops_telemetry_exports_total", &[("reason", "SENT")]);
        assert_eq!(sent, 0);
        let ok = [
            ("method", "/semops.signer.v1.CosigningService/CosignOrder"),
            ("code", "OK"),
        ];
        assert_eq!(numbers.count("semops_rpc_requests_total", &ok), 40);
        // Told once for each kind, and not with every batch.
        deployment.stop().await?;
        let told = deployment
            .log()
            .matches("the collector does not take telemetry")
            .count();
        assert!((1..=2).contains(&told), "{told}");
        deployment.start().await?;
        let checked = recheck(&mut deployment).await?;
        assert_eq!(checked.authorizations, 40);
    }
    held.abort();
    Ok(())
}
