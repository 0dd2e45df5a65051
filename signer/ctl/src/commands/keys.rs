//! `keys`: the keys that sign for the caller's institution. Also how `keys show` and `keys create` read and save one.
//!
//! A key is named by the RFC 7638 thumbprint of its public half; the name is computed again here, and the certificate, or
//! the request for one, must be that key's.

mod create;
mod rotate;
mod show;

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use der::pem::{LineEnding, encode_string};
use semops_objects::key::KeyId;
use semops_pki::{algorithm::PublicKey, certificate::Certificate, request::CertificationRequest};
use semops_proto::{
    client::Client,
    v1::{self, ListKeysRequest},
};
use serde_json::{Value, json};

use super::{device::name_of, enroll::parse_chain};
use crate::{
    failure::Failure,
    files,
    output::{
        Report,
        table::{Column, Table},
        text::{date, span},
    },
    profile::Profile,
};

const JSON: &str = "JSON: {\"keys\": [{\"key_id\", \"purpose\": \"DEVICE_CA\" | \"SIGNING_CA\" | \"AUTHORIZATION\", \"state\": \
    \"PRE_ACTIVATION\" | \"ACTIVE\" | \"SUSPENDED\" | \"DEACTIVATED\", \"active_since\", \"active_until\" (0 without a \
    certificate), \"registered_at\" or null, \"signatures\", \"public_key\", \"chain\" (PEM), \"certification_request\" (PEM) or \
    null, \"attributes\": {name: true, false or null}}]}; times are Unix \
    seconds";

/// Which key; all of them if none is named.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show one key, its public half and its certificates
    Show(show::Args),
    /// Have a new key made in the token, for a rotation (role custodian)
    Create(create::Args),
    /// Show how far a rotation has come, what comes next, and what verifiers need by when
    Rotate(rotate::Args),
}

/// Lists the keys, or shows one. `now` tells their age.
///
/// # Errors
/// [`Failure`].
pub async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    now: SystemTime,
) -> Result<Report, Failure> {
    let now = unix(now);
    match &args.command {
        Some(Command::Show(args)) => show::run(args, client, now).await,
        Some(Command::Create(args)) => create::run(args, client).await,
        Some(Command::Rotate(args)) => {
            let now = u64::try_from(now).unwrap_or_default();
            rotate::run(args, client, profile, now).await
        }
        None => Ok(list(&all(client).await?, now)),
    }
}

/// Every key, checked.
async fn all(client: &Client) -> Result<Vec<Key>, Failure> {
    let answer = client.list_keys(ListKeysRequest {}).await?;
    answer.keys.into_iter().map(Key::checked).collect()
}

fn list(keys: &[Key], now: i64) -> Report {
    let table = Table::new([
        Column::whole("PURPOSE"),
        Column::whole("STATE"),
        Column::long("KEY"),
        Column::number("AGE"),
        Column::whole("UNTIL"),
        Column::number("SIGNED"),
    ]);
    let table = keys
        .iter()
        .fold(table, |table, key| table.row(key.cells(now)));
    let json: Vec<Value> = keys.iter().map(Key::json).collect();
    let report = Report::new(json!({ "keys": json }));
    if keys.is_empty() {
        return report.row("keys", "0");
    }
    report.table(table).next(
        "one of them whole: semopsctl keys show KEY (its purpose, or the beginning of its id)",
    )
}

/// The files that a key is saved in.
const PUBLIC_KEY: &str = "public-key.pem";
const CHAIN: &str = "chain.pem";
const REQUEST: &str = "request.pem";

/// A key whose id is that of its public half, and whose certificate, or request for one, is its own.
struct Key {
    sent: v1::Key,
    public_key: String,
    chain: Vec<Certificate>,
    /// PEM, of a key that has no certificate.
    request: Option<String>,
}

impl Key {
    fn checked(sent: v1::Key) -> Result<Self, Failure> {
        let id = &sent.key_id;
        let public_key = PublicKey::from_spki_der(&sent.public_key).map_err(|error| {
            Failure::bad_answer(format!("the public half of key {id}: {error}"))
        })?;
        let chain = parse_chain(&sent.certificate_chain)?;
        if KeyId::of(&public_key).to_string() != *id {
            return Err(Failure::untrue(format!(
                "the public half that is shown is not that of key {id}"
            )));
        }
        let request = match chain.first() {
            Some(own) if *own.public_key() == public_key => None,
            Some(_) => {
                return Err(Failure::untrue(format!(
                    "the certificate that is shown is not that of key {id}"
                )));
            }
            None => Some(request_of(&public_key, &sent)?),
        };
        let pem = encode_string("PUBLIC KEY", LineEnding::LF, public_key.spki_der())
            .map_err(|error| Failure::bad_answer(format!("key {id}: {error}")))?;
        Ok(Self {
            sent,
            public_key: pem,
            chain,
            request,
        })
    }

    fn purpose(&self) -> &'static str {
        name_of(self.sent.purpose().as_str_name(), "KEY_PURPOSE_")
    }

    fn state(&self) -> &'static str {
        name_of(self.sent.state().as_str_name(), "KEY_STATE_")
    }

    fn cells(&self, now: i64) -> [String; 6] {
        [
            self.purpose().to_owned(),
            self.state().to_owned(),
            self.sent.key_id.clone(),
            self.certified(span(now.saturating_sub(self.sent.active_since))),
            self.certified(date(self.sent.active_until)),
            self.sent.signatures.to_string(),
        ]
    }

    /// What is only said of a key that has a certificate.
    fn certified(&self, text: String) -> String {
        if self.request.is_some() {
            return "-".to_owned();
        }
        text
    }

    fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::to_pem).collect()
    }

    fn json(&self) -> Value {
        let attributes = self.sent.attributes.iter();
        let attributes =
            attributes.map(|attribute| (attribute.name.clone(), json!(attribute.value)));
        json!({
            "key_id": self.sent.key_id,
            "purpose": self.purpose(),
            "state": self.state(),
            "active_since": self.sent.active_since,
            "active_until": self.sent.active_until,
            "registered_at": self.sent.registered_at,
            "signatures": self.sent.signatures,
            "public_key": self.public_key,
            "chain": self.chain_pem(),
            "certification_request": self.request,
            "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// The request of a key that has no certificate: by that key itself.
fn request_of(public_key: &PublicKey, sent: &v1::Key) -> Result<String, Failure> {
    let (id, der) = (&sent.key_id, &sent.certification_request);
    if der.is_empty() {
        return Err(Failure::bad_answer(format!("key {id} has no certificate")));
    }
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::bad_answer(format!("the certification request of key {id}: {error}"))
    };
    let request = CertificationRequest::parse(der).map_err(|error| wrong(&error))?;
    if request.public_key() != public_key {
        return Err(Failure::untrue(format!(
            "the certification request that is shown is not that of key {id}"
        )));
    }
    encode_string("CERTIFICATE REQUEST", LineEnding::LF, der).map_err(|error| wrong(&error))
}

/// Writes the key's public half, and its certificates or its request.
fn save(key: &Key, folder: &Path) -> Result<(), Failure> {
    files::make_folder(folder)?;
    files::write(&folder.join(PUBLIC_KEY), key.public_key.as_bytes())?;
    match &key.request {
        Some(request) => files::write(&folder.join(REQUEST), request.as_bytes())?,
        None => files::write(&folder.join(CHAIN), key.chain_pem().as_bytes())?,
    }
    Ok(())
}

fn unix(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_proto::v1::{KeyPurpose, KeyState};

    use super::*;
    use crate::output::Form;

    #[test]
    fn the_list_fits_a_terminal_and_tells_age_and_use() {
        let sent = v1::Key {
            key_id: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".to_owned(),
            purpose: KeyPurpose::Authorization.into(),
            state: KeyState::Active.into(),
            active_until: 86_400 * 365,
            signatures: 1_234_567,
            ..v1::Key::default()
        };
        let key = Key {
            sent,
            public_key: String::new(),
            chain: Vec::new(),
            request: None,
        };
        let shown = list(&[key], 86_400 * 12).render(Form::Lines { columns: 80 });
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines.get(..2).unwrap(),
            [
                "PURPOSE        STATE   KEY                              AGE  UNTIL        SIGNED",
                "AUTHORIZATION  ACTIVE  NzbLsXh8uDCcd-6…ZAfHkxZsRGC9Xs  12 d  1971-01-01  1234567",
            ]
        );
    }

    #[test]
    fn no_keys_are_said() {
        assert_eq!(
            list(&[], 0).render(Form::Lines { columns: 80 }),
            "keys  0\n"
        );
    }
}
