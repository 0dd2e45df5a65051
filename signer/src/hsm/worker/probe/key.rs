//! Owns what a key in a token must be: there once, made inside the token, never outside it, on P-256, with the
//! label of its purpose, and the other half of the public key in its certificate.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use semops_pki::algorithm::PublicKey;

use super::super::module::Session;
use super::super::refusal::{KeyDefect, Refusal};
use super::call;
use crate::hsm::Key;
use crate::hsm::failure::Failure;
use crate::hsm::report::KeyReport;

/// DER of the OBJECT IDENTIFIER secp256r1 (RFC 5480 s2.1.1.1), as CKA_EC_PARAMS holds it.
pub(in crate::hsm::worker) const SECP256R1: [u8; 10] =
    [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Attributes by name, with a value where the token tells it.
pub(in crate::hsm::worker) type Told = Vec<(String, Option<bool>)>;

/// A boolean attribute of a private key and what it must be.
struct Rule {
    attribute: AttributeType,
    name: &'static str,
    wanted: bool,
    /// Whether a token that does not tell is refused.
    must_be_told: bool,
}

const fn rule(attribute: AttributeType, name: &'static str, wanted: bool, told: bool) -> Rule {
    Rule {
        attribute,
        name,
        wanted,
        must_be_told: told,
    }
}

/// Made in the token, never outside it, usable with the login alone, and for signatures.
const RULES: [Rule; 8] = [
    rule(AttributeType::Sensitive, "CKA_SENSITIVE", true, true),
    rule(AttributeType::Extractable, "CKA_EXTRACTABLE", false, true),
    rule(AttributeType::Private, "CKA_PRIVATE", true, true),
    rule(AttributeType::Sign, "CKA_SIGN", true, true),
    rule(
        AttributeType::AlwaysSensitive,
        "CKA_ALWAYS_SENSITIVE",
        true,
        false,
    ),
    rule(
        AttributeType::NeverExtractable,
        "CKA_NEVER_EXTRACTABLE",
        true,
        false,
    ),
    rule(AttributeType::Local, "CKA_LOCAL", true, false),
    rule(
        AttributeType::AlwaysAuthenticate,
        "CKA_ALWAYS_AUTHENTICATE",
        false,
        false,
    ),
];

/// Finds and checks `key`; `on` names the token in errors.
pub(in crate::hsm::worker) fn probe(
    session: &Session,
    on: &str,
    key: &Key,
) -> Result<KeyReport, Refusal> {
    let defect = |defect| Refusal::Key {
        on: on.to_owned(),
        key: key.id,
        label: key.label.clone(),
        defect,
    };
    let failed = |failure| call(on, failure);
    let private = one(session, ObjectClass::PRIVATE_KEY, "CKO_PRIVATE_KEY", key);
    let private = private.map_err(failed)?.map_err(defect)?;
    let attributes = check(session, private, &key.label).map_err(failed)?;
    let attributes = attributes.map_err(defect)?;
    let public = one(session, ObjectClass::PUBLIC_KEY, "CKO_PUBLIC_KEY", key);
    let public = public.map_err(failed)?.map_err(defect)?;
    let point = session
        .raw()
        .get_attributes(public, &[AttributeType::EcPoint]);
    let point = point.map_err(|error| failed(error.into()))?;
    check_public(&key.public, &point).map_err(defect)?;
    Ok(KeyReport {
        id: key.id,
        label: key.label.clone(),
        attributes,
    })
}

/// What the token tells of a private key, if it is as one of purpose `label` must be.
pub(in crate::hsm::worker) fn check(
    session: &Session,
    private: ObjectHandle,
    label: &str,
) -> Result<Result<Told, KeyDefect>, Failure> {
    let found = session.raw().get_attributes(private, &asked())?;
    Ok(check_private(label, &found))
}

/// The attributes of the private key that are asked for.
fn asked() -> Vec<AttributeType> {
    use AttributeType as A;
    let mut asked = vec![A::Label, A::KeyType, A::EcParams];
    asked.extend(RULES.iter().map(|rule| rule.attribute));
    asked
}

fn one(
    session: &Session,
    class: ObjectClass,
    name: &'static str,
    key: &Key,
) -> Result<Result<ObjectHandle, KeyDefect>, Failure> {
    let found = session.find(class, key.id)?;
    Ok(match found.as_slice() {
        [handle] => Ok(*handle),
        others => Err(KeyDefect::Count {
            class: name,
            found: others.len(),
        }),
    })
}

fn check_private(label: &str, attributes: &[Attribute]) -> Result<Told, KeyDefect> {
    let has = |wanted: &Attribute| attributes.contains(wanted);
    if !has(&Attribute::KeyType(KeyType::EC)) || !has(&Attribute::EcParams(SECP256R1.to_vec())) {
        return Err(KeyDefect::Type);
    }
    if !has(&Attribute::Label(label.as_bytes().to_vec())) {
        let found = attributes.iter().find_map(|attribute| match attribute {
            Attribute::Label(label) => Some(String::from_utf8_lossy(label).into_owned()),
            _ => None,
        });
        return Err(KeyDefect::Label(found.unwrap_or_default()));
    }
    let mut told = Vec::new();
    for rule in RULES {
        let found = attributes.iter().find_map(|a| value(a, rule.attribute));
        if found != Some(rule.wanted) && (found.is_some() || rule.must_be_told) {
            return Err(KeyDefect::Attribute {
                attribute: rule.name,
                wanted: rule.wanted,
                found,
            });
        }
        told.push((rule.name.to_owned(), found));
    }
    Ok(told)
}

/// The value of `attribute` if it is the boolean `wanted`.
fn value(attribute: &Attribute, wanted: AttributeType) -> Option<bool> {
    match attribute {
        Attribute::Sensitive(value)
        | Attribute::Extractable(value)
        | Attribute::Private(value)
        | Attribute::Sign(value)
        | Attribute::AlwaysSensitive(value)
        | Attribute::NeverExtractable(value)
        | Attribute::Local(value)
        | Attribute::AlwaysAuthenticate(value)
            if attribute.attribute_type() == wanted =>
        {
            Some(*value)
        }
        _ => None,
    }
}

fn check_public(expected: &PublicKey, attributes: &[Attribute]) -> Result<(), KeyDefect> {
    let found = point(attributes).filter(|found| found == expected);
    found.map(drop).ok_or(KeyDefect::PublicKey)
}

/// The public key in CKA_EC_POINT: a DER OCTET STRING holding the point (PKCS#11 v2.40 mechanisms s2.3.3); some tokens give
/// the point alone.
pub(in crate::hsm::worker) fn point(attributes: &[Attribute]) -> Option<PublicKey> {
    let point = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point.as_slice()),
        _ => None,
    });
    let point = match point {
        Some([0x04, 0x41, inner @ ..]) if inner.len() == 65 => inner,
        raw => raw?,
    };
    PublicKey::from_sec1(point).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use semops_pki::local_key::LocalKey;

    use super::*;

    fn good() -> Vec<Attribute> {
        vec![
            Attribute::Label(b"device-ca".to_vec()),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(SECP256R1.to_vec()),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Private(true),
            Attribute::Sign(true),
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
            Attribute::AlwaysAuthenticate(false),
        ]
    }

    fn opposite(attribute: &Attribute) -> Option<Attribute> {
        Some(match attribute {
            Attribute::Sensitive(v) => Attribute::Sensitive(!v),
            Attribute::Extractable(v) => Attribute::Extractable(!v),
            Attribute::Private(v) => Attribute::Private(!v),
            Attribute::Sign(v) => Attribute::Sign(!v),
            Attribute::AlwaysSensitive(v) => Attribute::AlwaysSensitive(!v),
            Attribute::NeverExtractable(v) => Attribute::NeverExtractable(!v),
            Attribute::Local(v) => Attribute::Local(!v),
            Attribute::AlwaysAuthenticate(v) => Attribute::AlwaysAuthenticate(!v),
            _ => return None,
        })
    }

    fn name(attribute: &Attribute) -> &'static str {
        let rule = |rule: &&Rule| rule.attribute == attribute.attribute_type();
        RULES.iter().find(rule).unwrap().name
    }

    #[test]
    fn a_key_made_in_the_token_passes() {
        let told = check_private("device-ca", &good()).unwrap();
        assert_eq!(told.len(), RULES.len());
        assert!(told.iter().all(|(_, value)| value.is_some()));
    }

    #[test]
    fn every_wrong_attribute_is_refused_by_name() {
        let mut refused = 0;
        for (index, attribute) in good().iter().enumerate() {
            let Some(wrong) = opposite(attribute) else {
                continue;
            };
            let mut attributes = good();
            attributes.splice(index..=index, [wrong]);
            let defect = check_private("device-ca", &attributes).unwrap_err();
            let KeyDefect::Attribute {
                attribute: named,
                wanted,
                found,
            } = defect
            else {
                unreachable!("{defect}")
            };
            assert_eq!((named, found), (name(attribute), Some(!wanted)));
            refused += 1;
        }
        assert_eq!(refused, RULES.len());
    }

    #[test]
    fn an_absent_attribute_is_refused_where_it_must_be_told() {
        for (index, attribute) in good().iter().enumerate() {
            let mut attributes = good();
            attributes.remove(index);
            let checked = check_private("device-ca", &attributes);
            match (attribute, checked) {
                (Attribute::Label(_), Err(KeyDefect::Label(found))) => assert_eq!(found, ""),
                (Attribute::KeyType(_) | Attribute::EcParams(_), Err(KeyDefect::Type)) => {}
                (
                    _,
                    Err(KeyDefect::Attribute {
                        attribute: named,
                        found: None,
                        ..
                    }),
                ) => {
                    assert_eq!(named, name(attribute));
                    assert!(index <= 6, "{named} need not be told");
                }
                (_, Ok(told)) => {
                    assert!(index > 6);
                    assert!(told.contains(&(name(attribute).to_owned(), None)));
                }
                (attribute, Err(defect)) => unreachable!("{attribute:?}: {defect}"),
            }
        }
    }

    #[test]
    fn another_label_type_or_curve_is_refused() {
        let checked = check_private("authorization", &good());
        assert_eq!(checked, Err(KeyDefect::Label("device-ca".to_owned())));
        let mut rsa = good();
        rsa.splice(1..2, [Attribute::KeyType(KeyType::RSA)]);
        assert_eq!(check_private("device-ca", &rsa), Err(KeyDefect::Type));
        let mut p384 = good();
        p384.splice(2..3, [Attribute::EcParams(vec![6, 5, 43, 129, 4, 0, 34])]);
        assert_eq!(check_private("device-ca", &p384), Err(KeyDefect::Type));
    }

    #[test]
    fn the_point_may_be_raw_or_in_an_octet_string() {
        let key = LocalKey::generate().unwrap().public_key().clone();
        let other = LocalKey::generate().unwrap().public_key().clone();
        let check = |point: Vec<u8>| check_public(&key, &[Attribute::EcPoint(point)]);
        let wrapped = |key: &PublicKey| [&[0x04, 0x41], key.sec1()].concat();
        assert_eq!(check(key.sec1().to_vec()), Ok(()));
        assert_eq!(check(wrapped(&key)), Ok(()));
        let refused = Err(KeyDefect::PublicKey);
        assert_eq!(check(wrapped(&other)), refused);
        assert_eq!(check(other.sec1().to_vec()), refused);
        assert_eq!(check(Vec::new()), refused);
        assert_eq!(check_public(&key, &[]), refused);
    }
}
