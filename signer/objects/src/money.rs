//! Money: an integer of minor units and a currency inside, a decimal string with exactly the ISO 4217 decimals outside.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::Rule;

/// The most digits an amount has.
const MAX_DIGITS: usize = 18;

/// A currency of ISO 4217 that has a minor unit: metals, drawing rights, `XTS` and `XXX` are none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency {
    iso: iso_currency::Currency,
    decimals: u8,
}

impl Currency {
    fn from_iso(iso: Option<iso_currency::Currency>) -> Result<Self, Rule> {
        let decimals = |iso: iso_currency::Currency| u8::try_from(iso.exponent()?).ok();
        iso.and_then(|iso| Some((iso, decimals(iso)?)))
            .map(|(iso, decimals)| Self { iso, decimals })
            .ok_or(Rule::Currency)
    }

    /// The currency with this numeric code, as EMV QR codes give it: 978 for the euro.
    pub fn from_numeric(code: u16) -> Result<Self, Rule> {
        Self::from_iso(iso_currency::Currency::from_numeric(code))
    }

    /// The alphabetic code: `EUR`.
    pub fn code(self) -> &'static str {
        self.iso.code()
    }

    /// How many decimals its minor unit has: JPY 0, EUR 2, KWD 3.
    pub fn decimals(self) -> u32 {
        u32::from(self.decimals)
    }

    fn minor_per_major(self) -> u64 {
        10u64.pow(self.decimals())
    }
}

impl FromStr for Currency {
    type Err = Rule;

    /// From the alphabetic code in capital letters.
    fn from_str(code: &str) -> Result<Self, Rule> {
        Self::from_iso(iso_currency::Currency::from_code(code))
    }
}

impl TryFrom<String> for Currency {
    type Error = Rule;

    fn try_from(code: String) -> Result<Self, Rule> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of money above zero, of at most 18 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    minor: u64,
    currency: Currency,
}

impl Amount {
    /// The largest number of minor units: 18 digits. It fits an `i64`.
    pub const MAX_MINOR: u64 = 999_999_999_999_999_999;

    /// From minor units (cents for EUR, yen for JPY).
    pub fn from_minor(minor: u64, currency: Currency) -> Result<Self, Rule> {
        match minor {
            0 => Err(Rule::AmountZero),
            1..=Self::MAX_MINOR => Ok(Self { minor, currency }),
            _ => Err(Rule::AmountDigits),
        }
    }

    /// From a decimal string and a currency code. Each amount has one spelling: exactly the currency's
    /// decimals, no sign, no leading zero but the one before a dot, no dot without decimals.
    pub fn parse(value: &str, currency: &str) -> Result<Self, Rule> {
        Self::parse_in(value, currency.parse()?)
    }

    /// As [`Amount::parse`], in a known currency.
    pub fn parse_in(value: &str, currency: Currency) -> Result<Self, Rule> {
        let form = Rule::AmountForm {
            decimals: currency.decimals(),
        };
        let (major, minor) = value.split_once('.').unwrap_or((value, ""));
        let dot = value.len() - major.len() - minor.len();
        let digits = || major.bytes().chain(minor.bytes());
        let canonical = !major.is_empty()
            && (major == "0" || !major.starts_with('0'))
            && dot == usize::from(currency.decimals > 0)
            && minor.len() == usize::from(currency.decimals)
            && digits().all(|c| c.is_ascii_digit());
        if !canonical {
            return Err(form);
        }
        if major.len() + minor.len() > MAX_DIGITS {
            return Err(Rule::AmountDigits);
        }
        let minor_units = digits().fold(0, |sum, c| sum * 10 + u64::from(c - b'0'));
        Self::from_minor(minor_units, currency)
    }

    /// The amount in minor units.
    pub fn minor(self) -> u64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The decimal string, without the currency: `12.99`.
    pub fn value(self) -> String {
        self.to_string()
    }
}

/// The decimal string, without the currency.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.currency.minor_per_major();
        write!(f, "{}", self.minor / unit)?;
        match usize::from(self.currency.decimals) {
            0 => Ok(()),
            decimals => write!(f, ".{:0decimals$}", self.minor % unit),
        }
    }
}

/// As the member `amount` of orders and authorizations.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("amount", 2)?;
        members.serialize_field("value", &self.value())?;
        members.serialize_field("currency", self.currency.code())?;
        members.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        let max = "9999999999999999.99";
        for (value, currency, minor) in [
            ("12.99", "EUR", 1299),
            ("0.50", "EUR", 50),
            ("0.01", "EUR", 1),
            ("10.00", "EUR", 1000),
            ("1", "JPY", 1),
            ("1234", "JPY", 1234),
            ("0.001", "KWD", 1),
            ("1.0000", "CLF", 10_000),
            (max, "EUR", Amount::MAX_MINOR),
            ("999999999999999999", "JPY", Amount::MAX_MINOR),
        ] {
            let amount = Amount::parse(value, currency).unwrap();
            assert_eq!(
                (amount.minor(), amount.to_string().as_str()),
                (minor, value)
            );
            assert_eq!(Amount::from_minor(minor, amount.currency()), Ok(amount));
        }
    }

    #[test]
    fn refused_amounts() {
        let form = |decimals| Rule::AmountForm { decimals };
        for (values, currency, rule) in [
            (
                "00.50|012.99|.50|1|1.|1.5|1.500|1,50|1.5.|1.5\u{663}",
                "EUR",
                form(2),
            ),
            (
                "-1.50|+1.50| 1.50|1.50\n|1e3.00||.|0x1.00|NaN",
                "EUR",
                form(2),
            ),
            ("1.0|1.|01|-1|1 000", "JPY", form(0)),
            ("1.00|1|1.0000", "KWD", form(3)),
            ("0.00", "EUR", Rule::AmountZero),
            ("0", "JPY", Rule::AmountZero),
            ("10000000000000000.00", "EUR", Rule::AmountDigits),
            (
                "1000000000000000000|99999999999999999999999",
                "JPY",
                Rule::AmountDigits,
            ),
        ] {
            for value in values.split('|') {
                let refused = Amount::parse(value, currency);
                assert_eq!(refused, Err(rule.clone()), "{value:?} {currency}");
            }
        }
        for currency in ["eur", "EUX", "", "978", "XAU", "XXX", "XTS"] {
            assert_eq!(
                Amount::parse("1.00", currency),
                Err(Rule::Currency),
                "{currency}"
            );
        }
        let eur = Currency::from_numeric(978).unwrap();
        assert_eq!(Amount::from_minor(0, eur), Err(Rule::AmountZero));
        assert_eq!(
            Amount::from_minor(Amount::MAX_MINOR + 1, eur),
            Err(Rule::AmountDigits)
        );
    }

    #[test]
    fn currencies() {
        for (code, numeric, decimals) in [
            ("EUR", 978, 2),
            ("JPY", 392, 0),
            ("KWD", 414, 3),
            ("CNY", 156, 2),
            ("UYW", 927, 4),
        ] {
            let currency: Currency = code.parse().unwrap();
            assert_eq!((currency.code(), currency.decimals()), (code, decimals));
            assert_eq!(Currency::from_numeric(numeric), Ok(currency));
        }
        assert_eq!(Currency::from_numeric(1), Err(Rule::Currency));
    }

    fn currency() -> impl Strategy<Value = Currency> {
        prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF", "CNY"])
            .prop_map(|code| code.parse().unwrap())
    }

    proptest! {
        #[test]
        fn every_amount_has_one_spelling(minor in 1..=Amount::MAX_MINOR, currency in currency()) {
            let amount = Amount::from_minor(minor, currency).unwrap();
            prop_assert_eq!(Amount::parse_in(&amount.value(), currency), Ok(amount));
        }

        #[test]
        fn whatever_parses_is_canonical(value in "[0-9]{0,20}\\.?[0-9]{0,4}", currency in currency()) {
            if let Ok(amount) = Amount::parse_in(&value, currency) {
                prop_assert_eq!(amount.value(), value);
                prop_assert!((1..=Amount::MAX_MINOR).contains(&amount.minor()));
            }
        }

        #[test]
        fn no_text_panics(value in "\\PC*", currency in currency()) {
            let _ = Amount::parse_in(&value, currency);
        }
    }
}
