//! A service that lies to one custodian: it stands between semopsctl and the real one, with the real one's name, and shows
//! something else than what is stored. Whatever it makes up, nothing is signed, and the custodian is told.

mod lies;

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lies::{LIES, Lie, TRUTH};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};
use semops_proto::{
    client::Client,
    v1::{
        self,
        change_service_server::{ChangeService, ChangeServiceServer},
        document_service_server::{DocumentService, DocumentServiceServer},
    },
};
use softhsm_setup::scheme::Role;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, codegen::http};
use tower::ServiceExt as _;

use super::{
    changes::{Person, id, next_policy},
    desk::{ALFA_SECURITY, Desk},
};

/// The service between.
#[derive(Clone)]
struct Liar {
    real: Client,
    lie: Arc<Mutex<Lie>>,
    /// What it was asked to record.
    taken: Arc<Mutex<u32>>,
}

impl Liar {
    fn lie(&self) -> Lie {
        *self.lie.lock().unwrap()
    }
}

#[tonic::async_trait]
impl ChangeService for Liar {
    async fn propose_change(
        &self,
        request: Request<v1::ProposeChangeRequest>,
    ) -> Result<Response<v1::ProposeChangeResponse>, Status> {
        *self.taken.lock().unwrap() += 1;
        let answer = self.real.propose_change(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn approve_change(
        &self,
        request: Request<v1::ApproveChangeRequest>,
    ) -> Result<Response<v1::ApproveChangeResponse>, Status> {
        *self.taken.lock().unwrap() += 1;
        let answer = self.real.approve_change(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn reject_change(
        &self,
        request: Request<v1::RejectChangeRequest>,
    ) -> Result<Response<v1::RejectChangeResponse>, Status> {
        *self.taken.lock().unwrap() += 1;
        let answer = self.real.reject_change(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn get_change(
        &self,
        request: Request<v1::GetChangeRequest>,
    ) -> Result<Response<v1::GetChangeResponse>, Status> {
        let mut answer = self.real.get_change(request.into_inner()).await?;
        (self.lie().change)(&mut answer);
        Ok(Response::new(answer))
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Result<Response<v1::ListChangesResponse>, Status> {
        let mut answer = self.real.list_changes(request.into_inner()).await?;
        (self.lie().changes)(&mut answer);
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl DocumentService for Liar {
    async fn get_document(
        &self,
        request: Request<v1::GetDocumentRequest>,
    ) -> Result<Response<v1::GetDocumentResponse>, Status> {
        let mut answer = self.real.get_document(request.into_inner()).await?;
        (self.lie().document)(&mut answer);
        Ok(Response::new(answer))
    }

    async fn list_document_versions(
        &self,
        request: Request<v1::ListDocumentVersionsRequest>,
    ) -> Result<Response<v1::ListDocumentVersionsResponse>, Status> {
        let answer = self
            .real
            .list_document_versions(request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }
}

/// The liar, listening with the real server's certificate; it ends when it is dropped.
struct Proxy {
    address: SocketAddr,
    liar: Liar,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    async fn start(deployment: &Deployment) -> Result<Self, Failure> {
        let liar = Liar {
            real: deployment.client("alfa", Role::Custodian).await?,
            lie: Arc::new(Mutex::new(TRUTH)),
            taken: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tls = TlsAcceptor::from(Arc::new(server_config(deployment)?));
        let answering = liar.clone();
        let serving = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, liar) = (tls.clone(), answering.clone());
                tokio::spawn(async move {
                    let answer = |request| answer(liar.clone(), request);
                    // A connection that fails is missed by the test.
                    if let Ok(stream) = tls.accept(tcp).await {
                        let _ended = http2::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service_fn(answer))
                            .await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            liar,
            serving,
        })
    }

    fn tells(&self, lie: Lie) {
        *self.liar.lie.lock().unwrap() = lie;
    }

    fn taken(&self) -> u32 {
        *self.liar.taken.lock().unwrap()
    }
}

async fn answer(
    liar: Liar,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    if request.uri().path().contains(".ChangeService/") {
        ChangeServiceServer::new(liar).oneshot(request).await
    } else {
        DocumentServiceServer::new(liar).oneshot(request).await
    }
}

fn server_config(deployment: &Deployment) -> Result<ServerConfig, Failure> {
    let directory = deployment.directory();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(directory.server_chain())
        .map_err(pem)?
        .collect();
    let key = PrivateKeyDer::from_pem_file(directory.server_key()).map_err(pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(pem)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn pem(error: rustls::pki_types::pem::Error) -> Failure {
    Failure::new(format!("the server's certificate: {error:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_shows_one_thing_and_stores_another_gets_nothing_signed()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let proxy = Proxy::start(&deployment).await?;
    {
        let desk = Desk::new(&deployment)?;
        let anna = Person::new(&deployment, &desk, "anna-berg")?;
        let boris = Person::new(&deployment, &desk, "boris-chan")?;
        let waiting = a_change_that_waits(&deployment, &desk, &anna, &boris)?;
        let lied_to = desk.through(profile_of(&desk, proxy.address)?);
        let boris = Person::new(&deployment, &lied_to, "boris-chan")?;
        // By the truth he sees what he sees elsewhere, and what he verified is remembered.
        let shown = boris.looks(&format!("show {waiting}"), 0)?;
        assert_eq!(shown["state"], "PENDING");
        for lie in LIES {
            proxy.tells(*lie);
            for line in [format!("show {waiting}"), format!("approve {waiting}")] {
                let signing = line.starts_with("approve");
                let told = if signing {
                    boris.signs(&line, 6)?
                } else {
                    boris.looks(&line, 6)?
                };
                assert_eq!(
                    told["error"]["kind"], "not_approved",
                    "{}: {told}",
                    lie.told
                );
            }
            assert_eq!(proxy.taken(), 0, "{}", lie.told);
        }
        proxy.tells(TRUTH);
        let approved = boris.signs(&format!("approve {waiting}"), 0)?;
        assert_eq!(
            (approved["state"].as_str(), proxy.taken()),
            (Some("EXECUTED"), 1)
        );
    }
    recheck(&mut deployment).await?;
    Ok(())
}

/// Alfa's second policy in force, its third proposed by anna.
fn a_change_that_waits(
    deployment: &Deployment,
    desk: &Desk<'_>,
    anna: &Person<'_>,
    boris: &Person<'_>,
) -> Result<String, Failure> {
    next_policy(deployment, desk)?;
    let second = anna.signs("propose policy policy-2.toml", 0)?;
    boris.signs(&format!("approve {}", id(&second)), 0)?;
    let text = String::from_utf8(desk.terminal.read("policy-2.toml")?)?;
    let text = text
        .replacen("version = 2", "version = 3", 1)
        .replacen("200.00", "300.00", 1);
    desk.terminal.write("policy-3.toml", text)?;
    let third = anna.signs("propose policy policy-3.toml", 0)?;
    Ok(id(&third).to_owned())
}

/// The custodian's profile with the liar's address, where the files that it names are found.
fn profile_of(desk: &Desk<'_>, address: SocketAddr) -> Result<PathBuf, Failure> {
    let real = desk.files(ALFA_SECURITY)?.expect("a caller").profile;
    let text = fs::read_to_string(&real)?;
    let lines = text.lines().map(|line| {
        if line.starts_with("endpoint") {
            format!("endpoint = \"https://{address}\"\n")
        } else {
            format!("{line}\n")
        }
    });
    let path = real.with_file_name("lied-to.toml");
    fs::write(&path, lines.collect::<String>())?;
    Ok(path)
}
