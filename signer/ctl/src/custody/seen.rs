//! How far the history was verified the last time, kept beside the ceremony file: a service that shows less, or another
//! one, is noticed.

use std::{
    io,
    path::{Path, PathBuf},
};

use semops_objects::change::ChangeId;
use serde::{Deserialize, Serialize};

use super::{Untrue, history::History};
use crate::{
    failure::Failure,
    files::{self, FileError},
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    sequence: u64,
    change: String,
}

/// The file beside this ceremony file.
#[must_use]
pub fn path_beside(ceremony: &Path) -> PathBuf {
    ceremony.with_extension("seen")
}

/// Compares `history` with what was seen, and remembers it if it goes on.
///
/// # Errors
/// It does not hold what was seen; or the file cannot be read or written.
pub fn compare(ceremony: &Path, history: &History) -> Result<(), Failure> {
    let path = path_beside(ceremony);
    let seen = read(&path)?;
    if let Some(seen) = &seen {
        still_there(seen, history)?;
    }
    let standing = history.standing();
    if seen.is_some_and(|seen| seen.sequence == standing.sequence()) {
        return Ok(());
    }
    let seen = Seen {
        sequence: standing.sequence(),
        change: standing.last().to_string(),
    };
    let json = serde_json::to_string(&seen).map_err(Failure::bad_answer)?;
    files::replace(&path, format!("{json}\n").as_bytes()).map_err(|error| {
        Failure::usage(
            error,
            "put your ceremony file where you can write: what was verified last is remembered beside it",
        )
    })
}

fn read(path: &Path) -> Result<Option<Seen>, Failure> {
    let text = match files::read_text(path) {
        Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        text => text?,
    };
    let seen: Result<Seen, _> = serde_json::from_str(&text);
    let seen = seen
        .ok()
        .filter(|seen| seen.change.parse::<ChangeId>().is_ok());
    seen.map(Some).ok_or_else(|| {
        Failure::usage(
            format!("{}: not what this program wrote", path.display()),
            "find out who changed it; without it, what is cut off the end of the history is not noticed",
        )
    })
}

fn still_there(seen: &Seen, history: &History) -> Result<(), Untrue> {
    let shown = history
        .at(seen.sequence)
        .map(|executed| executed.told.id().to_string());
    match shown {
        Some(shown) if shown == seen.change => Ok(()),
        Some(shown) => Err(Untrue::new(format!(
            "it shows change {shown} in the place of {}, which you have verified before",
            seen.change
        ))),
        None => Err(Untrue::new(format!(
            "it shows {} changes, and you have verified {} before: the last ones are cut off",
            history.standing().sequence(),
            seen.sequence
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;
    use crate::custody::specimen::World;

    fn noticed(ceremony: &Path, world: &World) -> String {
        let Failure::NotApproved { message } = compare(ceremony, &world.history()).unwrap_err()
        else {
            unreachable!("another failure");
        };
        message
    }

    #[test]
    fn a_history_that_loses_its_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let ceremony = folder.path().join("alfa-ceremony.json");
        let whole = World::lived();
        let mut short = World::lived();
        short.ceremony = whole.ceremony.clone();
        short.told = whole.told.clone();
        short.registers = whole.registers.clone();
        short.told.truncate(3);
        compare(&ceremony, &short.history()).unwrap();
        compare(&ceremony, &whole.history()).unwrap();
        let kept = fs::read_to_string(folder.path().join("alfa-ceremony.seen")).unwrap();
        assert!(kept.contains("\"sequence\":4"), "{kept}");
        compare(&ceremony, &whole.history()).unwrap();

        let said = noticed(&ceremony, &short);
        assert!(said.contains("the last ones are cut off"), "{said}");
        let said = noticed(&ceremony, &World::lived());
        assert!(said.contains("which you have verified before"), "{said}");
        // What was noticed is remembered as it was.
        let now = fs::read_to_string(folder.path().join("alfa-ceremony.seen")).unwrap();
        assert_eq!(now, kept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_others_is_not_taken_for_ours() {
        let folder = tempfile::tempdir().unwrap();
        let ceremony = folder.path().join("alfa-ceremony.json");
        for text in ["", "{}", r#"{"sequence":1,"change":"x"}"#] {
            fs::write(path_beside(&ceremony), text).unwrap();
            let failure = compare(&ceremony, &World::new().history()).unwrap_err();
            assert!(
                matches!(failure, Failure::Usage { .. }),
                "{text}: {failure:?}"
            );
        }
    }
}
