//! The control file as it stands now: read again when it is another one, with the counts of its rules.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    control::Control,
    ledger,
    rule::{Count, Rule},
};

/// A control file that is watched.
pub(crate) struct Watched {
    path: PathBuf,
    current: RwLock<(Stamp, Arc<Standing>)>,
}

/// By what a file that was changed or put into its place is told from the one before.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// The rules of one reading, with what was counted since.
pub(crate) struct Standing {
    pub(crate) log: PathBuf,
    rules: Vec<Counted>,
}

/// A rule, and how many calls were its.
pub(crate) struct Counted {
    pub(crate) rule: Rule,
    met: AtomicU64,
    spent: AtomicBool,
}

impl Watched {
    /// Reads the file for the first time.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Control), String> {
        let stamp = stamp(&path);
        let control = read(&path)?;
        let standing = Arc::new(Standing::of(control.clone()));
        let current = RwLock::new((stamp, standing));
        Ok((Self { path, current }, control))
    }

    /// What it says now; what it said last if it cannot be read, which is noted once.
    pub(crate) fn now(&self) -> Arc<Standing> {
        let stamp = stamp(&self.path);
        {
            let (seen, standing) = &*self.current.read().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamp {
                return Arc::clone(standing);
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (seen, standing) = &mut *current;
        if *seen != stamp {
            *seen = stamp;
            match read(&self.path) {
                Ok(control) => *standing = Arc::new(Standing::of(control)),
                Err(mistake) => {
                    let line = format!("control file not read: {}", mistake.replace('\n', " "));
                    report(ledger::note(&standing.log, "-", None, &line));
                }
            }
        }
        Arc::clone(standing)
    }
}

impl Standing {
    fn of(control: Control) -> Self {
        let counted = |rule| Counted {
            rule,
            met: AtomicU64::new(0),
            spent: AtomicBool::new(false),
        };
        Self {
            log: control.log,
            rules: control.rules.into_iter().map(counted).collect(),
        }
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Counted> {
        self.rules.iter()
    }

    /// Whether the rule disturbs this call, which is its; if so, that is written down.
    pub(crate) fn strikes(&self, counted: &Counted, call: &str, token: Option<&str>) -> bool {
        let Counted { rule, met, spent } = counted;
        let nth = met.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let most = match rule.count {
            Count::Always => None,
            Count::Every(every) if nth.is_multiple_of(every) => None,
            Count::After(after) if nth > after => None,
            Count::First(first) if !spent.load(Ordering::Relaxed) => Some(first),
            Count::Every(_) | Count::After(_) | Count::First(_) => return false,
        };
        let token = token.unwrap_or_default();
        let what = format!("{call} {token:?} {}", rule.effect);
        let noted = report(ledger::note(&self.log, &rule.name, most, &what));
        if most.is_some() && noted == Some(false) {
            spent.store(true, Ordering::Relaxed);
        }
        noted == Some(true)
    }
}

/// What is not written down does not happen, and is said where somebody may see it.
fn report(noted: io::Result<bool>) -> Option<bool> {
    match noted {
        Ok(noted) => Some(noted),
        Err(error) => {
            eprintln!("fault module: the log cannot be written: {error}");
            None
        }
    }
}

fn read(path: &Path) -> Result<Control, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Control::parse(&text)
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    let changed = (file.mtime(), file.mtime_nsec());
    Some((file.dev(), file.ino(), changed.0, changed.1, file.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("control"), folder.path().join("log"));
        let write = |rules: &str| {
            let text = format!("module = \"/m\"\nlog = {log:?}\n{rules}");
            let beside = path.with_extension("new");
            fs::write(&beside, text).unwrap();
            fs::rename(&beside, &path).unwrap();
        };
        let struck = |watched: &Watched, calls: usize| {
            let strike = |_: &usize| {
                let standing = watched.now();
                let mut rules = standing.rules();
                rules.any(|rule| standing.strikes(rule, "C_Sign", None))
            };
            (0..calls).filter(strike).count()
        };
        let pass = "calls = [\"C_Sign\"]\neffect = \"pass\"\n";
        write("");
        let (watched, _) = Watched::open(path.clone()).unwrap();
        assert_eq!(struck(&watched, 10), 0);
        write(&format!("[[fault]]\nname = \"every\"\nevery = 3\n{pass}"));
        assert_eq!(struck(&watched, 10), 3);
        write("[[fault]]\nname = 1\n");
        assert_eq!(struck(&watched, 3), 1, "the last that could be read");
        assert!(
            fs::read_to_string(&log)
                .unwrap()
                .contains("control file not read")
        );
        write(&format!("[[fault]]\nname = \"after\"\nafter = 4\n{pass}"));
        assert_eq!(struck(&watched, 10), 6);
        write(&format!("[[fault]]\nname = \"first\"\nfirst = 2\n{pass}"));
        assert_eq!(struck(&watched, 10), 2);
        // As another process finds it.
        let (again, _) = Watched::open(path.clone()).unwrap();
        assert_eq!(struck(&again, 10), 0);
        fs::remove_file(&path).unwrap();
        assert_eq!(struck(&again, 1), 0);
    }
}
