//! Owns the text of what a directory holds besides keys and certificates: policy, trust and callers documents,
//! connection profiles, the signer's configuration and SoftHSM's.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use semops_pki::certificate::Certificate;
use serde::Serialize;

use crate::directory::CallerFiles;
use crate::policy::Policy;
use crate::scheme::{Caller, Institution, Scheme};

/// The first version of every document.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct PolicyDocument<'a> {
    institution: &'a str,
    version: u32,
    #[serde(flatten)]
    policy: &'a Policy,
}

/// The first policy document of an institution.
pub(crate) fn policy(institution: &Institution) -> String {
    render(&PolicyDocument {
        institution: institution.id().as_str(),
        version: VERSION,
        policy: institution.policy(),
    })
}

#[derive(Serialize)]
struct CallersDocument<'a> {
    institution: &'a str,
    version: u32,
    tls_ca: String,
    caller: Vec<CallerEntry>,
}

#[derive(Serialize)]
struct CallerEntry {
    id: String,
    state: &'static str,
}

/// The first callers document of an institution.
pub(crate) fn callers(scheme: &Scheme, institution: &Institution, tls_ca: &Certificate) -> String {
    let entry = |caller: &Caller| CallerEntry {
        id: scheme.caller_id(institution.id(), caller),
        state: "active",
    };
    render(&CallersDocument {
        institution: institution.id().as_str(),
        version: VERSION,
        tls_ca: tls_ca.to_pem(),
        caller: institution.callers().iter().map(entry).collect(),
    })
}

/// What an institution shows to those who trust it.
pub(crate) struct Credentials<'a> {
    pub(crate) institution: &'a str,
    pub(crate) signing_ca: &'a Certificate,
    pub(crate) signing_ca_crl: &'a [u8],
    pub(crate) authorization: &'a Certificate,
}

/// The roots that every institution of the scheme trusts.
pub(crate) struct TrustRoots<'a> {
    pub(crate) device: &'a Certificate,
    pub(crate) signing: &'a Certificate,
    pub(crate) signing_crl: &'a [u8],
}

#[derive(Serialize)]
struct TrustDocument<'a> {
    institution: &'a str,
    version: u32,
    device_root: String,
    signing_root: String,
    signing_root_crl: String,
    trusted: Vec<Trusted<'a>>,
}

#[derive(Serialize)]
struct Trusted<'a> {
    institution: &'a str,
    signing_ca: String,
    authorization_certificates: [String; 1],
    signing_ca_crls: [String; 1],
}

/// The first trust document of an institution.
pub(crate) fn trust(
    institution: &Institution,
    roots: &TrustRoots<'_>,
    trusted: &[Credentials<'_>],
) -> String {
    let trusted = trusted.iter().map(|credentials| Trusted {
        institution: credentials.institution,
        signing_ca: credentials.signing_ca.to_pem(),
        authorization_certificates: [credentials.authorization.to_pem()],
        signing_ca_crls: [BASE64.encode(credentials.signing_ca_crl)],
    });
    render(&TrustDocument {
        institution: institution.id().as_str(),
        version: VERSION,
        device_root: roots.device.to_pem(),
        signing_root: roots.signing.to_pem(),
        signing_root_crl: BASE64.encode(roots.signing_crl),
        trusted: trusted.collect(),
    })
}

#[derive(Serialize)]
struct Profile<'a> {
    endpoint: String,
    server: String,
    root: &'a str,
    certificate: String,
    key: String,
}

/// The connection profile of a caller. Its paths are relative to it, so that the directory can move.
pub(crate) fn profile(scheme: &Scheme, files: &CallerFiles) -> String {
    render(&Profile {
        endpoint: format!("https://{}", scheme.grpc()),
        server: scheme.server_id(),
        root: "../tls-root.pem",
        certificate: beside(&files.chain),
        key: beside(&files.key),
    })
}

/// `../callers/<file>`, as seen from `profiles`.
fn beside(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("../callers/{}", name.to_string_lossy())
}

/// SoftHSM's configuration (softhsm2.conf(5)).
pub(crate) fn softhsm(tokens: &Path) -> String {
    format!(
        "# The tokens of this directory. The signer runs with SOFTHSM2_CONF set to this file.\n\
         directories.tokendir = {}\n\
         objectstore.backend = file\n\
         log.level = ERROR\n\
         slots.removable = false\n",
        tokens.display()
    )
}

/// The signer's configuration: machine matters of the scheme, the rest as in the service's commented example.
pub(crate) fn configuration(scheme: &Scheme) -> String {
    let oids = scheme.oids();
    let mut text = format!(
        include_str!("signer.toml.in"),
        scheme = quoted(scheme.name()),
        public_base_url = quoted(scheme.public_base_url()),
        grpc = scheme.grpc(),
        http = scheme.http(),
        admin = scheme.admin(),
        module = quoted(&scheme.module().to_string_lossy()),
        device_eku = oids.device_eku,
        authorization_eku = oids.authorization_eku,
        device_policy = oids.device_policy,
    );
    text.extend(scheme.institutions().iter().map(keys));
    text
}

/// The table of an institution's token and keys. Its id needs no escapes.
fn keys(institution: &Institution) -> String {
    format!(
        r#"
[[institution]]
id = "{id}"
token = "{id}"
pin_file = "pins/{id}"

[institution.device_ca]
certificate = "{id}/device-ca.pem"
crl = "{id}/device-ca-crl.der"

[institution.signing_ca]
certificate = "{id}/signing-ca.pem"
crl = "{id}/signing-ca-crl.der"

[institution.authorization]
chain = "{id}/authorization-chain.pem"
"#,
        id = institution.id()
    )
}

/// A TOML string with its quotes.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// TOML of a document.
#[expect(
    clippy::expect_used,
    reason = "structures of strings, integers, lists and string-keyed maps always encode"
)]
fn render(document: &impl Serialize) -> String {
    toml::to_string_pretty(document).expect("a document always encodes")
}
