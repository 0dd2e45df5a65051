//! Owns the TBSCertificate (RFC 5280 s4.1.2): read for certificates that come in and for the check of
//! those about to be signed, and the conversions of its times and serial numbers.

use std::time::Duration;

use der::referenced::OwnedToRef;
use der::{DateTime, Decode, Encode};
use x509_cert::certificate::{TbsCertificateInner, Version};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

use crate::algorithm::PublicKey;
use crate::error::CertificateError;
use crate::extensions::Extensions;
use crate::signed::check_algorithm;

/// A TBSCertificate of version v3, read strictly.
#[derive(Clone, Debug)]
pub(crate) struct TbsCertificate {
    /// Big-endian, without leading zeros.
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) subject: Name,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) key: PublicKey,
    pub(crate) extensions: Extensions,
}

impl TbsCertificate {
    /// Reads DER whose length the caller has bounded.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |_| CertificateError::Malformed;
        let tbs: TbsCertificateInner = TbsCertificateInner::from_der(der).map_err(malformed)?;
        if tbs.to_der().map_err(malformed)? != der || tbs.version() != Version::V3 {
            return Err(CertificateError::Malformed);
        }
        if tbs.issuer_unique_id().is_some() || tbs.subject_unique_id().is_some() {
            return Err(CertificateError::UniqueIdentifier);
        }
        check_algorithm(&tbs.signature().owned_to_ref())?;
        let spki = tbs.subject_public_key_info().to_der().map_err(malformed)?;
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
        Ok(Self {
            serial: positive(tbs.serial_number().as_bytes()).ok_or(CertificateError::Serial)?,
            issuer_der: tbs.issuer().to_der().map_err(malformed)?,
            subject: tbs.subject().clone(),
            subject_der: tbs.subject().to_der().map_err(malformed)?,
            not_before: unix(tbs.validity().not_before),
            not_after: unix(tbs.validity().not_after),
            key: PublicKey::from_spki_der(&spki)?,
            extensions: Extensions::read(extensions)?,
        })
    }

    /// The directory names among the subject and its alternative names: what a name constraint binds.
    pub(crate) fn directory_names(&self) -> impl Iterator<Item = &Name> {
        let alternatives = self.extensions.subject_alt_names.iter();
        let alternatives = alternatives.filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name),
            _ => None,
        });
        std::iter::once(&self.subject).chain(alternatives)
    }
}

/// The magnitude of a positive DER INTEGER of at most 20 octets (RFC 5280 s4.1.2.2).
pub(crate) fn positive(integer: &[u8]) -> Option<Vec<u8>> {
    let negative = integer.first().is_none_or(|first| first & 0x80 != 0);
    let magnitude = magnitude(integer);
    (!negative && !magnitude.is_empty() && integer.len() <= 20).then(|| magnitude.to_vec())
}

/// `number` without its leading zeros.
pub(crate) fn magnitude(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Seconds since 1970 of an X.509 time, which lies between the years 1970 and 9999.
pub(crate) fn unix(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 s4.1.2.5); `None` before 1970 or after 9999.
pub(crate) fn time(unix: i64) -> Option<Time> {
    let seconds = u64::try_from(unix).ok()?;
    let date = DateTime::from_unix_duration(Duration::from_secs(seconds)).ok()?;
    Some(Time::from(date))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn times_change_their_form_in_2050() {
        let last = 2_524_607_999;
        assert!(matches!(time(last), Some(Time::UtcTime(_))));
        assert!(matches!(time(last + 1), Some(Time::GeneralTime(_))));
        assert_eq!(unix(time(last + 1).unwrap()), last + 1);
        assert_eq!(time(-1), None);
        assert_eq!(time(i64::MAX), None);
        assert_eq!(unix(time(0).unwrap()), 0);
    }

    #[test]
    fn serial_numbers_are_positive() {
        assert_eq!(positive(&[0, 0x80, 1]), Some(vec![0x80, 1]));
        assert_eq!(positive(&[0x80]), None);
        assert_eq!(positive(&[0]), None);
        assert_eq!(positive(&[]), None);
        assert_eq!(positive(&[1; 20]), Some(vec![1; 20]));
        assert_eq!(positive(&[1; 21]), None);
    }
}
