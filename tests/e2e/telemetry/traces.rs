//! A request is one trace: the caller's, with the request id, each stage, and the call of the token below it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use e2e::{
    collector::{Collector, text},
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    raw::{self, Answer},
    recheck::recheck,
    token::{Aside, folder},
    until::until,
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message as _;
use semops_proto::v1;
use softhsm_setup::scheme::{Role, Scheme};
use tonic::{Code, codegen::http::HeaderValue, transport::Channel};

const COSIGN: &str = "/semops.signer.v1.CosigningService/CosignOrder";
const SOON: Duration = Duration::from_secs(60);
const SPAN: &str = "00f067aa0ba902b7";
/// What a span may say: of what the domain allows a log to say.
const MAY_SAY: [&str; 7] = [
    "request",
    "method",
    "caller",
    "institution",
    "result",
    "reason",
    "key",
];

/// A deployment whose traces and metrics go to `collector`.
pub(super) fn prepare(tables: &str) -> Result<Deployment, Failure> {
    let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.configure("[log]\n", &format!("{tables}\n[log]\n"))?;
    Ok(deployment)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A trace id of this number.
fn trace(number: u8) -> String {
    format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}")
}

async fn cosign(
    channel: &Channel,
    ask: &v1::CosignOrderRequest,
    parent: Option<&str>,
) -> Result<Answer, Failure> {
    let mut request = raw::request(COSIGN, raw::framed(&ask.encode_to_vec()))?;
    if let Some(parent) = parent {
        let headers = request.headers_mut();
        headers.insert("traceparent", HeaderValue::from_str(parent)?);
        headers.insert("tracestate", HeaderValue::from_static("bank=17"));
    }
    raw::send(channel, request).await
}

/// The spans of the request with this id, once its outermost is there.
async fn spans_of(collector: &Collector, answer: &Answer) -> Result<Vec<Span>, Failure> {
    let id = answer
        .request_id()
        .expect("every answer has one")
        .to_owned();
    until("the spans of a request", SOON, async || {
        let spans = collector.seen().spans;
        let ours = |span: &&Span| text(&span.attributes, "request") == Some(&id);
        let Some(trace) = spans.iter().find(ours).map(|span| span.trace_id.clone()) else {
            return Ok(None);
        };
        Ok(Some(
            spans
                .into_iter()
                .filter(|span| span.trace_id == trace)
                .collect(),
        ))
    })
    .await
}

#[tokio::test]
async fn a_payment_is_one_trace_of_its_caller() -> Result<(), Failure> {
    let collector = Collector::start().await?;
    let mut deployment = prepare(&collector.configuration())?;
    deployment.start().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;

    let ask = customer.asks(&order("1.00", "CNY")?)?;
    let answer = cosign(&channel, &ask, Some(&format!("00-{}-{SPAN}-01", trace(1)))).await?;
    assert_eq!(answer.status.code(), Code::Ok);
    let spans = spans_of(&collector, &answer).await?;
    let rpc = outermost(&spans, &answer);
    assert_eq!(
        (hex(&rpc.trace_id), hex(&rpc.parent_span_id)),
        (trace(1), SPAN.to_owned())
    );
    assert_eq!(
        (rpc.name.as_str(), rpc.kind),
        (COSIGN, SpanKind::Server.into())
    );
    assert_eq!(rpc.trace_state, "bank=17");
    for (key, value) in [
        ("method", COSIGN),
        ("caller", "spiffe://semops.example/alfa/payments/backend"),
        ("institution", "alfa"),
        ("result", "OK"),
    ] {
        assert_eq!(text(&rpc.attributes, key), Some(value), "{key}");
    }

    let named: BTreeMap<_, _> = spans
        .iter()
        .map(|span| (span.name.as_str(), span))
        .collect();
    let stages = ["recall", "prove", "decide", "begin", "sign", "complete"];
    let names: BTreeSet<_> = stages.into_iter().chain([COSIGN, "C_Sign"]).collect();
    assert_eq!(named.keys().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(spans.len(), names.len(), "each once");
    for stage in stages {
        assert_eq!(named[stage].parent_span_id, rpc.span_id, "{stage}");
    }
    let call = named["C_Sign"];
    assert_eq!(call.parent_span_id, named["sign"].span_id);
    assert_eq!(
        text(&call.attributes, "key"),
        Some(deployment_key(&deployment)?.as_str())
    );
    for span in &spans {
        for attribute in &span.attributes {
            assert!(
                MAY_SAY.contains(&attribute.key.as_str()),
                "{} in {}",
                attribute.key,
                span.name
            );
        }
        assert!(
            span.events.is_empty() && span.links.is_empty(),
            "{}",
            span.name
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    recheck(&mut deployment).await.map(drop)
}

/// The id of alfa's authorization key, from its certificate.
fn deployment_key(deployment: &Deployment) -> Result<String, Failure> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let chain = deployment
        .directory()
        .path()
        .join("alfa/authorization-chain.pem");
    let chain =
        semops_pki::certificate::Certificate::chain_from_pem(&std::fs::read_to_string(chain)?)?;
    Ok(URL_SAFE_NO_PAD.encode(semops_objects::jwk::thumbprint(chain[0].public_key())))
}

fn outermost<'a>(spans: &'a [Span], answer: &Answer) -> &'a Span {
    let id = answer.request_id();
    spans
        .iter()
        .find(|span| text(&span.attributes, "request") == id)
        .expect("found before")
}

#[tokio::test]
async fn a_trace_goes_on_only_where_its_caller_records_it() -> Result<(), Failure> {
    let collector = Collector::start().await?;
    let mut deployment = prepare(&collector.configuration())?;
    deployment.start().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;
    let ask = async |parent: Option<&str>| {
        let ask = customer.asks(&order("1.00", "CNY")?)?;
        cosign(&channel, &ask, parent).await
    };

    // Not recorded by the caller.
    let silent = ask(Some(&format!("00-{}-{SPAN}-00", trace(1)))).await?;
    // Malformed: as if it were not there, so that a trace begins here.
    for parent in [
        format!("00-{}-{SPAN}", trace(2)),
        format!("00-{}-{SPAN}-01-x", trace(2)),
        "x".repeat(4000),
    ] {
        let answer = ask(Some(&parent)).await?;
        assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
        let spans = spans_of(&collector, &answer).await?;
        let rpc = outermost(&spans, &answer);
        assert!(rpc.parent_span_id.is_empty() && rpc.trace_state.is_empty());
        assert_ne!(hex(&rpc.trace_id), trace(2));
    }
    // None at all, and a refusal: what the caller did wrong is no error of the service.
    let refused = raw::call(
        &channel,
        COSIGN,
        &v1::CosignOrderRequest::default().encode_to_vec(),
    )
    .await?;
    let spans = spans_of(&collector, &refused).await?;
    let rpc = outermost(&spans, &refused);
    assert_eq!(text(&rpc.attributes, "result"), Some("INVALID_ARGUMENT"));
    assert_eq!(text(&rpc.attributes, "reason"), Some("INVALID_FIELD"));
    assert_eq!(rpc.status.as_ref().map_or(0, |status| status.code), 0);

    // Spans come in the order in which they ended: the first request's would have come long before.
    let seen = collector.seen();
    let silent = silent.request_id();
    assert!(
        seen.spans
            .iter()
            .all(|span| text(&span.attributes, "request") != silent)
    );
    assert!(
        seen.spans
            .iter()
            .all(|span| hex(&span.trace_id) != trace(1))
    );
    recheck(&mut deployment).await.map(drop)
}

/// At the level of warnings, where the request's own line is not logged.
#[tokio::test]
async fn a_tokens_failure_tells_its_request() -> Result<(), Failure> {
    let collector = Collector::start().await?;
    let mut deployment = prepare(&collector.configuration())?;
    deployment.configure("level = \"info\"", "level = \"warn\"")?;
    deployment.configure("format = \"text\"", "format = \"json\"")?;
    deployment.start().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;
    let away = Aside::moved(folder(&deployment, "alfa")?)?;
    let answer = cosign(&channel, &customer.asks(&order("1.00", "CNY")?)?, None).await?;
    assert_eq!(answer.status.code(), Code::Unavailable);
    drop(away);
    let id = answer.request_id().expect("every answer has one");
    let log = deployment.log();
    let line = log
        .lines()
        .find(|line| line.contains("HSM call failed"))
        .expect("a line");
    let line: serde_json::Value = serde_json::from_str(line)?;
    let spans = line["spans"].as_array().unwrap_or_else(|| panic!("{log}"));
    assert!(spans.iter().any(|span| span["request"] == id), "{line}");
    let spans = spans_of(&collector, &answer).await?;
    let rpc = outermost(&spans, &answer);
    assert_eq!(text(&rpc.attributes, "reason"), Some("HSM_UNAVAILABLE"));
    assert_eq!(
        rpc.status.as_ref().map(|status| status.code),
        Some(2),
        "an error of the service"
    );
    deployment.restart().await?;
    // The intent that could not be signed is closed by the sweep.
    recheck(&mut deployment).await.map(drop)
}
