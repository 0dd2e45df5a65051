//! Owns how servers are reached, and what the primary among them must be before anything is recorded there: one that keeps
//! what it has answered, also when it is replaced by its standby.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_postgres::{
    Client, Config, Connection, NoTls,
    config::{SslMode, SslNegotiation, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    clock::Clock,
    metrics::Metrics,
    store::{
        StoreError,
        postgres::{
            error::{Failure, said, unavailable},
            pool::Kind,
            primary::{Primaries, Primary},
            schema,
            session::Session,
        },
    },
};

/// The longest that is waited for a connection, of each host: one that takes connections and says nothing holds up no
/// other.
const CONNECT: Duration = Duration::from_secs(3);

/// The longest wait for a lock, and the longest that a transaction may lie still, so that nothing of a replica that hangs
/// holds up another. No statement_timeout: one that ends a commit's wait for a standby makes it seen here without being
/// there.
const BOUNDS: &str = "-c lock_timeout=3s -c idle_in_transaction_session_timeout=10s -c statement_timeout=0 \
    -c client_min_messages=warning";

/// Each statement is planned by its indexes. The server keeps the plan of a prepared statement, and until autovacuum has
/// looked at a new or restored database it takes tables for tiny and would read them whole, ever longer while they grow.
/// Where there is no other way it still does, at a cost that must not have the plan compiled.
const PLANS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
    -c jit=off";

const UNREACHED: &str =
    "it is not reached: check that the primary runs, and its hosts, ports and TLS root here";

const STATE: &str = "SELECT pg_is_in_recovery(), current_setting('fsync') = 'on', \
    current_setting('full_page_writes') = 'on', current_setting('synchronous_commit') IN ('on', 'remote_apply'), \
    (SELECT count(*) FROM pg_stat_replication WHERE coalesce(sync_state, 'async') = 'async' \
     AND application_name NOT IN ('pg_basebackup', 'pg_receivewal'))";

/// Where a server is and who comes to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hosts by name or address, or the folders of sockets, with their ports: a primary and those that may take its place.
    pub hosts: Vec<(String, u16)>,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password, if the server asks for one.
    pub password: Option<SecretString>,
    /// How the server is known; without it only sockets and the host's own addresses may stand in `hosts`.
    pub tls: Option<Arc<ClientConfig>>,
    /// What the server's clock is compared with.
    pub clock: Clock,
    /// Where it is told how the server fares.
    pub metrics: Metrics,
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    settings: Settings,
    primaries: Arc<Primaries>,
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            primaries: Arc::default(),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.settings.metrics
    }

    /// A connection to the primary in this program's schema, ready for work of this kind.
    pub(super) async fn connect(&self, kind: Kind) -> Result<(Primary, Session), Failure> {
        let (primary, session) = self.newest().await?;
        durable(&session).await?;
        schema::check(&session).await?;
        self.primaries.prove(primary, &session).await?;
        match kind {
            Kind::Reads => {
                session
                    .batch("SET default_transaction_read_only = on")
                    .await?
            }
            Kind::Writes => {}
            Kind::Lends => session.batch("SET synchronous_commit = off").await?,
        }
        Ok((primary, session))
    }

    /// Whether no newer primary was seen since.
    pub(super) fn stands(&self, primary: Primary) -> bool {
        self.primaries.stands(primary)
    }

    /// A connection to the primary, whatever it holds.
    pub(super) async fn reach(&self) -> Result<Session, Failure> {
        self.newest().await.map(|(_, session)| session)
    }

    /// Asks all hosts at once, and takes the primary among them.
    async fn newest(&self) -> Result<(Primary, Session), Failure> {
        let mut asked = JoinSet::new();
        for (place, (host, port)) in self.settings.hosts.iter().cloned().enumerate() {
            let connector = self.clone();
            asked.spawn(async move {
                let asking = timeout(CONNECT, connector.ask(&host, port));
                (place, asking.await.unwrap_or_else(|_| Err(silent())))
            });
        }
        let mut asked = asked.join_all().await;
        asked.sort_by_key(|(place, _)| *place);
        let (mut found, mut missed) = (Vec::new(), None);
        for (_, answer) in asked {
            match answer {
                Ok(primary) => found.push(primary),
                Err(failure) => missed = missed.or(Some(failure)),
            }
        }
        let none = || missed.unwrap_or_else(silent);
        self.primaries.choose(found)?.ok_or_else(none)
    }

    async fn ask(&self, host: &str, port: u16) -> Result<(Primary, Session), Failure> {
        let config = self.config(host, port);
        let (client, task) = match &self.settings.tls {
            Some(tls) => {
                let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
                let (client, connection) = config.connect(tls).await.map_err(unreached)?;
                spawned(client, connection)
            }
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(unreached)?;
                spawned(client, connection)
            }
        };
        let session = Session::new(client, task, self.settings.clock);
        Ok((Primary::of(&session).await?, session))
    }

    fn config(&self, host: &str, port: u16) -> Config {
        let settings = &self.settings;
        let mut config = Config::new();
        config
            .host(host)
            .port(port)
            .dbname(&settings.database)
            .user(&settings.user)
            .application_name("signer")
            .options(format!("{BOUNDS} {PLANS}"))
            .keepalives_idle(Duration::from_secs(10))
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .ssl_negotiation(SslNegotiation::Postgres)
            .ssl_mode(match settings.tls {
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        if let Some(password) = &settings.password {
            config.password(password.expose_secret());
        }
        config
    }
}

fn spawned<S, T>(client: Client, connection: Connection<S, T>) -> (Client, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        // Whoever uses the client is told.
        let _ = connection.await;
    });
    (client, task)
}

/// A server that is not reached is not tried again at once, unlike a connection that was there.
fn unreached(error: tokio_postgres::Error) -> Failure {
    if error.code().is_some() {
        return Failure::Final(Failure::from(error).into_error());
    }
    Failure::Final(unavailable(UNREACHED, &said(&error)))
}

fn silent() -> Failure {
    Failure::Final(unavailable(UNREACHED, "no answer"))
}

/// Whether what this server answers to a commit outlasts a crash, and its own end where it has standbys.
async fn durable(session: &Session) -> Result<(), Failure> {
    let row = session.one(STATE, &[]).await?;
    let (standby, fsync, pages): (bool, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (waits, behind): (bool, i64) = (row.try_get(3)?, row.try_get(4)?);
    let refused = if standby {
        "it is a standby: name the primary, or all hosts"
    } else if !fsync || !pages {
        "it would lose commits in a crash: set fsync = on and full_page_writes = on there"
    } else if !waits {
        "its commits are answered too early: set synchronous_commit = on there, for this role and database too"
    } else if behind > 0 {
        "a standby of it is not synchronous, and what that lacks would be lost with the primary: name it in \
         synchronous_standby_names, or grant this role pg_monitor if it only may not see that"
    } else {
        return Ok(());
    };
    Err(StoreError::Unavailable(refused.to_owned()).into())
}
