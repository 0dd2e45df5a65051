//! Owns the names under which CRLs and CA certificates are published: `device-root`, `signing-root`,
//! `<institution>-device-ca` and `<institution>-signing-ca`; of CAs later than the ceremony's `.<key id>` follows. A root has
//! both names, for its key may be the first one or not.

use semops_objects::institution::InstitutionId;

use crate::{
    authority::Ca,
    domain::{key::KeyId, published_roots::Hierarchy},
};

/// The name of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    Root(Hierarchy, Option<KeyId>),
    /// Of that institution, if there is such a CA.
    Institution(InstitutionId, &'a str),
}

impl<'a> Name<'a> {
    /// Reads a file name without its extension.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        // Neither an institution's id nor a purpose has a full stop.
        let (first, key) = match text.split_once('.') {
            Some((first, key)) => (first, Some(key)),
            None => (text, None),
        };
        let mut hierarchies = Hierarchy::ALL.into_iter();
        if let Some(hierarchy) = hierarchies.find(|one| one.root_name() == first) {
            let key = key.map(|key| key.parse().ok());
            return match key {
                None => Some(Self::Root(hierarchy, None)),
                Some(key) => Some(Self::Root(hierarchy, Some(key?))),
            };
        }
        let of = |suffix| first.strip_suffix(suffix);
        let institution = of("-device-ca").or_else(|| of("-signing-ca"))?;
        Some(Self::Institution(institution.parse().ok()?, text))
    }

    /// The CA whose CRL it is.
    pub(super) fn ca(&self) -> Ca<'_> {
        match self {
            Self::Root(hierarchy, key) => Ca::Root(*hierarchy, *key),
            Self::Institution(institution, name) => Ca::Published(institution, name),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names() {
        let of = |id: &str, name| Some(Name::Institution(id.parse().unwrap(), name));
        let (device, signing) = (Hierarchy::Device, Hierarchy::Signing);
        let key = KeyId::new([7; 32]);
        assert_eq!(Name::parse("device-root"), Some(Name::Root(device, None)));
        assert_eq!(Name::parse("signing-root"), Some(Name::Root(signing, None)));
        let second = format!("signing-root.{key}");
        assert_eq!(Name::parse(&second), Some(Name::Root(signing, Some(key))));
        for (id, name) in [
            ("alfa", "alfa-device-ca"),
            ("a-b", "a-b-signing-ca"),
            ("alfa", "alfa-device-ca.key"),
            ("alfa", "alfa-device-ca.beta-device-ca"),
        ] {
            assert_eq!(Name::parse(name), of(id, name));
        }
        for text in [
            "",
            "alfa",
            "alfa-authorization",
            "-device-ca",
            "ALFA-device-ca",
            "../x-device-ca",
            "tls-root",
            "device-root.key",
            ".alfa-device-ca",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
