//! TLS client credentials, also those that no honest setup makes, and what the server does with them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use e2e::{deployment::Deployment, failure::Failure, programs};
use rustls::{
    AlertDescription, ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use semopsctl::{connection, profile::Profile};
use softhsm_setup::{Identity, directory::Hierarchy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;
use uuid::Uuid;

/// RFC 9113 s3.4 and an empty SETTINGS frame.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of a SETTINGS frame, at this place of its header (RFC 9113 s4.1, s6.5).
pub(crate) const SETTINGS: (usize, u8) = (3, 4);
pub(crate) const CLIENT_AUTH: &str = "clientAuth";
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Files with a chain, leaf first, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a leaf is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<'a> {
    pub(crate) organization: &'a str,
    pub(crate) uris: &'a [&'a str],
    pub(crate) usage: &'a str,
    /// GeneralizedTime.
    pub(crate) from: &'a str,
    pub(crate) until: &'a str,
}

/// What came of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The server speaks HTTP/2 with us.
    Http2,
    /// It refused us.
    Alert(AlertDescription),
}

impl Credentials {
    pub(crate) fn of(chain: PathBuf, key: PathBuf) -> Self {
        Self { chain, key }
    }

    /// Puts credentials into a folder of their own.
    pub(crate) fn write(deployment: &Deployment, chain: &str, key: &str) -> Result<Self, Failure> {
        let folder = folder(deployment)?;
        let files = Self::of(folder.join("chain.pem"), folder.join("key.pem"));
        fs::write(&files.chain, chain)?;
        fs::write(&files.key, key)?;
        Ok(files)
    }

    pub(crate) fn identity(deployment: &Deployment, identity: &Identity) -> Result<Self, Failure> {
        Self::write(deployment, &identity.chain, &identity.key)
    }

    /// A channel with these credentials; the handshake's last word comes with the first call.
    pub(crate) async fn channel(&self, deployment: &Deployment) -> Result<Channel, Failure> {
        let text = format!(
            "endpoint = 'https://{}'\nserver = '{}'\nroot = '{}'\ncertificate = '{}'\nkey = '{}'\n",
            deployment.scheme().grpc(),
            deployment.scheme().server_id(),
            deployment.directory().root(Hierarchy::Tls).display(),
            self.chain.display(),
            self.key.display()
        );
        let path = folder(deployment)?.join("profile.toml");
        fs::write(&path, text)?;
        Ok(connection::connect(&Profile::load(&path)?).await?)
    }
}

/// A folder that nobody else writes into.
fn folder(deployment: &Deployment) -> Result<PathBuf, Failure> {
    let name = format!("stranger-{}", Uuid::new_v4());
    let folder = deployment.directory().path().join(name);
    fs::create_dir(&folder)?;
    Ok(folder)
}

/// A new key and a certificate for it by the CA in these files, made with openssl: what `leaf` says, whatever our own
/// profiles would say to it.
pub(crate) fn forge(
    deployment: &Deployment,
    (ca, ca_key): (&Path, &Path),
    leaf: Leaf<'_>,
) -> Result<Credentials, Failure> {
    let folder = folder(deployment)?;
    let names: Vec<String> = leaf.uris.iter().map(|uri| format!("URI:{uri}")).collect();
    let names = match names.as_slice() {
        [] => String::new(),
        names => format!("subjectAltName = {}\n", names.join(",")),
    };
    let config = format!(
        "[ca]\ndefault_ca = this\n[this]\ndatabase = index\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n\
         preserve = yes\nrand_serial = yes\nunique_subject = no\nx509_extensions = leaf\n[any]\norganizationName = optional\n\
         commonName = supplied\n[req]\ndistinguished_name = none\nstring_mask = utf8only\nprompt = no\n[none]\n[leaf]\n\
         basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n\
         extendedKeyUsage = {}\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid:always\n{names}",
        leaf.usage
    );
    fs::write(folder.join("openssl.cnf"), config)?;
    fs::write(folder.join("index"), "")?;
    let subject = format!("/O={}/CN=backend", leaf.organization);
    let request = "req -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem";
    openssl(&folder, request, &["-subj", &subject])?;
    let issue = "ca -batch -config openssl.cnf -notext -in csr.pem -out leaf.pem";
    let (ca_text, ca_key) = (fs::read_to_string(ca)?, ca_key.to_string_lossy());
    let issuer = ["-cert", &ca.to_string_lossy(), "-keyfile", &ca_key];
    let validity = ["-startdate", leaf.from, "-enddate", leaf.until];
    openssl(&folder, issue, &[issuer, validity].concat())?;
    let chain = folder.join("chain.pem");
    fs::write(
        &chain,
        fs::read_to_string(folder.join("leaf.pem"))? + &ca_text,
    )?;
    Ok(Credentials::of(chain, folder.join("key.pem")))
}

/// A root of nobody's, with the names of the scheme's TLS root: its certificate and its key.
pub(crate) fn other_root(deployment: &Deployment) -> Result<(PathBuf, PathBuf), Failure> {
    let folder = folder(deployment)?;
    let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out root.pem -days 30";
    openssl(&folder, make, &["-subj", "/O=alfa/CN=TLS CA"])?;
    Ok((folder.join("root.pem"), folder.join("key.pem")))
}

fn openssl(folder: &Path, words: &str, more: &[&str]) -> Result<(), Failure> {
    let mut command = programs::openssl()?;
    let arguments = words.split(' ').chain(more.iter().copied());
    let output = command.current_dir(folder).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("openssl {words}: {said}")))
}

/// Shakes hands over TLS 1.3 and reads the server's first word. The client says all it has to say at once, so that a
/// server that is content answers with its SETTINGS.
pub(crate) async fn shake(
    deployment: &Deployment,
    credentials: Option<&Credentials>,
) -> Result<Met, Failure> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(
        deployment.directory().root(Hierarchy::Tls),
    )?)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots);
    let mut config = match credentials {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = CertificateDer::pem_file_iter(&files.chain)?.collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key)?)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = deployment.scheme().grpc();
    let tcp = TcpStream::connect(address).await?;
    let first = async {
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::from(address.ip());
        let mut stream = connector.connect(name, tcp).await?;
        stream.write_all(PREFACE).await?;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        Ok::<_, std::io::Error>(frame)
    };
    match timeout(HANDSHAKE, first).await? {
        Ok(frame) if frame[SETTINGS.0] == SETTINGS.1 => Ok(Met::Http2),
        Ok(frame) => Err(Failure::new(format!("no SETTINGS frame: {frame:?}"))),
        Err(error) => match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(rustls::Error::AlertReceived(alert)) => Ok(Met::Alert(*alert)),
            _ => Err(Failure::new(format!("no alert, but: {error:?}"))),
        },
    }
}
