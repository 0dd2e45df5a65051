//! The references of ISO 20022 that the calling bank may set in an authorization.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::error::Rule;
use crate::json;

/// EndToEndIdentification of ISO 20022: Max35Text of the character set that all clearing systems carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EndToEndId(String);

impl EndToEndId {
    /// The identification as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndToEndId {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"/-?:().,'+ ".contains(&c);
        if (1..=35).contains(&text.len()) && text.bytes().all(allowed) && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(Rule::EndToEndId)
        }
    }
}

impl fmt::Display for EndToEndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Unique end-to-end transaction reference of ISO 20022 (UUIDv4Identifier): a UUID of version 4 in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uetr(Uuid);

impl Uetr {
    /// The reference as a UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for Uetr {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        json::uuid(text, &[4], "4").map(Self)
    }
}

impl fmt::Display for Uetr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_to_end_ids() {
        let (longest, too_long) = ("x".repeat(35), "x".repeat(36));
        for id in ["NOTPROVIDED", "2026/11/22-(a):b.c,d'e+f?", "a b", &longest] {
            assert_eq!(
                id.parse::<EndToEndId>().map(|id| id.to_string()).as_deref(),
                Ok(id)
            );
        }
        for id in ["", " a", "a ", "a_b", "a\n", "a@b", "\u{e9}", &too_long] {
            assert_eq!(id.parse::<EndToEndId>(), Err(Rule::EndToEndId), "{id:?}");
        }
    }

    #[test]
    fn uetrs() {
        let uetr = "8a562c67-ca16-48ba-b074-65581be6f001";
        assert_eq!(
            uetr.parse::<Uetr>().map(|uetr| uetr.to_string()).as_deref(),
            Ok(uetr)
        );
        for text in [
            "",
            "8A562C67-CA16-48BA-B074-65581BE6F001",
            "8a562c67ca1648bab07465581be6f001",
            "{8a562c67-ca16-48ba-b074-65581be6f001}",
            "urn:uuid:8a562c67-ca16-48ba-b074-65581be6f001",
            "8a562c67-ca16-78ba-b074-65581be6f001", // version 7
            "8a562c67-ca16-48ba-c074-65581be6f001", // another variant
        ] {
            assert_eq!(text.parse::<Uetr>(), Err(Rule::Uuid("4")), "{text:?}");
        }
    }
}
