//! Owns the ids of persons, and how many of them a change needs.

use std::{fmt, num::NonZeroU8, str::FromStr};

use crate::error::Rule;

/// A custodian's id: 1 to 63 of `a`-`z`, `0`-`9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonId(String);

impl PersonId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name under which the recovery key approves, which no person has.
    pub fn is_recovery(&self) -> bool {
        self.0 == super::RECOVERY
    }
}

impl FromStr for PersonId {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Rule::PersonId)
        }
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many distinct persons must approve a change: two or more. There is no smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quorum(NonZeroU8);

impl Quorum {
    /// The number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

/// Why a number is no quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quorum is at least 2 distinct persons")]
pub struct QuorumTooSmall;

impl TryFrom<u8> for Quorum {
    type Error = QuorumTooSmall;

    fn try_from(number: u8) -> Result<Self, QuorumTooSmall> {
        let number = NonZeroU8::new(number).filter(|number| number.get() >= 2);
        number.map(Self).ok_or(QuorumTooSmall)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ids_of_persons() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        for id in ["a", "anna-berg", "0", "-", &longest] {
            assert_eq!(id.parse::<PersonId>().unwrap().as_str(), id);
        }
        for id in ["", "Anna", "anna berg", "anna.berg", "\u{e4}", &too_long] {
            assert_eq!(id.parse::<PersonId>(), Err(Rule::PersonId), "{id:?}");
        }
    }

    #[test]
    fn a_quorum_below_two_does_not_exist() {
        assert_eq!(Quorum::try_from(0), Err(QuorumTooSmall));
        assert_eq!(Quorum::try_from(1), Err(QuorumTooSmall));
        for number in 2..=u8::MAX {
            assert_eq!(Quorum::try_from(number).unwrap().get(), number);
        }
    }
}
