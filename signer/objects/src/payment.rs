//! The members that orders and authorizations share: kind, channel, payee, times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

use crate::error::{ObjectError, Rule};
use crate::institution::InstitutionId;
use crate::json::Object;
use crate::money::{Amount, Currency};

/// The longest time between `iat` and `exp` of an order or an authorization, in seconds.
pub const MAX_LIFETIME: u64 = 600;

/// The lifetime that a phone gives its order unless told otherwise, in seconds.
pub const DEFAULT_LIFETIME: u64 = 60;

/// What an order asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A credit push to the payee.
    Payment,
}

impl Kind {
    /// The word that stands in the objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
        }
    }
}

impl FromStr for Kind {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        match text {
            "payment" => Ok(Self::Payment),
            _ => Err(Rule::OneOf("payment")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the payment is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A web shop.
    VirtualPos,
    /// A till, a vending machine, a taxi.
    RealPos,
    /// From phone to phone.
    P2p,
}

impl Channel {
    /// The word that stands in the objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VirtualPos => "virtual_pos",
            Self::RealPos => "real_pos",
            Self::P2p => "p2p",
        }
    }
}

impl FromStr for Channel {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        match text {
            "virtual_pos" => Ok(Self::VirtualPos),
            "real_pos" => Ok(Self::RealPos),
            "p2p" => Ok(Self::P2p),
            _ => Err(Rule::OneOf("virtual_pos, real_pos, p2p")),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Payee {
    institution: InstitutionId,
    id: String,
    name: String,
}

impl Payee {
    /// `id`: 1 to 35 printable ASCII characters. `name`, as shown to the payer: 1 to 140 characters in
    /// Normalization Form C, none of which controls, reorders or breaks the line.
    pub fn new(institution: InstitutionId, id: &str, name: &str) -> Result<Self, Rule> {
        Ok(Self {
            institution,
            id: payee_id(id)?,
            name: shown_name(name)?,
        })
    }

    /// The payee's institution.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// The payee's id at its institution.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name as shown to the payer.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn from_member(object: &mut Object) -> Result<Self, ObjectError> {
        let mut members = object.object("payee")?;
        let payee = Self {
            institution: members.text("institution", InstitutionId::from_str)?,
            id: members.text("id", payee_id)?,
            name: members.text("name", shown_name)?,
        };
        members.finish()?;
        Ok(payee)
    }
}

fn payee_id(text: &str) -> Result<String, Rule> {
    let printable = text.bytes().all(|c| matches!(c, b' '..=b'~'));
    if (1..=35).contains(&text.len()) && printable && text.trim() == text {
        Ok(text.to_owned())
    } else {
        Err(Rule::PayeeId)
    }
}

/// A name as people are shown it.
pub(crate) fn shown_name(text: &str) -> Result<String, Rule> {
    if !(1..=140).contains(&text.chars().count()) || text.trim().is_empty() {
        return Err(Rule::PayeeNameLength);
    }
    if text.chars().any(|c| c.is_control() || is_layout_control(c)) {
        return Err(Rule::PayeeNameCharacter);
    }
    if !is_nfc(text) {
        return Err(Rule::PayeeNameForm);
    }
    Ok(text.to_owned())
}

/// Characters that can make a name read otherwise than it is stored: Unicode's Bidi_Control property
/// (UAX #9), and the line and paragraph separators.
fn is_layout_control(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

pub(crate) fn amount(object: &mut Object) -> Result<Amount, ObjectError> {
    let mut members = object.object("amount")?;
    let currency = members.text("currency", Currency::from_str)?;
    let amount = members.text("value", |value| Amount::parse_in(value, currency))?;
    members.finish()?;
    Ok(amount)
}

/// `iat` and `exp`: 0 < exp - iat <= [`MAX_LIFETIME`].
pub(crate) fn times(object: &mut Object) -> Result<(u64, u64), ObjectError> {
    let (iat, exp) = (object.integer("iat")?, object.integer("exp")?);
    match exp.checked_sub(iat) {
        Some(1..=MAX_LIFETIME) => Ok((iat, exp)),
        _ => Err(object.blame("exp", Rule::Lifetime { max: MAX_LIFETIME })),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn payee_ids() {
        let longest = "x".repeat(35);
        for id in ["A93FO3230Q", "a b", "~", &longest] {
            assert_eq!(payee_id(id).as_deref(), Ok(id));
        }
        let too_long = "x".repeat(36);
        for id in ["", " a", "a ", "a\tb", "a\u{7f}", "\u{e9}", &too_long] {
            assert_eq!(payee_id(id), Err(Rule::PayeeId), "{id:?}");
        }
    }

    #[test]
    fn payee_names() {
        let (longest, too_long) = ("\u{e9}".repeat(140), "\u{e9}".repeat(141));
        for name in [
            "BEST TRANSPORT",
            "最佳运输",
            "Caf\u{e9}",
            "\u{645}\u{62a}\u{62c}\u{631}",
            &longest,
        ] {
            assert_eq!(shown_name(name).as_deref(), Ok(name));
        }
        for (name, rule) in [
            ("", Rule::PayeeNameLength),
            (" ", Rule::PayeeNameLength),
            (too_long.as_str(), Rule::PayeeNameLength),
            ("a\nb", Rule::PayeeNameCharacter),
            ("a\0", Rule::PayeeNameCharacter),
            ("a\u{9b}31m", Rule::PayeeNameCharacter),
            ("a\u{202e}b", Rule::PayeeNameCharacter),
            ("a\u{2066}b", Rule::PayeeNameCharacter),
            ("a\u{200f}b", Rule::PayeeNameCharacter),
            ("a\u{61c}b", Rule::PayeeNameCharacter),
            ("a\u{2028}b", Rule::PayeeNameCharacter),
            ("Cafe\u{301}", Rule::PayeeNameForm),
            ("\u{212b}", Rule::PayeeNameForm),
        ] {
            assert_eq!(shown_name(name), Err(rule), "{name:?}");
        }
    }

    #[test]
    fn words() {
        for channel in [Channel::VirtualPos, Channel::RealPos, Channel::P2p] {
            assert_eq!(channel.as_str().parse(), Ok(channel));
            assert_eq!(
                serde_json::to_string(&channel).unwrap(),
                format!("\"{channel}\"")
            );
        }
        assert_eq!("payment".parse(), Ok(Kind::Payment));
        assert_eq!(
            serde_json::to_string(&Kind::Payment).unwrap(),
            "\"payment\""
        );
        assert!("refund".parse::<Kind>().is_err());
        assert!("P2P".parse::<Channel>().is_err());
    }
}
