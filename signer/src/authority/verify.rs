//! Owns the verification of an authorization against the caller's trust document.

use std::sync::Arc;

use semops_objects::trust::{TrustDocument, Verdict, verify_authorization};

use crate::{
    authority::{Authority, Context},
    error::Error,
};

impl Authority {
    /// What an authorization is worth to the caller's institution now. A bad signature is a result, not an error.
    pub fn verify(&self, ctx: &Context, jws: &str) -> Result<Verdict, Error> {
        let now = u64::try_from(self.clock.now().seconds()).unwrap_or_default();
        Ok(verify_authorization(
            jws,
            self.trust(ctx)?,
            &ctx.institution,
            now,
        ))
    }

    /// The trust document in force for the caller's institution.
    pub fn trust<'a>(&self, ctx: &'a Context) -> Result<&'a Arc<TrustDocument>, Error> {
        let trust = ctx.snapshot.trust(&ctx.institution);
        trust.ok_or_else(|| Error::not_approved(&ctx.institution, "trust"))
    }
}
