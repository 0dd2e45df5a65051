//! Owns what a caller sees of the service: what runs, by which documents, how its institution's token fares, and how much
//! of its limits is left.

use std::time::Duration;

use semops_objects::change::ChangeId;

use crate::{
    authority::{Authority, Context},
    clock::Timestamp,
    domain::document::DocumentVersion,
    error::Error,
    hsm,
    limits::Left,
};

/// The service, as one caller sees it.
#[derive(Clone, Debug)]
pub struct StatusShown {
    /// When it started.
    pub started_at: Timestamp,
    /// The moment of all this.
    pub now: Timestamp,
    /// The caller, as it was authenticated.
    pub caller: String,
    /// The documents in force for its institution.
    pub documents: Vec<DocumentVersion>,
    /// Its institution's tokens: the first, and the further ones.
    pub tokens: (hsm::TokenView, Vec<hsm::TokenView>),
    /// What is left of the limits.
    pub limits: Left,
    /// The change of the scheme by which the roots are in force, with its number, if they are approved.
    pub scheme: Option<(u64, ChangeId)>,
    /// How long no order is co-signed yet, after the record was restored.
    pub held: Duration,
}

impl Authority {
    /// Shows the service to a caller. It reads no record, so that it answers while the store does not.
    pub fn status(&self, ctx: &Context) -> Result<StatusShown, Error> {
        let institution = &ctx.institution;
        let mut tokens = self.tokens.watch.of(institution).into_iter();
        let Some(first) = tokens.next() else {
            return Err(Error::not_served(institution));
        };
        Ok(StatusShown {
            started_at: self.started_at,
            now: self.clock.now(),
            caller: ctx.origin.actor.to_string(),
            documents: ctx.snapshot.versions(institution).to_vec(),
            tokens: (first, tokens.collect()),
            limits: self.limits_left(ctx)?,
            scheme: self.roots().last_change(),
            held: self.held(),
        })
    }
}
