//! Owns why a worker process does not take up its token: what is wrong with the module, the token or a key, and what a
//! person may try.

use std::io;

use semops_objects::institution::InstitutionId;

use crate::domain::key::KeyId;
use crate::hsm::error::WORKER;
use crate::hsm::failure::{Class, Failure};

/// Why the token cannot be used as configured. Everything is undone: nothing is left open or initialised.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A call failed.
    #[error("{on}: {fault}; try: {}", failure.fault.advice(), fault = failure.fault)]
    Call {
        /// The module, or the token and its slot.
        on: String,
        /// The call, its return value and what that means.
        failure: Failure,
    },
    /// What the service says of the token cannot be read.
    #[error("what the service says of the token cannot be read: {0}; try: start the service again")]
    Setup(&'static str),
    /// The process cannot be confined.
    #[error("the worker process cannot be confined: {0}; try: see whether the system has seccomp")]
    Confinement(String),
    /// No token has the label.
    #[error(
        "{module}: C_GetTokenInfo: no token has the label \"{label}\"; found: {}; try: correct `token` of \
         institution {institution}, or make the token",
        list(found)
    )]
    NoToken {
        /// The PKCS#11 library.
        module: String,
        /// Whose token was looked for.
        institution: InstitutionId,
        /// The label looked for.
        label: String,
        /// The labels there are.
        found: Vec<String>,
    },
    /// Several tokens have the label.
    #[error(
        "several tokens have the label \"{0}\", in slots {1:?}; try: give each token its own label"
    )]
    AmbiguousToken(String, Vec<u64>),
    /// The token allows too few sessions: each worker process keeps one for the login, and each of its threads needs one.
    #[error(
        "{on}: C_GetTokenInfo: ulMaxSessionCount is {limit}, but at least {needed} sessions are needed; try: raise it"
    )]
    Sessions {
        /// The token and its slot.
        on: String,
        /// `ulMaxSessionCount`.
        limit: u64,
        /// For each worker process one session for the login and one for work.
        needed: u64,
    },
    /// The token cannot sign as needed.
    #[error(
        "{on}: C_GetMechanismInfo: CKM_ECDSA is not there or cannot sign; try: enable it in the token's policy"
    )]
    Mechanism {
        /// The token and its slot.
        on: String,
    },
    /// The token's random numbers repeat.
    #[error(
        "{on}: C_GenerateRandom gave the same octets twice; try: take the token out of service"
    )]
    Random {
        /// The token and its slot.
        on: String,
    },
    /// A key is not as it must be.
    #[error("{on}: key {key} ({label}): {defect}; try: {}", defect.advice())]
    Key {
        /// The token and its slot.
        on: String,
        /// The key's id, which is its CKA_ID.
        key: KeyId,
        /// The key's purpose.
        label: String,
        /// What is wrong.
        defect: KeyDefect,
    },
    /// An HSM thread could not be started.
    #[error(
        "an HSM thread could not be started: {0}; try: raise the limit of threads (RLIMIT_NPROC, TasksMax)"
    )]
    Thread(#[source] io::Error),
}

/// What is wrong with a key in a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyDefect {
    /// Not exactly one object of the class has the key's CKA_ID.
    #[error("C_FindObjects found {found} objects of {class} with this CKA_ID, not one")]
    Count {
        /// `CKO_PRIVATE_KEY` or `CKO_PUBLIC_KEY`.
        class: &'static str,
        /// How many there are.
        found: usize,
    },
    /// The private key's CKA_LABEL is not the purpose.
    #[error("CKA_LABEL is {0:?}")]
    Label(String),
    /// An attribute has a value that is not allowed, or is absent.
    #[error("{attribute} is {}, not {wanted}", match .found { Some(true) => "true", Some(false) => "false", None => "absent" })]
    Attribute {
        /// Its name, for example `CKA_EXTRACTABLE`.
        attribute: &'static str,
        /// What it must be.
        wanted: bool,
        /// What it is.
        found: Option<bool>,
    },
    /// It is not an EC key on the curve P-256.
    #[error("it is no EC key on the curve P-256 (CKA_KEY_TYPE, CKA_EC_PARAMS)")]
    Type,
    /// The public half in the token is not the one in the certificate.
    #[error("CKA_EC_POINT is not the public key of the certificate")]
    PublicKey,
}

impl KeyDefect {
    fn advice(&self) -> &'static str {
        match self {
            Self::Count { .. } => {
                "check that certificate and token belong together; CKA_ID must be the RFC 7638 thumbprint of \
                 the certificate's key, for one private and one public key object"
            }
            Self::Label(_) => {
                "check that the certificate stands under the right purpose; a key has one purpose"
            }
            Self::Attribute { .. } => {
                "generate a new key inside the token (CKA_SENSITIVE and CKA_PRIVATE true, CKA_EXTRACTABLE false, \
                 CKA_SIGN true), certify it, and revoke this one's certificate: it may have been copied"
            }
            Self::Type => "generate a P-256 key and certify it",
            Self::PublicKey => "check that certificate and token belong together",
        }
    }
}

fn list(labels: &[String]) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    let quoted: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
    quoted.join(", ")
}

/// What a key that is not as it must be means for the job about it.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Call { failure, .. } => failure,
            Refusal::Key { defect, .. } => {
                Self::new(Class::Reject, "C_GetAttributeValue", defect.to_string())
            }
            other => Self::new(Class::Reject, WORKER, other.to_string()),
        }
    }
}
