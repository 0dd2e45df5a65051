//! Owns what a ceremony that comes later reads of `signer.toml`; the signer itself checks the rest.

use std::iter;
use std::net::SocketAddr;
use std::path::PathBuf;

use semops_objects::institution::InstitutionId;
use serde::Deserialize;

/// Of the whole file. Paths are relative to it.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) scheme: String,
    pub(super) public_base_url: String,
    pub(super) grpc: Grpc,
    pub(super) hsm: Hsm,
    pub(super) oids: OidsText,
    pub(super) roots: RootFiles,
    pub(super) institution: Vec<Member>,
}

#[derive(Deserialize)]
pub(super) struct Grpc {
    pub(super) listen: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) client_root: PathBuf,
}

#[derive(Deserialize)]
pub(super) struct Hsm {
    pub(super) module: PathBuf,
    pub(super) threads: u32,
    #[serde(default)]
    pub(super) environment: Environment,
}

#[derive(Default, Deserialize)]
pub(super) struct Environment {
    #[serde(rename = "SOFTHSM2_CONF")]
    pub(super) softhsm2_conf: Option<PathBuf>,
}

#[derive(Deserialize)]
pub(super) struct OidsText {
    pub(super) device_eku: String,
    pub(super) authorization_eku: String,
    pub(super) audit_eku: Option<String>,
    pub(super) statement_eku: Option<String>,
    pub(super) device_policy: String,
}

#[derive(Deserialize)]
pub(super) struct RootFiles {
    pub(super) changes: Option<Vec<PathBuf>>,
    pub(super) device: CaFiles,
    pub(super) signing: CaFiles,
}

#[derive(Deserialize)]
pub(super) struct CaFiles {
    pub(super) certificate: PathBuf,
    pub(super) crl: PathBuf,
}

/// An institution of the directory.
#[derive(Deserialize)]
pub(crate) struct Member {
    pub(crate) id: InstitutionId,
    /// The label of its token.
    pub(crate) token: String,
    pub(super) pin_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) further_token: Vec<FurtherToken>,
    pub(super) ceremony: Option<PathBuf>,
    pub(super) device_ca: CaFiles,
    pub(super) signing_ca: CaFiles,
    pub(super) authorization: ChainFile,
}

#[derive(Deserialize)]
pub(super) struct FurtherToken {
    pub(super) token: String,
    pub(super) pin_file: Option<PathBuf>,
}

impl Member {
    /// Whether its history has begun.
    pub(crate) fn names_ceremony(&self) -> bool {
        self.ceremony.is_some()
    }

    /// The labels of its tokens.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        let further = self.further_token.iter().map(|token| token.token.as_str());
        iter::once(self.token.as_str()).chain(further)
    }
}

#[derive(Deserialize)]
pub(super) struct ChainFile {
    pub(super) chain: PathBuf,
}
