//! Owns health: SERVING while the store is well and the service does not drain. A look at it asks nobody.

use std::sync::Arc;

use semops_proto::v1;
use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};

use crate::authority::Authority;

/// The services that may be asked for; the empty name is the whole server.
const SERVICES: [&str; 8] = [
    "",
    v1::enrollment_service_server::SERVICE_NAME,
    v1::cosigning_service_server::SERVICE_NAME,
    v1::trust_service_server::SERVICE_NAME,
    v1::key_service_server::SERVICE_NAME,
    v1::document_service_server::SERVICE_NAME,
    v1::change_service_server::SERVICE_NAME,
    v1::status_service_server::SERVICE_NAME,
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
        let serving = !self.draining.is_cancelled() && self.authority.is_ready();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::method::contract;

    #[test]
    fn every_service_of_the_contract_may_be_asked_for() {
        let mut services: Vec<String> = contract::services().into_iter().collect();
        services.push(String::new());
        services.sort();
        let mut ours = SERVICES.map(str::to_owned);
        ours.sort();
        assert_eq!(services, ours);
    }
}
