//! Owns the errors of this module: of its start, of one piece of work, of its end. None of them holds a
//! secret, and each names the PKCS#11 call and the return value.

use std::{fmt, io, time::Duration};

use semops_objects::institution::InstitutionId;

/// The call of a [`Fault`] that befell a worker process, and no call of the module.
pub(super) const WORKER: &str = "hsm-worker";

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
            "CKR_TOKEN_NOT_PRESENT" | "CKR_TOKEN_NOT_RECOGNIZED" | "CKR_DEVICE_REMOVED" => {
                "check that the token is in its slot and reachable"
            }
            _ if self.call == WORKER => {
                "see the log, and the module's own: what the process said before it ended stands there"
            }
            _ if self.call == "C_Initialize" => {
                "check the module's own configuration (for SoftHSM: SOFTHSM2_CONF names a file that can be \
                 read, and its directories.tokendir is a directory that can be written)"
            }
            _ if self.call == "C_FindObjects" => {
                "see with the vendor's tool whether the key is in the token; some modules show an object that \
                 was away only after a new start, which the service makes of itself"
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
    /// The worker processes have been told to end.
    #[error("the HSM's worker processes have ended")]
    Stopped,
}

/// Why the worker processes did not end by themselves within the time given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// Those of these tokens were still inside a call of the module. They are killed.
    #[error("still inside a call of the PKCS#11 module, and killed: {}", .0.join(", "))]
    Hung(Vec<String>),
    /// No thread could be started to wait for them.
    #[error("no thread could be started to end the worker processes: {0}")]
    Thread(io::ErrorKind),
}

/// Why the HSM cannot be used as configured. Everything is undone: no worker process is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings or the list of tokens contradict themselves.
    #[error("[hsm]: {0}")]
    Settings(String),
    /// The worker process has looked at the token and does not take it up; it says why and what to try.
    #[error("{0}")]
    Refused(String),
    /// The worker process ended, or was killed, before it served.
    #[error("the worker process of {institution}: {fault}; try: {}", fault.advice())]
    Ended {
        /// Whose token it was for.
        institution: InstitutionId,
        /// How it ended.
        fault: Fault,
    },
    /// A worker process, or a thread that minds one, could not be started.
    #[error(
        "a worker process could not be started: {0}; try: raise the limits of processes and of descriptors \
         (RLIMIT_NPROC, TasksMax, RLIMIT_NOFILE)"
    )]
    Process(#[source] io::Error),
}
