//! Owns which service answers which requests: the generated servers, set up once with their limits.

use std::convert::Infallible;

use http::{Request, Response};
use semops_proto::v1::{
    change_service_server::ChangeServiceServer, cosigning_service_server::CosigningServiceServer,
    document_service_server::DocumentServiceServer,
    enrollment_service_server::EnrollmentServiceServer, key_service_server::KeyServiceServer,
    status_service_server::StatusServiceServer, trust_service_server::TrustServiceServer,
};
use tonic::body::Body;
use tonic_health::pb::health_server::HealthServer;
use tower::{Service as _, ServiceExt as _, util::BoxCloneSyncService};

use crate::rpc::{
    call::Desk,
    changes::Changes,
    cosigning::Cosigning,
    documents::Documents,
    enrollment::Enrollment,
    health::HealthChecks,
    keys::Keys,
    method::{Method, Service},
    service_status::ServiceStatus,
    trust::Trust,
};

/// The longest request message, octets. The longest that is meant to come has about 9 KiB.
const MAX_MESSAGE: usize = 64 * 1024;

/// The longest proposal with the one document that it names, octets: 8 MiB of it, 64 KiB of the proposal, and its approval.
const MAX_PROPOSAL: usize = 8 * 1024 * 1024 + 72 * 1024;

type Server = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services.
#[derive(Clone)]
pub(crate) struct Routes {
    enrollment: EnrollmentServiceServer<Enrollment>,
    cosigning: CosigningServiceServer<Cosigning>,
    trust: TrustServiceServer<Trust>,
    keys: KeyServiceServer<Keys>,
    documents: DocumentServiceServer<Documents>,
    changes: ChangeServiceServer<Changes>,
    proposals: ChangeServiceServer<Changes>,
    status: StatusServiceServer<ServiceStatus>,
    health: HealthServer<HealthChecks>,
    reflection: Server,
}

impl Routes {
    /// Sets up every service.
    ///
    /// # Errors
    /// The compiled descriptors cannot be read.
    pub(crate) fn new(
        desk: &Desk,
        health: HealthChecks,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(semops_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?
            .max_decoding_message_size(MAX_MESSAGE);
        Ok(Self {
            enrollment: EnrollmentServiceServer::new(Enrollment(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            cosigning: CosigningServiceServer::new(Cosigning(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            trust: TrustServiceServer::new(Trust(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            keys: KeyServiceServer::new(Keys(desk.clone())).max_decoding_message_size(MAX_MESSAGE),
            documents: DocumentServiceServer::new(Documents(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            changes: ChangeServiceServer::new(Changes(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            proposals: ChangeServiceServer::new(Changes(desk.clone()))
                .max_decoding_message_size(MAX_PROPOSAL),
            status: StatusServiceServer::new(ServiceStatus(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            health: HealthServer::new(health).max_decoding_message_size(MAX_MESSAGE),
            reflection: Server::new(reflection),
        })
    }

    /// Has the method's service answer.
    pub(crate) async fn serve(&mut self, method: Method, request: Request<Body>) -> Response<Body> {
        let answered = match method.service() {
            Service::Enrollment => self.enrollment.call(request).await,
            Service::Cosigning => self.cosigning.call(request).await,
            Service::Trust => self.trust.call(request).await,
            Service::Keys => self.keys.call(request).await,
            Service::Documents => self.documents.call(request).await,
            Service::Changes if method == Method::ProposeChange => {
                self.proposals.call(request).await
            }
            Service::Changes => self.changes.call(request).await,
            Service::Status => self.status.call(request).await,
            Service::Health => self.health.call(request).await,
            Service::Reflection => match self.reflection.ready().await {
                Ok(ready) => ready.call(request).await,
                Err(never) => Err(never),
            },
        };
        answered.unwrap_or_else(|never: Infallible| match never {})
    }
}
