//! Owns which service answers which requests: the generated servers, set up once with their limits.

use std::convert::Infallible;

use http::{Request, Response};
use semops_proto::v1::{
    cosigning_service_server::CosigningServiceServer,
    document_service_server::DocumentServiceServer,
    enrollment_service_server::EnrollmentServiceServer, key_service_server::KeyServiceServer,
    status_service_server::StatusServiceServer, trust_service_server::TrustServiceServer,
};
use tonic::body::Body;
use tonic_health::pb::health_server::HealthServer;
use tower::{Service as _, ServiceExt as _, util::BoxCloneSyncService};

use crate::rpc::{
    call::Desk, cosigning::Cosigning, documents::Documents, enrollment::Enrollment,
    health::HealthChecks, keys::Keys, method::Service, service_status::ServiceStatus, trust::Trust,
};

/// The longest request message, octets. The longest that is meant to come has about 9 KiB.
const MAX_MESSAGE: usize = 64 * 1024;

type Server = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// The services.
#[derive(Clone)]
pub(crate) struct Routes {
    enrollment: EnrollmentServiceServer<Enrollment>,
    cosigning: CosigningServiceServer<Cosigning>,
    trust: TrustServiceServer<Trust>,
    keys: KeyServiceServer<Keys>,
    documents: DocumentServiceServer<Documents>,
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
            status: StatusServiceServer::new(ServiceStatus(desk.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
            health: HealthServer::new(health).max_decoding_message_size(MAX_MESSAGE),
            reflection: Server::new(reflection),
        })
    }

    /// Has the service answer.
    pub(crate) async fn serve(
        &mut self,
        service: Service,
        request: Request<Body>,
    ) -> Response<Body> {
        let answered = match service {
            Service::Enrollment => self.enrollment.call(request).await,
            Service::Cosigning => self.cosigning.call(request).await,
            Service::Trust => self.trust.call(request).await,
            Service::Keys => self.keys.call(request).await,
            Service::Documents => self.documents.call(request).await,
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
