//! Owns health: SERVING while the store answers and the service does not drain.

use std::sync::Arc;

use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

use crate::authority::Authority;

/// The services that may be asked for; the empty name is the whole server.
const SERVICES: [&str; 4] = [
    "",
    "semops.signer.v1.EnrollmentService",
    "semops.signer.v1.CosigningService",
    "semops.signer.v1.TrustService",
];

/// Answers health checks.
pub(crate) struct HealthChecks {
    authority: Arc<Authority>,
    draining: CancellationToken,
}

impl HealthChecks {
    /// Health of these use cases, until `draining` is cancelled.
    pub(crate) fn new(authority: Arc<Authority>, draining: CancellationToken) -> Self {
        Self {
            authority,
            draining,
        }
    }
}

#[tonic::async_trait]
impl Health for HealthChecks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service"));
        }
        let serving = !self.draining.is_cancelled() && self.authority.store_answers().await;
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        Ok(Response::new(HealthCheckResponse {
            status: status.into(),
        }))
    }

    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    // A watch would outlive the removal of its caller. The protocol says that clients then do without.
    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watching is not offered; use Check"))
    }
}
