//! Owns the loops of the service: each tick asks whether the store is well, sweeps overdue intents, removes what is not kept
//! any longer, executes recoveries that are due, looks for new documents, audits what limits refused, measures how things
//! stand, asks to lead the work that one process does for all of the record, publishes the CRLs that are due, and has tokens
//! take up new keys and destroy those that have ended. Each of these, and each institution, has a loop of its own, and each CA's
//! CRL is made apart from the others', so that a token that hangs holds up nobody else.

use std::{
    collections::BTreeMap,
    future::{Future, ready},
    panic,
    sync::Arc,
    time::Duration,
};

use semops_objects::institution::InstitutionId;
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    authority::{Authority, Pruned},
    domain::key::KeyId,
    error::{Error, Reason},
};

const TICK: Duration = Duration::from_secs(1);

/// Runs until `stop`, or until a loop has failed. A revocation brings the next tick forward, and one tick serves all that
/// came before it.
pub async fn run(authority: Arc<Authority>, stop: CancellationToken) {
    let mut loops = JoinSet::new();
    of_each_institution(&mut loops, &authority, &stop);
    let (checked, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&checked, &stopped, || checked.check()).await });
    let (observed, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&observed, &stopped, || observe(&observed)).await });
    let (leading, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&leading, &stopped, || lead(&leading)).await });
    let (looking, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&looking, &stopped, || look(&looking)).await });
    let (refusing, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move {
        every_tick(&refusing, &stopped, || audit_refusals(&refusing)).await;
        audit_refusals(&refusing).await;
    });
    let (recovering, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&recovering, &stopped, || recover(&recovering)).await });
    let (pruning, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { prune(&pruning, &stopped).await });
    let (sweeping, stopped) = (Arc::clone(&authority), stop.clone());
    loops.spawn(async move { every_tick(&sweeping, &stopped, || sweep(&sweeping)).await });
    // A loop ends well only because all are told to.
    while let Some(Ok(())) = loops.join_next().await {}
    if stop.is_cancelled() {
        step_down(&authority).await;
    }
}

/// The loops that each institution has of its own.
fn of_each_institution(
    loops: &mut JoinSet<()>,
    authority: &Arc<Authority>,
    stop: &CancellationToken,
) {
    let own = |institution: &InstitutionId| {
        let institution = institution.clone();
        (Arc::clone(authority), stop.clone(), institution)
    };
    for institution in authority.setup().institutions.keys() {
        let (authority, stop, of) = own(institution);
        loops.spawn(async move {
            publish(&authority, &stop, &of).await;
        });
        let (authority, stop, of) = own(institution);
        loops.spawn(async move {
            every_tick(&authority, &stop, || adopt(&authority, &of)).await;
        });
        let (authority, stop, of) = own(institution);
        loops.spawn(async move {
            every_tick(&authority, &stop, || destroy(&authority, &of)).await;
        });
    }
}

async fn every_tick<F: Future<Output = ()>>(
    authority: &Authority,
    stop: &CancellationToken,
    mut work: impl FnMut() -> F,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = authority.crl_due() => {}
        }
        work().await;
    }
}

async fn sweep(authority: &Authority) {
    match authority.sweep().await {
        Ok(0) => {}
        Ok(closed) => info!(closed, "overdue intents closed"),
        Err(error) => {
            warn!(%error, "overdue intents could not be closed; the next tick tries again")
        }
    }
}

/// Once all loops have ended, for each of them would lead again.
async fn step_down(authority: &Authority) {
    if let Err(error) = authority.step_down().await {
        warn!(%error, "the lead could not be given up; another replica takes it when it has run out");
    }
}

/// What keeps it from beginning is told once.
async fn prune(authority: &Authority, stop: &CancellationToken) {
    let told = std::sync::Once::new();
    every_tick(authority, stop, || async {
        match authority.prune().await {
            Ok(Pruned::Rows(0)) => {}
            Ok(Pruned::Rows(rows)) => info!(rows, "rows that are not kept any longer removed"),
            Ok(Pruned::NotYet) => told.call_once(|| {
                warn!("nothing is removed while programs of an older schema may serve: once none runs any more, run `signer --config FILE migrate --contract`");
            }),
            Err(error) => {
                warn!(%error, "what is not kept any longer could not be removed; the next tick tries again");
            }
        }
    })
    .await;
}

async fn recover(authority: &Authority) {
    match authority.recover().await {
        Ok(0) => {}
        Ok(executed) => warn!(executed, "recoveries of custodians executed"),
        Err(error) => {
            warn!(%error, "recoveries that are due could not be executed; the next tick tries again");
        }
    }
}

async fn audit_refusals(authority: &Authority) {
    if let Err(error) = authority.audit_refusals().await {
        warn!(%error, "refusals by limits could not be audited; the next tick tries again");
    }
}

async fn observe(authority: &Authority) {
    if let Err(error) = authority.observe().await {
        // That the store is not well is told by the check.
        debug!(%error, "how things stand could not be read");
    }
}

async fn lead(authority: &Authority) {
    if let Err(error) = authority.lead().await {
        // As above.
        debug!(%error, "whether this process leads the scheduled work is not known");
    }
}

/// Requests see new documents by themselves; whoever holds a connection and asks nothing waits for this, and whoever a limit
/// refuses before the store is asked.
async fn look(authority: &Authority) {
    if let Err(error) = authority.current().await {
        warn!(%error, "the documents could not be compared; the next tick tries again");
    }
}

/// What the token does not have is said where it is found.
async fn adopt(authority: &Authority, institution: &InstitutionId) {
    if let Err(error) = authority.adopt_keys(institution).await {
        // Nothing stands that could be looked at: that is told there.
        debug!(%institution, %error, "the keys on the ring are not known");
    }
}

async fn destroy(authority: &Authority, institution: &InstitutionId) {
    match authority.destroy_keys(institution).await {
        Ok(0) => {}
        Ok(destroyed) => warn!(%institution, destroyed, "keys destroyed, as approved"),
        // Nothing stands that could have approved it: that is told elsewhere.
        Err(Error::Unavailable {
            reason: Reason::NotApproved,
            ..
        }) => {}
        Err(error) => {
            warn!(%institution, %error, "a key could not be destroyed that is to be; the next tick tries again")
        }
    }
}

/// Makes the CRLs of an institution that are due.
async fn publish(authority: &Arc<Authority>, stop: &CancellationToken, of: &InstitutionId) {
    let mut making = Making::default();
    let begin = || {
        making.begin(authority, of);
        ready(())
    };
    every_tick(authority, stop, begin).await;
    making.end().await;
}

/// The CRLs of an institution that are being made: one at a time of each CA.
#[derive(Default)]
struct Making {
    tasks: JoinSet<()>,
    by_ca: BTreeMap<KeyId, AbortHandle>,
}

impl Making {
    /// Has that of each CA looked at of which none is being made.
    fn begin(&mut self, authority: &Arc<Authority>, institution: &InstitutionId) {
        while let Some(ended) = self.tasks.try_join_next() {
            ended_well(ended);
        }
        self.by_ca.retain(|_, making| !making.is_finished());
        let cas = match authority.listing_cas(institution) {
            Ok(cas) => cas,
            Err(error) => return not_made(institution, &error),
        };
        for ca in cas {
            if !self.by_ca.contains_key(&ca) {
                let (authority, of) = (Arc::clone(authority), institution.clone());
                let making = async move { make(&authority, &of, ca).await };
                self.by_ca.insert(ca, self.tasks.spawn(making));
            }
        }
    }

    /// Waits for those that are being made.
    async fn end(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended_well(ended);
        }
    }
}

async fn make(authority: &Authority, institution: &InstitutionId, ca: KeyId) {
    match authority.publish_crl(institution, ca).await {
        Ok(false) => {}
        Ok(true) => info!(%institution, key = %ca, "CRL published"),
        Err(error) => not_made(institution, &error),
    }
}

fn not_made(institution: &InstitutionId, error: &Error) {
    warn!(%institution, %error, "a CRL could not be made; the next tick tries again");
}

/// A panic is that of the loop: the service ends by it.
fn ended_well(ended: Result<(), JoinError>) {
    if let Some(panicked) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        panic::resume_unwind(panicked);
    }
}
