//! `keys rotate --drill`: a rotation rehearsed with a throwaway key that never signs. Each run shows how far the drill has
//! come and does the next thing that this person may do; others approve with `change approve`. What was done is read from
//! the verified history and from the folder, so that the command goes on wherever it was ended.

mod checks;
mod stage;

use std::path::Path;

use semops_objects::{
    change::{Attachment, AttachmentKind, KeyOperation, Operation, Rotation, Standing},
    key::{KeyId, Purpose},
};
use semops_pki::certificate::Certificate;
use semops_proto::v1::{ChangeState, ListKeysRequest};
use serde_json::json;

use self::stage::{STEPS, Stage};
use super::super::{CHAIN, PUBLIC_KEY, REQUEST, create};
use crate::{
    commands::change::{Desk, propose},
    custody::{
        history::History,
        review::Review,
        service::{self},
    },
    failure::Failure,
    files,
    output::{
        Report,
        table::{Column, Table},
        utc,
    },
};

/// How far ahead the throwaway key would sign, seconds: seven days, of which a proposal waits for three at most.
const LEAD: u64 = 7 * 86_400;
/// With less left than this before the key would sign, seconds, nothing is approved that leads there.
const ENOUGH: u64 = 86_400;
/// How long the old key would sign what it had begun, seconds.
const OVERLAP: u64 = 600;
/// The window in which a destruction can be called off, and an hour for it to be approved in, seconds.
const WINDOW: u64 = 7 * 86_400 + 3 * 86_400 + 3_600;

/// Goes on with the drill whose folder this is.
pub(super) async fn run(
    purpose: Purpose,
    folder: &Path,
    asked: &propose::Asked,
    desk: &Desk<'_>,
) -> Result<Report, Failure> {
    let made = match key_in(folder)? {
        Some(key) => key,
        None => make(purpose, folder, desk).await?,
    };
    let (history, pending) = read(asked, desk).await?;
    let stage = Stage::of(
        made,
        has_certificate(folder),
        history.standing(),
        &pending,
        desk.now(),
    );
    let checked = checks::run(purpose, made, folder, &stage, &history, desk).await?;
    let wanted = wanted(
        &stage,
        made,
        purpose,
        folder,
        history.standing(),
        desk.now(),
    )?;
    let Some((operation, attachments)) = wanted else {
        return Ok(report(made, &stage, &checked, desk.now()));
    };
    propose::on_top(asked, &history, operation, attachments, desk).await?;
    let (history, pending) = read(asked, desk).await?;
    let stage = Stage::of(made, true, history.standing(), &pending, desk.now());
    Ok(report(made, &stage, &checked, desk.now()))
}

async fn read(asked: &propose::Asked, desk: &Desk<'_>) -> Result<(History, Vec<Review>), Failure> {
    let told = service::listed(ChangeState::Pending, desk.client).await?;
    let history = asked.base.history(desk.profile, desk.client).await?;
    let reviews = told
        .into_iter()
        .map(|told| Review::of(told, &history, desk.now()));
    let reviews = reviews.collect::<Result<_, _>>()?;
    Ok((history, reviews))
}

/// The key that an earlier run has made.
fn key_in(folder: &Path) -> Result<Option<KeyId>, Failure> {
    let file = folder.join(PUBLIC_KEY);
    if !file.exists() {
        return Ok(None);
    }
    let pem = files::read_text(&file)?;
    let public = semops_pki::algorithm::PublicKey::from_spki_pem(&pem).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", file.display()),
            "give the drill a folder of its own",
        )
    })?;
    Ok(Some(KeyId::of(&public)))
}

async fn make(purpose: Purpose, folder: &Path, desk: &Desk<'_>) -> Result<KeyId, Failure> {
    let key = create::made(purpose.into(), "", folder, desk.client).await?;
    key.sent.key_id.parse().map_err(Failure::bad_answer)
}

/// Whether the throwaway key has a certificate: an authorization key from its making on; a CA's is put here by whoever had
/// it certified.
fn has_certificate(folder: &Path) -> bool {
    folder.join(CHAIN).exists()
}

fn certificate(folder: &Path) -> Result<Certificate, Failure> {
    let file = folder.join(CHAIN);
    let chain = Certificate::chain_from_pem(&files::read_text(&file)?).unwrap_or_default();
    chain.into_iter().next().ok_or_else(|| {
        Failure::usage(
            format!("{}: no certificate in it", file.display()),
            "put the throwaway key's own there: `softhsm-setup certify` makes it of request.pem",
        )
    })
}

/// What this run proposes, if anything is to be.
fn wanted(
    stage: &Stage,
    key: KeyId,
    purpose: Purpose,
    folder: &Path,
    standing: &Standing,
    now: u64,
) -> Result<Option<(Operation, Vec<Attachment>)>, Failure> {
    Ok(match stage {
        Stage::Certified => Some(rotation(key, purpose, folder, standing, now)?),
        Stage::Planned { .. } => Some((Operation::CallOffRotation { to: key }, Vec::new())),
        Stage::CalledOff => {
            let at = now.saturating_add(WINDOW);
            let operation = KeyOperation::ScheduleDestruction { at };
            Some((Operation::Key { operation, key }, Vec::new()))
        }
        Stage::Uncertified
        | Stage::Proposed { .. }
        | Stage::CallOffProposed { .. }
        | Stage::EndProposed { .. }
        | Stage::Ends { .. }
        | Stage::Destroyed => None,
        Stage::Signs => {
            return Err(Failure::usage(
                format!(
                    "the throwaway key {key} is no drill any more: it signs, or is not as a drill leaves it"
                ),
                "suspend it at once (semopsctl change propose suspend-key), then rotate back to a key of your own",
            ));
        }
    })
}

fn rotation(
    key: KeyId,
    purpose: Purpose,
    folder: &Path,
    standing: &Standing,
    now: u64,
) -> Result<(Operation, Vec<Attachment>), Failure> {
    let from = standing.active_at(purpose, now).first().copied();
    let from = from.ok_or_else(|| {
        Failure::usage(
            format!("no {} key signs now", purpose.name()),
            "drill with a purpose that has a key in use",
        )
    })?;
    let certificate = certificate(folder)?;
    if KeyId::of(certificate.public_key()) != key {
        return Err(Failure::usage(
            "the certificate in the drill's folder is not the throwaway key's",
            "put its own into chain.pem",
        ));
    }
    let activate_at = now.saturating_add(LEAD);
    let rotation = Rotation {
        from,
        to: key,
        certificate: certificate.sha256(),
        activate_at,
        retire_at: activate_at.saturating_add(OVERLAP),
    };
    let attachment = Attachment {
        kind: AttachmentKind::Certificate,
        content: certificate.to_pem(),
    };
    Ok((Operation::RotateKey(rotation), vec![attachment]))
}

fn report(key: KeyId, stage: &Stage, checked: &[String], now: u64) -> Report {
    let (states, would_sign) = (states(stage), stage.would_sign());
    let columns = [Column::whole("STEP"), Column::whole("STATE")];
    let table = states
        .iter()
        .fold(Table::new(columns), |table, (step, state)| {
            table.row([(*step).to_owned(), (*state).to_owned()])
        });
    let steps = states
        .iter()
        .map(|(step, state)| json!({"step": step, "state": state}));
    let report = Report::new(json!({
        "key": key.to_string(),
        "steps": steps.collect::<Vec<_>>(),
        "checked": checked,
        "would_sign_at": would_sign,
    }))
    .table(table)
    .row("throwaway key", key.to_string())
    .row_if(
        "would sign",
        would_sign.map(|at| {
            let hours = at.saturating_sub(now) / 3_600;
            let at = utc(i64::try_from(at).unwrap_or(i64::MAX));
            format!("{at}, in {hours} h: unless the drill is called off")
        }),
    );
    let report = checked
        .iter()
        .fold(report, |report, check| report.row("checked", check));
    match stage.who(REQUEST, ENOUGH, now) {
        Some(who) => report.next(who),
        None => report,
    }
}

/// Each step, and whether it is done.
fn states(stage: &Stage) -> Vec<(&'static str, &'static str)> {
    let done = stage.done();
    let states = STEPS.iter().enumerate().map(|(place, step)| {
        let state = match place.cmp(&done) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal => "next",
            std::cmp::Ordering::Greater => "later",
        };
        (*step, state)
    });
    states.collect()
}

/// The keys as the service shows them.
async fn shown(desk: &Desk<'_>) -> Result<Vec<semops_proto::v1::Key>, Failure> {
    Ok(desk.client.list_keys(ListKeysRequest {}).await?.keys)
}
