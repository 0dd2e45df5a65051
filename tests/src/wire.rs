//! One HTTP/2 connection that can be watched: a channel of the generated clients reconnects by itself, this does not.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    http::{Response, Uri},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use semops_pki::certificate::Certificate;
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::body::Body;

use crate::{
    deployment::Deployment,
    failure::Failure,
    raw::{self, Answer},
};

/// How long anything on a connection may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open connection; dropped, it is closed.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    sender: SendRequest<Body>,
    driver: JoinHandle<Result<(), hyper::Error>>,
    server: Certificate,
}

impl Wire {
    /// Connects with the chain (leaf first) and the key in these files, and trusts the deployment's TLS root.
    ///
    /// # Errors
    /// A file cannot be read, or the handshake fails. A refusal of the client's certificate comes with the first call.
    pub async fn open(deployment: &Deployment, chain: &Path, key: &Path) -> Result<Self, Failure> {
        Self::reading(deployment, chain, key, None).await
    }

    /// The same for somebody who lets so many octets of an answer come before he has read them (RFC 9113 s6.9.2).
    ///
    /// # Errors
    /// As [`Wire::open`].
    pub async fn reading(
        deployment: &Deployment,
        chain: &Path,
        key: &Path,
        window: Option<u32>,
    ) -> Result<Self, Failure> {
        let tls = tls(deployment, chain, key).await?;
        let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let leaf = shown
            .first()
            .ok_or_else(|| Failure::new("no certificate"))?;
        let server = Certificate::from_der(leaf)?;
        let mut protocol = http2::Builder::new(TokioExecutor::new());
        if window.is_some() {
            protocol.initial_stream_window_size(window);
        }
        let shaken = protocol.handshake(TokioIo::new(tls));
        let (sender, connection) = timeout(PATIENCE, shaken).await??;
        Ok(Self {
            address: deployment.scheme().grpc(),
            sender,
            driver: tokio::spawn(connection),
            server,
        })
    }

    /// That of a caller of the default scheme.
    ///
    /// # Errors
    /// As [`Wire::open`].
    pub async fn of(
        deployment: &Deployment,
        institution: &str,
        role: Role,
        name: &str,
    ) -> Result<Self, Failure> {
        let institution = institution.parse().map_err(Failure::during(institution))?;
        let files = deployment.directory().caller(&institution, role, name);
        Self::open(deployment, &files.chain, &files.key).await
    }

    /// Calls a method with the encoded `message`.
    ///
    /// # Errors
    /// The connection is closed or breaks.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Result<Answer, Failure> {
        let response = self.asks(path, message).await?;
        timeout(PATIENCE, raw::answer(response)).await?
    }

    /// Calls a method and takes the head of the answer alone.
    ///
    /// # Errors
    /// As [`Wire::call`].
    pub async fn asks(
        &mut self,
        path: &str,
        message: &[u8],
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = raw::request(path, raw::framed(message))?;
        *request.uri_mut() = format!("https://{}{path}", self.address).parse::<Uri>()?;
        let sent = self.sender.send_request(request);
        Ok(timeout(PATIENCE, sent).await??)
    }

    /// Begins a call whose body is still to come, if it comes at all; it has this time (`grpc-timeout`).
    ///
    /// # Errors
    /// `path` is none.
    pub fn begins(
        &self,
        path: &str,
        time: &str,
        body: Body,
    ) -> Result<JoinHandle<Result<Answer, Failure>>, Failure> {
        let mut request = raw::request(path, Vec::new())?;
        *request.uri_mut() = format!("https://{}{path}", self.address).parse::<Uri>()?;
        let time = time.parse().map_err(Failure::during("grpc-timeout"))?;
        request.headers_mut().insert("grpc-timeout", time);
        *request.body_mut() = body;
        let mut sender = self.sender.clone();
        Ok(tokio::spawn(async move {
            let sent = sender.send_request(request);
            timeout(PATIENCE, async { raw::answer(sent.await?).await }).await?
        }))
    }

    /// Whether neither side has closed it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Waits until the service closes it, and demands that it does so in HTTP/2's own words.
    ///
    /// # Errors
    /// It does not in half a minute, or breaks it off.
    pub async fn closed(&mut self) -> Result<(), Failure> {
        let ended = timeout(PATIENCE, &mut self.driver).await;
        let ended = ended.map_err(|_| Failure::new(format!("still open after {PATIENCE:?}")))?;
        Ok(ended??)
    }

    /// The certificate that the service has shown.
    #[must_use]
    pub fn server(&self) -> &Certificate {
        &self.server
    }
}

/// A TLS connection with these files' certificate, on which nothing was said yet.
///
/// # Errors
/// As [`Wire::open`].
pub async fn tls(
    deployment: &Deployment,
    chain: &Path,
    key: &Path,
) -> Result<TlsStream<TcpStream>, Failure> {
    let mut roots = RootCertStore::empty();
    let root = deployment.directory().root(Hierarchy::Tls);
    roots.add(CertificateDer::from_pem_file(root)?)?;
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = deployment.scheme().grpc();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    Ok(timeout(PATIENCE, shaken).await??)
}
