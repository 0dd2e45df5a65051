//! Owns which requests are traced: at most the configured share of them, whatever their callers ask for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// A whole trace, in the units of the share.
const ONE: u64 = 1_000_000;
/// Traces that may be saved up, so that callers may ask for a few in a row.
const MOST_SAVED: u64 = 10;

/// Parent-based, within a budget. A span inside follows its request. A request without a trace context is drawn by the
/// share. One whose caller does not record its trace is not traced. One whose caller does is traced while the budget
/// lasts: every request with a context adds the share to it, a traced one takes one off.
///
/// So callers who sample no more than the share find all of their traces continued here, and one who marks every request,
/// or chooses trace ids, gets the share and no more.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    share: u64,
    drawn: Sampler,
    saved: Arc<AtomicU64>,
}

impl Budget {
    /// For a share from 0 to 1.
    pub(super) fn new(share: f64) -> Self {
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "invariant: clamped to 0..=1, so that the product is a whole number up to a million"
        )]
        let millionths = (share.clamp(0.0, 1.0) * 1_000_000.0).round() as u64;
        Self {
            share: millionths,
            drawn: Sampler::TraceIdRatioBased(share),
            saved: Arc::new(AtomicU64::new(if millionths == 0 { 0 } else { ONE })),
        }
    }

    /// Adds the share, and takes one off for a trace that is wanted, if there is one.
    fn spend(&self, wanted: bool) -> bool {
        let mut spent = false;
        let update = |saved: u64| {
            let saved = saved.saturating_add(self.share).min(MOST_SAVED * ONE);
            let left = saved.checked_sub(ONE).filter(|_| wanted);
            spent = left.is_some();
            Some(left.unwrap_or(saved))
        };
        // The closure always gives a value.
        let _ = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        spent
    }
}

impl ShouldSample for Budget {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent = parent.filter(|parent| parent.span().span_context().is_valid());
        let Some(parent) = parent else {
            return self
                .drawn
                .should_sample(None, trace, name, kind, attributes, links);
        };
        let span = parent.span();
        let context = span.span_context();
        let wanted = context.is_sampled();
        let sampled = if context.is_remote() {
            self.spend(wanted)
        } else {
            wanted
        };
        SamplingResult {
            decision: if sampled {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: context.trace_state().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    /// How many of 10,000 requests are traced.
    fn traced(budget: &Budget, request: impl Fn(u64) -> Context) -> usize {
        let sampled = |number: u64| {
            let parent = request(number);
            let trace = parent.span().span_context().trace_id();
            let result =
                budget.should_sample(Some(&parent), trace, "rpc", &SpanKind::Server, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        (1..=10_000).filter(|number| sampled(*number)).count()
    }

    fn of_caller(trace: u64, sampled: bool, remote: bool) -> Context {
        let flags = TraceFlags::default().with_sampled(sampled);
        let trace = TraceId::from(u128::from(trace));
        let context =
            SpanContext::new(trace, SpanId::from(7), flags, remote, TraceState::default());
        Context::new().with_remote_span_context(context)
    }

    /// Trace ids as low as these are below every share of the id space.
    #[test]
    fn whoever_asks_for_everything_gets_the_share() {
        let all = traced(&Budget::new(0.01), |n| of_caller(n, true, true));
        assert_eq!(all, 101, "one is there at the start");
        assert_eq!(traced(&Budget::new(0.0), |n| of_caller(n, true, true)), 0);
        assert_eq!(
            traced(&Budget::new(1.0), |n| of_caller(n, true, true)),
            10_000
        );
    }

    #[test]
    fn whoever_asks_for_the_share_gets_it_all() {
        let hundredth = |n: u64| of_caller(n, n.is_multiple_of(100), true);
        assert_eq!(traced(&Budget::new(0.01), hundredth), 100);
        assert_eq!(traced(&Budget::new(1.0), hundredth), 100);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(0.5);
        assert_eq!(traced(&budget, |n| of_caller(n, false, true)), 0);
        let burst = (0..100).filter(|_| budget.spend(true)).count();
        assert_eq!(burst, 59, "ten saved, and half of a hundred");
    }

    #[test]
    fn inside_a_request_its_decision_stands() {
        let budget = Budget::new(0.0);
        assert_eq!(traced(&budget, |n| of_caller(n, true, false)), 10_000);
        let budget = Budget::new(1.0);
        assert_eq!(traced(&budget, |n| of_caller(n, false, false)), 0);
    }
}
