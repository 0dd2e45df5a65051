//! `keys show`: one key with its public half, its certificates, and what the token says of its private half.

use std::path::{Path, PathBuf};

use semops_proto::{
    client::Client,
    v1::{self, GetKeyRequest},
};
use serde_json::Value;

use super::{
    CHAIN, Key, REQUEST, all,
    due::{self, Due},
    save,
};
use crate::{
    failure::Failure,
    output::{
        Report, path_json,
        table::{Column, Table},
        text::{span, utc},
    },
};

const JSON: &str =
    "JSON: {the members that `keys --help` shows for each key, and \"saved_to\" (path or null)}";
/// The characters of a whole id: the base64url of a SHA-256.
const ID_LENGTH: usize = 43;

/// Which key, and where to put it.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The key: its id, the beginning of its id as far as no other begins so, or the purpose of a single key
    /// (device-ca, signing-ca, authorization, ocsp, audit, statement)
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    /// Save public-key.pem and chain.pem (its certificate, then those of the CAs above without the root), or request.pem if it
    /// has no certificate yet, in this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, client: &Client, now: i64) -> Result<Report, Failure> {
    let key = if args.key.len() == ID_LENGTH {
        fetch(&args.key, client).await?
    } else {
        the_one(all(client).await?, &args.key)?
    };
    if let Some(folder) = &args.out {
        save(&key, folder)?;
    }
    Ok(report(&key, args.out.as_deref(), now))
}

async fn fetch(id: &str, client: &Client) -> Result<Key, Failure> {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    let answer = client.get_key(request).await?;
    let key = answer.key;
    let key = Key::checked(key.ok_or_else(|| Failure::bad_answer("the key is missing"))?)?;
    if key.sent.key_id == id {
        return Ok(key);
    }
    Err(Failure::bad_answer("another key than asked for"))
}

/// The only key with this purpose or an id that begins so.
pub(super) fn the_one(keys: Vec<Key>, wanted: &str) -> Result<Key, Failure> {
    let purpose = wanted.replace('-', "_");
    let is_meant = |key: &Key| {
        key.purpose().eq_ignore_ascii_case(&purpose) || key.sent.key_id.starts_with(wanted)
    };
    let mut found: Vec<Key> = keys.into_iter().filter(is_meant).collect();
    match (found.pop(), found.is_empty()) {
        (Some(key), true) => Ok(key),
        (Some(_), false) => Err(Failure::usage(
            format!("several keys are meant by {wanted}"),
            "give more of the key's id: `semopsctl keys` lists them, --json has them whole",
        )),
        (None, _) => Err(Failure::usage(
            format!("no key of your institution is meant by {wanted}"),
            "`semopsctl keys` lists purposes and ids; --json has them whole",
        )),
    }
}

fn report(key: &Key, out: Option<&Path>, now: i64) -> Report {
    let mut json = key.json(now);
    if let Value::Object(members) = &mut json {
        members.insert("saved_to".to_owned(), path_json(out));
    }
    let sent = &key.sent;
    let (since, until) = (utc(sent.active_since), utc(sent.active_until));
    let age = span(now.saturating_sub(sent.active_since));
    let report = Report::new(json)
        .row("key", &sent.key_id)
        .row("purpose", key.purpose())
        .row("state", key.state())
        .row("active", key.certified(format!("{since} to {until}")))
        .row("age", key.certified(age))
        .row_if("due", Due::next(sent, now).map(Due::text))
        .row_if("registered", sent.registered_at.map(utc))
        .row_if("token", Some(&sent.token).filter(|label| !label.is_empty()))
        .row("signatures", sent.signatures.to_string())
        .row_if("left to sign", due::left(sent).map(|left| left.to_string()));
    let report = key.chain.iter().fold(report, |report, certificate| {
        let organization = certificate.subject_organization().unwrap_or_default();
        let name = certificate.subject_common_name().unwrap_or_default();
        report.row("certificate", format!("O = {organization}, CN = {name}"))
    });
    let report = if sent.attributes.is_empty() {
        report
    } else {
        report.table(attributes(sent))
    };
    saved(report.text(&key.public_key), key, out)
}

/// What to read of what was saved, or how it is.
fn saved(report: Report, key: &Key, out: Option<&Path>) -> Report {
    let Some(folder) = out else {
        return report.next("--out DIR saves public-key.pem, and chain.pem or request.pem");
    };
    let (what, command, name) = match key.request {
        None => ("certificate", "x509", CHAIN),
        Some(_) => ("request", "req", REQUEST),
    };
    let file = folder.join(name).display().to_string();
    report
        .row("saved to", folder.display().to_string())
        .next(format!(
            "read its {what}: openssl {command} -in {file} -noout -text"
        ))
}

/// What the token says of the private half.
fn attributes(key: &v1::Key) -> Table {
    let table = Table::new([Column::whole("ATTRIBUTE"), Column::whole("VALUE")]);
    key.attributes.iter().fold(table, |table, attribute| {
        let value = match attribute.value {
            Some(true) => "true",
            Some(false) => "false",
            None => "not told",
        };
        table.row([attribute.name.as_str(), value])
    })
}

#[cfg(test)]
mod tests {
    use semops_proto::v1::KeyPurpose;

    use super::*;

    fn keys() -> Vec<Key> {
        let key = |(id, purpose): (&str, KeyPurpose)| Key {
            sent: v1::Key {
                key_id: id.to_owned(),
                purpose: purpose.into(),
                ..v1::Key::default()
            },
            public_key: String::new(),
            chain: Vec::new(),
            request: None,
        };
        let keys = [
            ("abcd", KeyPurpose::DeviceCa),
            ("-bce", KeyPurpose::SigningCa),
            ("abff", KeyPurpose::Authorization),
        ];
        keys.map(key).into()
    }

    #[test]
    fn a_key_is_meant_by_its_purpose_or_a_beginning_of_its_own() {
        let meant = [
            ("abc", "abcd"),
            ("-b", "-bce"),
            ("device-ca", "abcd"),
            ("SIGNING_CA", "-bce"),
            ("authorization", "abff"),
        ];
        for (wanted, id) in meant {
            let key = the_one(keys(), wanted);
            assert_eq!(key.map(|key| key.sent.key_id).ok().as_deref(), Some(id));
        }
        for (wanted, said) in [("ab", "several keys"), ("x", "no key"), ("root", "no key")] {
            let Err(Failure::Usage { message, .. }) = the_one(keys(), wanted) else {
                unreachable!("{wanted} meant a key");
            };
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn what_the_token_says_is_a_table() {
        let mut keys = keys();
        let Some(mut key) = keys.pop() else {
            unreachable!("there are three");
        };
        let attribute = |name: &str, value| v1::KeyAttribute {
            name: name.to_owned(),
            value,
        };
        key.sent.attributes = vec![
            attribute("CKA_EXTRACTABLE", Some(false)),
            attribute("CKA_COPYABLE", None),
        ];
        let report = report(&key, None, 0);
        let shown = report.render(crate::output::Form::Lines { columns: 80 });
        assert!(
            shown.contains(
                "\nATTRIBUTE        VALUE\nCKA_EXTRACTABLE  false\nCKA_COPYABLE     not told\n"
            ),
            "{shown}"
        );
        let json: Value =
            serde_json::from_str(&report.render(crate::output::Form::Json)).unwrap_or_default();
        assert_eq!(
            json.pointer("/attributes/CKA_EXTRACTABLE"),
            Some(&Value::Bool(false))
        );
        assert_eq!(json.pointer("/attributes/CKA_COPYABLE"), Some(&Value::Null));
    }
}
