//! Owns the names under which CRLs and CA certificates are published: `device-root`, `signing-root`,
//! `<institution>-device-ca` and `<institution>-signing-ca`.

use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;

use crate::{
    authority::{Ca, Setup},
    domain::key::Purpose,
};

/// The name of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    DeviceRoot,
    SigningRoot,
    Institution(InstitutionId, Purpose),
}

impl Name {
    /// Reads a file name without its extension.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let institution = |id: &str, purpose| Some(Self::Institution(id.parse().ok()?, purpose));
        match text {
            "device-root" => Some(Self::DeviceRoot),
            "signing-root" => Some(Self::SigningRoot),
            _ => match (
                text.strip_suffix("-device-ca"),
                text.strip_suffix("-signing-ca"),
            ) {
                (Some(id), _) => institution(id, Purpose::DeviceCa),
                (None, Some(id)) => institution(id, Purpose::SigningCa),
                (None, None) => None,
            },
        }
    }

    /// The CA whose CRL it is.
    pub(super) fn ca(&self) -> Ca<'_> {
        match self {
            Self::DeviceRoot => Ca::DeviceRoot,
            Self::SigningRoot => Ca::SigningRoot,
            Self::Institution(institution, purpose) => Ca::Institution(institution, *purpose),
        }
    }

    /// Its certificate, if it is one of this deployment.
    pub(super) fn certificate<'a>(&self, setup: &'a Setup) -> Option<&'a Certificate> {
        match self {
            Self::DeviceRoot => Some(&setup.device_root.certificate),
            Self::SigningRoot => Some(&setup.signing_root.certificate),
            Self::Institution(institution, purpose) => setup
                .institutions
                .get(institution)?
                .of(*purpose)
                .chain
                .first(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names() {
        let of = |id: &str, purpose| Some(Name::Institution(id.parse().unwrap(), purpose));
        assert_eq!(Name::parse("device-root"), Some(Name::DeviceRoot));
        assert_eq!(Name::parse("signing-root"), Some(Name::SigningRoot));
        assert_eq!(Name::parse("alfa-device-ca"), of("alfa", Purpose::DeviceCa));
        assert_eq!(Name::parse("a-b-signing-ca"), of("a-b", Purpose::SigningCa));
        for text in [
            "",
            "alfa",
            "alfa-authorization",
            "-device-ca",
            "ALFA-device-ca",
            "../x-device-ca",
            "tls-root",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
