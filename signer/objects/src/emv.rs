//! The reader of EMV merchant-presented QR codes (EMV QR Code Specification for Payment Systems, Merchant-Presented
//! Mode): data objects of a two-digit id, a two-digit length in characters and a value, closed by a CRC.

mod data_object;

use thiserror::Error;

use self::data_object::{data_objects, required, value};
use crate::error::Rule;
use crate::money::{Amount, Currency};

/// The longest content of a QR code, in characters (s3.1 of the specification).
pub const MAX_CHARACTERS: usize = 512;

/// Why the content of a QR code is refused. Ids are those of the specification's data objects.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QrError {
    /// Not UTF-8.
    #[error("the content is not UTF-8")]
    NotUtf8,
    /// Too long.
    #[error("the content is longer than {MAX_CHARACTERS} characters")]
    TooLong,
    /// An id or a length that is not two digits, or a value shorter than its length.
    #[error("the data object at character {at} is cut off or malformed")]
    Malformed {
        /// Position in its template, in characters from 0.
        at: usize,
    },
    /// The same id twice in one template.
    #[error("data object {0:02} stands there more than once")]
    Duplicate(u8),
    /// Something required is not there.
    #[error("data object {0:02} is missing")]
    Missing(u8),
    /// Not a payload of version 01 (id 00), which must come first.
    #[error("the first data object must be 00 with the value 01")]
    Format,
    /// The CRC (id 63) is not last, or not that of the content.
    #[error("the CRC is wrong or not last")]
    Crc,
    /// No merchant account information template (ids 26 to 51) with an id of the merchant.
    #[error("no merchant account information in templates 26 to 51")]
    NoMerchantAccount,
    /// A currency that is not of ISO 4217, or an amount that does not fit it.
    #[error("data object {id:02} {rule}")]
    Money {
        /// 53 (currency) or 54 (amount).
        id: u8,
        /// The rule that it broke.
        rule: Rule,
    },
}

/// One merchant account information template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerchantAccount {
    /// Id of the template, 26 to 51.
    pub template: u8,
    /// Globally unique identifier of the payment network (id 00 of the template).
    pub network: String,
    /// What the network says of the merchant: id (01 to 99) and value, in the order of the code, at least one.
    pub data: Vec<(u8, String)>,
}

/// The content of a merchant-presented QR code that an order needs. Reading it is no proof of who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerchantQr {
    merchant_id: String,
    merchant_name: String,
    accounts: Vec<MerchantAccount>,
    currency: Currency,
    amount: Option<Amount>,
}

impl MerchantQr {
    /// Reads the exact bytes of a QR code.
    pub fn parse(content: &[u8]) -> Result<Self, QrError> {
        let text = str::from_utf8(content).map_err(|_| QrError::NotUtf8)?;
        if text.chars().count() > MAX_CHARACTERS {
            return Err(QrError::TooLong);
        }
        let objects = data_objects(text)?;
        if objects.first() != Some(&(0, "01")) {
            return Err(QrError::Format);
        }
        check_crc(text, &objects)?;
        let accounts = merchant_accounts(&objects)?;
        let (_, merchant_id) = accounts
            .iter()
            .find_map(|account| account.data.first())
            .ok_or(QrError::NoMerchantAccount)?;
        let currency = currency(required(&objects, 53)?)?;
        Ok(Self {
            merchant_id: merchant_id.clone(),
            merchant_name: required(&objects, 59)?.to_owned(),
            currency,
            amount: value(&objects, 54)
                .map(|digits| amount(digits, currency))
                .transpose()?,
            accounts,
        })
    }

    /// The merchant's id: what follows the network's identifier in the first merchant account information template.
    /// The specification leaves ids 01 to 99 of a template to its network; by custom the first names the merchant.
    /// A payer who knows one of the networks reads [`MerchantQr::accounts`] instead.
    pub fn merchant_id(&self) -> &str {
        &self.merchant_id
    }

    /// The merchant's name (id 59).
    pub fn merchant_name(&self) -> &str {
        &self.merchant_name
    }

    /// All merchant account information templates, in the order of the code.
    pub fn accounts(&self) -> &[MerchantAccount] {
        &self.accounts
    }

    /// The transaction currency (id 53).
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The transaction amount (id 54) without any tip; none in a static code, where the payer enters it.
    pub fn amount(&self) -> Option<Amount> {
        self.amount
    }
}

/// The CRC is the last data object and covers everything before its own value, its id and length included.
fn check_crc(text: &str, objects: &[(u8, &str)]) -> Result<(), QrError> {
    let stated = required(objects, 63)?;
    let covered = text.strip_suffix(stated).ok_or(QrError::Crc)?;
    if covered.ends_with("6304") && format!("{:04X}", crc(covered.as_bytes())) == stated {
        Ok(())
    } else {
        Err(QrError::Crc)
    }
}

/// CRC-16 with polynomial 0x1021 and initial value 0xFFFF (ISO/IEC 13239), over UTF-8.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

fn merchant_accounts(objects: &[(u8, &str)]) -> Result<Vec<MerchantAccount>, QrError> {
    objects
        .iter()
        .filter(|(template, _)| (26..=51).contains(template))
        .map(|(template, content)| merchant_account(*template, content))
        .collect()
}

fn merchant_account(template: u8, content: &str) -> Result<MerchantAccount, QrError> {
    let objects = data_objects(content)?;
    let network = required(&objects, 0)?.to_owned();
    let data: Vec<_> = objects
        .into_iter()
        .filter(|(id, _)| *id != 0)
        .map(|(id, value)| (id, value.to_owned()))
        .collect();
    Ok(MerchantAccount {
        template,
        network,
        data,
    })
}

fn currency(digits: &str) -> Result<Currency, QrError> {
    Some(digits)
        .filter(|digits| digits.len() == 3 && digits.bytes().all(|c| c.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or(Rule::Currency)
        .and_then(Currency::from_numeric)
        .map_err(|rule| QrError::Money { id: 53, rule })
}

/// Unlike ours, amounts of EMV codes may leave decimals out: `98`, `98.` and `98.7` are amounts of euros.
fn amount(digits: &str, currency: Currency) -> Result<Amount, QrError> {
    let (major, minor) = digits.split_once('.').unwrap_or((digits, ""));
    let value = match usize::try_from(currency.decimals()) {
        Ok(decimals) if decimals > 0 => format!("{major}.{minor:0<decimals$}"),
        _ if minor.is_empty() => major.to_owned(),
        _ => digits.to_owned(),
    };
    Amount::parse_in(&value, currency).map_err(|rule| QrError::Money { id: 54, rule })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/testdata/emv-qr.txt"
    ));

    /// `body` behind the payload format indicator, and its CRC.
    fn code(body: &str) -> String {
        let covered = format!("000201{body}6304");
        let crc = crc(covered.as_bytes());
        format!("{covered}{crc:04X}")
    }

    fn refused(content: &str) -> QrError {
        MerchantQr::parse(content.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_published_sample() {
        assert_eq!(SAMPLE.len(), 260);
        let qr = MerchantQr::parse(SAMPLE).unwrap();
        assert_eq!(qr.merchant_id(), "A93FO3230Q");
        assert_eq!(qr.merchant_name(), "BEST TRANSPORT");
        assert_eq!(qr.amount(), Some(Amount::parse("23.72", "CNY").unwrap()));
        assert_eq!(qr.currency().code(), "CNY");
        let account = |template, network: &str, id, value: &str| MerchantAccount {
            template,
            network: network.to_owned(),
            data: vec![(id, value.to_owned())],
        };
        let accounts = [
            account(29, "D15600000000", 5, "A93FO3230Q"),
            account(31, "D15600000001", 3, "12345678"),
        ];
        assert_eq!(qr.accounts(), accounts);
    }

    #[test]
    fn a_changed_sample_is_refused() {
        for at in 0..SAMPLE.len() {
            let mut changed = SAMPLE.to_vec();
            changed[at] ^= 1;
            assert!(MerchantQr::parse(&changed).is_err(), "byte {at}");
            assert!(MerchantQr::parse(&SAMPLE[..at]).is_err(), "cut at {at}");
        }
        assert!(MerchantQr::parse(&[SAMPLE, b"\n"].concat()).is_err());
    }

    #[test]
    fn crc_of_the_standard_check_string() {
        assert_eq!(crc(b"123456789"), 0x29B1);
    }

    #[test]
    fn refusals() {
        let malformed = |at| QrError::Malformed { at };
        for (body, error) in [
            ("", QrError::NoMerchantAccount),
            ("53039785904SHOP", QrError::NoMerchantAccount),
            ("26050001N53039785904SHOP", QrError::NoMerchantAccount),
            ("26050101M53039785904SHOP", QrError::Missing(0)),
            ("26050A01N53039785904SHOP", malformed(0)),
            ("26100001N0101M5904SHOP", QrError::Missing(53)),
            ("26100001N0101M5303978", QrError::Missing(59)),
            ("26100001N0101M5901A5901A", QrError::Duplicate(59)),
            ("26100001N0101M5900", malformed(20)),
            ("26100001N0101M5999SHOP", malformed(20)),
            ("26100001N0101M5+04SHOP", malformed(20)),
            ("26100001N0101M530397859 4SHOP", malformed(27)),
        ] {
            assert_eq!(refused(&code(body)), error, "{body}");
        }
        let good = code("26100001N0101M53039785904SHOP");
        assert!(MerchantQr::parse(good.as_bytes()).is_ok());
        assert_eq!(refused(&good.replace("SHOP", "SHOQ")), QrError::Crc);
        assert_eq!(refused(&format!("{good}5802CN")), QrError::Crc);
        assert_eq!(refused(&good.replace("000201", "000202")), QrError::Format);
        assert_eq!(refused(good.trim_start_matches("000201")), QrError::Format);
        assert_eq!(refused(&"x".repeat(MAX_CHARACTERS + 1)), QrError::TooLong);
        assert_eq!(MerchantQr::parse(b"\xff"), Err(QrError::NotUtf8));
    }

    #[test]
    fn refused_money() {
        let form = Rule::AmountForm { decimals: 2 };
        for (body, id, rule) in [
            ("5303999", 53, Rule::Currency),
            ("5303+78", 53, Rule::Currency),
            ("530297", 53, Rule::Currency),
            ("530397854051.234", 54, form.clone()),
            ("53039785403.50", 54, form.clone()),
            ("53039785405-1.00", 54, form),
            ("530397854040.00", 54, Rule::AmountZero),
        ] {
            let content = code(&format!("26100001N0101M5904SHOP{body}"));
            assert_eq!(refused(&content), QrError::Money { id, rule }, "{body}");
        }
    }

    #[test]
    fn amounts_may_leave_decimals_out() {
        let read = |digits: &str, currency: &str| {
            let length = digits.len();
            let body = format!("26100001N0101M5303{currency}5904SHOP54{length:02}{digits}");
            MerchantQr::parse(code(&body).as_bytes())
                .unwrap()
                .amount()
                .unwrap()
                .value()
        };
        for (digits, currency, value) in [
            ("98", "978", "98.00"),
            ("98.", "978", "98.00"),
            ("98.7", "978", "98.70"),
            ("10", "392", "10"),
            ("10.", "392", "10"),
        ] {
            assert_eq!(read(digits, currency), value, "{digits}");
        }
    }

    proptest! {
        #[test]
        fn lengths_count_characters(name in "[a-z\u{e9}\u{4f73}]{1,25}") {
            let length = name.chars().count();
            let content = code(&format!("26100001N0101M530397859{length:02}{name}"));
            let qr = MerchantQr::parse(content.as_bytes()).unwrap();
            prop_assert_eq!(qr.merchant_name(), name);
        }

        #[test]
        fn no_content_panics(content in "\\PC*") {
            let _ = MerchantQr::parse(content.as_bytes());
            let _ = MerchantQr::parse(code(&content).as_bytes());
        }
    }
}
