//! Owns the one thing that is signed of a new key before a change takes it up: its certificate by the CA of the institution
//! that certifies keys of its purpose, or a CA's own certification request (RFC 2986).

use semops_objects::ca;
use semops_pki::{
    issuer::{Addresses, Content, Issuer, Subject},
    profile::{MAX_EVIDENCE_VALIDITY, MAX_OCSP_RESPONDER_VALIDITY},
    request,
    signed::ToBeSigned,
};

use crate::{
    authority::{Authority, Context, ca_address, crl_address},
    clock::Timestamp,
    domain::{
        key::{Purpose, SigningKey},
        keyring::Keyring,
        new_key::MadeKey,
        outcome::State,
    },
    error::{Error, Reason},
    signing::{Draft, NewKeyDraft},
};

/// The validity of an authorization certificate from now on, seconds: two years.
const AUTHORIZATION_VALIDITY: i64 = 730 * 86_400;
/// How far before now a certificate's validity begins, seconds: verifiers have clocks of their own.
const BACKDATED_SECONDS: i64 = 300;

impl Authority {
    /// Refuses a purpose for which the scheme has no extended key usage: its certificate would be another's.
    pub(super) fn check_usage(&self, purpose: Purpose) -> Result<(), Error> {
        let oids = &self.setup.oids;
        let named = match purpose {
            Purpose::DeviceCa | Purpose::SigningCa | Purpose::Authorization | Purpose::Ocsp => true,
            Purpose::Audit => oids.audit_eku.is_some(),
            Purpose::Statement => oids.statement_eku.is_some(),
        };
        named
            .then_some(())
            .ok_or(Error::Precondition(Reason::UsageNotNamed))
    }

    /// Signs of a new key what says whose it is.
    pub(super) async fn sign_of(
        &self,
        ctx: &Context,
        keyring: &Keyring,
        new: &MadeKey,
    ) -> Result<(), Error> {
        let ended = match new.purpose.certified_by() {
            Some(by) => {
                let draft = self.certificate(ctx, keyring, new, by).await?;
                self.signer.sign_once(draft, keyring, ctx.deadline).await?
            }
            None => {
                let draft = drafted(ctx, certification_request(new)?);
                let draft = Draft::certification_request(new, draft, self.clock.now());
                let (draft, alone) = (draft.map_err(Error::internal)?, new.alone());
                self.signer.sign_once(draft, &alone, ctx.deadline).await?
            }
        };
        if ended.state == State::Authorized {
            return Ok(());
        }
        let reason = ended.reason.as_deref().and_then(Reason::named);
        Err(Error::Unavailable {
            reason: reason.unwrap_or(Reason::Overdue),
            cause: "what was to be signed of a new key ended without a signature".into(),
        })
    }

    async fn certificate(
        &self,
        ctx: &Context,
        keyring: &Keyring,
        new: &MadeKey,
        by: Purpose,
    ) -> Result<Draft, Error> {
        let now = self.clock.now();
        let ca = self.signing_key(keyring, by, now)?;
        let keys = &self.tokens.keys;
        let serial = keys.random(&ctx.institution, ctx.deadline).await?;
        let draft = drafted(ctx, self.certificate_of(&ca, new, serial, now)?);
        let serial = serial.into_iter().skip_while(|octet| *octet == 0).collect();
        let draft = match new.purpose {
            Purpose::Authorization => {
                Draft::authorization_certificate(new, &ca, draft, serial, now)
            }
            Purpose::DeviceCa
            | Purpose::SigningCa
            | Purpose::Ocsp
            | Purpose::Audit
            | Purpose::Statement => Draft::key_certificate(new, &ca, draft, serial, now),
        };
        draft.map_err(Error::internal)
    }

    fn certificate_of(
        &self,
        ca: &SigningKey,
        new: &MadeKey,
        serial: [u8; 16],
        now: Timestamp,
    ) -> Result<ToBeSigned, Error> {
        let record = ca.record();
        let certificate = record.chain.first();
        let certificate =
            certificate.ok_or_else(|| Error::internal("a CA key has no certificate"))?;
        let common_name = new.purpose.name();
        let (subject, validity) = match new.purpose {
            Purpose::Authorization => (
                Subject::Authorization { common_name },
                AUTHORIZATION_VALIDITY,
            ),
            Purpose::Ocsp => (
                Subject::OcspResponder { common_name },
                MAX_OCSP_RESPONDER_VALIDITY - BACKDATED_SECONDS,
            ),
            Purpose::Audit => (
                Subject::Audit { common_name },
                MAX_EVIDENCE_VALIDITY - BACKDATED_SECONDS,
            ),
            Purpose::Statement => (
                Subject::Statement { common_name },
                MAX_EVIDENCE_VALIDITY - BACKDATED_SECONDS,
            ),
            Purpose::DeviceCa | Purpose::SigningCa => {
                return Err(Error::internal("a CA is certified by its root"));
            }
        };
        let base = &self.setup.public_base_url;
        let (crl, ca_certificate) = (crl_address(base, record), ca_address(base, record));
        let addresses = Addresses {
            crl: &crl,
            ca_certificate: &ca_certificate,
        };
        let (since, until) = (
            now.plus_seconds(-BACKDATED_SECONDS),
            now.plus_seconds(validity),
        );
        let content = Content {
            organization: record.institution.as_str(),
            public_key: &new.public,
            serial,
            not_before: since.max(record.not_before).seconds(),
            not_after: until.min(record.not_after).seconds(),
        };
        // Nobody is to ask whether a responder is revoked (RFC 6960 s4.2.2.2.1).
        let addresses = (new.purpose != Purpose::Ocsp).then_some(addresses);
        Issuer::new(certificate.clone())
            .and_then(|issuer| issuer.certificate(&content, subject, addresses, &self.setup.oids))
            .map_err(Error::internal)
    }
}

fn drafted(ctx: &Context, to_be_signed: ToBeSigned) -> NewKeyDraft {
    NewKeyDraft {
        origin: ctx.origin.clone(),
        generation: ctx.snapshot.generation(),
        to_be_signed,
    }
}

/// What a CA's key signs of itself: the name is the one that `softhsm-setup certify` certifies.
fn certification_request(new: &MadeKey) -> Result<ToBeSigned, Error> {
    let hierarchy = match new.purpose {
        Purpose::DeviceCa => "device",
        Purpose::SigningCa => "signing",
        Purpose::Authorization | Purpose::Ocsp | Purpose::Audit | Purpose::Statement => {
            return Err(Error::internal("its key is no CA's"));
        }
    };
    let name = ca::common_name(hierarchy, &new.public);
    request::to_be_signed(new.institution.as_str(), &name, &new.public).map_err(Error::internal)
}
