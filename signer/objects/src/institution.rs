//! Institution ids: the name of a bank, a mobile network operator or a Data Center in objects, certificates and SPIFFE ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Rule;

/// The id of an institution: 1 to 32 of `a`-`z`, `0`-`9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstitutionId(String);

/// The id under which the scheme itself is ruled. No institution has it.
const SCHEME: &str = "scheme";

impl InstitutionId {
    /// The id under which the scheme itself is ruled.
    pub fn of_scheme() -> Self {
        Self(SCHEME.to_owned())
    }

    /// Whether it is the id under which the scheme itself is ruled, which no institution has.
    pub fn is_scheme(&self) -> bool {
        self.0 == SCHEME
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstitutionId {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for InstitutionId {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(Rule::InstitutionId)
        }
    }
}

impl From<InstitutionId> for String {
    fn from(id: InstitutionId) -> String {
        id.0
    }
}

impl AsRef<str> for InstitutionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstitutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids() {
        let longest = "a".repeat(32);
        for id in ["a", "alfa", "bank-7", "-", "0", &longest] {
            assert_eq!(id.parse::<InstitutionId>().unwrap().to_string(), id);
        }
        let too_long = "a".repeat(33);
        for id in [
            "",
            "Alfa",
            "al_fa",
            "al fa",
            "alf\u{e4}",
            "a/b",
            "a.b",
            "a\n",
            &too_long,
        ] {
            assert_eq!(
                id.parse::<InstitutionId>(),
                Err(Rule::InstitutionId),
                "{id:?}"
            );
        }
    }

    #[test]
    fn one_id_is_of_no_institution() {
        let scheme: InstitutionId = "scheme".parse().unwrap();
        assert_eq!(scheme, InstitutionId::of_scheme());
        assert!(scheme.is_scheme());
        for other in ["alfa", "schemes", "schem", "-scheme"] {
            assert!(!other.parse::<InstitutionId>().unwrap().is_scheme());
        }
    }

    #[test]
    fn serde_checks_too() {
        let id: InstitutionId = serde_json::from_str(r#""beta""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""beta""#);
        assert!(serde_json::from_str::<InstitutionId>(r#""Beta""#).is_err());
    }
}
