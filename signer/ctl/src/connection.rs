//! The road to the service: TLS 1.3 alone, both sides authenticated, HTTP/2 over it.

mod server_identity;

use std::{error::Error, io, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use semops_proto::client::Client;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::{
    files::{self, FileError},
    profile::{Profile, ServerIdentity},
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A file that the profile names could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that the profile names does not hold what it should.
    #[error("{path}: {rule}")]
    Material {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        rule: String,
    },
    /// The service could not be reached, or the TLS handshake failed.
    #[error("cannot connect to {endpoint}: {}", cause(source))]
    Unreachable {
        /// The profile's endpoint.
        endpoint: String,
        /// What failed.
        source: tonic::transport::Error,
    },
}

/// Connects as `profile` says and completes the TLS handshake. The channel reconnects by itself.
///
/// TLS 1.3 has no word for "client certificate accepted": a service that refuses the caller's certificate does so on
/// the first call.
///
/// # Errors
/// [`ConnectionError`].
pub async fn connect(profile: &Profile) -> Result<Channel, ConnectionError> {
    let unreachable = |source| ConnectionError::Unreachable {
        endpoint: profile.endpoint().to_owned(),
        source,
    };
    let tls = TlsConnector::from(Arc::new(client_config(profile)?));
    let authority = profile.authority().to_owned();
    let name = handshake_name(profile)?;
    let dial = tower::service_fn(move |_| {
        let (tls, authority, name) = (tls.clone(), authority.clone(), name.clone());
        async move { dial(&tls, &authority, name).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(profile.endpoint().to_owned()).map_err(unreachable)?;
    endpoint
        .connect_timeout(profile.timeout())
        .http2_keep_alive_interval(profile.timeout())
        .connect_with_connector(dial)
        .await
        .map_err(unreachable)
}

/// Connects as [`connect`] does; each call of the client ends after the profile's timeout.
///
/// # Errors
/// [`ConnectionError`].
pub async fn client(profile: &Profile) -> Result<Client, ConnectionError> {
    Ok(Client::new(connect(profile).await?, profile.timeout()))
}

async fn dial(
    tls: &TlsConnector,
    authority: &str,
    name: ServerName<'static>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(authority).await?;
    tcp.set_nodelay(true)?;
    let stream = tls.connect(name, tcp).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the server does not speak HTTP/2"));
    }
    Ok(stream)
}

/// The name for the handshake: the one to be checked, or the endpoint's host when a SPIFFE id is checked instead.
fn handshake_name(profile: &Profile) -> Result<ServerName<'static>, ConnectionError> {
    if let ServerIdentity::Name(name) = profile.server() {
        return Ok(name.clone());
    }
    let host = profile
        .authority()
        .rsplit_once(':')
        .map_or("", |(host, _)| host);
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    ServerName::try_from(host).map_err(|source| ConnectionError::Material {
        path: profile.endpoint().into(),
        rule: source.to_string(),
    })
}

fn client_config(profile: &Profile) -> Result<ClientConfig, ConnectionError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for root in certificates(profile.root())? {
        roots
            .add(root)
            .map_err(|error| material(profile.root(), &error.to_string()))?;
    }
    let chain = certificates(profile.certificate())?;
    let key = PrivateKeyDer::from_pem_slice(&files::read(profile.key())?)
        .map_err(|_| material(profile.key(), "no PEM private key in it"))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| material(profile.root(), &error.to_string()))?;
    let builder = match profile.server() {
        ServerIdentity::Name(_) => builder.with_root_certificates(roots),
        ServerIdentity::Spiffe(id) => {
            let verifier = server_identity::SpiffeVerifier::new(id.clone(), roots, &provider);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_client_auth_cert(chain, key).map_err(|error| {
        material(
            profile.key(),
            &format!("does not serve as the certificate's key: {error}"),
        )
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let pem = files::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(material(path, "no PEM certificate in it, or a broken one")),
    }
}

fn material(path: &Path, rule: &str) -> ConnectionError {
    ConnectionError::Material {
        path: path.to_owned(),
        rule: rule.to_owned(),
    }
}

/// The innermost cause of a transport error, which is the one that says something.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What to look at after a transport error.
pub(crate) fn advice(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error
            .downcast_ref::<rustls::Error>()
            .or_else(|| inside_io(error))
        {
            return advice_on_tls(tls);
        }
        next = error.source();
    }
    "see that the service runs and that `endpoint` in the profile is where it listens; then call again, with the same \
     content"
}

/// The TLS error that an I/O error carries: `source` skips it.
fn inside_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn advice_on_tls(error: &rustls::Error) -> &'static str {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate does not come from `root` in the profile: is it the TLS root of this scheme?"
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "another server answered: compare `server` in the profile with the certificate of the service"
        }
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => {
            "the server's certificate has expired: its operator has to renew it; see that this machine's clock is right"
        }
        Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server does not speak TLS 1.3"
        }
        Tls::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server does not speak HTTP/2, so not gRPC"
        }
        Tls::AlertReceived(_) => {
            "the service does not take the profile's `certificate`: is it in time, and a caller's of this scheme?"
        }
        _ => {
            "see that `endpoint` in the profile is a signing service: TLS 1.3, both sides with certificates"
        }
    }
}
