//! Owns what a caller sees of the service: what runs, by which documents, how its institution's token fares, and how much
//! of its limits is left.

use std::time::Duration;

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
    /// Its institution's token.
    pub token: TokenShown,
    /// What is left of the limits.
    pub limits: Left,
    /// How long no order is co-signed yet, after the record was restored.
    pub held: Duration,
}

/// A token, as its institution sees it.
#[derive(Clone, Debug)]
pub struct TokenShown {
    /// What was found of it at start.
    pub report: hsm::TokenReport,
    /// How it fares.
    pub health: hsm::Health,
    /// What is counted.
    pub gauges: hsm::Gauges,
}

impl Authority {
    /// Shows the service to a caller. It reads no record, so that it answers while the store does not.
    pub fn status(&self, ctx: &Context) -> Result<StatusShown, Error> {
        let (institution, watch) = (&ctx.institution, &self.tokens.watch);
        let (Some(report), Some(gauges)) = (watch.report(institution), watch.gauges(institution))
        else {
            return Err(Error::not_served(institution));
        };
        Ok(StatusShown {
            started_at: self.started_at,
            now: self.clock.now(),
            caller: ctx.origin.actor.to_string(),
            documents: ctx.snapshot.versions(institution).to_vec(),
            token: TokenShown {
                report,
                health: watch.health(institution),
                gauges,
            },
            limits: self.limits_left(ctx)?,
            held: self.held(),
        })
    }
}
