//! Owns the file that names the first custodians of institutions, and of a scheme, that were made before there were any.

use std::collections::BTreeSet;
use std::str::FromStr;

use semops_objects::institution::InstitutionId;

use super::register::Register;
use super::{SchemeError, parse};
use crate::reader::{Mistakes, Reader};

/// Who is to rule what stands already.
#[derive(Clone, Debug)]
pub struct Custody {
    scheme: Option<Register>,
    institutions: Vec<(InstitutionId, Register)>,
}

impl Custody {
    /// Parses the file; the institutions must be among those `standing`.
    ///
    /// # Errors
    /// [`SchemeError`] with every mistake; if the text is not TOML, with the first place where it is not.
    pub fn parse(text: &str, standing: &[InstitutionId]) -> Result<Self, SchemeError> {
        parse(text, |document, mistakes| {
            read(document, standing, mistakes)
        })
    }

    /// The scheme's custodians, if they are named.
    pub fn scheme(&self) -> Option<&Register> {
        self.scheme.as_ref()
    }

    /// Those of institutions.
    pub fn institutions(&self) -> &[(InstitutionId, Register)] {
        &self.institutions
    }
}

fn read(
    mut document: Reader,
    standing: &[InstitutionId],
    mistakes: &mut Mistakes,
) -> Option<Custody> {
    let table = document
        .has("scheme")
        .then(|| document.table("scheme", mistakes));
    let scheme = table.flatten().and_then(|mut table| {
        let register = Register::read(&mut table, mistakes);
        table.finish(mistakes);
        register
    });
    let tables = if document.has("institution") {
        document.tables("institution", mistakes)
    } else {
        Vec::new()
    };
    document.finish(mistakes);
    let mut ids = BTreeSet::new();
    let mut institutions = Vec::new();
    for mut table in tables {
        let path = table.at("id");
        let id = table.parse("id", mistakes, InstitutionId::from_str);
        let register = Register::read(&mut table, mistakes);
        table.finish(mistakes);
        let Some(id) = id else { continue };
        if !standing.contains(&id) {
            mistakes.note(&path, format!("{id} is no institution of the folder"));
        }
        if !ids.insert(id.clone()) {
            mistakes.note(&path, "stands there twice");
        }
        institutions.extend(register.map(|register| (id, register)));
    }
    if scheme.is_none() && institutions.is_empty() {
        mistakes.note(
            "institution",
            "nobody is named: neither there nor in [scheme]",
        );
    }
    Some(Custody {
        scheme,
        institutions,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const THREE: &str = "custodians = [\"a\", \"b\", \"c\"]\n";

    fn read(text: &str) -> Result<Custody, Vec<String>> {
        let standing = ["alfa", "beta"].map(|id| id.parse().unwrap());
        Custody::parse(text, &standing).map_err(|error| error.mistakes().to_vec())
    }

    #[test]
    fn whoever_is_named_is_read() {
        let custody = read(&format!("[scheme]\n{THREE}")).unwrap();
        assert!(custody.scheme().is_some() && custody.institutions().is_empty());
        let custody = read(&format!("[[institution]]\nid = \"beta\"\n{THREE}")).unwrap();
        let (id, register) = &custody.institutions()[0];
        assert_eq!((id.as_str(), register.custodians().len()), ("beta", 3));
        assert!(custody.scheme().is_none());
    }

    #[test]
    fn every_mistake_is_named() {
        let of = |id: &str| format!("[[institution]]\nid = \"{id}\"\n{THREE}");
        for (text, start) in [
            (String::new(), "institution: nobody is named"),
            (
                of("gamma"),
                "institution[gamma].id: gamma is no institution",
            ),
            (
                of("alfa") + &of("alfa"),
                "institution[alfa].id: stands there twice",
            ),
            (
                of("alfa") + "token = 1",
                "institution[alfa].token: unknown member",
            ),
            (
                "[scheme]\ncustodians = [\"a\", \"b\"]".to_owned(),
                "scheme.custodians: ",
            ),
        ] {
            let mistakes = read(&text).unwrap_err();
            let named = mistakes.iter().any(|mistake| mistake.starts_with(start));
            assert!(named, "{start}: {mistakes:?}");
        }
    }
}
