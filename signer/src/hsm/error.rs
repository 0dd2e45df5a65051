//! Owns the errors of this module: of its start, of one piece of work, of its end. None of them holds a
//! secret, and each names the PKCS#11 call and the return value.

use std::{fmt, time::Duration};

use semops_objects::institution::InstitutionId;

use crate::domain::key::KeyId;

/// A PKCS#11 call and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    call: String,
    code: String,
}

impl Fault {
    pub(super) fn new(call: impl Into<String>, code: impl Into<String>) -> Self {
        let (call, code) = (call.into(), code.into());
        Self { call, code }
    }

    /// The call, for example `C_Login`.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The return value, for example `CKR_PIN_INCORRECT`; a token flag such as `CKF_USER_PIN_LOCKED`; or
    /// what was wrong with an answer that was CKR_OK.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What a person may try.
    pub fn advice(&self) -> &'static str {
        match self.code.as_str() {
            "CKR_PIN_INCORRECT" | "CKR_PIN_LEN_RANGE" | "CKR_PIN_INVALID" => {
                "correct the PIN file; the PIN was tried once and is not tried again, because a token \
                 locks after a few wrong ones"
            }
            "CKR_PIN_LOCKED" | "CKF_USER_PIN_LOCKED" => {
                "the user PIN is locked: the security officer has to set a new one"
            }
            "CKF_USER_PIN_FINAL_TRY" => {
                "one more wrong PIN locks the token, so it was not tried: log in once by other means with \
                 the right PIN, which clears the flag"
            }
            "CKR_PIN_EXPIRED" | "CKR_USER_PIN_NOT_INITIALIZED" => {
                "set the user PIN of the token with the vendor's tool"
            }
            "CKR_SESSION_COUNT" => {
                "the token has no session left: lower `threads` under [hsm] or end other users of it"
            }
            "CKR_CRYPTOKI_ALREADY_INITIALIZED" => {
                "this process already uses the module: only one start at a time"
            }
            "CKR_TOKEN_NOT_PRESENT" | "CKR_TOKEN_NOT_RECOGNIZED" | "CKR_DEVICE_REMOVED" => {
                "check that the token is in its slot and reachable"
            }
            _ if self.call == "C_Initialize" => {
                "check the module's own configuration (for SoftHSM: SOFTHSM2_CONF names a file that can be \
                 read, and its directories.tokendir is a directory that can be written)"
            }
            _ if self.call == "C_FindObjects" => {
                "see with the vendor's tool whether the key is in the token; some modules show an object that \
                 was away only after a new start of the service"
            }
            _ if self.call == "dlopen" => {
                "check `module` under [hsm]: it must be the PKCS#11 library of the HSM, built for this machine"
            }
            _ => "see the log of the module or of the HSM",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.code)
    }
}

/// How one piece of work ended without its result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HsmError {
    /// The token's queue is full; nothing was begun. About when what waits now will have been done.
    #[error("the queue of the token is full, for about {0:?}")]
    QueueFull(Duration),
    /// The deadline passed. The work was dropped, or its result will be.
    #[error("the deadline passed before the token answered")]
    DeadlineExceeded,
    /// The token cannot work at present; the same work may be asked for again later.
    #[error("the token is not available: {0}")]
    Unavailable(Fault),
    /// This work cannot be done, however often it is asked for.
    #[error("the token refused: {0}")]
    Rejected(Fault),
    /// The HSM threads have been told to end.
    #[error("the HSM threads have ended")]
    Stopped,
}

/// Why the HSM threads could not be ended within the time given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// These threads are still inside a call of the module, so C_Finalize was not made: it must not run
    /// beside one. Leave the process without it.
    #[error("still inside a call of the PKCS#11 module, which was therefore not finalised: {}", .0.join(", "))]
    Hung(Vec<String>),
    /// C_Finalize failed.
    #[error("the PKCS#11 module could not be finalised: {0}")]
    Finalize(Fault),
    /// No thread could be started to wait for the others.
    #[error("no thread could be started to end the HSM threads: {0}")]
    Thread(std::io::ErrorKind),
}

/// Why the HSM cannot be used as configured. Everything is undone: nothing is left open or initialised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings or the list of tokens contradict themselves.
    #[error("[hsm]: {0}")]
    Settings(String),
    /// A call failed.
    #[error("{on}: {fault}; try: {}", fault.advice())]
    Call {
        /// The module, or the token and its slot.
        on: String,
        /// The call and its return value.
        fault: Fault,
    },
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
    /// The token allows too few sessions: one is kept for the login, each thread needs one.
    #[error(
        "{on}: C_GetTokenInfo: ulMaxSessionCount is {limit}, but at least 2 sessions are needed; try: raise it"
    )]
    Sessions {
        /// The token and its slot.
        on: String,
        /// `ulMaxSessionCount`.
        limit: u64,
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
    Thread(#[source] std::io::Error),
}

/// What is wrong with a key in a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDefect {
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
