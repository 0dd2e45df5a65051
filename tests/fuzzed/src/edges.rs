//! What must hold of the edges of the RPC: the headers of a request, and each request's message as its method reads it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use semops_proto::v1;
use signer::edges::{read_request, time, trace_context};
use signer::error::Error;

use crate::Verdict::{self, Accepted, Refused};

const LONGEST: Duration = Duration::from_secs(10);
/// The most headers that are given.
const MOST: usize = 64;

/// The headers of a request, each in a line: `name: value`.
pub fn headers(bytes: &[u8]) -> Verdict {
    let Some(headers) = map(bytes) else {
        return Refused;
    };
    time_left(&headers).any(trace(&headers))
}

fn map(bytes: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|octet| *octet == b'\n').take(MOST) {
        let at = line.iter().position(|octet| *octet == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        headers.append(
            name,
            HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?,
        );
    }
    Some(headers)
}

/// `TimeoutValue TimeoutUnit` of the gRPC protocol, counted in nanoseconds: what is left is a little less, never more.
fn time_left(headers: &HeaderMap) -> Verdict {
    let read = time(headers, LONGEST);
    assert_eq!(time(headers, Duration::ZERO).is_ok(), read.is_ok());
    let Some(header) = headers.get("grpc-timeout") else {
        assert_eq!(read, Ok(LONGEST));
        return Refused;
    };
    let asked = header.to_str().ok().and_then(nanoseconds);
    let Ok(read) = read else {
        assert_eq!(asked, None);
        return Refused;
    };
    let (asked, read) = (asked.unwrap(), read.as_nanos());
    assert!(read <= asked.min(LONGEST.as_nanos()));
    // A tenth of what was asked, between one millisecond and fifty, is the way back.
    let back = (asked / 10).clamp(1_000_000, 50_000_000);
    assert!(read >= asked.saturating_sub(back).min(LONGEST.as_nanos()));
    Accepted
}

fn nanoseconds(text: &str) -> Option<u128> {
    let units = [
        ("H", 3_600_000_000_000),
        ("M", 60_000_000_000),
        ("S", 1_000_000_000),
        ("m", 1_000_000),
        ("u", 1_000),
        ("n", 1),
    ];
    let (value, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let digits = (1..=8).contains(&value.len()) && value.chars().all(|c| c.is_ascii_digit());
    let value: u128 = value.parse().ok().filter(|_| digits)?;
    Some(value * unit)
}

/// Another reader, a laxer one, finds the same trace; what is passed on is within its bounds.
fn trace(headers: &HeaderMap) -> Verdict {
    let Some(read) = trace_context(headers) else {
        return Refused;
    };
    assert!(read.is_valid() && read.is_remote());
    let parents = headers.get_all("traceparent");
    assert_eq!(parents.iter().count(), 1);
    let sent = headers["traceparent"].to_str().unwrap();
    let (trace, span) = (read.trace_id(), read.span_id());
    assert_eq!(&sent[2..53], format!("-{trace}-{span}-"));
    let others = TraceContextPropagator::new().extract(&Headers(headers));
    if sent.starts_with("00") {
        let others: &SpanContext = &others.span().span_context().clone();
        assert_eq!(
            (others.trace_id(), others.span_id(), others.trace_flags()),
            (trace, span, read.trace_flags())
        );
    }
    let state = read.trace_state().header();
    assert!(state.len() < 512 && state.split(',').count() <= 32);
    assert_eq!(
        state.parse::<TraceState>().ok().as_ref(),
        Some(read.trace_state())
    );
    Accepted
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Every method of the contract: its path, and the message that it takes. The first octet of the fuzzer's bytes chooses one.
///
/// # Panics
/// The contract's descriptors cannot be read.
pub fn methods() -> Vec<(String, DescriptorProto)> {
    let set = FileDescriptorSet::decode(semops_proto::FILE_DESCRIPTOR_SET).unwrap();
    let messages: Vec<_> = set
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .collect();
    let mut methods = Vec::new();
    for (file, service) in set
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file, service)))
    {
        for method in &service.method {
            let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
            let of = |message: &&&DescriptorProto| {
                method
                    .input_type()
                    .ends_with(&format!(".{}", message.name()))
            };
            let message = messages.iter().find(of).unwrap();
            methods.push((path, (*message).clone()));
        }
    }
    methods.sort_by(|one, other| one.0.cmp(&other.0));
    methods
}

/// The message of a request to the method that the first octet chooses: refused by naming a field of it, or read; then the
/// token of a page has one spelling, under its own filters alone.
pub fn request(bytes: &[u8]) -> Verdict {
    thread_local!(static METHODS: Vec<(String, DescriptorProto)> = methods());
    let Some((number, body)) = bytes.split_first() else {
        return Refused;
    };
    METHODS.with(|methods| {
        let (path, message) = &methods[usize::from(*number) % methods.len()];
        one_request(path, message, body)
    })
}

fn one_request(path: &str, message: &DescriptorProto, body: &[u8]) -> Verdict {
    let Some(read) = read_request(path, body) else {
        return Refused;
    };
    let read = match read {
        Ok(read) => read,
        Err(Error::Invalid { violation, .. }) => {
            let member = violation.field.split('.').next().unwrap();
            assert!(
                message.field.iter().any(|field| field.name() == member),
                "{member}"
            );
            let said = &violation.description;
            assert!((1..200).contains(&said.len()) && !said.contains(char::is_control));
            return Refused;
        }
        Err(other) => panic!("reading a message cannot end so: {other}"),
    };
    if let Some(again) = read.page_token {
        let sent = v1::ListDevicesRequest::decode(body).unwrap();
        assert_eq!(again, sent.page_token);
        let status = (sent.status + 1) % 4;
        let others = v1::ListDevicesRequest { status, ..sent };
        assert!(
            read_request(path, &others.encode_to_vec())
                .unwrap()
                .is_err()
        );
    }
    Accepted
}
