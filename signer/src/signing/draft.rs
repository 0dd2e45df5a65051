//! Owns the freezing of what is to be signed: a [`Draft`] holds the exact bytes, and each of its constructors takes what
//! proves that these bytes may be signed by this key.

use semops_objects::{
    authorization::Authorization,
    institution::InstitutionId,
    reference::{EndToEndId, Uetr},
};
use semops_pki::{
    algorithm::sha256, certificate::Certificate, request::CertificationRequest, signed::ToBeSigned,
};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        device::{DeviceId, Reference},
        key::{KeyId, Purpose, SigningKey},
        new_key::MadeKey,
        operation::{
            CertificateRecord, CrlRecord, DeviceRecord, IntentId, MoneyLimits, OVERDUE_SECONDS,
            Operation, OrderRecord, ReissueRecord, Subject,
        },
    },
    policy::{Approved, DevicesPerSubscriber, ProvenOrder},
};

/// The key's purpose is not the one that the kind of object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of purpose {found} cannot sign what a key of purpose {needed} signs", found = found.name(), needed = needed.name())]
pub struct WrongPurpose {
    needed: Purpose,
    found: Purpose,
}

/// An operation frozen for signing. Nothing outside policy gets here, and the key's purpose is that of the kind.
#[derive(Debug)]
pub struct Draft(Operation);

/// The ids of a new authorization, made from random bits.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationIds {
    /// Its own `jti`.
    pub jti: Uuid,
    /// The payer's pseudonym, new for each payment.
    pub payer: [u8; 16],
}

/// The calling bank's own references.
#[derive(Clone, Debug, Default)]
pub struct BankReferences {
    /// ISO 20022 EndToEndIdentification.
    pub end_to_end_id: Option<EndToEndId>,
    /// ISO 20022 UETR.
    pub uetr: Option<Uetr>,
}

/// What an authorization is made from beside the approved order and the key.
#[derive(Debug)]
pub struct OrderDraft {
    /// On whose behalf.
    pub origin: Origin,
    /// The generation of the documents that approved it.
    pub generation: u64,
    /// The digest of everything the caller set.
    pub content: [u8; 32],
    /// Its new ids.
    pub ids: AuthorizationIds,
    /// The bank's references.
    pub references: BankReferences,
    /// The intent of the same order that another key's token did not sign.
    pub instead_of: Option<IntentId>,
}

/// What a device certificate is made from beside the approved request and the key.
#[derive(Debug)]
pub struct CertificateDraft {
    /// On whose behalf.
    pub origin: Origin,
    /// The generation of the documents that approved it.
    pub generation: u64,
    /// The id given to the device.
    pub device: DeviceId,
    /// The institution's pseudonym for the subscriber.
    pub subscriber: Reference,
    /// The serial number in the certificate.
    pub serial: Vec<u8>,
    /// The notAfter in the certificate.
    pub not_after: Timestamp,
    /// The certificate's bytes, checked against the device profile.
    pub to_be_signed: ToBeSigned,
}

/// What a certificate that replaces another one is made from beside the key.
#[derive(Debug)]
pub struct ReissueDraft {
    /// On whose behalf.
    pub origin: Origin,
    /// The documents' generation.
    pub generation: u64,
    /// The digest by which the device was enrolled: the request and the subscriber are the same.
    pub content: [u8; 32],
    /// The device, what is replaced, and what is new.
    pub record: ReissueRecord,
    /// The certificate's bytes, checked against the device profile.
    pub to_be_signed: ToBeSigned,
}

/// What a CRL is made from beside the key.
#[derive(Debug)]
pub struct CrlDraft {
    /// On whose behalf.
    pub origin: Origin,
    /// The documents' generation.
    pub generation: u64,
    /// Its number, coverage and nextUpdate.
    pub record: CrlRecord,
    /// The CRL's bytes.
    pub to_be_signed: ToBeSigned,
}

/// What a certificate, or a certification request, of a new key is made from beside the keys.
#[derive(Debug)]
pub struct NewKeyDraft {
    /// On whose behalf.
    pub origin: Origin,
    /// The documents' generation.
    pub generation: u64,
    /// Its bytes, checked against the profile.
    pub to_be_signed: ToBeSigned,
}

impl Draft {
    /// The authorization of an approved order, by the institution's authorization key.
    pub fn authorization(
        approved: &Approved<ProvenOrder, MoneyLimits>,
        key: &SigningKey,
        draft: OrderDraft,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        need(key, Purpose::Authorization)?;
        let lifetime = i64::try_from(approved.policy().acceptance_seconds()).unwrap_or(i64::MAX);
        let proven = approved.subject();
        let order = proven.jws().order();
        let institution = key.record().institution.clone();
        let authorization = authorization(approved, &institution, &draft, now);
        let to_be_signed =
            authorization.signing_input(&key.record().public, &x5t(&key.record().chain));
        let issued = Timestamp::from_seconds(now.seconds());
        Ok(Self(Operation {
            institution,
            origin: draft.origin,
            generation: draft.generation,
            content: draft.content,
            key: key.record().id,
            to_be_signed: to_be_signed.into_bytes(),
            expires_at: Timestamp::from_seconds(i64::try_from(order.exp).unwrap_or(i64::MAX)),
            sign_by: Timestamp::from_micros(
                issued
                    .micros()
                    .saturating_add(lifetime.saturating_mul(500_000)),
            ),
            instead_of: draft.instead_of,
            subject: Subject::Authorization(OrderRecord {
                device: proven.device(),
                jti: order.jti,
                order_jws: proven.jws().compact().to_owned(),
                policy: approved.policy().sha256(),
                amount: order.amount,
                limits: *approved.limits(),
                key_lifetime: approved.policy().key_lifetime(Purpose::Authorization),
            }),
        }))
    }

    /// A device certificate for an approved request, by the institution's device CA.
    pub fn device_certificate(
        approved: &Approved<CertificationRequest, DevicesPerSubscriber>,
        key: &SigningKey,
        draft: CertificateDraft,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        need(key, Purpose::DeviceCa)?;
        let request = approved.subject();
        let expires_at = now.plus_seconds(OVERDUE_SECONDS);
        Ok(Self(Operation {
            institution: key.record().institution.clone(),
            origin: draft.origin,
            generation: draft.generation,
            content: enrollment_content(request, &draft.subscriber),
            key: key.record().id,
            to_be_signed: draft.to_be_signed.into_bytes(),
            expires_at,
            sign_by: expires_at,
            instead_of: None,
            subject: Subject::DeviceCertificate(DeviceRecord {
                device: draft.device,
                request: request.info_sha256(),
                subscriber: draft.subscriber,
                devices_per_subscriber: approved.limits().0,
                public_key: request.public_key().sha256(),
                serial: draft.serial,
                not_after: draft.not_after,
                policy: approved.policy().sha256(),
                key_lifetime: approved.policy().key_lifetime(Purpose::DeviceCa),
            }),
        }))
    }

    /// The certificate of a device in the place of another CA's, by the institution's device CA.
    pub fn reissue(
        key: &SigningKey,
        draft: ReissueDraft,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        need(key, Purpose::DeviceCa)?;
        let expires_at = now.plus_seconds(OVERDUE_SECONDS);
        Ok(Self(Operation {
            institution: key.record().institution.clone(),
            origin: draft.origin,
            generation: draft.generation,
            content: draft.content,
            key: key.record().id,
            to_be_signed: draft.to_be_signed.into_bytes(),
            expires_at,
            sign_by: expires_at,
            subject: Subject::Reissue(draft.record),
            instead_of: None,
        }))
    }

    /// A CRL, by the CA whose certificates it lists.
    pub fn crl(key: &SigningKey, draft: CrlDraft, now: Timestamp) -> Result<Self, WrongPurpose> {
        if key.record().purpose != Purpose::SigningCa {
            need(key, Purpose::DeviceCa)?;
        }
        let expires_at = now.plus_seconds(OVERDUE_SECONDS);
        Ok(Self(Operation {
            institution: key.record().institution.clone(),
            origin: draft.origin,
            generation: draft.generation,
            content: sha256(draft.to_be_signed.bytes()),
            key: key.record().id,
            to_be_signed: draft.to_be_signed.into_bytes(),
            expires_at,
            sign_by: expires_at,
            instead_of: None,
            subject: Subject::Crl(draft.record),
        }))
    }

    /// The certificate of a new authorization key, by the institution's signing CA.
    pub fn authorization_certificate(
        new: &MadeKey,
        key: &SigningKey,
        draft: NewKeyDraft,
        serial: Vec<u8>,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        need(key, Purpose::SigningCa)?;
        need_of(new.purpose, Purpose::Authorization)?;
        let subject = Subject::AuthorizationCertificate(CertificateRecord {
            key: new.id(),
            serial,
        });
        Ok(Self::of_new_key(new, key.record().id, draft, subject, now))
    }

    /// The certificate of a new key for OCSP, audit or statements, by the CA that certifies such keys.
    pub fn key_certificate(
        new: &MadeKey,
        key: &SigningKey,
        draft: NewKeyDraft,
        serial: Vec<u8>,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        match new.purpose {
            Purpose::Ocsp => need(key, Purpose::DeviceCa)?,
            Purpose::Audit | Purpose::Statement => need(key, Purpose::SigningCa)?,
            found @ (Purpose::DeviceCa | Purpose::SigningCa | Purpose::Authorization) => {
                need_of(found, Purpose::Statement)?;
            }
        }
        let subject = Subject::KeyCertificate(CertificateRecord {
            key: new.id(),
            serial,
        });
        Ok(Self::of_new_key(new, key.record().id, draft, subject, now))
    }

    /// The certification request of a new CA key, by that key: the proof of its possession (RFC 2986 s3).
    pub fn certification_request(
        new: &MadeKey,
        draft: NewKeyDraft,
        now: Timestamp,
    ) -> Result<Self, WrongPurpose> {
        if new.purpose != Purpose::SigningCa {
            need_of(new.purpose, Purpose::DeviceCa)?;
        }
        let subject = Subject::CertificationRequest(new.id());
        Ok(Self::of_new_key(new, new.id(), draft, subject, now))
    }

    fn of_new_key(
        new: &MadeKey,
        key: KeyId,
        draft: NewKeyDraft,
        subject: Subject,
        now: Timestamp,
    ) -> Self {
        let expires_at = now.plus_seconds(OVERDUE_SECONDS);
        Self(Operation {
            institution: new.institution.clone(),
            origin: draft.origin,
            generation: draft.generation,
            // Of a key one thing is signed before it is taken up, whoever asks.
            content: *new.id().as_bytes(),
            key,
            to_be_signed: draft.to_be_signed.into_bytes(),
            expires_at,
            sign_by: expires_at,
            instead_of: None,
            subject,
        })
    }

    pub(super) fn into_operation(self) -> Operation {
        self.0
    }
}

/// The digest by which two enrolments of one request are the same.
pub fn enrollment_content(request: &CertificationRequest, subscriber: &Reference) -> [u8; 32] {
    sha256(&[&request.info_sha256(), subscriber.as_str().as_bytes()].concat())
}

fn need(key: &SigningKey, needed: Purpose) -> Result<(), WrongPurpose> {
    need_of(key.record().purpose, needed)
}

fn need_of(found: Purpose, needed: Purpose) -> Result<(), WrongPurpose> {
    (found == needed)
        .then_some(())
        .ok_or(WrongPurpose { needed, found })
}

fn x5t(chain: &[Certificate]) -> [u8; 32] {
    chain.first().map(Certificate::sha256).unwrap_or_default()
}

fn authorization(
    approved: &Approved<ProvenOrder, MoneyLimits>,
    issuer: &InstitutionId,
    draft: &OrderDraft,
    now: Timestamp,
) -> Authorization {
    let jws = approved.subject().jws();
    let order = jws.order();
    let iat = u64::try_from(now.seconds()).unwrap_or_default();
    Authorization {
        jti: draft.ids.jti,
        iat,
        exp: iat.saturating_add(approved.policy().acceptance_seconds()),
        iss: issuer.clone(),
        aud: order.payee.institution().clone(),
        order_sha256: jws.sha256(),
        kind: order.kind,
        channel: order.channel,
        amount: order.amount,
        payee: order.payee.clone(),
        offer_sha256: order.offer_sha256,
        payer: draft.ids.payer,
        end_to_end_id: draft.references.end_to_end_id.clone(),
        uetr: draft.references.uetr,
        policy: approved.policy().sha256(),
    }
}
