//! Owns the making of a key: asked for on record, made in the token, recorded, named, and one thing signed of it: the
//! certificate by the CA of the institution that certifies such keys, or the certification request of a CA's key by that key
//! itself. Nothing else is signed with it until a change takes it up.
//!
//! Whatever ends a process between two steps, the same request goes on from there: the record knows the request and its
//! key, and the token's key carries the request until it has its name.

use semops_pki::algorithm::sha256;
use uuid::{Builder, Uuid};

use crate::{
    authority::{Authority, Context, KeyShown, Refused},
    domain::{key::Purpose, new_key::NewKey},
    error::{Error, Reason},
    fault::{self, Point},
    hsm,
    store::{Asked, KeyAsk},
};

impl Authority {
    /// Makes a key in the token of the caller's institution that has this label, or in its first one, or goes on with the
    /// one that `request` asked for before.
    pub async fn create_key(
        &self,
        ctx: &Context,
        purpose: Purpose,
        request: Uuid,
        token: Option<&str>,
    ) -> Result<KeyShown, Error> {
        let (request, token) = self.place(ctx, request, token)?;
        let keyring = ctx.snapshot.keyring(&ctx.institution)?;

        self.check_usage(purpose)?;

        // One at a time: some modules lose what several processes write at once.
        let _turn = self.store.turn(&ctx.institution).await?;

        // 1 record what is asked for
        let new = self.ask_for_key(ctx, purpose, request).await?;
        fault::point(Point::CreateKeyAsked);

        // 2 make it in the token
        let made = match new.made {
            Some(made) => made,
            None => {
                let (keys, institution) = (&self.tokens.keys, &ctx.institution);
                let public = keys.generate(institution, token, request, purpose, ctx.deadline);
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

    /// A request asks for one key in each token: what is made for it in a further one is made, and recorded, under a name of
    /// its own. Were it not, a repetition that names another token would leave a pair behind in the first.
    fn place<'t>(
        &self,
        ctx: &Context,
        request: Uuid,
        token: Option<&'t str>,
    ) -> Result<(Uuid, Option<&'t str>), Error> {
        let Some(label) = token else {
            return Ok((request, None));
        };
        let labels = self.tokens.keys.labels(&ctx.institution);
        match labels.iter().position(|known| known == label) {
            Some(0) => Ok((request, None)),
            Some(_) => {
                let digest = sha256(&[request.as_bytes(), label.as_bytes()].concat());
                let octets = digest.first_chunk().copied().unwrap_or_default();
                Ok((Builder::from_custom_bytes(octets).into_uuid(), token))
            }
            None => Err(Error::invalid(
                Reason::InvalidField,
                "token",
                "no token of the institution has this label",
            )),
        }
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
            Asked::Discarded => Reason::KeyDiscarded,
            Asked::Early => Reason::OldProgramsMayServe,
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
}
