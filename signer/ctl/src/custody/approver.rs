//! The custodian's approval key, in a file or in a PKCS#11 token. It is never the key of the TLS connection.

use std::path::{Path, PathBuf};

use semops_objects::jws;
use semops_pki::{algorithm::PublicKey, certificate::Certificate, local_key::LocalKey};

use super::token::{Place, TokenError, TokenKey};
use crate::{failure::Failure, files, profile::Profile};

/// Where the approval key is.
#[derive(Debug, clap::Args)]
pub struct ApprovalArgs {
    /// Your approval key: PKCS#8 PEM in a file that you alone can read
    #[arg(long, value_name = "FILE", conflicts_with = "approval_token")]
    approval_key: Option<PathBuf>,
    /// Or the label of the PKCS#11 token that holds it
    #[arg(long, value_name = "LABEL", requires_all = ["module", "pin_file", "key_label"])]
    approval_token: Option<String>,
    /// The token's PKCS#11 module
    #[arg(long, value_name = "PATH", requires = "approval_token")]
    module: Option<PathBuf>,
    /// File with the token's PIN, that you alone can read
    #[arg(long, value_name = "FILE", requires = "approval_token")]
    pin_file: Option<PathBuf>,
    /// CKA_LABEL of the approval key
    #[arg(long, value_name = "LABEL", requires = "approval_token")]
    key_label: Option<String>,
}

/// An approval key that can sign.
#[derive(Debug)]
pub enum Approver {
    /// From a file.
    File(Box<LocalKey>),
    /// In a token.
    Token(Box<TokenKey>),
}

impl ApprovalArgs {
    /// Opens the key, which must be another than that of `profile`'s connection.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub fn open(&self, profile: &Profile) -> Result<Approver, Failure> {
        let approver = self.open_alone()?;
        if *approver.public_key() == connection_key(profile)? {
            return Err(Failure::usage(
                "the approval key is the key of the TLS connection: whoever steals one has both",
                "make an approval key of its own: semopsctl custodian new-key FILE",
            ));
        }
        Ok(approver)
    }

    /// Opens the key where there is no connection.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub fn open_alone(&self) -> Result<Approver, Failure> {
        Ok(match self {
            Self {
                approval_key: Some(path),
                ..
            } => Approver::File(Box::new(read_key(path)?)),
            Self {
                approval_token: Some(token),
                module: Some(module),
                pin_file: Some(pin_file),
                key_label: Some(key),
                ..
            } => Approver::Token(Box::new(open_token(
                &Place { module, token, key },
                pin_file,
            )?)),
            _ => {
                return Err(Failure::usage(
                    "there is no approval key",
                    "name --approval-key FILE, or --approval-token, --module, --pin-file and --key-label",
                ));
            }
        })
    }
}

impl Approver {
    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        match self {
            Self::File(key) => key.public_key(),
            Self::Token(key) => key.public_key(),
        }
    }

    /// The compact JWS of this signing input.
    ///
    /// # Errors
    /// [`Failure::Usage`]: the key does not sign.
    pub fn sign(&self, signing_input: &str) -> Result<String, Failure> {
        let signature = match self {
            Self::File(key) => key
                .sign_raw(signing_input.as_bytes())
                .map_err(|error| Failure::usage(error, "try again"))?,
            Self::Token(key) => key.sign(signing_input.as_bytes()).map_err(of_token)?,
        };
        Ok(jws::compact(signing_input, &signature))
    }
}

fn read_key(path: &Path) -> Result<LocalKey, Failure> {
    let pem = files::read_secret(path)?;
    LocalKey::from_pkcs8_pem(&pem).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "an approval key is an unencrypted P-256 key in PKCS#8 PEM: semopsctl custodian new-key FILE makes one",
        )
    })
}

fn open_token(place: &Place<'_>, pin_file: &Path) -> Result<TokenKey, Failure> {
    let mut pin = files::read_secret(pin_file)?;
    let length = pin.trim_end_matches(['\r', '\n']).len();
    pin.truncate(length);
    TokenKey::open(place, &pin).map_err(of_token)
}

fn of_token(error: TokenError) -> Failure {
    let advice = match error {
        TokenError::Module { .. } => "name the token's own module, such as libsofthsm2.so",
        TokenError::Token { .. } | TokenError::Key { .. } => {
            "list tokens and keys with your token's own tool, and compare the labels"
        }
        TokenError::Locked => "use the PIN once with your token's own tool, or have it unlocked",
        TokenError::Halves => "generate a P-256 key pair in the token, both halves with one label",
        TokenError::Call { .. } => {
            "see that the token is there and the PIN in --pin-file is right: a wrong one is not tried twice"
        }
    };
    Failure::usage(error, advice)
}

/// The public key of the caller's certificate.
fn connection_key(profile: &Profile) -> Result<PublicKey, Failure> {
    let path = profile.certificate();
    let chain = Certificate::chain_from_pem(&files::read_text(path)?);
    let leaf = chain.ok().and_then(|chain| chain.into_iter().next());
    let leaf = leaf.ok_or_else(|| {
        Failure::usage(
            format!("{}: no PEM certificate in it", path.display()),
            "the profile names this file: put the right one",
        )
    })?;
    Ok(leaf.public_key().clone())
}
