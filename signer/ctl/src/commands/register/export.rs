//! `register export`: keys, token, certificates, callers, custodians and documents of the caller's institution, with owner,
//! state and end (Commission Delegated Regulation (EU) 2024/1774 art. 7(4): a register of certificates and of the devices
//! that store them).

use std::{collections::BTreeSet, iter, path::PathBuf};

use semops_objects::{
    change::{Custodian, CustodianState, DocumentKind, KeyLife, Standing},
    key::KeyId,
};
use semops_pki::certificate::Certificate;
use semops_proto::{
    client::Client,
    v1::{self, GetStatusRequest, ListKeysRequest},
};
use serde_json::{Value, json};

use super::{
    callers::Callers,
    entry::{self, Entry},
};
use crate::{
    commands::{change::Desk, device::name_of, enroll::parse_chain},
    custody::{
        Untrue,
        service::{self, BaseArgs},
    },
    failure::Failure,
    files,
    output::{
        Report, path_json,
        table::{Column, Table},
        text::{hexadecimal, utc},
    },
};

const JSON: &str = "JSON: {\"institution\", \"sequence\" (of the last change), \"entries\": [{\"kind\": \"key\" | \"certificate\" | \"token\" | \
    \"caller\" | \"custodian\" | \"document\", \"id\", \"owner\", \"purpose\", \"state\", \"not_before\" and \"not_after\" (Unix \
    seconds, or null), \"detail\"}], \"saved_to\" (path or null)}. States of keys, callers and custodians are those of the verified history";

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Save it here too, as CSV (RFC 4180)
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let history = args.base.history(desk.profile, desk.client).await?;
    let standing = history.standing();
    let entries = entries(standing, desk.client, desk.now()).await?;
    if let Some(path) = &args.csv {
        files::write(path, entry::csv(&entries).as_bytes())?;
    }
    Ok(report(args, standing, &entries))
}

/// All that stands there.
pub(super) async fn entries(
    standing: &Standing,
    client: &Client,
    now: u64,
) -> Result<Vec<Entry>, Failure> {
    let mut register = Register::new(standing, now);
    register.keys(client).await?;
    register.token(client).await?;
    let callers = service::document(standing.document(DocumentKind::Callers), client).await?;
    register.callers(&callers)?;
    register.custodians();
    register.documents();
    Ok(register.entries)
}

fn report(args: &Args, standing: &Standing, entries: &[Entry]) -> Report {
    let columns = [
        Column::whole("KIND"),
        Column::long("ID"),
        Column::whole("PURPOSE"),
        Column::whole("STATE"),
        Column::whole("UNTIL"),
    ];
    let table = entries
        .iter()
        .fold(Table::new(columns), |table, entry| table.row(entry.cells()));
    let json: Vec<Value> = entries.iter().map(Entry::json).collect();
    let report = Report::new(json!({
        "institution": standing.institution().as_str(),
        "sequence": standing.sequence(),
        "entries": json,
        "saved_to": path_json(args.csv.as_deref()),
    }))
    .table(table)
    .row("institution", standing.institution().as_str())
    .row(
        "as of change",
        format!("{}, {}", standing.sequence(), standing.last()),
    );
    match &args.csv {
        Some(path) => report.row("saved to", path.display().to_string()),
        None => report.next("--csv FILE saves it for a spreadsheet, --json prints it whole"),
    }
}

/// The register while it is being made.
struct Register<'a> {
    standing: &'a Standing,
    now: u64,
    owner: String,
    entries: Vec<Entry>,
    /// Of certificates that stand in it already.
    certificates: BTreeSet<[u8; 32]>,
}

impl<'a> Register<'a> {
    fn new(standing: &'a Standing, now: u64) -> Self {
        Self {
            standing,
            now,
            owner: standing.institution().as_str().to_owned(),
            entries: Vec::new(),
            certificates: BTreeSet::new(),
        }
    }

    /// The keys of the history, then those that the service has and no change ever named; then their certificates.
    async fn keys(&mut self, client: &Client) -> Result<(), Failure> {
        let shown = client.list_keys(ListKeysRequest {}).await?.keys;
        for (id, life) in self.standing.keys() {
            let held = shown.iter().find(|key| key.key_id == id.to_string());
            let state = life.state(self.now).name();
            let entry = Entry {
                kind: "key",
                id: id.to_string(),
                owner: self.owner.clone(),
                purpose: life.purpose().name().to_owned(),
                state: state.to_owned(),
                not_before: held.and_then(|key| told(key.active_since)),
                not_after: held.and_then(|key| told(key.active_until)),
                detail: detail(life, held),
            };
            self.entries.push(entry);
        }
        for key in &shown {
            let id = key.key_id.parse::<KeyId>().map_err(Failure::bad_answer)?;
            if self.standing.key(id).is_none() {
                let purpose = name_of(key.purpose().as_str_name(), "KEY_PURPOSE_");
                self.entries.push(Entry {
                    kind: "key",
                    id: key.key_id.clone(),
                    owner: self.owner.clone(),
                    purpose: purpose.to_ascii_lowercase().replace('_', "-"),
                    state: "not approved".to_owned(),
                    detail: "no change has put it in use".to_owned(),
                    ..Entry::default()
                });
            }
            for certificate in parse_chain(&key.certificate_chain)? {
                self.certificate(&certificate);
            }
        }
        Ok(())
    }

    fn certificate(&mut self, certificate: &Certificate) {
        let digest = certificate.sha256();
        if !self.certificates.insert(digest) {
            return;
        }
        let owner = certificate.subject_organization();
        let now = i64::try_from(self.now).unwrap_or(i64::MAX);
        let state = if certificate.not_after() <= now {
            "expired"
        } else if now < certificate.not_before() {
            "not yet valid"
        } else {
            "valid"
        };
        self.entries.push(Entry {
            kind: "certificate",
            id: hexadecimal(&digest),
            owner: owner.unwrap_or_default().to_owned(),
            purpose: certificate
                .subject_common_name()
                .unwrap_or_default()
                .to_owned(),
            state: state.to_owned(),
            not_before: Some(certificate.not_before()),
            not_after: Some(certificate.not_after()),
            detail: format!("serial {}", hexadecimal(certificate.serial())),
        });
    }

    async fn token(&mut self, client: &Client) -> Result<(), Failure> {
        let status = client.get_status(GetStatusRequest {}).await?;
        let first = status.token;
        let first = first.ok_or_else(|| Failure::bad_answer("the token is missing"))?;
        for token in iter::once(first).chain(status.further_tokens) {
            self.entries.push(Entry {
                kind: "token",
                id: token.label.clone(),
                owner: self.owner.clone(),
                purpose: "keys".to_owned(),
                state: name_of(token.health().as_str_name(), "TOKEN_HEALTH_").to_owned(),
                detail: format!("{}; {}", token.description, token.library),
                ..Entry::default()
            });
        }
        Ok(())
    }

    /// The callers, and the TLS CA that certifies them.
    fn callers(&mut self, toml: &str) -> Result<(), Failure> {
        let unreadable = |why: &dyn std::fmt::Display| {
            Failure::from(Untrue::new(format!("the register of callers: {why}")))
        };
        let callers: Callers = toml::from_str(toml).map_err(|error| unreadable(&error))?;
        let ca = Certificate::from_pem(&callers.tls_ca).map_err(|error| unreadable(&error))?;
        self.certificate(&ca);
        for caller in callers.caller {
            let role = caller.role().to_owned();
            self.entries.push(Entry {
                kind: "caller",
                id: caller.id,
                owner: self.owner.clone(),
                purpose: role,
                state: caller.state,
                ..Entry::default()
            });
        }
        Ok(())
    }

    fn custodians(&mut self) {
        let register = self.standing.custodians();
        let entries = register.persons().iter().map(custodian);
        self.entries.extend(entries);
        if let Some(recovery) = register.recovery() {
            self.entries.push(Entry {
                kind: "custodian",
                id: "recovery".to_owned(),
                owner: self.owner.clone(),
                purpose: "recovery".to_owned(),
                state: "sealed".to_owned(),
                detail: format!(
                    "approval key {}, after {} hours",
                    KeyId::of(recovery.approval_key()),
                    recovery.delay() / 3_600
                ),
                ..Entry::default()
            });
        }
    }

    fn documents(&mut self) {
        for kind in DocumentKind::ALL {
            let name = self.standing.document(kind);
            self.entries.push(Entry {
                kind: "document",
                id: hexadecimal(&name.sha256),
                owner: self.owner.clone(),
                purpose: kind.name().to_owned(),
                state: "in force".to_owned(),
                detail: format!("version {}", name.version),
                ..Entry::default()
            });
        }
    }
}

/// What is planned for a key by the history, and how much it has signed by the service.
fn detail(life: &KeyLife, held: Option<&v1::Key>) -> String {
    let at = |at: u64| utc(i64::try_from(at).unwrap_or(i64::MAX));
    let planned = |what: &str, time: Option<u64>| time.map(|time| format!("{what} {}", at(time)));
    let signed = held.map_or("not shown by the service".to_owned(), |key| {
        format!("{} signatures", key.signatures)
    });
    let most = held.and_then(|key| key.lifetime_signatures);
    let until = held.and_then(|key| key.signs_until);
    let token = held.map(|key| &key.token).filter(|label| !label.is_empty());
    let details = [
        token.map(|label| format!("in token {label}")),
        Some(signed),
        most.map(|most| format!("{most} at most")),
        until.map(|until| format!("signs until {}", utc(until))),
        planned("active from", life.activates_at()),
        planned("retired from", life.retires_at()),
        planned("destroyed from", life.destruction_at()),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    details.join("; ")
}

/// A time that is 0 where there is none.
fn told(seconds: i64) -> Option<i64> {
    (seconds != 0).then_some(seconds)
}

fn custodian(person: &Custodian) -> Entry {
    let keys = person
        .approval_keys()
        .iter()
        .map(|key| KeyId::of(key).to_string());
    let keys: Vec<String> = keys.collect();
    let state = match person.state() {
        CustodianState::Active => "active",
        CustodianState::Suspended => "suspended",
    };
    Entry {
        kind: "custodian",
        id: person.person().to_string(),
        owner: person.name().to_owned(),
        purpose: "approval".to_owned(),
        state: state.to_owned(),
        detail: format!("approval keys {}", keys.join(" ")),
        ..Entry::default()
    }
}
