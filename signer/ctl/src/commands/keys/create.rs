//! `keys create`: a new key in the institution's token, for a rotation. The folder keeps the id of the request, so that the
//! command given again makes no second key.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use semops_objects::key;
use semops_proto::{
    client::Client,
    v1::{CreateKeyRequest, KeyPurpose},
};
use serde_json::Value;
use uuid::Uuid;

use super::{CHAIN, Key, PUBLIC_KEY, REQUEST, save};
use crate::{failure::Failure, files, output::Report};

const JSON: &str =
    "JSON: {the members that `keys --help` shows for each key, and \"saved_to\" (path)}";
/// Holds the id of the request.
const REQUEST_ID: &str = "request-id";

/// What for, and where to put what belongs to it.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// What the key is to sign
    #[arg(long, value_name = "PURPOSE")]
    purpose: Purpose,
    /// The label of the token in which it is made, as `status` shows them; the first if none is given
    #[arg(
        long,
        value_name = "LABEL",
        default_value = "",
        hide_default_value = true
    )]
    token: String,
    /// Folder of this key: gets request-id first, then public-key.pem, and chain.pem (the certificate, then its
    /// CA's) or request.pem (for the offline root to certify). Given again for the same folder, the command makes no
    /// second key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Purpose {
    Authorization,
    DeviceCa,
    SigningCa,
    Ocsp,
    Audit,
    Statement,
}

impl Purpose {
    fn sent(self) -> KeyPurpose {
        match self {
            Self::Authorization => KeyPurpose::Authorization,
            Self::DeviceCa => KeyPurpose::DeviceCa,
            Self::SigningCa => KeyPurpose::SigningCa,
            Self::Ocsp => KeyPurpose::Ocsp,
            Self::Audit => KeyPurpose::Audit,
            Self::Statement => KeyPurpose::Statement,
        }
    }
}

impl From<key::Purpose> for Purpose {
    fn from(purpose: key::Purpose) -> Self {
        match purpose {
            key::Purpose::DeviceCa => Self::DeviceCa,
            key::Purpose::SigningCa => Self::SigningCa,
            key::Purpose::Authorization => Self::Authorization,
            key::Purpose::Ocsp => Self::Ocsp,
            key::Purpose::Audit => Self::Audit,
            key::Purpose::Statement => Self::Statement,
        }
    }
}

pub(super) async fn run(args: &Args, client: &Client, now: i64) -> Result<Report, Failure> {
    let key = made(args.purpose, &args.token, &args.out, client).await?;
    Ok(report(&key, &args.out, now))
}

/// The key of the request that `out` is for, in the token with this label or in the first one, saved there.
pub(super) async fn made(
    purpose: Purpose,
    token: &str,
    out: &Path,
    client: &Client,
) -> Result<Key, Failure> {
    files::make_folder(out)?;
    let purpose = purpose.sent();
    let ask = CreateKeyRequest {
        purpose: purpose.into(),
        request_id: request_id(out)?.to_string(),
        token: token.to_owned(),
    };
    let answer = client.create_key(ask).await?;
    let key = answer.key;
    let key = Key::checked(key.ok_or_else(|| Failure::bad_answer("the key is missing"))?)?;
    if key.sent.purpose() != purpose {
        return Err(Failure::bad_answer(
            "a key of another purpose than asked for",
        ));
    }
    save(&key, out)?;
    Ok(key)
}

/// The id of the request that this folder is for: the one in it, or a new one, which is put there before anything is asked.
fn request_id(folder: &Path) -> Result<Uuid, Failure> {
    let file = folder.join(REQUEST_ID);
    if !file.exists() {
        let new = Uuid::new_v4();
        files::write(&file, format!("{new}\n").as_bytes())?;
        return Ok(new);
    }
    let text = files::read_text(&file)?;
    text.trim_end().parse().map_err(|_| {
        Failure::usage(
            format!("{} holds no id of a request", file.display()),
            "give the key a folder of its own, or remove the file if no key was asked for with it",
        )
    })
}

fn report(key: &Key, out: &Path, now: i64) -> Report {
    let mut json = key.json(now);
    if let Value::Object(members) = &mut json {
        members.insert("saved_to".to_owned(), out.display().to_string().into());
    }
    let file = |name: &str| out.join(name).display().to_string();
    let report = Report::new(json)
        .row("key", &key.sent.key_id)
        .row("purpose", key.purpose())
        .row("state", key.state())
        .row("token", &key.sent.token)
        .row("public half", file(PUBLIC_KEY));
    if key.chain.is_empty() {
        let request = file(REQUEST);
        return report.row("request", &request).next(format!(
            "have it certified where the root's key is: softhsm-setup certify DIR {request}"
        ));
    }
    let chain = file(CHAIN);
    let next = match key.sent.purpose() {
        KeyPurpose::Authorization => format!(
            "those who trust your institution add the certificate in {chain} to their trust documents; then two custodians \
             rotate to this key, or add it beside those that sign"
        ),
        KeyPurpose::Unspecified
        | KeyPurpose::DeviceCa
        | KeyPurpose::SigningCa
        | KeyPurpose::Ocsp
        | KeyPurpose::Audit
        | KeyPurpose::Statement => {
            "two custodians add this key, or rotate to it if there is one: semopsctl change propose add-key, rotate-key"
                .to_owned()
        }
    };
    report.row("certificate", &chain).next(next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_folder_is_for_one_request() {
        let folder = tempfile::tempdir().unwrap();
        let first = request_id(folder.path()).unwrap();
        assert_eq!(request_id(folder.path()).unwrap(), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(request_id(other.path()).unwrap(), first);
        std::fs::write(folder.path().join(REQUEST_ID), "mine").unwrap();
        assert!(matches!(
            request_id(folder.path()),
            Err(Failure::Usage { .. })
        ));
    }
}
