//! Owns the one loop of the service: each tick sweeps overdue intents and publishes the CRLs that are due.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::authority::Authority;

const TICK: Duration = Duration::from_secs(1);

/// Runs until `stop`. A revocation brings the next tick forward, and one tick serves all that came before it.
pub async fn run(authority: Arc<Authority>, stop: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = authority.crl_due() => {}
        }
        tick(&authority).await;
    }
}

async fn tick(authority: &Authority) {
    match authority.sweep().await {
        Ok(0) => {}
        Ok(closed) => info!(closed, "overdue intents closed"),
        Err(error) => {
            warn!(%error, "overdue intents could not be closed; the next tick tries again")
        }
    }
    match authority.publish_crls().await {
        Ok(0) => {}
        Ok(made) => info!(made, "CRLs published"),
        Err(error) => warn!(%error, "a CRL could not be made; the next tick tries again"),
    }
}
