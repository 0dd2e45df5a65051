//! Owns a certified phone, its acceptance by payers' institutions, and the pseudonyms that name people.

use std::{fmt, str::FromStr};

use semops_objects::institution::InstitutionId;
use semops_pki::crl::Reason;
use uuid::Uuid;

use crate::{clock::Timestamp, domain::key::KeyId};

/// The id of a device: a random UUID, the CN of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Uuid);

impl DeviceId {
    /// The id with these 128 random bits (UUIDv4: version and variant are set over them).
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bits).into_uuid())
    }

    /// The id as a UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for DeviceId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device id is a UUID in lower case with hyphens, as the phone shows it")]
pub struct BadDeviceId;

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let uuid = Uuid::try_parse(text).map_err(|_| BadDeviceId)?;
        // One spelling only, so that an id is the same everywhere it is compared as text.
        (uuid.to_string() == text)
            .then_some(Self(uuid))
            .ok_or(BadDeviceId)
    }
}

/// An institution's keyed pseudonym for a subscriber or an account: a UUID, or 22-64 base64url characters that are not
/// digits alone, so that no phone or account number slips in. Hidden in Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    /// What stands where a reference was erased: the nil UUID (RFC 9562 s5.9).
    pub const ERASED: &str = "00000000-0000-0000-0000-000000000000";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(..)")
    }
}

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reference is a keyed pseudonym: a UUID, or 22-64 base64url characters that are not digits alone; never a phone \
     or account number"
)]
pub struct BadReference;

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let base64url = (22..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !text.bytes().all(|b| b.is_ascii_digit());
        let uuid = text.len() == 36 && Uuid::try_parse(text).is_ok();
        (base64url || uuid)
            .then(|| Self(text.to_owned()))
            .ok_or(BadReference)
    }
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why (RFC 5280 s5.3.1).
    pub reason: Reason,
}

/// The state of a device's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Neither revoked nor expired.
    Active,
    /// Revoked; final.
    Revoked,
    /// Past its notAfter.
    Expired,
}

impl Status {
    /// The state at `now` of a certificate that ends at `not_after`; notAfter itself is inside (RFC 5280 s4.1.2.5).
    pub fn of(revoked: bool, not_after: Timestamp, now: Timestamp) -> Self {
        if revoked {
            Self::Revoked
        } else if not_after.seconds() < now.seconds() {
            Self::Expired
        } else {
            Self::Active
        }
    }
}

/// What an institution has to do with the devices of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It issued them, to this subscriber if one is named.
    Issued(Option<Reference>),
    /// It accepted them, for this account if one is named.
    Accepted(Option<Reference>),
}

/// Which devices a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFilter {
    /// What the institution has to do with them.
    pub relation: Relation,
    /// Their state, if one is named.
    pub status: Option<Status>,
}

/// A certified phone, as its issuer's row has it.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Who enrolled it.
    pub issuer: InstitutionId,
    /// The issuer's pseudonym for its subscriber.
    pub subscriber: Reference,
    /// The CA key that signed its certificate.
    pub issuer_key: KeyId,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The end of its certificate.
    pub not_after: Timestamp,
    /// Its revocation, if it was revoked.
    pub revoked: Option<Revocation>,
}

impl Device {
    /// Whether its certificate's validity has passed.
    pub fn expired(&self, now: Timestamp) -> bool {
        Status::of(false, self.not_after, now) == Status::Expired
    }

    /// The state of its certificate.
    pub fn status(&self, now: Timestamp) -> Status {
        Status::of(self.revoked.is_some(), self.not_after, now)
    }
}

/// The binding of a device to an account of one institution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The institution's pseudonym for the account.
    pub account: Reference,
    /// Since when.
    pub accepted_at: Timestamp,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn references() {
        for good in [
            "0191d6a0-3c1e-4b7a-9f00-000000000001",
            "AbCdEfGhIjKlMnOpQrStUv",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<Reference>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "8613800000000",
            &"1".repeat(22),
            &"x".repeat(21),
            &"x".repeat(65),
            "AbCdEfGhIjKlMnOpQrSt=v",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert_eq!(
            format!(
                "{:?}",
                "AbCdEfGhIjKlMnOpQrStUv".parse::<Reference>().unwrap()
            ),
            "Reference(..)"
        );
    }

    #[test]
    fn a_device_id_has_one_spelling() {
        let id = DeviceId::from_random([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<DeviceId>().is_err());
        assert!(id.uuid().simple().to_string().parse::<DeviceId>().is_err());
    }
}
