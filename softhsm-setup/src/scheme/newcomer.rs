//! Owns the institution that joins a standing scheme: the table that it would have in `scheme.toml`, and who is to
//! trust it.

use std::str::FromStr;

use semops_objects::institution::InstitutionId;

use super::reading::{MAX_INSTITUTIONS, PartialInstitution, read_institution};
use super::{Institution, SchemeError, parse};
use crate::reader::{Mistakes, Reader};

/// An institution that joins; it exists only whole and fit for the scheme.
#[derive(Clone, Debug)]
pub struct Newcomer {
    institution: Institution,
    trusted_by: Vec<InstitutionId>,
}

impl Newcomer {
    /// Bank `gamma`, which joins the scheme of [`super::Scheme::EXAMPLE`], as a commented file.
    pub const EXAMPLE: &str = include_str!("../../institution.example.toml");

    /// Parses the file with one `[[institution]]` that joins the institutions of `standing`.
    ///
    /// # Errors
    /// [`SchemeError`] with every mistake; if the text is not TOML, with the first place where it is not.
    pub fn parse(text: &str, standing: &[InstitutionId]) -> Result<Self, SchemeError> {
        parse(text, |document, mistakes| {
            read(document, standing, mistakes)
        })
    }

    /// The institution.
    pub fn institution(&self) -> &Institution {
        &self.institution
    }

    /// Whose next trust documents name it.
    pub fn trusted_by(&self) -> &[InstitutionId] {
        &self.trusted_by
    }
}

fn read(
    mut document: Reader,
    standing: &[InstitutionId],
    mistakes: &mut Mistakes,
) -> Option<Newcomer> {
    let mut tables = document.tables("institution", mistakes);
    document.finish(mistakes);
    if standing.len() >= MAX_INSTITUTIONS {
        let what = format!("there are {MAX_INSTITUTIONS} already, which is the most");
        mistakes.note("institution", what);
    }
    if tables.len() != 1 {
        mistakes.note("institution", "one [[institution]] must stand here");
        return None;
    }
    let mut table = tables.pop()?;
    let path = table.path().to_owned();
    let trusted_by = if table.has("trusted_by") {
        table.parse_list("trusted_by", mistakes, InstitutionId::from_str)
    } else {
        Some(Vec::new())
    };
    let read = read_institution(table, mistakes);
    check_joins(&path, &read, trusted_by.as_deref(), standing, mistakes);
    Some(Newcomer {
        institution: read.whole()?,
        trusted_by: trusted_by?,
    })
}

/// Notes what does not fit those who stand there.
fn check_joins(
    path: &str,
    read: &PartialInstitution,
    trusted_by: Option<&[InstitutionId]>,
    standing: &[InstitutionId],
    mistakes: &mut Mistakes,
) {
    let id = read.id.as_ref();
    if let Some(id) = id.filter(|id| standing.contains(id)) {
        let what = format!("{id} is an institution of this directory already");
        mistakes.note(&format!("{path}.id"), what);
    }
    let trusts = read
        .trusts
        .iter()
        .flatten()
        .filter(|other| Some(*other) != id);
    let trusts = trusts.map(|other| ("trusts", other));
    let trusted_by = trusted_by.iter().copied().flatten();
    for (name, other) in trusts.chain(trusted_by.map(|other| ("trusted_by", other))) {
        if !standing.contains(other) {
            let what = format!("{other} is not an institution of this directory");
            mistakes.note(&format!("{path}.{name}"), what);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parsed(text: &str, standing: &[&str]) -> Result<Newcomer, Vec<String>> {
        let standing: Vec<_> = standing.iter().map(|id| id.parse().unwrap()).collect();
        Newcomer::parse(text, &standing).map_err(|error| error.mistakes().to_vec())
    }

    const DEFAULT: [&str; 3] = ["alfa", "beta", "mobilis"];

    #[test]
    fn the_example_joins_the_default_scheme() {
        let newcomer = parsed(Newcomer::EXAMPLE, &DEFAULT).unwrap();
        assert_eq!(newcomer.institution().id().as_str(), "gamma");
        assert_eq!(newcomer.trusted_by(), ["alfa".parse().unwrap()]);
        let alone = Newcomer::EXAMPLE.replace("trusted_by = [\"alfa\"]", "");
        assert!(parsed(&alone, &DEFAULT).unwrap().trusted_by().is_empty());
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let text = Newcomer::EXAMPLE
            .replace("id = \"gamma\"", "id = \"beta\"")
            .replace(
                "trusts = [\"alfa\", \"gamma\"]",
                "trusts = [\"alfa\", \"delta\"]",
            )
            .replace("trusted_by = [\"alfa\"]", "trusted_by = [\"epsilon\"]")
            .replace("orders_per_day = 50", "orders_per_day = 0")
            + "\n[hsm]\n";
        let mistakes = parsed(&text, &DEFAULT).unwrap_err();
        let expected = [
            "hsm: unknown member",
            "institution[beta].policy.device_limits.orders_per_day: must be",
            "institution[beta].id: beta is an institution of this directory already",
            "institution[beta].trusts: delta is not an institution of this directory",
            "institution[beta].trusted_by: epsilon is not an institution",
        ];
        for start in expected {
            let named = mistakes.iter().filter(|m| m.starts_with(start)).count();
            assert_eq!(named, 1, "{start} in {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    }

    #[test]
    fn one_institution_joins_at_a_time() {
        let two = format!("{}\n{}", Newcomer::EXAMPLE, Newcomer::EXAMPLE);
        for text in [two.as_str(), "institution = []"] {
            let mistakes = parsed(text, &DEFAULT).unwrap_err();
            assert_eq!(
                mistakes,
                ["institution: one [[institution]] must stand here"]
            );
        }
        let full: Vec<_> = (0..64).map(|number| format!("bank-{number}")).collect();
        let full: Vec<_> = full.iter().map(String::as_str).collect();
        let text = Newcomer::EXAMPLE.replace("\"alfa\"", "\"bank-0\"");
        let mistakes = parsed(&text, &full).unwrap_err();
        assert_eq!(
            mistakes,
            ["institution: there are 64 already, which is the most"]
        );
    }
}
