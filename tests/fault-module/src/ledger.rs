//! The log of disturbed calls: a line for each, written before the call is disturbed. It is the count of `first`, too, so
//! that processes that follow each other, or stand beside each other, count together.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
    process,
    time::{SystemTime, UNIX_EPOCH},
};

/// Writes a line about `rule`, unless the log has `most` of them already; whether it did.
pub(crate) fn note(log: &Path, rule: &str, most: Option<usize>, what: &str) -> io::Result<bool> {
    let mut file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(log)?;
    // Of the open file, so that threads exclude each other as processes do; it ends with the file.
    file.lock()?;
    if let Some(most) = most {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        if lines_about(&text, rule) >= most {
            return Ok(false);
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.map_or(0, |since| since.as_micros());
    let line = format!("{micros} {} {rule} {what}\n", process::id());
    file.write_all(line.as_bytes())?;
    Ok(true)
}

fn lines_about(text: &str, rule: &str) -> usize {
    let names = text.lines().map(|line| line.split(' ').nth(2));
    names.filter(|name| *name == Some(rule)).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::{fs, thread};

    use super::*;

    #[test]
    fn the_first_are_counted_together() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(note(&log, "other", None, "C_Sign \"alfa\" pass").unwrap());
        let noted: usize = thread::scope(|scope| {
            let write = || {
                (0..5)
                    .filter(|_| note(&log, "a", Some(7), "x").unwrap())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(noted, 7);
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(
            (lines_about(&text, "a"), lines_about(&text, "other")),
            (7, 1)
        );
        assert!(text.starts_with(|first: char| first.is_ascii_digit()));
        assert!(note(Path::new("/nonexistent/log"), "a", None, "x").is_err());
    }
}
