//! `keys`: the keys that sign for the caller's institution. Also how `keys show` and `keys create` read and save one.
//!
//! A key is named by the RFC 7638 thumbprint of its public half; the name is computed again here, and the certificate, or
//! the request for one, must be that key's.

pub(in crate::commands) mod compromise;
mod create;
mod discard;
mod due;
mod rotate;
mod show;

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use der::pem::{LineEnding, encode_string};
use due::Due;
use semops_objects::key::KeyId;
use semops_pki::{algorithm::PublicKey, certificate::Certificate, request::CertificationRequest};
use semops_proto::{
    client::Client,
    v1::{self, KeyPurpose, ListKeysRequest},
};
use serde_json::{Value, json};

use super::{change::Desk, device::name_of, enroll::parse_chain};
use crate::{
    failure::Failure,
    files,
    output::{
        Report,
        table::{Column, Table},
        text::span,
    },
    profile::Profile,
    progress::Progress,
};

const JSON: &str = "JSON: {\"keys\": [{\"key_id\", \"purpose\": \"DEVICE_CA\" | \"SIGNING_CA\" | \"AUTHORIZATION\" | \"OCSP\" | \"AUDIT\" | \"STATEMENT\", \"state\": \
    \"PRE_ACTIVATION\" | \"ACTIVE\" | \"SUSPENDED\" | \"DEACTIVATED\" | \"COMPROMISED\" | \"DESTROYED\", \"active_since\", \"active_until\" (0 without a \
    certificate), \"registered_at\" or null, \"signatures\", \"public_key\", \"chain\" (PEM), \"certification_request\" (PEM) or \
    null, \"activates_at\", \"retires_at\", \"destruction_at\", \"signs_until\", \"signatures_left\" (each may be null), \"due\": {\"what\": \"activates\" | \
    \"retires\" | \"signs until\" | \"destroyed\", \"at\"} or null, \"token\" (the label of the one that has it) or null, \"attributes\": {name: true, false or null}}], \"to_rotate\": \
    [purposes of which no key signs for 60 days more (OCSP: 30), or has a tenth of its signatures left]}; times are Unix seconds";

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
    /// Have a new key destroyed that no change has taken up (role custodian)
    Discard(discard::Args),
    /// Show how far a rotation has come, what comes next, and what verifiers need by when
    Rotate(rotate::Args),
    /// Do what is to be done when others may know a key: suspend, list, rotate, certify anew (role custodian)
    Compromise(Box<compromise::Args>),
}

/// Lists the keys, or shows one. `clock` tells their age.
///
/// # Errors
/// [`Failure`].
pub async fn run(
    args: &Args,
    client: &Client,
    profile: &Profile,
    progress: &Progress,
    clock: fn() -> SystemTime,
) -> Result<Report, Failure> {
    let now = unix(clock());
    let desk = Desk {
        profile,
        client,
        progress,
        clock,
    };
    match &args.command {
        Some(Command::Show(args)) => show::run(args, client, now).await,
        Some(Command::Create(args)) => create::run(args, client, now).await,
        Some(Command::Discard(args)) => discard::run(args, client).await,
        Some(Command::Rotate(args)) => rotate::run(args, &desk).await,
        Some(Command::Compromise(args)) => compromise::run(args, &desk).await,
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
        Column::whole("DUE"),
        Column::number("SIGNED"),
    ]);
    let due = due::to_rotate(keys.iter().map(|key| &key.sent), now);
    let table = keys
        .iter()
        .fold(table, |table, key| table.row(key.cells(&due, now)));
    let json: Vec<Value> = keys.iter().map(|key| key.json(now)).collect();
    let names = due.iter().map(|one| purpose_name(*one));
    let names: Vec<&str> = names.collect();
    let report = Report::new(json!({ "keys": json, "to_rotate": names }));
    if keys.is_empty() {
        return report.row("keys", "0");
    }
    let next = match names.first() {
        Some(name) => format!(
            "no {name} key lasts, in time or in signatures; plan the next one: semopsctl keys rotate {}",
            name.to_ascii_lowercase().replace('_', "-")
        ),
        None => {
            "one of them whole: semopsctl keys show KEY (its purpose, or the beginning of its id)"
                .to_owned()
        }
    };
    report.table(table).next(next)
}

fn purpose_name(purpose: KeyPurpose) -> &'static str {
    name_of(purpose.as_str_name(), "KEY_PURPOSE_")
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
        purpose_name(self.sent.purpose())
    }

    fn state(&self) -> &'static str {
        name_of(self.sent.state().as_str_name(), "KEY_STATE_")
    }

    fn cells(&self, to_rotate: &[KeyPurpose], now: i64) -> [String; 6] {
        [
            self.purpose().to_owned(),
            self.state().to_owned(),
            self.sent.key_id.clone(),
            self.certified(span(now.saturating_sub(self.sent.active_since))),
            self.due(to_rotate, now),
            self.sent.signatures.to_string(),
        ]
    }

    /// What happens to it next; marked if nobody planned what comes then.
    fn due(&self, to_rotate: &[KeyPurpose], now: i64) -> String {
        let due = Due::next(&self.sent, now).map_or_else(|| "-".to_owned(), Due::text);
        let marked = due::is_in_use(&self.sent) && to_rotate.contains(&self.sent.purpose());
        if marked {
            return format!("{due}, rotate");
        }
        due
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

    fn json(&self, now: i64) -> Value {
        let due = Due::next(&self.sent, now);
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
            "activates_at": self.sent.activates_at,
            "retires_at": self.sent.retires_at,
            "destruction_at": self.sent.destruction_at,
            "signs_until": self.sent.signs_until,
            "signatures_left": due::left(&self.sent),
            "due": due.map(|due| json!({"what": due.what, "at": due.at})),
            "token": Some(&self.sent.token).filter(|label| !label.is_empty()),
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
            signs_until: Some(86_400 * 365),
            signatures: 1_234_567,
            ..v1::Key::default()
        };
        let keys = [Key {
            sent,
            public_key: String::new(),
            chain: Vec::new(),
            request: None,
        }];
        let shown = |days: i64| list(&keys, 86_400 * days).render(Form::Lines { columns: 80 });
        let said = shown(12);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines.get(..2).unwrap(),
            [
                "PURPOSE        STATE   KEY                  AGE  DUE                      SIGNED",
                "AUTHORIZATION  ACTIVE  NzbLsXh8u…ZsRGC9Xs  12 d  signs until 1971-01-01  1234567",
            ]
        );
        assert!(!said.contains("keys rotate"));
        let said = shown(305);
        assert!(
            said.contains("signs until 1971-01-01, rotate  1234567\n"),
            "{said}"
        );
        assert!(
            said.contains("semopsctl keys rotate authorization"),
            "{said}"
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
