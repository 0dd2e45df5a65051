//! Owns how a server is reached, and what it must be before anything is recorded there: one that keeps what it has
//! answered, also when it is replaced by its standby.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{io::AsyncRead, io::AsyncWrite, task::JoinHandle};
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
            schema,
            session::Session,
        },
    },
};

/// The longest that is waited for a connection, of each host.
const CONNECT: Duration = Duration::from_secs(2);

/// The longest wait for a lock, and the longest that a transaction may lie still, so that nothing of a replica that hangs
/// holds up another. No statement_timeout: one that ends a commit's wait for a standby makes it seen here without being
/// there.
const BOUNDS: &str = "-c lock_timeout=3s -c idle_in_transaction_session_timeout=10s -c statement_timeout=0 \
    -c client_min_messages=warning";

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
pub(super) struct Connector(Settings);

impl Connector {
    pub(super) fn new(settings: Settings) -> Self {
        Self(settings)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// A connection to the primary in this program's schema, ready for work of this kind.
    pub(super) async fn connect(&self, kind: Kind) -> Result<Session, Failure> {
        let session = self.reach().await?;
        durable(&session).await?;
        schema::check(&session).await?;
        if kind == Kind::Reads {
            session
                .batch("SET default_transaction_read_only = on")
                .await?;
        }
        Ok(session)
    }

    /// A connection to the primary, whatever it holds.
    pub(super) async fn reach(&self) -> Result<Session, Failure> {
        let config = self.config();
        let (client, task) = match &self.0.tls {
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
        Ok(Session::new(client, task, self.0.clock))
    }

    fn config(&self) -> Config {
        let settings = &self.0;
        let mut config = Config::new();
        for (host, port) in &settings.hosts {
            config.host(host).port(*port);
        }
        config
            .dbname(&settings.database)
            .user(&settings.user)
            .application_name("signer")
            .options(BOUNDS)
            .connect_timeout(CONNECT)
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
    let advice =
        "it is not reached: check that the primary runs, and its hosts, ports and TLS root here";
    Failure::Final(unavailable(advice, &said(&error)))
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
