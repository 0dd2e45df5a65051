//! Owns StatusService: its messages from the use case.

use std::time::Duration;

use semops_proto::v1::{self, status_service_server::StatusService};
use tonic::{Request, Response, Status};

use crate::{
    authority::{Health, StatusShown, TokenView},
    error::Error,
    rpc::{call::Desk, documents},
};

/// Answers StatusService.
pub(crate) struct ServiceStatus(pub(crate) Desk);

#[tonic::async_trait]
impl StatusService for ServiceStatus {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.0
            .run(
                request,
                |_| Ok(()),
                |authority, ctx, ()| async move { shown(authority.status(&ctx)?) },
            )
            .await
    }
}

fn shown(status: StatusShown) -> Result<v1::GetStatusResponse, Error> {
    let documents = status.documents.into_iter().map(documents::named);
    let limits = status.limits.windows.iter().map(|left| v1::RateLimit {
        scope: left.scope.kind().to_owned(),
        burst: left.window.burst().get(),
        requests: left.window.requests().get(),
        seconds: left.window.seconds().get(),
        left: left.left,
    });
    let (first, further) = status.tokens;
    let further = further.into_iter().map(token).collect::<Result<_, _>>()?;
    Ok(v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: status.started_at.seconds(),
        now_micros: status.now.micros(),
        caller: status.caller,
        documents: documents.collect(),
        token: Some(token(first)?),
        limits: limits.collect(),
        in_flight: status.limits.in_flight,
        in_flight_limit: status.limits.in_flight_limit,
        held_seconds: whole_seconds(status.held),
        further_tokens: further,
        scheme_change: status.scheme.map_or(0, |(number, _)| number),
        scheme_change_id: status
            .scheme
            .map_or_else(Vec::new, |(_, id)| id.as_bytes().to_vec()),
    })
}

/// Rounded up: 0 when nothing is left of it.
fn whole_seconds(left: Duration) -> u32 {
    let whole = left.as_millis().div_ceil(1000);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn token(token: TokenView) -> Result<v1::Token, Error> {
    let TokenView {
        label,
        report,
        health: fares,
        gauges,
        ..
    } = token;
    let mut shown = v1::Token::default();
    if let Some(report) = report {
        shown.description = report.token;
        shown.library = report.library;
        shown.session_limit = report.session_limit;
        shown.mechanisms = report.mechanisms;
    }
    Ok(v1::Token {
        label,
        sessions: count(gauges.sessions),
        health: health(&fares)?.into(),
        health_detail: fares.to_string(),
        waiting: count(gauges.waiting),
        waiting_limit: count(gauges.capacity),
        workers: count(gauges.workers),
        workers_replaced: gauges.replaced,
        ..shown
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn health(health: &Health) -> Result<v1::TokenHealth, Error> {
    match health {
        Health::Serving => Ok(v1::TokenHealth::Serving),
        Health::Failing(_) => Ok(v1::TokenHealth::Failing),
        Health::Replacing(_) => Ok(v1::TokenHealth::Replacing),
        Health::Stuck(_) => Ok(v1::TokenHealth::Stuck),
        Health::Fatal(_) => Ok(v1::TokenHealth::Fatal),
        Health::Unknown => Err(Error::internal("a token in use is not watched")),
    }
}
