//! Owns the text of what a directory holds besides keys and certificates: policy, trust, callers and custodians
//! documents, connection profiles, the signer's configuration and SoftHSM's.

pub(crate) mod trust;

use std::path::Path;

use semops_objects::change::Quorum;
use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use serde::Serialize;

use crate::custodians::ApprovalKey;
use crate::directory::CallerFiles;
use crate::policy::Policy;
use crate::scheme::oids::optional_lines;
use crate::scheme::{Caller, Ground, Institution, Scheme};

#[derive(Serialize)]
struct PolicyDocument<'a> {
    institution: &'a str,
    version: u64,
    #[serde(flatten)]
    policy: &'a Policy,
}

/// The first policy document of an institution.
pub(crate) fn policy(institution: &Institution, version: u64) -> String {
    render(&PolicyDocument {
        institution: institution.id().as_str(),
        version,
        policy: institution.policy(),
    })
}

#[derive(Serialize)]
struct CallersDocument<'a> {
    institution: &'a str,
    version: u64,
    tls_ca: String,
    caller: Vec<CallerEntry>,
}

#[derive(Serialize)]
struct CallerEntry {
    id: String,
    state: &'static str,
}

/// The first callers document of an institution.
pub(crate) fn callers(
    ground: &Ground,
    institution: &Institution,
    version: u64,
    tls_ca: &Certificate,
) -> String {
    let entry = |caller: &Caller| CallerEntry {
        id: ground.caller_id(institution.id(), caller),
        state: "active",
    };
    render(&CallersDocument {
        institution: institution.id().as_str(),
        version,
        tls_ca: tls_ca.to_pem(),
        caller: institution.callers().iter().map(entry).collect(),
    })
}

#[derive(Serialize)]
struct CustodiansDocument<'a> {
    institution: &'a str,
    version: u64,
    quorum: u8,
    custodian: Vec<CustodianEntry<'a>>,
}

#[derive(Serialize)]
struct CustodianEntry<'a> {
    person: &'a str,
    name: String,
    state: &'static str,
    approval_keys: [String; 1],
}

impl<'a> CustodianEntry<'a> {
    fn of(key: &'a ApprovalKey) -> Self {
        Self {
            person: key.person().as_str(),
            name: in_capitals(key.person().as_str()),
            state: "active",
            approval_keys: [key.public_key().to_spki_pem()],
        }
    }
}

/// The first register of custodians of an institution, or of the scheme.
pub(crate) fn custodians(
    id: &InstitutionId,
    version: u64,
    quorum: Quorum,
    keys: &[ApprovalKey],
) -> String {
    render(&CustodiansDocument {
        institution: id.as_str(),
        version,
        quorum: quorum.get(),
        custodian: keys.iter().map(CustodianEntry::of).collect(),
    })
}

#[derive(Serialize)]
struct RootsDocument<'a> {
    scheme: &'a str,
    version: u64,
    device_roots: [String; 1],
    signing_roots: [String; 1],
}

/// The first roots of the scheme.
pub(crate) fn roots(ground: &Ground, device: &Certificate, signing: &Certificate) -> String {
    render(&RootsDocument {
        scheme: &ground.name,
        version: 1,
        device_roots: [device.to_pem()],
        signing_roots: [signing.to_pem()],
    })
}

/// `Anna Berg` of `anna-berg`.
fn in_capitals(person: &str) -> String {
    let words = person.split('-').filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
}

#[derive(Serialize)]
struct Profile<'a> {
    endpoint: String,
    server: String,
    root: &'a str,
    certificate: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceremony: Option<String>,
}

/// The connection profile of a caller. Its paths are relative to it, so that the directory can move.
pub(crate) fn profile(ground: &Ground, files: &CallerFiles, ceremony: Option<&Path>) -> String {
    render(&Profile {
        endpoint: endpoint(ground),
        server: ground.server_id(),
        root: "../tls-root.pem",
        certificate: beside("callers", &files.chain),
        key: beside("callers", &files.key),
        ceremony: ceremony.map(|file| beside("documents", file)),
    })
}

/// Where callers connect. A service that listens on every address is known by its name alone.
fn endpoint(ground: &Ground) -> String {
    let grpc = ground.grpc;
    if grpc.ip().is_unspecified() {
        format!("https://{}:{}", ground.server_dns_name(), grpc.port())
    } else {
        format!("https://{grpc}")
    }
}

/// `../<folder>/<file>`, as seen from `profiles`.
fn beside(folder: &str, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("../{folder}/{}", name.to_string_lossy())
}

/// SoftHSM's configuration (softhsm2.conf(5)).
pub(crate) fn softhsm(tokens: &Path) -> String {
    format!(
        "# The tokens of this directory. signer.toml names this file ([hsm.environment]).\n\
         directories.tokendir = {}\n\
         objectstore.backend = file\n\
         log.level = ERROR\n\
         slots.removable = false\n",
        tokens.display()
    )
}

/// The signer's configuration: machine matters of the scheme, the rest as in the service's commented example.
pub(crate) fn configuration(scheme: &Scheme, softhsm2_conf: &Path) -> String {
    let oids = scheme.oids();
    let mut text = format!(
        include_str!("signer.toml.in"),
        scheme = quoted(scheme.name()),
        public_base_url = quoted(scheme.public_base_url()),
        grpc = scheme.grpc(),
        http = scheme.http(),
        admin = scheme.admin(),
        module = quoted(&scheme.module().to_string_lossy()),
        softhsm2_conf = quoted(&softhsm2_conf.to_string_lossy()),
        device_eku = oids.device_eku,
        authorization_eku = oids.authorization_eku,
        device_policy = oids.device_policy,
        more_ekus = optional_lines(oids),
    );
    text.extend(scheme.institutions().iter().map(keys));
    text
}

/// The table of an institution's token and keys. Its id needs no escapes.
pub(crate) fn keys(institution: &Institution) -> String {
    format!(
        r#"
[[institution]]
id = "{id}"
token = "{id}"
pin_file = "pins/{id}"
ceremony = "documents/{id}-ceremony.json"

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
