//! `keys compromise`: what is to be done when others may know a key. Each run shows how far it has come by the verified
//! history and the service's record, and does all that this person may do now: given again, it goes on.

mod dependents;
mod plan;
pub(in crate::commands) mod signed;
mod waves;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dependents::Dependent;
use plan::{Facts, Plan, Step};
use semops_objects::{
    change::{Attachment, AttachmentKind, KeyLife, KeyOperation, Operation, Rotation},
    key::{KeyId, KeyState, Purpose},
};
use semops_pki::certificate::Certificate;
use semops_proto::v1::ChangeState;
use serde_json::{Value, json};
use signed::{Signed, Since};
use tokio::time::sleep;
use waves::Waves;

use super::create;
use crate::{
    commands::change::{
        Desk,
        propose::{Asked, the_one},
    },
    custody::{history::History, review::Review, service},
    failure::Failure,
    files,
    output::{
        Report,
        table::{Column, Table},
    },
};

const JSON: &str = "JSON: {\"key_id\", \"purpose\", \"state\", \"steps\": [{\"step\", \"state\": \"done\" | \"next\" | \"later\", \"who\"}], \
    \"signed\": {\"objects\", \"complete\", \"under_way\", \"not_kept\", \"jsonl\", \"jsonl_sha256\", \"csv\", \"csv_sha256\"} (digests \
    hexadecimal), \"devices\": {\"before\", \"now\", \"left\", \"stopped\"} or null, \
    \"dependents\": [{\"key_id\", \"purpose\", \"change_id\" (or null)}] or null}";

/// Holds the id of the key.
const KEY: &str = "key";
/// A key that signs so soon is waited for, seconds.
const SOON: u64 = 5;
/// The folder of the key that comes next.
const NEXT: &str = "next";
/// The certificate that the offline root made for it.
const CERTIFICATE: &str = "certificate.pem";

/// Which key, and since when.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The key: its id, the beginning of its id as far as no other begins so, or the purpose of a single key
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    /// Since when others may know it: a time such as 2026-12-01T00:00:00Z, or so long ago, such as 90m, 72h or 30d
    #[arg(long, value_name = "TIME")]
    since: Since,
    /// Folder of this case: gets key, its id, signed.jsonl and signed.csv, what it signed since then, and next/, the key that
    /// comes next
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// So many devices are certified anew in a second
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    per_second: u16,
    #[command(flatten)]
    asked: Asked,
}

/// The key that may be known, and where the case stands.
struct Case {
    key: KeyId,
    purpose: Purpose,
    history: History,
    pending: Vec<Review>,
}

impl Case {
    async fn read(args: &Args, desk: &Desk<'_>) -> Result<Self, Failure> {
        let told = service::listed(ChangeState::Pending, desk.client).await?;
        let history = args.asked.history(desk).await?;
        let reviews = told
            .into_iter()
            .map(|one| Review::of(one, &history, desk.now()));
        let pending = reviews.collect::<Result<_, _>>()?;
        let key = key_of(args, &history)?;
        let life = history.standing().key(key);
        let life = life.ok_or_else(|| Failure::bad_answer("a key without a life"))?;
        Ok(Self {
            key,
            purpose: life.purpose(),
            pending,
            history,
        })
    }

    fn state(&self, now: u64) -> KeyState {
        let life = self.history.standing().key(self.key);
        life.map_or(KeyState::Destroyed, |life| life.state(now))
    }

    /// The keys that sign in its place.
    fn others(&self, now: u64) -> Vec<KeyId> {
        let active = self.history.standing().active_at(self.purpose, now);
        active.into_iter().filter(|key| *key != self.key).collect()
    }

    /// Waits for the key that another custodian has just put in its place.
    async fn other_signs(&self, desk: &Desk<'_>) {
        let now = desk.now();
        let of_purpose = |(_, life): &(KeyId, &KeyLife)| life.purpose() == self.purpose;
        let keys = self.history.standing().keys().filter(of_purpose);
        let ahead = keys.filter_map(|(_, life)| life.activates_at());
        let next = ahead.filter(|at| (now..=now.saturating_add(SOON)).contains(at));
        if let Some(at) = next.max() {
            sleep(Duration::from_secs(at.saturating_sub(now))).await;
        }
    }

    /// The change that waits for others, of those that this case needs.
    fn waiting(&self, wanted: impl Fn(&Operation) -> bool) -> Option<&Review> {
        let open = self.pending.iter().filter(|review| review.is_open());
        open.into_iter()
            .find(|review| wanted(review.told.proposal.operation()))
    }

    fn rotation(&self) -> Option<&Review> {
        self.waiting(
            |operation| matches!(operation, Operation::RotateKey(one) if one.from == self.key),
        )
    }

    fn mark(&self) -> Option<&Review> {
        let wanted = Operation::Key {
            operation: KeyOperation::MarkCompromised,
            key: self.key,
        };
        self.waiting(|operation| *operation == wanted)
    }
}

/// The key that the folder is about, once there is one: later several keys may have its purpose.
fn key_of(args: &Args, history: &History) -> Result<KeyId, Failure> {
    let (file, standing) = (args.out.join(KEY), history.standing());
    if !file.exists() {
        let key = the_one(standing, &args.key)?;
        files::replace(&file, format!("{key}\n").as_bytes())?;
        return Ok(key);
    }
    let key: Option<KeyId> = files::read_text(&file)?.trim_end().parse().ok();
    let meant = |key: &KeyId| {
        let life = standing.key(*key);
        let named = key.to_string().starts_with(&args.key);
        life.is_some_and(|life| named || life.purpose().name() == args.key)
    };
    key.filter(meant).ok_or_else(|| {
        Failure::usage(
            format!("{} names another key than {}", file.display(), args.key),
            "give each key that may be known a folder of its own",
        )
    })
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    files::make_folder(&args.out)?;
    let mut case = Case::read(args, desk).await?;
    case.other_signs(desk).await;
    // 1 at once, by one person
    if case.state(desk.now()) == KeyState::Active {
        case = change(KeyOperation::Suspend, args, &case, desk).await?;
    }
    // 2 what it signed
    let list = Signed::fetch(case.key, args.since.seconds(desk.now()), desk).await?;
    let saved = list.save(&args.out)?;
    // 3 another in its place
    let next = next_key(args, &case, desk).await?;
    if let Next::Certified(certificate) = &next {
        rotate(args, case.key, certificate, desk).await?;
        case = Case::read(args, desk).await?;
    }
    // 4 what depended on it
    let dependents = dependents(args, &case, desk).await?;
    let waves = waves(args, &case, desk).await?;
    // 5 for ever, once its last CRL is due
    let depends = waves
        .as_ref()
        .is_some_and(|waves| waves.now > 0 || waves.left > 0)
        || dependents.as_ref().is_some_and(|left| !left.is_empty());
    let known = case.state(desk.now()) == KeyState::Compromised || case.mark().is_some();
    if !case.others(desk.now()).is_empty() && !depends && !known {
        case = change(KeyOperation::MarkCompromised, args, &case, desk).await?;
    }
    let depending = Depending {
        waves: waves.as_ref(),
        keys: dependents.as_deref(),
    };
    let facts = facts(args, &case, &list, &next, depending, desk.now());
    let plan = Plan::of(&facts);
    Ok(report(&case, &plan, &list, &saved, depending, desk.now()))
}

/// What depends on the key: of a device CA devices, of any CA keys.
#[derive(Clone, Copy)]
struct Depending<'a> {
    waves: Option<&'a Waves>,
    keys: Option<&'a [Dependent]>,
}

/// Proposes it; where the case stands then.
async fn change(
    operation: KeyOperation,
    args: &Args,
    case: &Case,
    desk: &Desk<'_>,
) -> Result<Case, Failure> {
    let operation = Operation::Key {
        operation,
        key: case.key,
    };
    args.asked.propose(operation, Vec::new(), desk).await?;
    Case::read(args, desk).await
}

fn facts(
    args: &Args,
    case: &Case,
    list: &Signed,
    next: &Next,
    depending: Depending<'_>,
    now: u64,
) -> Facts {
    Facts {
        purpose: case.purpose,
        state: case.state(now),
        complete: list.complete,
        made: !matches!(next, Next::None),
        request: matches!(next, Next::Request).then(|| request_of(&args.out)),
        rotation: case.rotation().map(|review| review.told.id()),
        replaced: !case.others(now).is_empty(),
        devices_left: depending.waves.map_or(0, |waves| waves.left),
        keys_left: depending.keys.unwrap_or_default().len(),
        key_rotation: {
            let mut keys = depending.keys.unwrap_or_default().iter();
            keys.find_map(|one| one.change)
        },
        mark: case.mark().map(|review| review.told.id()),
    }
}

/// What is known of the key that is to come next.
enum Next {
    /// It is not needed, or a change about it waits or is executed.
    None,
    /// A CA's, which the offline root has not certified yet.
    Request,
    /// It can be rotated to.
    Certified(Box<Certificate>),
}

async fn next_key(args: &Args, case: &Case, desk: &Desk<'_>) -> Result<Next, Failure> {
    let now = desk.now();
    let ahead = |id: &KeyId| {
        let life = case.history.standing().key(*id);
        life.is_some_and(|life| life.purpose() == case.purpose && life.activates_at() > Some(now))
    };
    let planned = case.history.standing().keys().any(|(id, _)| ahead(&id));
    if !case.others(now).is_empty() || planned || case.rotation().is_some() {
        return Ok(Next::None);
    }
    let folder = args.out.join(NEXT);
    let key = create::made(case.purpose.into(), "", &folder, desk.client).await?;
    if let Some(own) = key.chain.first() {
        return Ok(Next::Certified(Box::new(own.clone())));
    }
    let file = folder.join(CERTIFICATE);
    let id: KeyId = key.sent.key_id.parse().map_err(Failure::bad_answer)?;
    if !file.exists() {
        return Ok(Next::Request);
    }
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::usage(
            format!("{}: {why}", file.display()),
            "put the certificate there that the root made for this very request, PEM",
        )
    };
    let certificate = Certificate::from_pem(&files::read_text(&file)?);
    let certificate = certificate.map_err(|error| unusable(&error))?;
    if KeyId::of(certificate.public_key()) != id {
        return Err(unusable(&"the certificate of another key"));
    }
    Ok(Next::Certified(Box::new(certificate)))
}

/// From a key that may be known, or depends on one that may be, to the next, at once and without an overlap.
async fn rotate(
    args: &Args,
    from: KeyId,
    certificate: &Certificate,
    desk: &Desk<'_>,
) -> Result<(), Failure> {
    // In whole seconds: what the key began in this one was begun in its time.
    let at = desk.now().saturating_add(1);
    let rotation = Operation::RotateKey(Rotation {
        from,
        to: KeyId::of(certificate.public_key()),
        certificate: certificate.sha256(),
        activate_at: at,
        retire_at: at,
    });
    let attachment = Attachment {
        kind: AttachmentKind::Certificate,
        content: certificate.to_pem(),
    };
    args.asked.propose(rotation, vec![attachment], desk).await
}

/// Has the devices certified anew that the key has certified, once another CA issues.
async fn waves(args: &Args, case: &Case, desk: &Desk<'_>) -> Result<Option<Waves>, Failure> {
    let others = case.others(desk.now());
    if case.purpose != Purpose::DeviceCa || others.is_empty() {
        return Ok(None);
    }
    Waves::run(case.key, &others, args.per_second, desk)
        .await
        .map(Some)
}

/// Has the keys replaced that the key has certified, once another CA does.
async fn dependents(
    args: &Args,
    case: &Case,
    desk: &Desk<'_>,
) -> Result<Option<Vec<Dependent>>, Failure> {
    if !case.purpose.is_ca() || case.others(desk.now()).is_empty() {
        return Ok(None);
    }
    dependents::replace(args, case, desk).await.map(Some)
}

fn request_of(out: &Path) -> (String, String) {
    let file = |name| out.join(NEXT).join(name).display().to_string();
    (file(super::REQUEST), file(CERTIFICATE))
}

fn report(
    case: &Case,
    plan: &Plan,
    list: &Signed,
    saved: &signed::Saved,
    depending: Depending<'_>,
    now: u64,
) -> Report {
    let state = case.state(now).name().to_ascii_uppercase();
    let steps = plan.steps.iter().zip(plan.states());
    let told =
        |(step, state): (&Step, &str)| json!({"step": step.what, "state": state, "who": step.who});
    let steps: Vec<Value> = steps.map(told).collect();
    let json = json!({
        "key_id": case.key.to_string(),
        "purpose": case.purpose.name(),
        "state": state,
        "steps": steps,
        "signed": saved.json(list),
        "devices": depending.waves.map(Waves::json),
        "dependents": depending.keys.map(|keys| keys.iter().map(Dependent::json).collect::<Vec<_>>()),
    });
    let columns = [Column::whole("STEP"), Column::whole("STATE")];
    let rows = plan.steps.iter().zip(plan.states());
    let table = rows.fold(Table::new(columns), |table, (step, state)| {
        table.row([step.what.to_owned(), state.to_owned()])
    });
    let report = Report::new(json)
        .table(table)
        .row("key", case.key.to_string())
        .row("state", state)
        .row("it signed", list.said())
        .row_if("devices", depending.waves.map(Waves::said))
        .row_if("keys", depending.keys.map(dependents::said))
        .row("saved to", saved.jsonl.path.clone())
        .row("sha-256", saved.jsonl.sha256.clone())
        .row("saved to", saved.csv.path.clone())
        .row("sha-256", saved.csv.sha256.clone());
    match plan.next() {
        Some(step) => report.next(step.who.clone()),
        None => report.next(plan.afterwards()),
    }
}
