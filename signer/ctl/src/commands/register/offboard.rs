//! `register offboard`: what an institution does that leaves, how far it has come by the verified history and by what the
//! service shows, and who types what next. It changes nothing; with `--evidence` it saves the evidence, and compares it with
//! its digests ever after.

mod afterwards;
mod callers;
mod evidence;
mod folder;
mod plan;

use std::path::{Path, PathBuf};

use afterwards::Afterwards;
use callers::Calling;
use evidence::Collected;
use folder::Folder;
use plan::{Device, Facts};
use semops_objects::{change::DocumentKind, key::KeyId};
use semops_proto::v1::{
    self, ChangeState, GetStatusRequest, KeyPurpose, ListKeysRequest, SignedKind,
};
use serde_json::{Value, json};

use super::steps::{self, Step};
use crate::{
    commands::{change::Desk, keys::compromise::signed::Signed},
    custody::{
        Untrue,
        history::History,
        review::Review,
        service::{self, BaseArgs},
    },
    failure::Failure,
    files,
    output::{Report, path_json},
};

const JSON: &str = "JSON: {\"institution\", \"sequence\" (of the last change), \"steps\": [{\"step\", \"state\": \"done\" | \"next\" | \"later\", \
    \"when\" (Unix seconds, or null), \"who\", \"commands\": [text], \"detail\" (text, or null)}], \"devices\" (certificates that are valid \
    and not revoked), \"evidence\" (path, or null), \"afterwards\": [{\"who\", \"what\", \"commands\": [text]}], \"callers_saved_to\" (path, or null)}";

/// What is saved once no key signs any more, and once none is left.
const FOLDERS: [&str; 2] = ["deactivated", "destroyed"];

/// What to save.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Folder of the evidence: gets deactivated/ once no key signs any more, and destroyed/ once none is left, each with
    /// SHA256SUMS, as sha256sum -c takes it; what is there is never changed, but compared
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Save the next register of callers here, in which those in the roles payments and enrolment are disabled
    #[arg(long, value_name = "FILE")]
    callers: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
}

/// What was read.
struct Read {
    history: History,
    pending: Vec<Review>,
    shown: Vec<v1::Key>,
    devices: Vec<Device>,
    listed: bool,
    calling: Calling,
    tokens: Vec<String>,
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let read = Read::of(args, desk).await?;
    if let Some(path) = &args.callers {
        files::write(path, read.calling.next.as_bytes())?;
    }
    let mut facts = read.facts(desk.now());
    if let Some(folder) = &args.evidence {
        facts.evidence = Some(save(folder, plan::reached(&facts), &read, desk).await?);
    }
    Ok(report(args, &read, &plan::steps(&facts)))
}

impl Read {
    async fn of(args: &Args, desk: &Desk<'_>) -> Result<Self, Failure> {
        let told = service::listed(ChangeState::Pending, desk.client).await?;
        let history = args.base.history(desk.profile, desk.client).await?;
        let reviews = told
            .into_iter()
            .map(|one| Review::of(one, &history, desk.now()));
        let pending = reviews.collect::<Result<_, _>>()?;
        let register = history.standing().document(DocumentKind::Callers);
        let register = service::document(register, desk.client).await?;
        let calling = Calling::of(&register)
            .map_err(|why| Untrue::new(format!("the register of callers: {why}")))?;
        let shown = desk.client.list_keys(ListKeysRequest {}).await?.keys;
        let status = desk.client.get_status(GetStatusRequest {}).await?;
        let tokens = status.token.into_iter().chain(status.further_tokens);
        let (devices, listed) = devices(&shown, desk).await?;
        Ok(Self {
            devices,
            listed,
            tokens: tokens.map(|token| token.label).collect(),
            pending,
            shown,
            calling,
            history,
        })
    }

    fn facts(&self, now: u64) -> Facts<'_> {
        Facts {
            standing: self.history.standing(),
            pending: &self.pending,
            shown: &self.shown,
            devices: &self.devices,
            listed: self.listed,
            calling: &self.calling,
            evidence: None,
            now,
        }
    }
}

impl Read {
    /// What is left to others, once no key is left.
    fn afterwards(&self, args: &Args) -> Vec<Afterwards> {
        let institution = self.history.standing().institution().as_str();
        let folder = args.evidence.clone().unwrap_or_default();
        let cas = self
            .shown
            .iter()
            .filter(|key| matches!(key.purpose(), KeyPurpose::DeviceCa | KeyPurpose::SigningCa));
        let certificate = |ca: &v1::Key| {
            let file = format!("{}/keys/{}/{}", FOLDERS[1], ca.key_id, evidence::CHAIN);
            folder.join(file).display().to_string()
        };
        let cas: Vec<String> = cas.map(certificate).collect();
        afterwards::of(institution, &self.tokens, &cas)
    }
}

/// The devices with a certificate that is valid and not revoked, by each CA, and whether these are all.
async fn devices(shown: &[v1::Key], desk: &Desk<'_>) -> Result<(Vec<Device>, bool), Failure> {
    let (mut devices, mut listed) = (Vec::new(), true);
    let cas = shown
        .iter()
        .filter(|key| key.purpose() == KeyPurpose::DeviceCa);
    for ca in cas {
        let issuer: KeyId = ca.key_id.parse().map_err(Failure::bad_answer)?;
        let signed = Signed::fetch(issuer, 0, desk).await?;
        listed &= signed.complete;
        for object in signed.objects {
            let until = u64::try_from(object.expires_at).unwrap_or_default();
            let certificate = object.kind() == SignedKind::DeviceCertificate && object.in_force;
            if certificate && until >= desk.now() {
                let id = object.device_id;
                devices.push(Device { id, issuer, until });
            }
        }
    }
    Ok((devices, listed))
}

/// What is in the two folders, after what can be saved was.
async fn save(
    folder: &Path,
    reached: [bool; 2],
    read: &Read,
    desk: &Desk<'_>,
) -> Result<[Folder; 2], Failure> {
    let [before, after] = FOLDERS.map(|name| folder.join(name));
    let found = [Folder::look(&before)?, Folder::look(&after)?];
    let (place, path) = match (reached, &found) {
        ([_, true], [_, Folder::Missing]) => (1, &after),
        ([true, false], [Folder::Missing, _]) => (0, &before),
        _ => return Ok(found),
    };
    let saved = match evidence::collect(&read.history, &read.shown, desk).await? {
        Collected::NotYet(why) => Folder::NotYet(why),
        Collected::Whole(files) => {
            files::make_folder(folder)?;
            Folder::save(path, &files)?;
            Folder::look(path)?
        }
    };
    let [before, after] = found;
    Ok(if place == 0 {
        [saved, after]
    } else {
        [before, saved]
    })
}

fn report(args: &Args, read: &Read, steps: &[Step]) -> Report {
    let standing = read.history.standing();
    let institution = standing.institution().as_str();
    let over = steps::next(steps).is_none();
    let afterwards = if over {
        read.afterwards(args)
    } else {
        Vec::new()
    };
    let told: Vec<Value> = afterwards.iter().map(Afterwards::json).collect();
    let report = Report::new(json!({
        "institution": institution,
        "sequence": standing.sequence(),
        "steps": steps::json(steps),
        "devices": read.devices.len(),
        "evidence": path_json(args.evidence.as_deref()),
        "afterwards": told,
        "callers_saved_to": path_json(args.callers.as_deref()),
    }))
    .table(steps::table(steps))
    .row("institution", institution)
    .row(
        "as of change",
        format!("{}, {}", standing.sequence(), standing.last()),
    );
    let saved = args.callers.as_ref().map(|path| path.display().to_string());
    let report = steps::told(report.row_if("saved to", saved), steps);
    let report = afterwards.iter().fold(report, |report, one| {
        let report = report.row("then", format!("{}: {}", one.who, one.what));
        let commands = one.commands.iter();
        commands.fold(report, |report, command| report.row("", command))
    });
    report.row_if("stays", over.then_some(STAYS))
}

const STAYS: &str = "the record, for as long as its retention keeps it; the evidence; and what the keys signed, which verifies by \
    the chains, CRLs and lists in the evidence, as of its time";
