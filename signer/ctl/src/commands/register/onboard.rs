//! `register onboard`: what stands when an institution has come, what is left to do and by whom. It changes nothing; `--out`
//! saves what its peers need to believe it.

mod plan;

use std::{
    fs,
    path::{Path, PathBuf},
};

use plan::{Facts, KEYS, ROLES};
use semops_objects::{
    change::{DocumentKind, Standing},
    key::{KeyId, Purpose},
};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::v1::{self, Authority, GetCrlRequest, ListKeysRequest};
use serde::Deserialize;
use serde_json::json;

use super::{
    callers::Callers,
    steps::{self, Step},
};
use crate::{
    commands::{change::Desk, enroll::parse_chain},
    custody::{
        Untrue,
        service::{self, BaseArgs},
    },
    failure::Failure,
    files,
    output::{Report, path_json},
};

const JSON: &str = "JSON: {\"institution\" (or null while it is not served), \"steps\": [{\"step\", \"state\": \"done\" | \"next\" | \"later\" | \
    \"ask\" (nobody can see it from here), \"when\" (null), \"who\", \"commands\": [text], \"detail\" (text, or null)}], \"saved_to\" (path, or null)}";

/// What the service says of an institution that was added while it ran.
const NOT_SERVED: &str = "INSTITUTION_NOT_SERVED";

/// What to save.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Save what peers need in this folder: INSTITUTION-chain.pem, its authorization certificate with the signing CA's, and
    /// INSTITUTION-signing-ca-crl.der
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArgs,
}

/// What is read of the documents in force.
#[derive(Deserialize)]
struct Policy {
    #[serde(default)]
    payees: Vec<String>,
}

#[derive(Deserialize)]
struct Trust {
    device_root: String,
    signing_root: String,
    #[serde(default)]
    trusted: Vec<Trusted>,
}

#[derive(Deserialize)]
struct Trusted {
    institution: String,
}

pub(super) async fn run(args: &Args, desk: &Desk<'_>) -> Result<Report, Failure> {
    let history = match args.base.history(desk.profile, desk.client).await {
        Err(Failure::Refused(refusal)) if refusal.reason() == Some(NOT_SERVED) => {
            return Ok(report(args, None, &plan::not_served()));
        }
        history => history?,
    };
    let standing = history.standing();
    let policy: Policy = document(standing, DocumentKind::Policy, desk).await?;
    let trust: Trust = document(standing, DocumentKind::Trust, desk).await?;
    let callers: Callers = document(standing, DocumentKind::Callers, desk).await?;
    let shown = desk.client.list_keys(ListKeysRequest {}).await?.keys;
    let [device_ca, signing_ca, authorization] =
        KEYS.map(|purpose| active(standing, purpose, &shown, &trust, desk));
    let crls = [
        crl(standing, &device_ca, Authority::DeviceCa, desk).await?,
        crl(standing, &signing_ca, Authority::SigningCa, desk).await?,
    ];
    if let Some(folder) = &args.out {
        save(folder, standing, &authorization, &crls[1])?;
    }
    let facts = Facts {
        standing,
        keys: [device_ca, signing_ca, authorization].map(|key| key.map(drop)),
        crls: crls.map(|crl| crl.map(drop)),
        callers: ROLES.map(|role| callers.active(role)),
        payees: policy.payees,
        trusted: trust
            .trusted
            .into_iter()
            .map(|one| one.institution)
            .collect(),
        approval_keys: args
            .base
            .path(desk.profile)
            .map_or_else(|_| Vec::new(), |ceremony| approval_keys(ceremony, standing)),
    };
    let institution = standing.institution().as_str();
    Ok(report(args, Some(institution), &plan::steps(&facts)))
}

/// A document in force, as far as it is looked at.
async fn document<T: for<'a> Deserialize<'a>>(
    standing: &Standing,
    kind: DocumentKind,
    desk: &Desk<'_>,
) -> Result<T, Failure> {
    let text = service::document(standing.document(kind), desk.client).await?;
    let read = toml::from_str(&text);
    read.map_err(|error| Untrue::new(format!("the {}: {error}", kind.name())).into())
}

/// The chain of a purpose's active key, or why there is none that counts.
fn active(
    standing: &Standing,
    purpose: Purpose,
    shown: &[v1::Key],
    trust: &Trust,
    desk: &Desk<'_>,
) -> Result<Vec<Certificate>, String> {
    let active = standing.active_at(purpose, desk.now());
    let id = active.first().ok_or("no key is active")?;
    let key = shown.iter().find(|key| key.key_id == id.to_string());
    let key = key.ok_or_else(|| format!("the service does not show key {id}"))?;
    let chain = parse_chain(&key.certificate_chain).map_err(|_| "its chain is none")?;
    let own = chain.first().ok_or("it has no certificate")?;
    if KeyId::of(own.public_key()) != *id {
        return Err("its certificate is another key's".to_owned());
    }
    for (one, issuer) in chain.iter().zip(chain.iter().skip(1)) {
        one.verify_issued_by(issuer)
            .map_err(|why| why.to_string())?;
    }
    let root = if purpose == Purpose::DeviceCa {
        &trust.device_root
    } else {
        &trust.signing_root
    };
    let root = Certificate::from_pem(root).map_err(|why| why.to_string())?;
    let top = chain.last().unwrap_or(own);
    top.verify_issued_by(&root).map_err(|why| why.to_string())?;
    Ok(chain)
}

/// The CRL of a CA, or why there is none that counts.
async fn crl(
    standing: &Standing,
    ca: &Result<Vec<Certificate>, String>,
    authority: Authority,
    desk: &Desk<'_>,
) -> Result<Result<CertificateRevocationList, String>, Failure> {
    let Some(own) = ca.as_ref().ok().and_then(|chain| chain.first()) else {
        return Ok(Err("its CA is not active".to_owned()));
    };
    let request = GetCrlRequest {
        institution: standing.institution().to_string(),
        authority: authority.into(),
        key_id: String::new(),
    };
    let sent = match desk.client.get_crl(request).await.map_err(Failure::from) {
        Err(Failure::Refused(refusal)) if refusal.reason() == Some("CRL_NOT_FOUND") => {
            return Ok(Err("it is made within seconds".to_owned()));
        }
        sent => sent?.crl,
    };
    let now = i64::try_from(desk.now()).unwrap_or(i64::MAX);
    let read = CertificateRevocationList::from_der(&sent)
        .and_then(|crl| crl.verify_issued_by(own).map(|()| crl));
    Ok(match read {
        Ok(crl) if crl.stale_at(now) => Err("it has run out".to_owned()),
        Ok(crl) => Ok(crl),
        Err(why) => Err(why.to_string()),
    })
}

/// What peers put into their trust documents.
fn save(
    folder: &Path,
    standing: &Standing,
    authorization: &Result<Vec<Certificate>, String>,
    crl: &Result<CertificateRevocationList, String>,
) -> Result<(), Failure> {
    let (Ok(chain), Ok(crl)) = (authorization, crl) else {
        return Err(Failure::usage(
            "there is nothing yet that peers could believe",
            "leave out --out: the plan says what comes first",
        ));
    };
    let id = standing.institution();
    let pem: String = chain.iter().map(Certificate::to_pem).collect();
    files::make_folder(folder)?;
    files::write(&folder.join(format!("{id}-chain.pem")), pem.as_bytes())?;
    files::write(&folder.join(format!("{id}-signing-ca-crl.der")), crl.der())?;
    Ok(())
}

/// Those that lie where the ceremony of `softhsm-setup` left them.
fn approval_keys(ceremony: &Path, standing: &Standing) -> Vec<String> {
    let above = ceremony.parent().and_then(Path::parent);
    let folder = above.unwrap_or(Path::new(""));
    let folder = folder
        .join("custodians")
        .join(standing.institution().as_str());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let keys = paths.filter(|path| path.extension().is_some_and(|end| end == "key"));
    let mut keys: Vec<String> = keys.map(|path| path.display().to_string()).collect();
    keys.sort_unstable();
    keys
}

fn report(args: &Args, institution: Option<&str>, steps: &[Step]) -> Report {
    let out = args.out.as_deref().filter(|_| institution.is_some());
    let report = Report::new(json!({
        "institution": institution,
        "steps": steps::json(steps),
        "saved_to": path_json(out),
    }))
    .table(steps::table(steps))
    .row_if("institution", institution)
    .row_if("saved to", out.map(|path| path.display().to_string()));
    steps::told(report, steps)
}
