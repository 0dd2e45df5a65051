//! Owns the life of the serving process: built from the configuration, served, drained, ended.

mod accept;
mod build;
mod descriptors;
pub mod keys;
mod observe;
mod pins;
mod places;
pub mod record;
mod roots;
mod signals;
mod tls;

use std::{
    fmt,
    future::pending,
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
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use self::{
    accept::Reception, build::Built, descriptors::Room, observe::Readiness, pins::Pins,
    places::Places, roots::Roots, signals::Signals, tls::Tls,
};
use crate::{
    authority::Authority,
    clock::Clock,
    config::{Config, Grpc},
    error::Error,
    hsm,
    http::{self, admin::Admin},
    metrics::Metrics,
    rpc, schedule,
    store::StoreError,
    telemetry::{Scrape, Telemetry, TelemetryError},
};

pub use descriptors::TooFew;

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
    /// Nothing can be told of the service.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
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
    /// The system lets the process open too few files.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
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

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the process at once. SIGHUP has the TLS files, the
/// PIN files, and the roots with their CRLs and the scheme's changes, that the configuration `file` names read again.
///
/// # Errors
/// [`ServeError`].
pub async fn run(config: Config, file: PathBuf) -> Result<(), ServeError> {
    let institutions = config.institutions.iter().map(|one| &one.id);
    let telemetry = Telemetry::start(config.log, config.collector.as_ref(), institutions)?;
    let ended = serve(config, file, &telemetry).await;
    if matches!(ended, Err(ServeError::Hurried)) {
        // Letting go of it would wait for the collector.
        std::mem::forget(telemetry);
    } else {
        telemetry.end().await;
    }
    ended
}

async fn serve(config: Config, file: PathBuf, telemetry: &Telemetry) -> Result<(), ServeError> {
    let metrics = telemetry.metrics();
    metrics.process(env!("CARGO_PKG_VERSION"), Clock::system().now());
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let hangup = || Signals::hangup().map_err(ServeError::Signals);
    let hangups = (hangup()?, hangup()?, hangup()?);
    let room = Room::of(&config)?;
    metrics.room(room.connections, config.grpc.max_connections);
    let doors = Doors::open(&config).await?;
    let (grpc, scheme, drain) = (config.grpc.clone(), config.scheme.clone(), config.drain);
    let Built {
        authority,
        monitor,
        writer,
    } = build::build(config, &metrics).await?;
    observe::tokens(&metrics, monitor.watch());
    observe::authority(&metrics, &authority);
    let roots = Roots::new(file.clone(), Arc::clone(&authority), metrics.clone());
    let pins = Pins::new(file.clone(), monitor.pins());
    let tls = Tls::new(file, grpc.tls.clone(), authority.clock(), metrics.clone());
    let (serving, mut house) = (doors.to_string(), House::new());
    house.open_admin(&authority, &metrics, doors.admin, telemetry.scrape());
    let reception = reception(&grpc, room, &tls, &authority, scheme, metrics);
    house.open_grpc(doors.grpc.0, reception, &grpc);
    house.open_others(authority, doors.http.0);
    house.keep_tls(tls, hangups.0);
    house.keep_roots(roots, hangups.1);
    house.keep_pins(pins, hangups.2);
    say(format_args!("serving {serving}\n"));
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

fn reception(
    grpc: &Grpc,
    room: Room,
    tls: &Tls,
    authority: &Arc<Authority>,
    scheme: String,
    metrics: Metrics,
) -> Reception {
    let institutions = authority.setup().institutions.len();
    Reception {
        tls: tls.current(),
        handshake: grpc.handshake,
        places: Arc::new(Places::new(room.connections, institutions)),
        handshakes: room.handshakes,
        authority: Arc::clone(authority),
        scheme,
        metrics,
    }
}

/// A listener with its address.
type Door = (TcpListener, SocketAddr);

/// Where the service is asked.
struct Doors {
    grpc: Door,
    http: Door,
    admin: Option<Door>,
}

impl Doors {
    async fn open(config: &Config) -> Result<Self, ServeError> {
        Ok(Self {
            grpc: listen("grpc.listen", config.grpc.listen).await?,
            http: listen("http.listen", config.http).await?,
            admin: match config.admin {
                Some(address) => Some(listen("admin.listen", address).await?),
                None => None,
            },
        })
    }
}

impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gRPC on {} and HTTP on {}", self.grpc.1, self.http.1)?;
        match &self.admin {
            Some((_, address)) => write!(f, ", metrics and health on {address}"),
            None => Ok(()),
        }
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<Door, ServeError> {
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

/// What serves. Dropping it ends what is still at work, but what is shown to this host, which ends with the process.
struct House {
    parts: JoinSet<(&'static str, Result<(), String>)>,
    admin: Option<JoinHandle<()>>,
    draining: CancellationToken,
    work: TaskTracker,
}

impl House {
    fn new() -> Self {
        Self {
            parts: JoinSet::new(),
            admin: None,
            draining: CancellationToken::new(),
            work: TaskTracker::new(),
        }
    }

    /// Shows this host how the service fares, until the process ends.
    fn open_admin(
        &mut self,
        authority: &Arc<Authority>,
        metrics: &Metrics,
        door: Option<Door>,
        scrape: Scrape,
    ) {
        let readiness = Readiness::of(authority, self.draining.clone());
        let (observed, holding, measured) =
            (readiness.clone(), readiness.clone(), readiness.clone());
        metrics.observe_ready(move || observed.unready().is_none());
        metrics.observe_hold(move || measured.held());
        let Some((listener, _)) = door else { return };
        let router = http::admin::router(Admin {
            numbers: Box::new(move || Ok(scrape.text()?)),
            media_type: Scrape::MEDIA_TYPE,
            unready: Box::new(move || readiness.unready()),
            held: Box::new(move || holding.held()),
        });
        let never = CancellationToken::new();
        self.admin = Some(tokio::spawn(async {
            http::serve(listener, router, http::admin::NEIGHBOURS, never).await;
        }));
    }

    fn open_grpc(&mut self, listener: TcpListener, reception: Reception, grpc: &Grpc) {
        let serving = rpc::Serving {
            authority: Arc::clone(&reception.authority),
            scheme: reception.scheme.clone(),
            longest: grpc.request,
            age: grpc.max_connection_age,
            draining: self.draining.clone(),
            work: self.work.clone(),
            metrics: reception.metrics.clone(),
        };
        let connections = accept::incoming(listener, reception);
        self.parts.spawn(async {
            let served = rpc::serve(connections, serving).await;
            ("gRPC", served.map_err(|e| e.to_string()))
        });
    }

    fn open_others(&mut self, authority: Arc<Authority>, listener: TcpListener) {
        let (router, stop) = (http::router(Arc::clone(&authority)), self.draining.clone());
        self.parts.spawn(async {
            http::serve(listener, router, http::STRANGERS, stop).await;
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

    fn keep_roots(&mut self, roots: Roots, hangup: Signal) {
        let stop = self.draining.clone();
        self.parts.spawn(async {
            roots.renew(hangup, stop).await;
            ("the renewal of roots", Ok(()))
        });
    }

    fn keep_pins(&mut self, pins: Pins, hangup: Signal) {
        let stop = self.draining.clone();
        self.parts.spawn(async {
            pins.renew(hangup, stop).await;
            ("the renewal of PINs", Ok(()))
        });
    }

    /// A part that ended although nobody told it to.
    async fn ended(&mut self) -> ServeError {
        let ended = tokio::select! {
            ended = self.parts.join_next() => ended,
            () = lost(&mut self.admin) => Some(Ok(("the admin listener", Ok(())))),
        };
        match ended {
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

/// Waits until the task has ended, if there is one.
async fn lost(task: &mut Option<JoinHandle<()>>) {
    match task {
        // However it ended: it was to go on.
        Some(task) => drop(task.await),
        None => pending().await,
    }
}

/// Ends the record's writer, then the tokens. The writer ends when the last use case has let go of it.
async fn close(writer: JoinHandle<()>, monitor: hsm::Monitor) {
    if timeout(END_TIME, writer).await.is_err() {
        warn!("the record's writer is still at work");
    }
    end(monitor).await;
}

/// Ends the tokens' worker processes.
async fn end(monitor: hsm::Monitor) {
    let deadline = Instant::now() + END_TIME;
    match monitor.stop(deadline.into_std()).await {
        Ok(()) => info!("ended"),
        Err(error) => error!(%error, "the tokens could not be closed"),
    }
}
