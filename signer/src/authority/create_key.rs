//! Owns the making of a key: asked for on record, made in the token, recorded, named, and one thing signed of it: the
//! certificate of an authorization key by the institution's signing CA, or the certification request of a CA's key by that
//! key itself. Nothing else is signed with it until a change takes it up.
//!
//! Whatever ends a process between two steps, the same request goes on from there: the record knows the request and its
//! key, and the token's key carries the request until it has its name.

use semops_objects::ca;
use semops_pki::{
    issuer::{Addresses, Content, Issuer, Subject},
    request,
    signed::ToBeSigned,
};
use uuid::Uuid;

use crate::{
    authority::{Authority, Context, KeyShown, Refused, ca_address, crl_address},
    clock::Timestamp,
    domain::{
        key::{Purpose, SigningKey},
        keyring::Keyring,
        new_key::{MadeKey, NewKey},
        outcome::State,
    },
    error::{Error, Reason},
    fault::{self, Point},
    hsm,
    signing::{Draft, NewKeyDraft},
    store::{Asked, KeyAsk},
};

/// The common name of every authorization certificate.
const AUTHORIZATION: &str = "authorization";
/// The validity of an authorization certificate, days: two years.
const AUTHORIZATION_DAYS: i64 = 730;
const SECONDS_PER_DAY: i64 = 86_400;
/// How far before now a certificate's validity begins, seconds: verifiers have clocks of their own.
const BACKDATED_SECONDS: i64 = 300;

impl Authority {
    /// Makes a key of the caller's institution, or goes on with the one that `request` asked for before.
    pub async fn create_key(
        &self,
        ctx: &Context,
        purpose: Purpose,
        request: Uuid,
    ) -> Result<KeyShown, Error> {
        let keyring = ctx.snapshot.keyring(&ctx.institution)?;

        // 1 record what is asked for
        let new = self.ask_for_key(ctx, purpose, request).await?;
        fault::point(Point::CreateKeyAsked);

        // 2 make it in the token
        let made = match new.made {
            Some(made) => made,
            None => {
                let (keys, institution) = (&self.tokens.keys, &ctx.institution);
                let public = keys.generate(institution, request, purpose, ctx.deadline);
                let public = public.await?;
                fault::point(Point::CreateKeyGenerated);

                // 3 record it: of several that were made at once the first
                let (origin, now) = (ctx.origin.clone(), self.clock.now());
                let made = self
                    .store
                    .key_made(institution, request, public, origin, now);
                made.await?
            }
        };
        fault::point(Point::CreateKeyRecorded);

        // 4 name it in the token
        let key = hsm::Key {
            id: made.id(),
            label: made.purpose.name().to_owned(),
            public: made.public.clone(),
        };
        let adopted = self
            .tokens
            .keys
            .adopt(&ctx.institution, key, Some(request), ctx.deadline);
        adopted.await?;
        fault::point(Point::CreateKeyNamed);

        // 5 sign what says whose it is
        if new.signed.is_none() {
            self.sign_of(ctx, keyring, &made).await?;
        }

        // 6 reply
        self.key(ctx, made.id()).await
    }

    async fn ask_for_key(
        &self,
        ctx: &Context,
        purpose: Purpose,
        request: Uuid,
    ) -> Result<NewKey, Error> {
        let ask = KeyAsk {
            institution: ctx.institution.clone(),
            request,
            purpose,
            generation: ctx.snapshot.generation(),
        };
        let asked = self
            .store
            .ask_for_key(ask, ctx.origin.clone(), self.clock.now());
        let reason = match asked.await? {
            Asked::Asked(new) => return Ok(*new),
            Asked::Stale => return Err(Error::Stale),
            Asked::Otherwise => Reason::KeyRequestConflict,
            Asked::TooMany => Reason::TooManyNewKeys,
        };
        let refused = Refused {
            operation: "key.ask",
            object: Some(request.to_string()),
            device: None,
            reason,
        };
        self.audit_refusal(ctx, refused).await?;
        Err(match reason {
            Reason::KeyRequestConflict => Error::Conflict(reason),
            _ => Error::Precondition(reason),
        })
    }

    async fn sign_of(&self, ctx: &Context, keyring: &Keyring, new: &MadeKey) -> Result<(), Error> {
        let now = self.clock.now();
        let draft = |to_be_signed| NewKeyDraft {
            origin: ctx.origin.clone(),
            generation: ctx.snapshot.generation(),
            to_be_signed,
        };
        let ended = if new.purpose == Purpose::Authorization {
            let ca = self.signing_key(keyring, Purpose::SigningCa, now)?;
            let serial = self
                .tokens
                .keys
                .random(&ctx.institution, ctx.deadline)
                .await?;
            let draft = draft(self.authorization_certificate(&ca, new, serial, now)?);
            let serial = serial.into_iter().skip_while(|octet| *octet == 0).collect();
            let draft = Draft::authorization_certificate(new, &ca, draft, serial, now);
            let draft = draft.map_err(Error::internal)?;
            self.signer.sign_once(draft, keyring, ctx.deadline).await?
        } else {
            let draft = draft(certification_request(new)?);
            let draft = Draft::certification_request(new, draft, now).map_err(Error::internal)?;
            let alone = new.alone();
            self.signer.sign_once(draft, &alone, ctx.deadline).await?
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

    fn authorization_certificate(
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
        let base = &self.setup.public_base_url;
        let until = now.plus_seconds(AUTHORIZATION_DAYS.saturating_mul(SECONDS_PER_DAY));
        let since = now.plus_seconds(-BACKDATED_SECONDS);
        Issuer::new(certificate.clone())
            .and_then(|issuer| {
                issuer.certificate(
                    &Content {
                        organization: record.institution.as_str(),
                        public_key: &new.public,
                        serial,
                        not_before: since.max(record.not_before).seconds(),
                        not_after: until.min(record.not_after).seconds(),
                    },
                    Subject::Authorization {
                        common_name: AUTHORIZATION,
                    },
                    Some(Addresses {
                        crl: &crl_address(base, record),
                        ca_certificate: &ca_address(base, record),
                    }),
                    &self.setup.oids,
                )
            })
            .map_err(Error::internal)
    }
}

/// What a CA's key signs of itself: the name is the one that `softhsm-setup certify` certifies.
fn certification_request(new: &MadeKey) -> Result<ToBeSigned, Error> {
    let hierarchy = match new.purpose {
        Purpose::DeviceCa => "device",
        Purpose::SigningCa => "signing",
        Purpose::Authorization => {
            return Err(Error::internal("an authorization key is no CA's"));
        }
    };
    let name = ca::common_name(hierarchy, &new.public);
    request::to_be_signed(new.institution.as_str(), &name, &new.public).map_err(Error::internal)
}
