//! Owns issuing of CRLs (RFC 5280 s5): complete lists of version v2 with CRLNumber, made into octets to sign.

use der::Encode;
use x509_cert::Version;
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::serial_number::SerialNumber;

use crate::crl::Reason;
use crate::error::ProfileError;
use crate::extensions as ext;
use crate::issuer::{Issuer, owned_algorithm};
use crate::signed::ToBeSigned;
use crate::tbs;

/// One certificate to be listed in a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// As [`Certificate::serial`] gives it.
    pub serial: Vec<u8>,
    /// In unix seconds.
    pub at: i64,
    /// Written unless it is `Unspecified` (RFC 5280 s5.3.1).
    pub reason: Reason,
}

impl Issuer {
    /// Builds a complete CRL (RFC 5280 s5). Which certificates are listed, and for how long, is the
    /// caller's decision (s3.3: until one scheduled CRL after their notAfter).
    ///
    /// # Errors
    /// [`ProfileError`] with the rule that the CRL would break.
    pub fn crl(
        &self,
        number: u64,
        this_update: i64,
        next_update: i64,
        entries: &[RevokedEntry],
    ) -> Result<ToBeSigned, ProfileError> {
        if number == 0 || i64::try_from(number).is_err() {
            return Err(ProfileError::CrlNumber);
        }
        if next_update <= this_update {
            return Err(ProfileError::NextUpdate);
        }
        let revoked = revoked_certificates(entries)?;
        let list: TbsCertList = TbsCertList {
            version: Version::V2,
            signature: owned_algorithm(),
            issuer: self.ca.tbs.subject.clone(),
            this_update: tbs::time(this_update).ok_or(ProfileError::Validity)?,
            next_update: Some(tbs::time(next_update).ok_or(ProfileError::Validity)?),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(vec![
                ext::authority_key_identifier(&self.key_identifier)?,
                ext::extension(false, &CrlNumber::try_from(number)?)?,
            ]),
        };
        Ok(ToBeSigned::new(list.to_der()?))
    }
}

/// Sorted by serial number, so that the same state gives the same octets.
fn revoked_certificates(entries: &[RevokedEntry]) -> Result<Vec<RevokedCert>, ProfileError> {
    let mut sorted: Vec<(&[u8], &RevokedEntry)> = entries
        .iter()
        .map(|entry| (tbs::magnitude(&entry.serial), entry))
        .collect();
    sorted.sort_unstable_by_key(|(serial, _)| (serial.len(), *serial));
    let repeated = sorted.windows(2).any(|pair| match pair {
        [(one, _), (other, _)] => one == other,
        _ => false,
    });
    if repeated || sorted.iter().any(|(serial, _)| serial.is_empty()) {
        return Err(ProfileError::RevokedSerial);
    }
    sorted
        .into_iter()
        .map(|(serial, entry)| revoked_certificate(serial, entry))
        .collect()
}

fn revoked_certificate(serial: &[u8], entry: &RevokedEntry) -> Result<RevokedCert, ProfileError> {
    let extensions = match entry.reason {
        Reason::Unspecified => None,
        Reason::RemoveFromCrl => return Err(ProfileError::RemoveFromCrl),
        stated => Some(vec![ext::extension(false, &stated.to_der_reason())?]),
    };
    Ok(RevokedCert {
        serial_number: SerialNumber::new(serial).map_err(|_| ProfileError::RevokedSerial)?,
        revocation_date: tbs::time(entry.at).ok_or(ProfileError::Validity)?,
        crl_entry_extensions: extensions,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(serial: &[u8], reason: Reason) -> RevokedEntry {
        RevokedEntry {
            serial: serial.to_vec(),
            at: 1_700_000_000,
            reason,
        }
    }

    #[test]
    fn entries_stand_by_serial_number_and_unspecified_is_left_out() {
        let entries = [
            entry(&[2, 0], Reason::KeyCompromise),
            entry(&[0x90], Reason::Unspecified),
            entry(&[0, 1], Reason::Superseded),
        ];
        let listed = revoked_certificates(&entries).unwrap();
        let serials: Vec<_> = listed.iter().map(|e| e.serial_number.as_bytes()).collect();
        assert_eq!(serials, [&[1][..], &[0, 0x90], &[2, 0]]);
        let stated: Vec<_> = listed
            .iter()
            .map(|e| e.crl_entry_extensions.is_some())
            .collect();
        assert_eq!(stated, [true, false, true]);
    }

    #[test]
    fn wrong_entries_are_refused() {
        let refused = |entries: &[RevokedEntry]| revoked_certificates(entries).unwrap_err();
        let one = entry(&[1], Reason::Unspecified);
        let same = entry(&[0, 1], Reason::Unspecified);
        assert_eq!(refused(&[one, same]), ProfileError::RevokedSerial);
        assert_eq!(
            refused(&[entry(&[0], Reason::Unspecified)]),
            ProfileError::RevokedSerial
        );
        assert_eq!(
            refused(&[entry(&[1; 21], Reason::Unspecified)]),
            ProfileError::RevokedSerial
        );
        assert_eq!(
            refused(&[entry(&[1], Reason::RemoveFromCrl)]),
            ProfileError::RemoveFromCrl
        );
        let early = RevokedEntry {
            at: -1,
            ..entry(&[1], Reason::Unspecified)
        };
        assert_eq!(refused(&[early]), ProfileError::Validity);
    }
}
