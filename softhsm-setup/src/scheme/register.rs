//! Owns who the first custodians of an institution are, and how many of them must approve a change.

use std::str::FromStr;

use semops_objects::change::{PersonId, Quorum};

use crate::reader::{Mistakes, Reader};

/// The quorum of a scheme that names none.
const QUORUM: u8 = 2;
/// The most persons in a register of custodians.
const MOST: u32 = 64;

/// The first custodians: at least one more than must approve, so that one may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    custodians: Vec<PersonId>,
    quorum: Quorum,
}

impl Register {
    pub(super) fn read(table: &mut Reader, mistakes: &mut Mistakes) -> Option<Self> {
        let custodians = table.parse_list("custodians", mistakes, person);
        let quorum = if table.has("quorum") {
            table.integer("quorum", mistakes, 0, MOST)
        } else {
            Some(QUORUM.into())
        };
        let quorum = quorum.and_then(|persons| u8::try_from(persons).ok());
        let quorum = quorum.map(Quorum::try_from);
        let quorum = quorum.and_then(|read| mistakes.keep(&table.at("quorum"), read));
        let (custodians, quorum) = (custodians?, quorum?);
        let least = usize::from(quorum.get()) + 1;
        if custodians.len() < least {
            let what = format!("must be at least {least}: one more than the quorum");
            mistakes.note(&table.at("custodians"), what);
        }
        Some(Self { custodians, quorum })
    }

    /// Persons, each with an approval key of their own.
    pub fn custodians(&self) -> &[PersonId] {
        &self.custodians
    }

    /// How many distinct persons must approve a change.
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }
}

fn person(text: &str) -> Result<PersonId, String> {
    let id = PersonId::from_str(text).map_err(|rule| rule.to_string())?;
    if id.is_recovery() {
        return Err(format!(
            "{text:?} is the name of the recovery key, of no person"
        ));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Scheme;

    const LISTED: &str = "custodians = [\"anna-berg\", \"boris-chan\", \"chloe-diaz\"]";

    fn with(lines: &str) -> Result<Scheme, Vec<String>> {
        assert!(Scheme::EXAMPLE.contains(LISTED));
        let text = Scheme::EXAMPLE.replacen(LISTED, lines, 1).replacen(
            "\nquorum = 2 ",
            "\n# quorum = 2 ",
            1,
        );
        Scheme::parse(&text).map_err(|error| error.mistakes().to_vec())
    }

    #[test]
    fn the_quorum_is_two_if_none_is_named() {
        let scheme = with(LISTED).unwrap();
        let register = scheme.institutions().first().unwrap().register();
        let persons = register.custodians().iter().map(ToString::to_string);
        let persons: Vec<_> = persons.collect();
        assert_eq!(persons, ["anna-berg", "boris-chan", "chloe-diaz"]);
        assert_eq!(register.quorum().get(), 2);
    }

    #[test]
    fn a_register_without_two_who_agree_and_one_to_spare_is_refused() {
        for (lines, start) in [
            (
                "custodians = [\"a\", \"b\"]",
                "custodians: must be at least 3: ",
            ),
            ("custodians = []", "custodians: must be at least 3: "),
            (
                "custodians = [\"a\", \"b\", \"b\"]",
                "custodians[2]: \"b\" stands there twice",
            ),
            ("custodians = [\"a\", \"b\", \"C\"]", "custodians[2]: "),
            (
                "custodians = [\"a\", \"b\", \"recovery\"]",
                "custodians[2]: \"recovery\" is ",
            ),
            ("", "custodians: missing"),
            (
                &format!("{LISTED}\nquorum = 3"),
                "custodians: must be at least 4: ",
            ),
            (&format!("{LISTED}\nquorum = 1"), "quorum: "),
            (&format!("{LISTED}\nquorum = 0"), "quorum: "),
            (
                &format!("{LISTED}\nquorum = 65"),
                "quorum: must be an integer ",
            ),
            (
                &format!("{LISTED}\nquorum = \"2\""),
                "quorum: must be an integer ",
            ),
        ] {
            let mistakes = with(lines).unwrap_err();
            let start = format!("institution[alfa].{start}");
            assert!(
                mistakes.iter().any(|mistake| mistake.starts_with(&start)),
                "{start}: {mistakes:#?}"
            );
        }
    }
}
