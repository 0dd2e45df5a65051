//! Owns our side of a token: starting the process that holds it, asking it with a deadline, and ending it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use semops_objects::jwk;
use semops_pki::algorithm::PublicKey;
use zeroize::Zeroizing;

use crate::error::SetupError;
use crate::protocol::{MAX_LINE, Reply, Request};

/// The longest time for one answer; a key takes milliseconds, an overloaded machine longer.
const ANSWER: Duration = Duration::from_secs(60);

/// A process with one token open. Dropping it ends the process.
pub(crate) struct TokenProcess {
    label: String,
    child: Child,
    /// `None` once the process is told to end.
    requests: Option<ChildStdin>,
    replies: Receiver<String>,
}

impl TokenProcess {
    /// Starts `program` (this crate's executable) with SOFTHSM2_CONF set to `configuration`, for that process alone.
    pub(crate) fn start(
        program: &Path,
        configuration: &Path,
        label: &str,
    ) -> Result<Self, SetupError> {
        let failed = |source| SetupError::Program {
            program: program.to_owned(),
            source,
        };
        let mut child = Command::new(program)
            .arg("token")
            .env("SOFTHSM2_CONF", configuration)
            // An interrupt at the terminal is for us; this process ends when its input does.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let requests = child.stdin.take();
        let (sender, replies) = sync_channel(1);
        if let Some(output) = child.stdout.take() {
            // Ends with the process: its output ends, or nobody listens any more.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self {
            label: label.to_owned(),
            child,
            requests,
            replies,
        })
    }

    /// Initialises the token; gives the module's name and version.
    pub(crate) fn initialise(
        &mut self,
        module: &Path,
        so_pin: &str,
        pin: &str,
    ) -> Result<String, SetupError> {
        let label = self.label.clone();
        let reply = self.ask(&Request::Initialise {
            module,
            label: &label,
            so_pin,
            pin,
        })?;
        match reply {
            Reply::Ready { library } => Ok(library),
            other => Err(self.odd(&other)),
        }
    }

    /// Logs in to the token, which is there.
    pub(crate) fn open(&mut self, module: &Path, pin: &str) -> Result<(), SetupError> {
        let label = self.label.clone();
        let label = &label;
        match self.ask(&Request::Open { module, label, pin })? {
            Reply::Ready { .. } => Ok(()),
            other => Err(self.odd(&other)),
        }
    }

    /// Has the token, which is open and whose PIN is `old`, take `new` in its place.
    pub(crate) fn change_pin(&mut self, old: &str, new: &str) -> Result<(), SetupError> {
        match self.ask(&Request::ChangePin { old, new })? {
            Reply::Changed => Ok(()),
            other => Err(self.odd(&other)),
        }
    }

    /// Signs in a loop with a key pair made for it; gives the number of signatures and the time that they took.
    pub(crate) fn measure(
        &mut self,
        seconds: u32,
        threads: u32,
    ) -> Result<(u64, Duration), SetupError> {
        let limit = ANSWER.saturating_add(Duration::from_secs(seconds.into()));
        match self.ask_within(limit, &Request::Measure { seconds, threads })? {
            Reply::Measured {
                signatures,
                nanoseconds,
            } => Ok((signatures, Duration::from_nanos(nanoseconds))),
            other => Err(self.odd(&other)),
        }
    }

    /// Generates a key pair inside the token.
    pub(crate) fn generate(&mut self, label: &str) -> Result<PublicKey, SetupError> {
        match self.ask(&Request::Generate { label })? {
            Reply::Key { point } => BASE64URL
                .decode(&point)
                .ok()
                .and_then(|point| PublicKey::from_sec1(&point).ok())
                .ok_or_else(|| self.refused("its public key is not on P-256")),
            other => Err(self.odd(&other)),
        }
    }

    /// Signs with a key of the token: `r || s`, not yet verified.
    pub(crate) fn sign_with(
        &mut self,
        key: &PublicKey,
        message: &[u8],
    ) -> Result<[u8; 64], SetupError> {
        let reply = self.ask(&Request::Sign {
            key: &BASE64URL.encode(jwk::thumbprint(key)),
            message: &BASE64URL.encode(message),
        })?;
        match reply {
            Reply::Signature { rs } => BASE64URL
                .decode(&rs)
                .ok()
                .and_then(|rs| rs.try_into().ok())
                .ok_or_else(|| self.refused("its signature is not of 64 octets")),
            other => Err(self.odd(&other)),
        }
    }

    /// Ends the process and waits until the module is finalised.
    pub(crate) fn finish(mut self) -> Result<(), SetupError> {
        self.requests = None;
        // The end of its output is the end of the process, or of its patience.
        match self.replies.recv_timeout(ANSWER) {
            Err(RecvTimeoutError::Disconnected) => {}
            _ => return Err(self.refused("its process did not end")),
        }
        let status = self.child.wait();
        if status.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(self.refused("its process ended badly"))
        }
    }

    fn ask(&mut self, request: &Request<'_>) -> Result<Reply, SetupError> {
        self.ask_within(ANSWER, request)
    }

    fn ask_within(&mut self, limit: Duration, request: &Request<'_>) -> Result<Reply, SetupError> {
        // Made once in full length, so that no copy of a PIN stays behind when it grows.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let sent = serde_json::to_writer(&mut *line, request).is_ok() && line.len() < MAX_LINE;
        line.push(b'\n');
        let sent = sent
            && self
                .requests
                .as_mut()
                .is_some_and(|requests| requests.write_all(&line).is_ok());
        if !sent {
            return Err(self.refused("its process does not listen"));
        }
        let reply = match self.replies.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Err(self.refused("it did not answer in time")),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(self.refused("its process ended without an answer"));
            }
        };
        serde_json::from_str(&reply).map_err(|_| self.refused("its answer is not understood"))
    }

    fn odd(&self, reply: &Reply) -> SetupError {
        match reply {
            Reply::Refused { reason } => self.refused(reason),
            _ => self.refused("its answer belongs to another question"),
        }
    }

    fn refused(&self, reason: &str) -> SetupError {
        SetupError::Token {
            token: self.label.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Drop for TokenProcess {
    fn drop(&mut self) {
        // After `finish` it is gone; otherwise the ceremony failed and the token goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
