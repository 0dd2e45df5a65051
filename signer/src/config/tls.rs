//! Owns what TLS is here: version 1.3 alone, client certificates below one root required, HTTP/2, no resumption; and the
//! files that it is made of, which can be read again while the service serves.

use std::{path::Path, sync::Arc};

use const_oid::db::rfc5280::ID_KP_SERVER_AUTH;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use semops_pki::certificate::{Certificate, rfc3339};

use super::{
    ConfigMistakes, load,
    material::{certificate, chain, private_key},
    reader::Reader,
};

/// The server's side of TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// What handshakes are made with.
    pub server: Arc<ServerConfig>,
    /// The server's own certificate.
    pub certificate: Certificate,
}

impl Tls {
    /// Reads `certificate`, `key` and `client_root` of `[grpc]` and the files that they name again. The rest of the
    /// configuration is neither read nor checked.
    ///
    /// # Errors
    /// All mistakes in this part; one of them is that a certificate is outside its validity at `now` (unix seconds).
    pub fn load(file: &Path, now: i64) -> Result<Self, ConfigMistakes> {
        load(file, |mut file| {
            let tls = file.table("grpc").and_then(|mut grpc| {
                let tls = tls(&mut grpc, Some(now));
                grpc.leave_the_rest();
                tls
            });
            file.leave_the_rest();
            tls
        })
    }
}

/// TLS from the keys `certificate`, `key` and `client_root`. Without `now` no validity is compared: a service whose
/// certificate has expired still has CRLs to publish.
pub(super) fn tls(grpc: &mut Reader<'_>, now: Option<i64>) -> Option<Tls> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = chain(grpc, "certificate");
    let chain = chain.filter(|chain| is_servers(grpc, chain) & is_valid(grpc, chain, now));
    let key = private_key(grpc, "key");
    let root = certificate(grpc, "client_root");
    let clients = root.and_then(|root| clients(grpc, &root, &provider));
    let (chain, key, clients) = (chain?, key?, clients?);
    let certificate = chain.first()?.clone();
    let server = server_config(&chain, key, clients, provider)
        .map_err(|error| {
            let what = match error {
                rustls::Error::InconsistentKeys(_) => "is not the key of `certificate`".to_owned(),
                other => other.to_string(),
            };
            let way_out = "name the key of the first certificate in `certificate`";
            grpc.wrong("key", what, way_out);
        })
        .ok()?;
    Some(Tls {
        server: Arc::new(server),
        certificate,
    })
}

/// Whether the chain is a server's, each certificate issued by the next.
fn is_servers(grpc: &Reader<'_>, chain: &[Certificate]) -> bool {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    let broken = pairs
        .map(|(issued, issuer)| issued.verify_issued_by(issuer))
        .find_map(Result::err);
    let usages = chain.first().map(Certificate::extended_key_usages);
    let what = if let Some(error) = broken {
        error.to_string()
    } else if !usages.is_some_and(|usages| usages.contains(&ID_KP_SERVER_AUTH)) {
        "its first certificate is not for servers (RFC 5280 s4.2.1.12)".to_owned()
    } else {
        return true;
    };
    let way_out = "name the server's certificate, then the TLS CA that issued it";
    grpc.wrong("certificate", what, way_out);
    false
}

fn is_valid(grpc: &Reader<'_>, chain: &[Certificate], now: Option<i64>) -> bool {
    let outside = |c: &&Certificate| now.is_some_and(|now| !c.valid_at(now));
    let Some(found) = chain.iter().find(outside) else {
        return true;
    };
    let (from, until) = (rfc3339(found.not_before()), rfc3339(found.not_after()));
    let what = format!("is valid from {from} until {until} only");
    grpc.wrong("certificate", what, "renew it, or set the clock");
    false
}

fn clients(
    grpc: &Reader<'_>,
    root: &Certificate,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    let verifier = || {
        if !root.is_ca() {
            return Err("is no CA certificate (RFC 5280 s4.2.1.9)".to_owned());
        }
        let mut roots = RootCertStore::empty();
        roots.add(der(root)).map_err(|e| e.to_string())?;
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|e| e.to_string())
    };
    verifier()
        .map_err(|what| grpc.wrong("client_root", what, "name the root of the TLS hierarchy"))
        .ok()
}

fn server_config(
    chain: &[Certificate],
    key: PrivatePkcs8KeyDer<'static>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.iter().map(der).collect(), key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would carry a certificate that was verified at another time.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.der().to_vec())
}
