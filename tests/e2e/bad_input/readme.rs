//! The tables that people read are the rows that tests demand: nothing more, nothing less, nothing otherwise.

use std::{collections::BTreeSet, env, fs, process::Command};

use e2e::{failure::Failure, programs};
use signer::error::Reason;

use super::{
    members::MEMBERS,
    row::{Row, Told, quoted},
    rows::TABLES,
    sources::Functions,
};

const SECTION: &str = "## What bad input meets";
const HEAD: [&str; 2] = [
    "| what goes wrong | told as | what is read | what holds | shown by |",
    "| --- | --- | --- | --- | --- |",
];

/// The README's section with its tables.
fn expected_tables() -> Vec<String> {
    let mut lines = Vec::new();
    for (heading, rows) in TABLES {
        lines.push(format!("### {heading}"));
        lines.extend(HEAD.map(str::to_owned));
        lines.extend(rows.iter().map(Row::shown));
    }
    lines
}

/// What is said in no table is not looked at: the headings and rows are.
fn tables(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with(['|', '#']))
        .collect()
}

/// Both are the same; otherwise what should be there is shown, to be put there.
fn same(place: &str, found: &[&str], expected: &[String]) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    let odd = |lines: Vec<&str>| lines.join("\n");
    let missing = expected.iter().map(String::as_str);
    let missing = missing.filter(|line| !found.contains(line)).collect();
    let superfluous = found.iter().copied();
    let superfluous = superfluous.filter(|line| !expected.iter().any(|row| row == line));
    Err(Failure::new(format!(
        "{place} has not these:\n{}\n\nand must not have these:\n{}\n\nthe whole, in order:\n{}",
        odd(missing),
        odd(superfluous.collect()),
        expected.join("\n")
    )))
}

#[test]
fn the_readme_says_what_the_service_says() -> Result<(), Failure> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"))?;
    let (_, section) = readme
        .split_once(&format!("{SECTION}\n"))
        .ok_or_else(|| Failure::new(format!("the README has no section `{SECTION}`")))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    same("README.md", &tables(section), &expected_tables())
}

#[test]
fn the_document_has_every_member_and_every_reason() -> Result<(), Failure> {
    let path = "signer/docs/bad-input.md";
    let text =
        fs::read_to_string(programs::workspace().join(path)).map_err(Failure::during(path))?;
    let mut expected = vec![
        "# What bad input meets".to_owned(),
        "## The members of an order".to_owned(),
        "| field | rule that it breaks | for example |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    expected.extend(MEMBERS.iter().map(|(field, rule, such_as)| {
        format!("| {} | {} | {such_as} |", quoted(field), quoted(rule))
    }));
    expected.extend(
        [
            "## Every reason",
            "| reason | what is read |",
            "| --- | --- |",
        ]
        .map(str::to_owned),
    );
    let reasons = Reason::ALL.iter();
    expected.extend(
        reasons.map(|reason| format!("| `{}` | {} |", reason.name(), quoted(reason.text()))),
    );
    same(path, &tables(&text), &expected)
}

#[test]
fn every_row_is_shown_by_a_test_that_exists() -> Result<(), Failure> {
    let listed = Command::new(env::current_exe()?)
        .args(["--list", "--format", "terse"])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let tests: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let mut names = BTreeSet::new();
    for row in TABLES.iter().flat_map(|(_, rows)| rows.iter()) {
        assert!(
            tests.contains(row.test),
            "{}: no test {}",
            row.name,
            row.test
        );
        let (module, test) = row.test.rsplit_once("::").unwrap_or_default();
        assert!(
            Functions::of(module)?.mentions(test, row.name),
            "{} does not demand {}",
            row.test,
            row.name
        );
        assert!(names.insert(row.name), "two rows {}", row.name);
    }
    Ok(())
}

#[test]
fn no_row_says_what_a_reason_does_not() {
    for row in TABLES.iter().flat_map(|(_, rows)| rows.iter()) {
        // Five cells.
        let shown = row.shown();
        assert!(
            shown.matches('|').count() == 6 && !shown.contains('\n'),
            "{shown}"
        );
        if let Told::Status(_, name) = row.told
            && let Some(reason) = Reason::named(name)
        {
            assert!(row.text.starts_with(reason.text()), "{}", row.name);
        }
    }
}
