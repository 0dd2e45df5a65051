//! Owns certificate revocation lists that exist (RFC 5280 s5): complete lists of version v2, read strictly,
//! with their entries at hand by serial number.

use std::collections::BTreeMap;
use std::fmt;

use const_oid::AssociatedOid;
use der::referenced::OwnedToRef;
use der::{Decode, Encode};
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason};

use crate::certificate::Certificate;
use crate::error::CrlError;
use crate::signed::{Signed, check_algorithm};
use crate::tbs::{magnitude, positive, unix};

/// The longest CRL, in octets of DER: some 200,000 entries.
pub const MAX_CRL: usize = 8 * 1024 * 1024;

/// Why a certificate was revoked: CRLReason (RFC 5280 s5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of RFC 5280 s5.3.1")]
pub enum Reason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    RemoveFromCrl,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The code of RFC 5280 s5.3.1; 7 is not used there.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason of a code; `None` for 7 and above 10.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name that RFC 5280 s5.3.1 gives it, for example `keyCompromise`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    pub(crate) fn to_der_reason(self) -> CrlReason {
        match self {
            Self::Unspecified => CrlReason::Unspecified,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::CaCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::CertificateHold => CrlReason::CertificateHold,
            Self::RemoveFromCrl => CrlReason::RemoveFromCRL,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
            Self::AaCompromise => CrlReason::AaCompromise,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a CRL says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// revocationDate, in unix seconds.
    pub at: i64,
    /// The reason; `Unspecified` if the entry states none.
    pub reason: Reason,
}

/// A complete CRL of version v2. Reading checks its form, not its signature.
#[derive(Clone)]
pub struct CertificateRevocationList {
    der: Vec<u8>,
    issuer_der: Vec<u8>,
    authority_key_identifier: Vec<u8>,
    number: u64,
    this_update: i64,
    next_update: i64,
    entries: BTreeMap<Vec<u8>, Revoked>,
}

impl CertificateRevocationList {
    /// Reads DER.
    ///
    /// # Errors
    /// [`CrlError`]: its form is wrong; nothing is said about trust.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL {
            return Err(CrlError::TooLong { octets: der.len() });
        }
        Signed::from_der(der)?.check_algorithm()?;
        let list: CertificateList =
            CertificateList::from_der(der).map_err(|_| CrlError::Malformed)?;
        if list.to_der().map_err(|_| CrlError::Malformed)? != der {
            return Err(CrlError::Malformed);
        }
        Self::from_list(der, &list.tbs_cert_list)
    }

    fn from_list(der: &[u8], list: &TbsCertList) -> Result<Self, CrlError> {
        if list.version != Version::V2 {
            return Err(CrlError::Malformed);
        }
        check_algorithm(&list.signature.owned_to_ref())?;
        let this_update = unix(list.this_update);
        let next_update = unix(list.next_update.ok_or(CrlError::NextUpdate)?);
        if next_update <= this_update {
            return Err(CrlError::NextUpdate);
        }
        let extensions = list.crl_extensions.as_deref().unwrap_or_default();
        check_extensions(extensions)?;
        Ok(Self {
            der: der.to_vec(),
            issuer_der: list.issuer.to_der().map_err(|_| CrlError::Malformed)?,
            authority_key_identifier: authority_key_identifier(extensions)
                .ok_or(CrlError::AuthorityKeyIdentifier)?,
            number: number(extensions).ok_or(CrlError::Number)?,
            this_update,
            next_update,
            entries: entries(list.revoked_certificates.as_deref().unwrap_or_default())?,
        })
    }

    /// The CRL's octets, as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The TBSCertList: the octets that were signed, as they came.
    ///
    /// # Errors
    /// Never of a list that was read: its outer structure was.
    pub fn tbs(&self) -> Result<&[u8], CrlError> {
        Ok(Signed::from_der(&self.der)?.tbs)
    }

    /// CRLNumber (RFC 5280 s5.2.3).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// thisUpdate, in unix seconds.
    pub fn this_update(&self) -> i64 {
        self.this_update
    }

    /// nextUpdate, in unix seconds.
    pub fn next_update(&self) -> i64 {
        self.next_update
    }

    /// Whether a newer CRL should exist at `unix`: nextUpdate has come (RFC 5280 s5.1.2.5).
    pub fn stale_at(&self, unix: i64) -> bool {
        unix >= self.next_update
    }

    /// What it says of the certificate with this serial number (big-endian, leading zeros ignored).
    pub fn entry(&self, serial: &[u8]) -> Option<Revoked> {
        self.entries.get(magnitude(serial)).copied()
    }

    /// All entries, by serial number.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&[u8], Revoked)> {
        let entries = self.entries.iter();
        entries.map(|(serial, revoked)| (serial.as_slice(), *revoked))
    }

    /// Whether the holder of `ca` issued this CRL and was allowed to: issuer name, key identifier,
    /// cRLSign, signature. Its times are not looked at.
    ///
    /// # Errors
    /// [`CrlError`] with the first rule that is broken.
    pub fn verify_issued_by(&self, ca: &Certificate) -> Result<(), CrlError> {
        let identifier = Some(self.authority_key_identifier.as_slice());
        if self.issuer_der != ca.subject_der() || identifier != ca.subject_key_identifier() {
            return Err(CrlError::Issuer);
        }
        if !ca.is_ca() || !ca.allows_crl_sign() {
            return Err(CrlError::CrlSign);
        }
        let signed = Signed::from_der(&self.der)?;
        signed
            .verify(ca.public_key())
            .map_err(|_| CrlError::BadSignature)?;
        Ok(())
    }
}

impl fmt::Debug for CertificateRevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRevocationList")
            .field("number", &self.number)
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// No extension twice, and none critical: those are of delta, indirect and partial lists.
fn check_extensions(extensions: &[Extension]) -> Result<(), CrlError> {
    for (index, extension) in extensions.iter().enumerate() {
        let oid = extension.extn_id;
        if extensions.iter().take(index).any(|e| e.extn_id == oid) {
            return Err(CrlError::RepeatedExtension(oid));
        }
        if extension.critical {
            return Err(CrlError::UnknownCriticalExtension(oid));
        }
    }
    Ok(())
}

fn value_of<T: AssociatedOid + for<'a> Decode<'a>>(extensions: &[Extension]) -> Option<T> {
    let extension = extensions.iter().find(|e| e.extn_id == T::OID)?;
    T::from_der(extension.extn_value.as_bytes()).ok()
}

fn authority_key_identifier(extensions: &[Extension]) -> Option<Vec<u8>> {
    let identifier = value_of::<AuthorityKeyIdentifier>(extensions)?.key_identifier?;
    Some(identifier.as_bytes().to_vec())
}

/// CRLNumber, within what a signed integer of 64 bits holds, as stores do.
fn number(extensions: &[Extension]) -> Option<u64> {
    let octets = value_of::<CrlNumber>(extensions)?.0;
    let number = octets.as_bytes().iter().try_fold(0_u64, |sum, octet| {
        sum.checked_mul(256)?.checked_add(u64::from(*octet))
    })?;
    i64::try_from(number).is_ok().then_some(number)
}

fn entries(listed: &[RevokedCert]) -> Result<BTreeMap<Vec<u8>, Revoked>, CrlError> {
    let mut entries = BTreeMap::new();
    for entry in listed {
        let extensions = entry.crl_entry_extensions.as_deref().unwrap_or_default();
        check_extensions(extensions)?;
        let serial = positive(entry.serial_number.as_bytes()).ok_or(CrlError::Serial)?;
        let revoked = Revoked {
            at: unix(entry.revocation_date),
            reason: reason(extensions)?,
        };
        if entries.insert(serial, revoked).is_some() {
            return Err(CrlError::Serial);
        }
    }
    Ok(entries)
}

fn reason(extensions: &[Extension]) -> Result<Reason, CrlError> {
    let Some(extension) = extensions.iter().find(|e| e.extn_id == CrlReason::OID) else {
        return Ok(Reason::Unspecified);
    };
    let stated = CrlReason::from_der(extension.extn_value.as_bytes());
    let stated = stated.map_err(|_| CrlError::Reason)?;
    Reason::ALL
        .into_iter()
        .find(|reason| reason.to_der_reason() == stated)
        .filter(|reason| *reason != Reason::RemoveFromCrl)
        .ok_or(CrlError::Reason)
}
