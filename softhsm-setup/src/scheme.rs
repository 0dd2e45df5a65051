//! Owns the scheme: what a deployment is to be, as declared in `scheme.toml`. A [`Scheme`] exists only whole and
//! consistent; parsing it is checking it.

mod custody;
mod form;
mod newcomer;
pub(crate) mod oids;
mod reading;
mod register;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use semops_objects::institution::InstitutionId;
use semops_pki::profile::Oids;
use toml::Table;

pub use custody::Custody;
pub use newcomer::Newcomer;
pub use register::Register;

use crate::policy::Policy;
use crate::reader::{Mistakes, Reader};

/// What was wrong with a scheme, or with an institution that is to join one: all of it.
#[derive(Debug, thiserror::Error)]
#[error("the file has {} mistake(s):\n  {}\ncorrect it; `softhsm-setup example` prints a commented one", mistakes.len(), mistakes.join("\n  "))]
pub struct SchemeError {
    mistakes: Vec<String>,
}

impl SchemeError {
    /// One line per mistake, beginning with the path of the member, such as `institution[alfa].trusts[1]`.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

/// Parses TOML with `read`, which notes every mistake.
fn parse<T>(
    text: &str,
    read: impl FnOnce(Reader, &mut Mistakes) -> Option<T>,
) -> Result<T, SchemeError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| SchemeError {
        mistakes: vec![format!("not TOML: {error}")],
    })?;
    let mut mistakes = Mistakes::default();
    let parsed = read(Reader::new("", table), &mut mistakes);
    let mistakes = mistakes.into_vec();
    // What could not be read has left a mistake, so that all could be read if there is none.
    match parsed {
        Some(parsed) if mistakes.is_empty() => Ok(parsed),
        _ => Err(SchemeError { mistakes }),
    }
}

/// The role of a caller, which decides what it may ask of the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Enrols, accepts, releases and revokes devices.
    Enrolment,
    /// Has orders co-signed and verifies what others signed.
    Payments,
    /// Rules keys, policy and trust.
    Custodian,
    /// Reads audit events.
    Auditor,
}

impl Role {
    /// The role as it stands in a SPIFFE id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Payments => "payments",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A caller of an institution, written `<role>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    role: Role,
    name: String,
}

impl Caller {
    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its name, 1-63 of a-z, 0-9 and '-'.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

impl FromStr for Caller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, name) = text.split_once('/').ok_or("must be <role>/<name>")?;
        let roles = [
            Role::Enrolment,
            Role::Payments,
            Role::Custodian,
            Role::Auditor,
        ];
        let role = roles.into_iter().find(|known| known.as_str() == role);
        Ok(Self {
            role: role.ok_or("the role must be enrolment, payments, custodian or auditor")?,
            name: form::label(name)?,
        })
    }
}

/// One institution of the scheme.
#[derive(Clone, Debug)]
pub struct Institution {
    id: InstitutionId,
    trusts: Vec<InstitutionId>,
    callers: Vec<Caller>,
    register: Register,
    policy: Policy,
}

impl Institution {
    /// Its id, which is also the label of its token.
    pub fn id(&self) -> &InstitutionId {
        &self.id
    }

    /// The institutions whose authorizations it accepts.
    pub fn trusts(&self) -> &[InstitutionId] {
        &self.trusts
    }

    /// Its callers.
    pub fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// Its first custodians.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// Its first policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// What all institutions of a scheme stand on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) name: String,
    pub(crate) operator: InstitutionId,
    pub(crate) server: String,
    pub(crate) public_base_url: String,
    pub(crate) grpc: SocketAddr,
    pub(crate) module: PathBuf,
    pub(crate) oids: Oids,
}

impl Ground {
    pub(crate) fn caller_id(&self, institution: &InstitutionId, caller: &Caller) -> String {
        format!("spiffe://{}/{institution}/{caller}", self.name)
    }

    pub(crate) fn server_id(&self) -> String {
        format!(
            "spiffe://{}/{}/server/{}",
            self.name, self.operator, self.server
        )
    }

    pub(crate) fn server_dns_name(&self) -> String {
        format!("{}.{}", self.server, self.name)
    }
}

/// A whole scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    ground: Ground,
    register: Register,
    http: SocketAddr,
    admin: SocketAddr,
    institutions: Vec<Institution>,
}

impl Scheme {
    /// The default: banks `alfa` and `beta`, mobile network operator `mobilis`, as a commented `scheme.toml`.
    pub const EXAMPLE: &str = include_str!("../scheme.example.toml");

    /// Parses `scheme.toml`.
    ///
    /// # Errors
    /// [`SchemeError`] with every mistake; if the text is not TOML, with the first place where it is not.
    pub fn parse(text: &str) -> Result<Self, SchemeError> {
        parse(text, reading::read)
    }

    /// The same scheme on other addresses; `public_base_url` becomes `http://<http>`.
    pub fn listening(self, grpc: SocketAddr, http: SocketAddr, admin: SocketAddr) -> Self {
        let ground = Ground {
            grpc,
            public_base_url: format!("http://{http}"),
            ..self.ground
        };
        Self {
            ground,
            http,
            admin,
            ..self
        }
    }

    /// The SPIFFE trust domain.
    pub fn name(&self) -> &str {
        &self.ground.name
    }

    /// Who rules the scheme itself.
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// The institution that runs the signer.
    pub fn operator(&self) -> &InstitutionId {
        &self.ground.operator
    }

    /// The server's name in its SPIFFE id and its DNS name.
    pub fn server(&self) -> &str {
        &self.ground.server
    }

    /// What certificates say about where CRLs and CA certificates are; without a final slash.
    pub fn public_base_url(&self) -> &str {
        &self.ground.public_base_url
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        self.ground.grpc
    }

    /// Where CRLs and CA certificates are served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where metrics and health are shown, on this host alone.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The path of SoftHSM's PKCS#11 module.
    pub fn module(&self) -> &Path {
        &self.ground.module
    }

    /// The scheme's object identifiers.
    pub fn oids(&self) -> &Oids {
        &self.ground.oids
    }

    /// The institutions, each with a token.
    pub fn institutions(&self) -> &[Institution] {
        &self.institutions
    }

    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The SPIFFE id of a caller: `spiffe://<scheme>/<institution>/<role>/<name>`.
    pub fn caller_id(&self, institution: &InstitutionId, caller: &Caller) -> String {
        self.ground.caller_id(institution, caller)
    }

    /// The SPIFFE id of the server: `spiffe://<scheme>/<operator>/server/<server>`.
    pub fn server_id(&self) -> String {
        self.ground.server_id()
    }

    /// The DNS name of the server: `<server>.<scheme>`.
    pub fn server_dns_name(&self) -> String {
        self.ground.server_dns_name()
    }
}
