//! A service of this test over TLS, which answers what it was given: true, untrue, or late.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use semops_proto::v1::{
    self,
    document_service_server::{DocumentService, DocumentServiceServer},
    enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
    key_service_server::{KeyService, KeyServiceServer},
    status_service_server::{StatusService, StatusServiceServer},
    trust_service_server::{TrustService, TrustServiceServer},
};
use tokio::{io::copy_bidirectional, net::TcpListener, sync::Notify};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service as _, http},
    transport::Server,
};

use super::scheme::Scheme;

/// What is answered.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) document: v1::GetDocumentResponse,
    pub(crate) versions: v1::ListDocumentVersionsResponse,
    pub(crate) keys: Vec<v1::Key>,
    pub(crate) status: v1::GetStatusResponse,
    pub(crate) enrolled: v1::EnrollDeviceResponse,
    pub(crate) crl: v1::GetCrlResponse,
    /// Taken in turn; the last one stays.
    pub(crate) pages: Mutex<Vec<v1::ListDevicesResponse>>,
    /// Each page waits until it is told to come.
    pub(crate) held: Option<Arc<Notify>>,
}

/// [`Answers`] as each of the services.
#[derive(Clone)]
struct Service(Arc<Answers>);

impl Service {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        let answered = match service {
            "semops.signer.v1.DocumentService" => {
                DocumentServiceServer::new(self).call(request).await
            }
            "semops.signer.v1.EnrollmentService" => {
                EnrollmentServiceServer::new(self).call(request).await
            }
            "semops.signer.v1.KeyService" => KeyServiceServer::new(self).call(request).await,
            "semops.signer.v1.StatusService" => StatusServiceServer::new(self).call(request).await,
            "semops.signer.v1.TrustService" => TrustServiceServer::new(self).call(request).await,
            _ => Ok(not_here().into_http()),
        };
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Serves these answers, or a service that knows no call at all, and says on which port.
pub(crate) async fn serve(scheme: &Scheme, answers: Option<Answers>) -> u16 {
    let answers = answers.map(|answers| Service(Arc::new(answers)));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let answers = answers.clone();
        async move {
            Ok::<_, Infallible>(match answers {
                Some(service) => service.answer(request).await,
                None => not_here().into_http(),
            })
        }
    });
    let acceptor = TlsAcceptor::from(scheme.server_config(b"h2"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (streams, accepted) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let incoming = ReceiverStream::new(accepted);
        Server::builder()
            .serve_with_incoming(service, incoming)
            .await
    });
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            // tonic knows a pipe as a connection; it does not know a TLS stream.
            let (mut near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move { copy_bidirectional(&mut tls, &mut near).await });
            if streams.send(Ok::<_, std::io::Error>(far)).await.is_err() {
                return;
            }
        }
    });
    port
}

#[tonic::async_trait]
impl DocumentService for Service {
    async fn get_document(
        &self,
        _: Request<v1::GetDocumentRequest>,
    ) -> Result<Response<v1::GetDocumentResponse>, Status> {
        Ok(Response::new(self.0.document.clone()))
    }

    async fn list_document_versions(
        &self,
        _: Request<v1::ListDocumentVersionsRequest>,
    ) -> Result<Response<v1::ListDocumentVersionsResponse>, Status> {
        Ok(Response::new(self.0.versions.clone()))
    }
}

#[tonic::async_trait]
impl KeyService for Service {
    async fn list_keys(
        &self,
        _: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        let keys = self.0.keys.clone();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn discard_key(
        &self,
        _: Request<v1::DiscardKeyRequest>,
    ) -> Result<Response<v1::DiscardKeyResponse>, Status> {
        Ok(Response::new(v1::DiscardKeyResponse {}))
    }

    async fn create_key(
        &self,
        _: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let key = self.0.keys.first().cloned();
        Ok(Response::new(v1::CreateKeyResponse { key }))
    }

    async fn list_signed(
        &self,
        _: Request<v1::ListSignedRequest>,
    ) -> Result<Response<v1::ListSignedResponse>, Status> {
        Err(not_here())
    }

    async fn reissue_device(
        &self,
        _: Request<v1::ReissueDeviceRequest>,
    ) -> Result<Response<v1::ReissueDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn get_key(
        &self,
        _: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let key = self.0.keys.first().cloned();
        Ok(Response::new(v1::GetKeyResponse { key }))
    }
}

#[tonic::async_trait]
impl StatusService for Service {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.0.status.clone()))
    }
}

#[tonic::async_trait]
impl TrustService for Service {
    async fn get_crl(
        &self,
        _: Request<v1::GetCrlRequest>,
    ) -> Result<Response<v1::GetCrlResponse>, Status> {
        Ok(Response::new(self.0.crl.clone()))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<v1::GetTrustBundleRequest>,
    ) -> Result<Response<v1::GetTrustBundleResponse>, Status> {
        Err(not_here())
    }
}

#[tonic::async_trait]
impl EnrollmentService for Service {
    async fn list_devices(
        &self,
        _: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        if let Some(held) = &self.0.held {
            held.notified().await;
        }
        let mut pages = self.0.pages.lock().unwrap();
        let page = if pages.len() > 1 {
            pages.remove(0)
        } else {
            pages.first().cloned().unwrap_or_default()
        };
        Ok(Response::new(page))
    }

    async fn enroll_device(
        &self,
        _: Request<v1::EnrollDeviceRequest>,
    ) -> Result<Response<v1::EnrollDeviceResponse>, Status> {
        Ok(Response::new(self.0.enrolled.clone()))
    }

    async fn accept_device(
        &self,
        _: Request<v1::AcceptDeviceRequest>,
    ) -> Result<Response<v1::AcceptDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn release_device(
        &self,
        _: Request<v1::ReleaseDeviceRequest>,
    ) -> Result<Response<v1::ReleaseDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn revoke_device(
        &self,
        _: Request<v1::RevokeDeviceRequest>,
    ) -> Result<Response<v1::RevokeDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn get_device(
        &self,
        _: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::GetDeviceResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("")
}
