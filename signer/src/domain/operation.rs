//! Owns what is recorded before a key is used: the operation, its idempotency key, the exact bytes to sign, and the
//! limits that the record itself must keep.

use semops_objects::{institution::InstitutionId, money::Amount};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        device::{DeviceId, Reference},
        key::KeyId,
    },
};

/// How long an operation whose object has no `exp` may stay unfinished, seconds.
pub const OVERDUE_SECONDS: i64 = 60;

/// What names an intent that was recorded: its row, and the key that is to sign. A row goes over to another key when the
/// token of the first one fails, and whoever holds the former name ends nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntentId {
    /// The row.
    pub row: i64,
    /// The key named in it.
    pub key: KeyId,
}

/// Something to be signed once.
#[derive(Clone, Debug)]
pub struct Operation {
    /// For whom.
    pub institution: InstitutionId,
    /// On whose behalf and for which request.
    pub origin: Origin,
    /// The generation of the documents by which it was decided; `begin` refuses another one.
    pub generation: u64,
    /// SHA-256 of everything the caller set: other content under the same idempotency key is a conflict.
    pub content: [u8; 32],
    /// The key that is to sign.
    pub key: KeyId,
    /// The exact bytes that it signs.
    pub to_be_signed: Vec<u8>,
    /// No signature is stored at or after this moment.
    pub expires_at: Timestamp,
    /// A resumed intent is signed only before this moment: half of its authorization's time.
    pub sign_by: Timestamp,
    /// The pending authorization in whose place it stands: the same order, with a key whose token did not sign it.
    pub instead_of: Option<IntentId>,
    /// What it is.
    pub subject: Subject,
}

/// The kinds of operations with what each needs in the store.
#[derive(Clone, Debug)]
pub enum Subject {
    /// An authorization of an order. Idempotency key: (institution, device, `jti`).
    Authorization(OrderRecord),
    /// A device certificate. Idempotency key: (institution, SHA-256 of the CertificationRequestInfo).
    DeviceCertificate(DeviceRecord),
    /// The certificate of a device in the place of another CA's. Idempotency key: the certificate that it replaces.
    Reissue(ReissueRecord),
    /// A CRL. Idempotency key: (issuing key, CRLNumber).
    Crl(CrlRecord),
    /// The certificate of a new authorization key. Idempotency key: that key.
    AuthorizationCertificate(CertificateRecord),
    /// The certificate of a new key for OCSP, audit or statements. Idempotency key: that key.
    KeyCertificate(CertificateRecord),
    /// The certification request of a new CA key, which signs it itself. Idempotency key: that key.
    CertificationRequest(KeyId),
}

impl Subject {
    /// The word in the store and in audit events.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Authorization(_) => Kind::Authorization,
            Self::DeviceCertificate(_) | Self::Reissue(_) => Kind::DeviceCertificate,
            Self::Crl(_) => Kind::Crl,
            Self::AuthorizationCertificate(_) => Kind::AuthorizationCertificate,
            Self::KeyCertificate(_) => Kind::KeyCertificate,
            Self::CertificationRequest(_) => Kind::CertificationRequest,
        }
    }

    /// The device it concerns.
    pub const fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Authorization(order) => Some(order.device),
            Self::DeviceCertificate(device) => Some(device.device),
            Self::Reissue(device) => Some(device.device),
            Self::Crl(_)
            | Self::AuthorizationCertificate(_)
            | Self::KeyCertificate(_)
            | Self::CertificationRequest(_) => None,
        }
    }

    /// The new key of which something is signed.
    pub const fn new_key(&self) -> Option<KeyId> {
        match self {
            Self::AuthorizationCertificate(certificate) | Self::KeyCertificate(certificate) => {
                Some(certificate.key)
            }
            Self::CertificationRequest(key) => Some(*key),
            Self::Authorization(_)
            | Self::DeviceCertificate(_)
            | Self::Reissue(_)
            | Self::Crl(_) => None,
        }
    }

    /// The most objects that the key may ever sign. A CRL is signed all the same: without one, nobody learns of what is
    /// revoked (RFC 5280 s3.3), and what the key has issued is relied on for as long as it is valid.
    pub const fn key_lifetime(&self) -> Option<u64> {
        match self {
            Self::Authorization(order) => order.key_lifetime,
            Self::DeviceCertificate(device) => device.key_lifetime,
            Self::Reissue(device) => device.key_lifetime,
            Self::Crl(_)
            | Self::AuthorizationCertificate(_)
            | Self::KeyCertificate(_)
            | Self::CertificationRequest(_) => None,
        }
    }

    /// The policy version that approved it.
    pub const fn policy(&self) -> Option<[u8; 32]> {
        match self {
            Self::Authorization(order) => Some(order.policy),
            Self::DeviceCertificate(device) => Some(device.policy),
            // It was approved when it was enrolled; what its custodians approved is the other CA.
            Self::Reissue(_)
            | Self::Crl(_)
            | Self::AuthorizationCertificate(_)
            | Self::KeyCertificate(_)
            | Self::CertificationRequest(_) => None,
        }
    }

    /// The object id in audit events: the order's `jti`, the serial number, the CRLNumber, or the new key's id.
    pub fn object(&self) -> String {
        match self {
            Self::Authorization(order) => order.jti.to_string(),
            Self::DeviceCertificate(device) => hex(&device.serial),
            Self::Reissue(device) => hex(&device.serial),
            Self::Crl(crl) => crl.number.to_string(),
            Self::AuthorizationCertificate(certificate) | Self::KeyCertificate(certificate) => {
                hex(&certificate.serial)
            }
            Self::CertificationRequest(key) => key.to_string(),
        }
    }
}

/// Octets as audit events name a serial number.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02X}")).collect()
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An authorization of an order.
    Authorization,
    /// A device certificate.
    DeviceCertificate,
    /// A certificate revocation list.
    Crl,
    /// The certificate of an authorization key.
    AuthorizationCertificate,
    /// The certificate of a key for OCSP, audit or statements.
    KeyCertificate,
    /// The certification request of a CA's key.
    CertificationRequest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Authorization,
        Self::DeviceCertificate,
        Self::Crl,
        Self::AuthorizationCertificate,
        Self::KeyCertificate,
        Self::CertificationRequest,
    ];

    /// The word in the store and in audit events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::DeviceCertificate => "device-certificate",
            Self::Crl => "crl",
            Self::AuthorizationCertificate => "authorization-certificate",
            Self::KeyCertificate => "key-certificate",
            Self::CertificationRequest => "certification-request",
        }
    }
}

/// What the record of an authorization holds beside its bytes.
#[derive(Clone, Debug)]
pub struct OrderRecord {
    /// The device that signed the order.
    pub device: DeviceId,
    /// The order's `jti`.
    pub jti: Uuid,
    /// The order, compact.
    pub order_jws: String,
    /// The policy version that approved it.
    pub policy: [u8; 32],
    /// What is reserved of the money limits.
    pub amount: Amount,
    /// The money limits of that policy version.
    pub limits: MoneyLimits,
    /// The most objects that the key may ever sign, by that policy version.
    pub key_lifetime: Option<u64>,
}

/// The money limits of one device at one institution over (now - 86,400 s, now], for one order's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyLimits {
    /// The most in the order's currency, minor units.
    pub amount_per_day: u64,
    /// The most orders over all currencies.
    pub orders_per_day: u64,
}

/// The rolling window of the money limits, seconds.
pub const MONEY_WINDOW_SECONDS: i64 = 86_400;

/// What the record of a device certificate holds beside its bytes.
#[derive(Clone, Debug)]
pub struct DeviceRecord {
    /// The id given to the device.
    pub device: DeviceId,
    /// SHA-256 of the CertificationRequestInfo's DER.
    pub request: [u8; 32],
    /// The institution's pseudonym for the subscriber.
    pub subscriber: Reference,
    /// The most devices that are neither revoked nor expired, per subscriber.
    pub devices_per_subscriber: u64,
    /// SHA-256 of the SubjectPublicKeyInfo; reserved across the deployment.
    pub public_key: [u8; 32],
    /// The certificate's serial number, octets of a positive INTEGER.
    pub serial: Vec<u8>,
    /// The certificate's notAfter.
    pub not_after: Timestamp,
    /// The policy version that approved it.
    pub policy: [u8; 32],
    /// The most objects that the key may ever sign, by that policy version.
    pub key_lifetime: Option<u64>,
}

/// What the record of a certificate that replaces another one holds beside its bytes.
#[derive(Clone, Debug)]
pub struct ReissueRecord {
    /// The device, which keeps its id and its key.
    pub device: DeviceId,
    /// SHA-256 of the certificate that is in force.
    pub replaces: [u8; 32],
    /// The new certificate's serial number, octets of a positive INTEGER.
    pub serial: Vec<u8>,
    /// The new certificate's notAfter.
    pub not_after: Timestamp,
    /// The most objects that the key may sign in its life.
    pub key_lifetime: Option<u64>,
}

/// How often the scheduled work has passed from one replica to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(pub u64);

/// What the record of a CRL holds beside its bytes.
#[derive(Clone, Debug)]
pub struct CrlRecord {
    /// The term of the replica that makes it.
    pub term: Term,
    /// The CRLNumber (RFC 5280 s5.2.3).
    pub number: u64,
    /// The sequence number of the last revocation that it contains, so that later ones make it stale.
    pub revocations: u64,
    /// Its nextUpdate.
    pub next_update: Timestamp,
}

/// What the record of an authorization certificate holds beside its bytes.
#[derive(Clone, Debug)]
pub struct CertificateRecord {
    /// The key that is certified.
    pub key: KeyId,
    /// The certificate's serial number, octets of a positive INTEGER.
    pub serial: Vec<u8>,
}
