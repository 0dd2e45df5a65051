//! Owns the life of the serving process: built from the configuration, served, drained, ended.

mod accept;
mod build;
mod signals;
mod tls;

use std::{
    fmt,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::Signal,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tokio_stream::Stream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use self::{accept::Connection, build::Built, signals::Signals, tls::Tls};
use crate::{
    authority::Authority, config::Config, error::Error, hsm, http, rpc, schedule,
    store::StoreError, telemetry,
};

/// How long the record's writer and the tokens may take to end after the drain.
const END_TIME: Duration = Duration::from_secs(5);

/// Why the service does not serve, or ended in another way than drained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store cannot be used.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A token cannot be used.
    #[error("the HSM: {0}")]
    Hsm(#[from] hsm::StartError),
    /// The use cases cannot be set up.
    #[error("{0}")]
    Authority(#[from] Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; see who listens there, or change `{key}`")]
    Listen {
        /// The key in the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system does not let the process hear signals.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// A part of the service ended by itself.
    #[error("{0} ended by itself: {1}")]
    Ended(&'static str, String),
    /// Some requests were not answered in `drain.seconds`.
    #[error(
        "the drain was cut short; what was recorded is resumed by a retry or closed by the sweep"
    )]
    NotDrained,
    /// A second signal came during the drain.
    #[error(
        "ended at once by a second signal; what was recorded is resumed by a retry or closed by the sweep"
    )]
    Hurried,
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the process at once. SIGHUP has the TLS files that
/// the configuration `file` names read again.
///
/// # Errors
/// [`ServeError`].
pub async fn run(config: Config, file: PathBuf) -> Result<(), ServeError> {
    telemetry::start(config.log);
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let hangup = Signals::hangup().map_err(ServeError::Signals)?;
    let (grpc_listener, grpc_address) = listen("grpc.listen", config.grpc.listen).await?;
    let (http_listener, http_address) = listen("http.listen", config.http).await?;
    let (grpc, scheme, drain) = (config.grpc.clone(), config.scheme.clone(), config.drain);
    let Built {
        authority,
        monitor,
        writer,
    } = build::build(config).await?;
    let tls = Tls::new(file, grpc.tls.clone(), authority.clock());
    let connections = accept::incoming(grpc_listener, tls.current(), &grpc);
    let mut house = House::new();
    house.open_grpc(Arc::clone(&authority), grpc.request, scheme, connections);
    house.open_others(authority, http_listener);
    house.keep_tls(tls, hangup);
    say(format_args!(
        "serving gRPC on {grpc_address} and HTTP on {http_address}\n"
    ));
    let ended = tokio::select! {
        name = signals.next() => {
            info!(signal = name, seconds = drain.as_secs(), "draining");
            house.drain(drain, &mut signals).await
        }
        ended = house.ended() => Err(ended),
    };
    drop(house);
    if !matches!(ended, Err(ServeError::Hurried)) {
        close(writer, monitor).await;
    }
    ended
}

async fn listen(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listening.await.map_err(|source| ServeError::Listen {
        key,
        address,
        source,
    })
}

/// Says something on standard output, for whoever started the process; nobody has to listen.
fn say(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    let _closed = output.write_fmt(text).and_then(|()| output.flush());
}

/// What serves. Dropping it ends what is still at work.
struct House {
    parts: JoinSet<(&'static str, Result<(), String>)>,
    draining: CancellationToken,
    work: TaskTracker,
}

impl House {
    fn new() -> Self {
        Self {
            parts: JoinSet::new(),
            draining: CancellationToken::new(),
            work: TaskTracker::new(),
        }
    }

    fn open_grpc(
        &mut self,
        authority: Arc<Authority>,
        longest: Duration,
        scheme: String,
        connections: impl Stream<Item = io::Result<Connection>> + Send + 'static,
    ) {
        let serving = rpc::Serving {
            authority,
            scheme,
            longest,
            draining: self.draining.clone(),
            work: self.work.clone(),
        };
        self.parts.spawn(async {
            let served = rpc::serve(connections, serving).await;
            ("gRPC", served.map_err(|e| e.to_string()))
        });
    }

    fn open_others(&mut self, authority: Arc<Authority>, listener: TcpListener) {
        let (router, stop) = (http::router(Arc::clone(&authority)), self.draining.clone());
        self.parts.spawn(async {
            http::serve(listener, router, stop).await;
            ("HTTP", Ok(()))
        });
        let stop = self.draining.clone();
        self.parts.spawn(async {
            schedule::run(authority, stop).await;
            ("the schedule", Ok(()))
        });
    }

    fn keep_tls(&mut self, tls: Tls, hangup: Signal) {
        let stop = self.draining.clone();
        self.parts.spawn(async {
            tls.renew(hangup, stop).await;
            ("the renewal of TLS", Ok(()))
        });
    }

    /// A part that ended although nobody told it to.
    async fn ended(&mut self) -> ServeError {
        match self.parts.join_next().await {
            Some(Ok((name, Ok(())))) => ServeError::Ended(name, "nobody told it to".into()),
            Some(Ok((name, Err(cause)))) => ServeError::Ended(name, cause),
            Some(Err(panicked)) => ServeError::Ended("a part of the service", panicked.to_string()),
            None => ServeError::Ended("the service", "nothing is left of it".into()),
        }
    }

    /// Takes nothing new, and waits for what is under way.
    async fn drain(&mut self, seconds: Duration, signals: &mut Signals) -> Result<(), ServeError> {
        self.draining.cancel();
        self.work.close();
        let (parts, work) = (&mut self.parts, &self.work);
        let drained = async {
            while parts.join_next().await.is_some() {}
            work.wait().await;
        };
        tokio::select! {
            drained = timeout(seconds, drained) => drained.map_err(|_| ServeError::NotDrained),
            name = signals.next() => {
                warn!(signal = name, "a second signal ends the drain");
                Err(ServeError::Hurried)
            }
        }
    }
}

/// Ends the record's writer, then the tokens. The writer ends when the last use case has let go of it.
async fn close(writer: JoinHandle<()>, monitor: hsm::Monitor) {
    if timeout(END_TIME, writer).await.is_err() {
        warn!("the record's writer is still at work");
    }
    end(monitor).await;
}

/// Ends the tokens' threads and has the module finalised.
async fn end(monitor: hsm::Monitor) {
    let deadline = Instant::now() + END_TIME;
    match monitor.stop(deadline.into_std()).await {
        Ok(()) => info!("ended"),
        Err(error) => error!(%error, "the tokens could not be closed"),
    }
}
