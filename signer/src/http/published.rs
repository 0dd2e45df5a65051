//! Owns the names under which CRLs and CA certificates are published: `device-root`, `signing-root`,
//! `<institution>-device-ca` and `<institution>-signing-ca`; of CAs later than the ceremony's `.<key id>` follows.

use semops_objects::institution::InstitutionId;

use crate::authority::Ca;

/// The name of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    DeviceRoot,
    SigningRoot,
    /// Of that institution, if there is such a CA.
    Institution(InstitutionId, &'a str),
}

impl<'a> Name<'a> {
    /// Reads a file name without its extension.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        // Neither an institution's id nor a purpose has a full stop.
        let first = text.split_once('.').map_or(text, |(first, _key)| first);
        match text {
            "device-root" => Some(Self::DeviceRoot),
            "signing-root" => Some(Self::SigningRoot),
            _ => {
                let of = |suffix| first.strip_suffix(suffix);
                let institution = of("-device-ca").or_else(|| of("-signing-ca"))?;
                Some(Self::Institution(institution.parse().ok()?, text))
            }
        }
    }

    /// The CA whose CRL it is.
    pub(super) fn ca(&self) -> Ca<'_> {
        match self {
            Self::DeviceRoot => Ca::DeviceRoot,
            Self::SigningRoot => Ca::SigningRoot,
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
        assert_eq!(Name::parse("device-root"), Some(Name::DeviceRoot));
        assert_eq!(Name::parse("signing-root"), Some(Name::SigningRoot));
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
