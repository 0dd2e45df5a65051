//! SECURITY.md claims nothing without a test that shows it: each test that it names is one of this program.

use std::{collections::BTreeSet, env, fs, process::Command};

use e2e::{failure::Failure, programs};

/// The words in backquotes that are paths of tests.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| word.contains("::") && !word.ends_with("::"))
        .collect()
}

#[test]
fn every_claim_names_a_test_that_exists() -> Result<(), Failure> {
    let text = fs::read_to_string(programs::workspace().join("signer/SECURITY.md"))?;
    let listed = Command::new(env::current_exe()?)
        .args(["--list", "--format", "terse"])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let tests: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let named = named(&text);
    assert!(named.len() > 50, "{}", named.len());
    for test in named {
        assert!(tests.contains(test), "SECURITY.md: no test {test}");
    }
    // A row of a table of claims ends with what shows it.
    let mut shown = None;
    for line in text.lines() {
        match line.strip_prefix('|') {
            None => shown = None,
            Some(row) => match shown {
                None => shown = Some(row.trim_end().ends_with("shown by |")),
                Some(true) if !row.starts_with("---") => {
                    let cells: Vec<_> = row.trim_end_matches('|').split('|').collect();
                    let last = cells.last().copied().unwrap_or_default();
                    assert!(last.contains("::"), "SECURITY.md: nothing shows {row}");
                }
                Some(_) => {}
            },
        }
    }
    Ok(())
}
