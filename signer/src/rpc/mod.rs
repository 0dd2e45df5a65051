//! Owns gRPC: the only place that names tonic and the generated messages. [`gate`] is the way in and out of every
//! request, [`call`] runs one method, the services take messages apart and put them together.

mod bounded;
mod call;
pub(crate) mod caller;
mod changes;
pub(crate) mod connection;
mod cosigning;
mod deadline;
mod device_pages;
mod documents;
mod ending;
mod enrollment;
mod farewell;
mod field;
mod gate;
mod health;
mod keys;
mod method;
pub(crate) mod peer;
mod read_out;
mod reading;
mod routes;
mod service_status;
mod signed_pages;
mod span;
mod status;
mod trust;

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    deadline::{BadTimeout, time},
    reading::{Read, read_request},
};

use self::{
    call::Desk,
    connection::{Connection, Keeper},
    gate::Gate,
    health::HealthChecks,
    routes::Routes,
};
use crate::{authority::Authority, metrics::Metrics};

/// What gRPC is served with.
pub(crate) struct Serving {
    /// The use cases.
    pub(crate) authority: Arc<Authority>,
    /// The SPIFFE trust domain of callers.
    pub(crate) scheme: String,
    /// The longest request.
    pub(crate) longest: Duration,
    /// The oldest that a connection becomes.
    pub(crate) age: Duration,
    /// Cancelled to drain.
    pub(crate) draining: CancellationToken,
    /// Where work that was begun is counted.
    pub(crate) work: TaskTracker,
    /// Where requests are measured.
    pub(crate) metrics: Metrics,
}

/// Serves these connections until `draining` is cancelled and every request under way is answered.
///
/// # Errors
/// The services cannot be set up.
pub(crate) async fn serve<H: Send + 'static>(
    connections: impl Stream<Item = Connection<H>>,
    serving: Serving,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let health = HealthChecks::new(Arc::clone(&serving.authority), serving.draining.clone());
    let desk = Desk {
        authority: serving.authority,
        scheme: serving.scheme.into(),
        longest: serving.longest,
        work: serving.work,
        metrics: serving.metrics,
    };
    let keeper = Keeper {
        gate: Gate::new(desk.clone(), Routes::new(&desk, health)?),
        desk,
        age: serving.age,
        draining: serving.draining.clone(),
    };
    // Dropped with this future, and the connections with it.
    let mut kept = JoinSet::new();
    {
        let mut connections = pin!(connections);
        loop {
            tokio::select! {
                () = serving.draining.cancelled() => break,
                Some(_) = kept.join_next() => {}
                next = connections.next() => match next {
                    Some(connection) => { kept.spawn(keeper.clone().keep(connection)); }
                    None => break,
                },
            }
        }
    }
    while kept.join_next().await.is_some() {}
    Ok(())
}
