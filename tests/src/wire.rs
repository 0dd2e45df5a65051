//! One HTTP/2 connection that can be watched: a channel of the generated clients reconnects by itself, this does not.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use hyper::{
    client::conn::http2::{self, SendRequest},
    http::Uri,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use semops_pki::certificate::Certificate;
use softhsm_setup::directory::Hierarchy;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;
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
        timeout(PATIENCE, connect(address, config)).await?
    }

    /// Calls a method with the encoded `message`.
    ///
    /// # Errors
    /// The connection is closed or breaks.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Result<Answer, Failure> {
        let mut request = raw::request(path, raw::framed(message))?;
        *request.uri_mut() = format!("https://{}{path}", self.address).parse::<Uri>()?;
        let answered = async { raw::answer(self.sender.send_request(request).await?).await };
        timeout(PATIENCE, answered).await?
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

async fn connect(address: SocketAddr, config: ClientConfig) -> Result<Wire, Failure> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let leaf = shown
        .first()
        .ok_or_else(|| Failure::new("no certificate"))?;
    let server = Certificate::from_der(leaf)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    Ok(Wire {
        address,
        sender,
        driver: tokio::spawn(connection),
        server,
    })
}
