//! Owns the names of the scheme: O (the institution id) first, then CN, each an RDN of one UTF8String.
//! The order matters: a directoryName constraint on O matches a prefix of the name (RFC 5280 s7.1).

use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME};
use der::asn1::{ObjectIdentifier, Utf8StringRef};
use der::{Any, Decode, Encode, Tag};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// O alone: the base of a name constraint.
pub(crate) fn organization(organization: &str) -> Result<Name, der::Error> {
    of(&[(ORGANIZATION_NAME, organization)])
}

/// CN alone: the subject of a phone's request.
pub(crate) fn common_name(common_name: &str) -> Result<Name, der::Error> {
    of(&[(COMMON_NAME, common_name)])
}

/// O, then CN.
pub(crate) fn subject(organization: &str, common_name: &str) -> Result<Name, der::Error> {
    of(&[
        (ORGANIZATION_NAME, organization),
        (COMMON_NAME, common_name),
    ])
}

fn of(attributes: &[(ObjectIdentifier, &str)]) -> Result<Name, der::Error> {
    let mut sequence = RdnSequence::default();
    for (oid, value) in attributes {
        let mut rdn = RelativeDistinguishedName::default();
        rdn.insert(AttributeTypeAndValue {
            oid: *oid,
            value: Any::encode_from(&Utf8StringRef::new(value)?)?,
        })?;
        sequence.push(rdn);
    }
    Name::from_der(&sequence.to_der()?)
}

/// O and CN of a name that has exactly these two, in this order and form; `None` for any other.
pub(crate) fn organization_and_common_name(name: &Name) -> Option<(&str, &str)> {
    let mut rdns = name.iter_rdn();
    let organization = single(rdns.next()?, ORGANIZATION_NAME)?;
    let common_name = single(rdns.next()?, COMMON_NAME)?;
    rdns.next().is_none().then_some((organization, common_name))
}

fn single(rdn: &RelativeDistinguishedName, oid: ObjectIdentifier) -> Option<&str> {
    let mut attributes = rdn.iter();
    let attribute = attributes.next()?;
    let alone = attributes.next().is_none();
    let fits = attribute.oid == oid && attribute.value.header().tag() == Tag::Utf8String;
    (alone && fits)
        .then(|| std::str::from_utf8(attribute.value.value()).ok())
        .flatten()
}

/// Whether `name` lies in the subtree of `base`: all RDNs of `base` stand first in it, in their order
/// (RFC 5280 s4.2.1.10, s7.1). Values are compared octet by octet, which only ever refuses more than
/// the caseIgnoreMatch of s7.1.
pub(crate) fn within(name: &Name, base: &Name) -> bool {
    name.len() >= base.iter_rdn().count()
        && base
            .iter_rdn()
            .zip(name.iter_rdn())
            .all(|(permitted, actual)| permitted == actual)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_reads_back() {
        let name = subject("alfa", "device CA").unwrap();
        assert_eq!(
            organization_and_common_name(&name),
            Some(("alfa", "device CA"))
        );
        assert_eq!(name.iter_rdn().count(), 2);
    }

    #[test]
    fn other_shapes_have_no_organization() {
        let reversed = of(&[(COMMON_NAME, "x"), (ORGANIZATION_NAME, "alfa")]).unwrap();
        assert_eq!(organization_and_common_name(&reversed), None);
        let repeated = of(&[
            (ORGANIZATION_NAME, "alfa"),
            (COMMON_NAME, "x"),
            (ORGANIZATION_NAME, "beta"),
        ])
        .unwrap();
        assert_eq!(organization_and_common_name(&repeated), None);
        assert_eq!(
            organization_and_common_name(&organization("alfa").unwrap()),
            None
        );
    }

    #[test]
    fn a_subtree_is_a_prefix() {
        let base = organization("alfa").unwrap();
        assert!(within(&subject("alfa", "x").unwrap(), &base));
        assert!(within(&base, &base));
        assert!(!within(&subject("beta", "x").unwrap(), &base));
        assert!(!within(&subject("alfa2", "x").unwrap(), &base));
        let reversed = of(&[(COMMON_NAME, "x"), (ORGANIZATION_NAME, "alfa")]).unwrap();
        assert!(!within(&reversed, &base));
        assert!(!within(&base, &subject("alfa", "x").unwrap()));
    }
}
