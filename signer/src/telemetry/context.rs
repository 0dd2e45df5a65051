//! Owns the trace context that a caller sends (W3C Trace Context, level 1): read strictly, within bounds, and as if it were
//! not there when it is malformed.

use std::str::FromStr as _;

use http::HeaderMap;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The longest `tracestate` that is taken: as long as every vendor has to pass on (s3.3.1.5).
const MAX_STATE: usize = 512;
/// The most list members (s3.3.1.1).
const MAX_MEMBERS: usize = 32;

/// Makes `span` a part of the caller's trace, if it sent one. To be called before the span is entered.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    if let Some(context) = trace_context(headers) {
        let parent = opentelemetry::Context::new().with_remote_span_context(context);
        // It fails without a collector, and then there is nothing to be continued.
        let _ = span.set_parent(parent);
    }
}

/// The trace that these headers name; nothing if they name none, or a malformed one.
pub fn trace_context(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let (trace, span, flags) = parent_of(parent.to_str().ok()?)?;
    let context = SpanContext::new(trace, span, flags, true, state(headers).unwrap_or_default());
    context.is_valid().then_some(context)
}

/// `version "-" trace-id "-" parent-id "-" trace-flags` (s3.2.2); a later version may have more behind (s3.2.4).
fn parent_of(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (version, rest) = text.split_at_checked(2)?;
    let (known, more) = rest.split_at_checked(53)?;
    let lower = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let goes_on = more.is_empty() || (version != "00" && more.starts_with('-'));
    if !lower(version) || version == "ff" || !goes_on {
        return None;
    }
    let mut parts = known.strip_prefix('-')?.split('-');
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = [(trace, 32), (span, 16), (flags, 2)];
    if parts.next().is_some()
        || !sound
            .iter()
            .all(|(part, length)| part.len() == *length && lower(part))
    {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        // Only this flag has a meaning (s3.2.2.5).
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
    ))
}

/// Several headers are one list (s3.3.1).
fn state(headers: &HeaderMap) -> Option<TraceState> {
    let mut list = String::new();
    for header in headers.get_all("tracestate") {
        let header = header.to_str().ok()?;
        if list.len() + header.len() >= MAX_STATE {
            return None;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(header);
    }
    let few = list.split(',').count() <= MAX_MEMBERS;
    TraceState::from_str(&list).ok().filter(|_| few)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(sent: &[(&'static str, &str)]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        trace_context(&headers)
    }

    fn parent(text: &str) -> Option<SpanContext> {
        of(&[("traceparent", text)])
    }

    #[test]
    fn a_context_is_read() {
        let context = parent(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), SPAN);
        assert!(context.is_sampled() && context.is_remote());
        assert!(
            !parent(&format!("00-{TRACE}-{SPAN}-fe"))
                .unwrap()
                .is_sampled()
        );
        // A later version, with what this one does not know.
        for later in [
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what-follows"),
        ] {
            assert!(parent(&later).unwrap().is_sampled(), "{later}");
        }
    }

    #[test]
    fn what_is_malformed_is_not_there() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".into(),
            TRACE.into(),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-001"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{SPAN}-{TRACE}-01"),
            format!("00-{TRACE}{SPAN}---01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            "é".repeat(30),
        ] {
            assert_eq!(parent(&text), None, "{text}");
        }
        let sound = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(
            of(&[("traceparent", &sound), ("traceparent", &sound)]),
            None
        );
    }

    #[test]
    fn a_state_is_kept_within_bounds() {
        let sound = format!("00-{TRACE}-{SPAN}-01");
        let kept = |states: &[&str]| {
            let mut sent = vec![("traceparent", sound.as_str())];
            sent.extend(states.iter().map(|state| ("tracestate", *state)));
            of(&sent).unwrap().trace_state().header()
        };
        assert_eq!(kept(&["bank=1", "mno=2"]), "bank=1,mno=2");
        assert_eq!(kept(&["no member"]), "");
        assert_eq!(kept(&[&format!("a={}", "x".repeat(600))]), "");
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        assert_eq!(kept(&[&many.join(",")]), "");
        assert_eq!(kept(&[&many[..32].join(",")]), many[..32].join(","));
    }
}
