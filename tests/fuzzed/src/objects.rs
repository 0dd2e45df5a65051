//! What must hold of the signed objects: compact JWS, order, authorization, money and the offer of a QR code.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::authorization::{self, AuthorizationJws};
use semops_objects::emv::{MAX_CHARACTERS, MerchantQr};
use semops_objects::jws::{self, Compact};
use semops_objects::money::{Amount, Currency};
use semops_objects::order::{self, OrderJws};
use semops_objects::payment::{MAX_LIFETIME, Payee};
use serde_json::Value;

use crate::Verdict::{self, Accepted, Refused};
use crate::material::{key, public, with_one_bit_changed};

/// The `kid` of orders and the `x5t#S256` of authorizations here.
pub const KID: [u8; 32] = [7; 32];

/// A compact JWS with a good signature over these parts.
pub fn compact(header: &[u8], payload: &[u8]) -> String {
    let part = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let input = format!("{}.{}", part(header), part(payload));
    jws::compact(&input, &key().sign_raw(input.as_bytes()).unwrap())
}

/// The compact serialization, whatever is in it.
pub fn jws(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else {
        return Refused;
    };
    let Ok(jws) = Compact::parse(text, 4096) else {
        return Refused;
    };
    assert!(text.len() <= 4096);
    assert_eq!(jws.as_str(), text);
    assert_eq!(jws::compact(jws.signing_input(), jws.signature()), text);
    let parts = [jws.header(), jws.payload(), &jws.signature()[..]];
    assert_eq!(
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."),
        text
    );
    let others = Compact::parse(&compact(jws.header(), jws.payload()), usize::MAX).unwrap();
    assert_eq!(others.signing_input(), jws.signing_input());
    assert!(others.verify(public()).is_ok());
    if jws.verify(public()).is_ok() {
        no_bit_may_change(text, |text| {
            let changed = Compact::parse(text, 4096);
            changed.is_ok_and(|jws| jws.verify(public()).is_ok())
        });
    }
    Accepted
}

pub(crate) fn no_bit_may_change(text: &str, verifies: impl FnOnce(&str) -> bool) {
    let changed = with_one_bit_changed(text.as_bytes());
    assert!(!str::from_utf8(&changed).is_ok_and(verifies));
}

/// An order as text, as the payload of a good header, and as the header of a good payload.
pub fn order(bytes: &[u8]) -> Verdict {
    let (header, payload) = (sample::order_header(), sample::order());
    three_ways(bytes, header.as_bytes(), payload.as_bytes(), one_order)
}

pub(crate) fn three_ways(
    bytes: &[u8],
    header: &[u8],
    payload: &[u8],
    one: fn(&str) -> Verdict,
) -> Verdict {
    let whole = str::from_utf8(bytes).map_or(Refused, one);
    whole
        .any(one(&compact(header, bytes)))
        .any(one(&compact(bytes, payload)))
}

fn one_order(text: &str) -> Verdict {
    let Ok(received) = OrderJws::parse(text) else {
        return Refused;
    };
    assert!(text.len() <= order::MAX_LENGTH);
    assert_eq!(received.compact(), text);
    let order = received.order();
    assert_eq!(order.jti.get_version_num(), 7);
    assert!((1..=MAX_LIFETIME).contains(&(order.exp - order.iat)));
    holds_of_amount(order.amount);
    holds_of_payee(&order.payee);
    let input = order.signing_input(&received.kid());
    let again = signed(&input);
    let again = OrderJws::parse(&again).unwrap();
    assert_eq!((again.order(), again.kid()), (order, received.kid()));
    assert!(again.verify(public()).is_ok());
    same_json(received.signing_input(), &input);
    if received.verify(public()).is_ok() {
        no_bit_may_change(text, |text| {
            OrderJws::parse(text).is_ok_and(|order| order.verify(public()).is_ok())
        });
    }
    Accepted
}

/// As [`order`].
pub fn authorization(bytes: &[u8]) -> Verdict {
    let header = sample::header(&KID);
    let payload = sample::authorization();
    three_ways(
        bytes,
        header.as_bytes(),
        payload.as_bytes(),
        one_authorization,
    )
}

fn one_authorization(text: &str) -> Verdict {
    let Ok(received) = AuthorizationJws::parse(text) else {
        return Refused;
    };
    assert!(text.len() <= authorization::MAX_LENGTH);
    assert_eq!(received.compact(), text);
    let authorization = received.authorization();
    assert!((1..=MAX_LIFETIME).contains(&(authorization.exp - authorization.iat)));
    assert_eq!(&authorization.aud, authorization.payee.institution());
    holds_of_amount(authorization.amount);
    holds_of_payee(&authorization.payee);
    let input = authorization.signing_input(public(), &received.x5t_s256());
    let again = signed(&input);
    let again = AuthorizationJws::parse(&again).unwrap();
    assert_eq!(again.authorization(), authorization);
    assert_eq!(again.x5t_s256(), received.x5t_s256());
    assert!(again.verify(public()).is_ok());
    same_payload(received.signing_input(), &input);
    if received.verify(public()).is_ok() {
        no_bit_may_change(text, |text| {
            AuthorizationJws::parse(text).is_ok_and(|jws| jws.verify(public()).is_ok())
        });
    }
    Accepted
}

pub(crate) fn signed(input: &str) -> String {
    jws::compact(input, &key().sign_raw(input.as_bytes()).unwrap())
}

/// Header and payload say what was understood of them and nothing else, in any order of their members.
pub(crate) fn same_json(received: &str, written: &str) {
    let header = |input: &str| json(input.split_once('.').unwrap().0);
    assert_eq!(header(received), header(written));
    same_payload(received, written);
}

fn same_payload(received: &str, written: &str) {
    let payload = |input: &str| json(input.split_once('.').unwrap().1);
    assert_eq!(payload(received), payload(written));
}

fn json(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn holds_of_payee(payee: &Payee) {
    let (id, name) = (payee.id(), payee.name());
    assert!((1..=35).contains(&id.len()) && id.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    assert!((1..=140).contains(&name.chars().count()) && !name.trim().is_empty());
    assert!(name.chars().all(|shown| !shown.is_control()));
    let again = Payee::new(payee.institution().clone(), id, name);
    assert_eq!(again.as_ref(), Ok(payee));
}

fn holds_of_amount(amount: Amount) {
    let (value, currency) = (amount.value(), amount.currency());
    assert!((1..=Amount::MAX_MINOR).contains(&amount.minor()));
    assert_eq!(Amount::from_minor(amount.minor(), currency), Ok(amount));
    assert_eq!(Amount::parse(&value, currency.code()), Ok(amount));
    // The decimal point is the only thing between the digits of the value and those of the minor units.
    let digits: String = value.chars().filter(|c| *c != '.').collect();
    assert_eq!(digits.parse(), Ok(amount.minor()));
    assert!(digits.len() <= 18);
    let decimals = value
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    assert_eq!(u32::try_from(decimals), Ok(currency.decimals()));
}

/// `value currency`, as in `12.99 EUR`.
pub fn money(bytes: &[u8]) -> Verdict {
    let Some((value, code)) = str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.split_once(' '))
    else {
        return Refused;
    };
    let Ok(amount) = Amount::parse(value, code) else {
        return Refused;
    };
    assert_eq!(
        (amount.value().as_str(), amount.currency().code()),
        (value, code)
    );
    assert_eq!(code.parse::<Currency>(), Ok(amount.currency()));
    holds_of_amount(amount);
    for other in [
        format!("0{value}"),
        format!("{value}0"),
        format!("-{value}"),
        format!("+{value}"),
    ] {
        assert_ne!(Amount::parse(&other, code), Ok(amount), "{other}");
    }
    Accepted
}

/// The content of a QR code, as it is and with the CRC that it should have.
pub fn offer(bytes: &[u8]) -> Verdict {
    let before = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let before = &before[..before.len().saturating_sub(4)];
    let corrected = [before, format!("{:04X}", crc(before)).as_bytes()].concat();
    one_offer(bytes).any(one_offer(&corrected))
}

fn one_offer(bytes: &[u8]) -> Verdict {
    let Ok(read) = MerchantQr::parse(bytes) else {
        return Refused;
    };
    let text = str::from_utf8(bytes).unwrap();
    assert!(text.chars().count() <= MAX_CHARACTERS);
    let (before, stated) = bytes.split_at(bytes.len() - 4);
    assert!(text.starts_with("000201") && before.ends_with(b"6304"));
    assert_eq!(stated, format!("{:04X}", crc(before)).as_bytes());
    assert!(text.contains(&format!("5303{:03}", numeric(read.currency(), text))));
    assert!(text.contains(read.merchant_name()) && text.contains(read.merchant_id()));
    assert!(
        read.accounts()
            .iter()
            .all(|account| (26..=51).contains(&account.template))
    );
    read.amount().into_iter().for_each(holds_of_amount);
    // A CRC of 16 bits finds every single one.
    assert!(MerchantQr::parse(&with_one_bit_changed(bytes)).is_err());
    Accepted
}

/// The number after `5303` that is the currency's.
fn numeric(currency: Currency, text: &str) -> u16 {
    let codes = text
        .match_indices("5303")
        .filter_map(|(at, _)| text.get(at + 4..at + 7)?.parse().ok());
    let mut codes = codes.filter(|code| Currency::from_numeric(*code) == Ok(currency));
    codes.next().unwrap()
}

/// CRC-16 of ISO/IEC 13239 with the initial value FFFF, by polynomial division of the whole message.
fn crc(bytes: &[u8]) -> u16 {
    let mut remainder: u32 = 0xffff;
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
    {
        let out = remainder >> 15 & 1;
        remainder = (remainder << 1) & 0xffff;
        if out != u32::from(bit) {
            remainder ^= 0x1021;
        }
    }
    u16::try_from(remainder).unwrap()
}

/// Parts of good objects, around which the fuzzer's bytes are put.
pub mod sample {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use semops_objects::{authorization, jwk, order};

    use super::KID;
    use crate::material::public;

    /// The header of an order.
    pub fn order_header() -> String {
        let kid = URL_SAFE_NO_PAD.encode(KID);
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{}"}}"#, order::TYP)
    }

    /// The header of an authorization whose certificate has this SHA-256.
    pub fn header(x5t: &[u8; 32]) -> String {
        let kid = URL_SAFE_NO_PAD.encode(jwk::thumbprint(public()));
        let (typ, x5t) = (authorization::TYP, URL_SAFE_NO_PAD.encode(x5t));
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{typ}","x5t#S256":"{x5t}"}}"#)
    }

    /// A good payload of an order.
    pub fn order() -> String {
        let digest = URL_SAFE_NO_PAD.encode([9; 32]);
        format!(
            r#"{{"jti":"01936e0e-0e80-7abc-8def-0123456789ab","iat":1800000000,"exp":1800000060,"aud":"alfa",{},"offer_sha256":"{digest}"}}"#,
            payment()
        )
    }

    /// A good payload of an authorization.
    pub fn authorization() -> String {
        let digest = URL_SAFE_NO_PAD.encode([9; 32]);
        let payer = URL_SAFE_NO_PAD.encode([3; 16]);
        format!(
            r#"{{"jti":"01936e0e-0e81-7abc-8def-0123456789ab","iat":1800000001,"exp":1800000061,"iss":"alfa","aud":"beta","order_sha256":"{digest}",{},"payer":"{payer}","end_to_end_id":"E2E-2027/1","uetr":"8a562c67-ca16-48ba-b074-65581be6f001","policy":"{digest}"}}"#,
            payment()
        )
    }

    fn payment() -> &'static str {
        r#""kind":"payment","channel":"real_pos","amount":{"value":"23.72","currency":"CNY"},"payee":{"institution":"beta","id":"A93FO3230Q","name":"BEST TRANSPORT"}"#
    }
}
