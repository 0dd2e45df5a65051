//! Owns the making of a further token for an institution of a standing directory: its PINs first, then the token, and last
//! its table in `signer.toml`. A signer that runs beside it sees the new token with its next start.

use std::fs;
use std::path::{Path, PathBuf};

use semops_objects::institution::InstitutionId;
use toml::{Table, Value};

use crate::add::{check_owner, lock};
use crate::ceremony::{Ceremony, Edge, Progress};
use crate::directory::{Directory, at};
use crate::error::SetupError;
use crate::files::content;
use crate::institution;
use crate::made::Access;
use crate::record::Record;
use crate::standing::Standing;

/// The most tokens of an institution, the first among them.
const TOKENS: usize = 4;

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    /// Whose it is.
    pub institution: InstitutionId,
    /// Its label.
    pub label: InstitutionId,
    /// The file with its PIN.
    pub pin_file: PathBuf,
}

/// Makes a further token of `institution` in the directory at `path`. Its label, which is spelt as an institution's id is,
/// is by default the institution's with the next number. With a `signer` the configuration is checked before it stands.
///
/// # Errors
/// [`SetupError`]; the directory is then as it was.
pub fn add_token(
    path: &Path,
    institution: &InstitutionId,
    label: Option<&InstitutionId>,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<AddedToken, SetupError> {
    let directory = Directory::open(path)?;
    check_owner(directory.path())?;
    let _locked = lock(&directory)?;
    let standing = Standing::read(path)?;
    let label = label_of(&standing, institution, label)?;
    let ground = standing.ground()?;
    let mut ceremony = Ceremony::new(&ground, &directory, edge, progress)?;
    let made = institution::initialise(&mut ceremony, &label)
        .and_then(|token| token.finish())
        .and_then(|()| configure(&mut ceremony, &standing, institution, &label));
    match made {
        Ok(()) => Ok(AddedToken {
            institution: institution.clone(),
            pin_file: directory.pin(&label),
            label,
        }),
        Err(error) => Err(ceremony.fail(error)),
    }
}

/// A label that no token of the directory has.
fn label_of(
    standing: &Standing,
    institution: &InstitutionId,
    wanted: Option<&InstitutionId>,
) -> Result<InstitutionId, SetupError> {
    let config = standing.directory.config();
    let own = standing.member(institution)?.tokens().count();
    if own >= TOKENS {
        let what = format!("{institution} has {own} tokens, and no institution has more");
        return Err(content(&config, &what));
    }
    let is_free = |label: &InstitutionId| !standing.tokens().any(|known| known == label.as_str());
    let label = match wanted {
        Some(label) => Some(label.clone()),
        None => {
            let numbered = (2..100).filter_map(|n| format!("{institution}-{n}").parse().ok());
            numbered.into_iter().find(is_free)
        }
    };
    label.filter(is_free).ok_or_else(|| {
        let what = "a token with that label stands in it: give another one with --label";
        content(&config, &what)
    })
}

/// Lets the institution's part of `signer.toml` grow by a table; everything else stays byte for byte.
fn configure(
    ceremony: &mut Ceremony<'_>,
    standing: &Standing,
    institution: &InstitutionId,
    label: &InstitutionId,
) -> Result<(), SetupError> {
    let directory = ceremony.directory;
    let (config, unfinished) = (directory.config(), directory.unfinished_config());
    let odd = || content(&config, &"its [[institution]] tables are not told apart");
    let text = with_token(
        &standing.text,
        standing.ids().as_slice(),
        institution,
        label,
    );
    let text = text
        .filter(|text| names(text, institution, label))
        .ok_or_else(odd)?;
    ceremony.write(&unfinished, Access::All, text.as_bytes())?;
    if let Some(signer) = &ceremony.edge.signer {
        Record::new(signer, unfinished.clone())?.check_config()?;
        ceremony.say("configuration: the signer accepts it")?;
    }
    if fs::read(&config).map_err(at(&config))? != standing.text.as_bytes() {
        let what = "somebody changed it meanwhile: begin again";
        return Err(content(&config, &what));
    }
    let told = format!("configuration: token \"{label}\" of {institution} stands in signer.toml");
    ceremony.say(&told)?;
    fs::rename(&unfinished, &config).map_err(at(&config))
}

/// The text with a table behind those of the institution; nothing if its lines do not show where that is.
fn with_token(
    text: &str,
    ids: &[InstitutionId],
    institution: &InstitutionId,
    label: &InstitutionId,
) -> Option<String> {
    let place = ids.iter().position(|id| id == institution)?;
    let mut begins = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim() == "[[institution]]" {
            begins.push(at);
        }
        at += line.len();
    }
    if begins.len() != ids.len() {
        return None;
    }
    let end = begins.get(place + 1).copied().unwrap_or(text.len());
    let (before, after) = text.split_at_checked(end)?;
    let table = format!(
        "[[institution.further_token]]\ntoken = \"{label}\"\npin_file = \"pins/{label}\"\n"
    );
    let gap = if before.ends_with("\n\n") {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let rest = if after.is_empty() { "" } else { "\n" };
    Some(format!("{before}{gap}{table}{rest}{after}"))
}

/// Whether the last further token of the institution has this label.
fn names(text: &str, institution: &InstitutionId, label: &InstitutionId) -> bool {
    let table = text.parse::<Table>().unwrap_or_default();
    let tables = table.get("institution").and_then(Value::as_array);
    let is_own =
        |table: &&Value| table.get("id").and_then(Value::as_str) == Some(institution.as_str());
    let own = tables.and_then(|tables| tables.iter().find(is_own));
    let tokens = own.and_then(|own| own.get("further_token")?.as_array());
    let last = tokens.and_then(|tokens| tokens.last()?.get("token")?.as_str());
    last == Some(label.as_str())
}
