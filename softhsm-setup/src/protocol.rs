//! Owns what this program and the process that holds a token for it say to each other: JSON, one message a line, over
//! the process's standard input and output. A PIN travels here and nowhere else.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The longest line; a message to sign is a TBSCertificate or TBSCertList of a few hundred octets.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// What the token's process is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    /// Initialise a free slot of the module as the token `label` and log in.
    Initialise {
        module: &'a Path,
        label: &'a str,
        so_pin: &'a str,
        pin: &'a str,
    },
    /// Log in to the token `label`.
    Open {
        module: &'a Path,
        label: &'a str,
        pin: &'a str,
    },
    /// Change the PIN of the user who is logged in.
    ChangePin { old: &'a str, new: &'a str },
    /// Generate a P-256 key pair inside the token.
    Generate { label: &'a str },
    /// Sign the base64url `message` with the private key whose CKA_ID is the base64url `key`.
    Sign { key: &'a str, message: &'a str },
    /// Sign again and again for `seconds` in each of `threads` threads, with a key pair made for it and destroyed after
    /// it.
    Measure { seconds: u32, threads: u32 },
}

/// What the token's process answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The token is initialised, or logged in to; the module calls itself `library`.
    Ready { library: String },
    /// The PIN is changed.
    Changed,
    /// The new key's uncompressed point (SEC 1 s2.3.3), base64url.
    Key { point: String },
    /// `r || s`, base64url.
    Signature { rs: String },
    /// How many signatures there were in how much time.
    Measured { signatures: u64, nanoseconds: u64 },
    /// It could not be done.
    Refused { reason: String },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_request_is_read_without_copying_the_pin() {
        let request = Request::Initialise {
            module: Path::new("/m.so"),
            label: "alfa",
            so_pin: "11",
            pin: "22",
        };
        let line = serde_json::to_string(&request).unwrap();
        let Request::Initialise { pin, .. } = serde_json::from_str(&line).unwrap() else {
            unreachable!("it is an Initialise");
        };
        assert!(line.as_bytes().as_ptr_range().contains(&pin.as_ptr()));
    }
}
