//! Owns the server's side of TLS while it serves: each handshake uses what was read last, and SIGHUP has it read again.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::ServerConfig;
use semops_pki::certificate::rfc3339;
use tokio::{signal::unix::Signal, sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    clock::{Clock, Timestamp},
    config,
    metrics::Metrics,
};

/// What handshakes are made with, and where it comes from.
pub(super) struct Tls {
    file: PathBuf,
    clock: Clock,
    current: watch::Sender<Arc<ServerConfig>>,
    metrics: Metrics,
}

impl Tls {
    /// `tls` as it was read from the configuration `file`.
    pub(super) fn new(file: PathBuf, tls: config::Tls, clock: Clock, metrics: Metrics) -> Self {
        let certificate = &tls.certificate;
        if !certificate.valid_at(clock.now().seconds()) {
            warn!(
                not_after = rfc3339(certificate.not_after()),
                "the TLS certificate is outside its validity: renew it, then send SIGHUP"
            );
        }
        metrics.server_certificate(Timestamp::from_seconds(certificate.not_after()));
        Self {
            file,
            clock,
            current: watch::Sender::new(tls.server),
            metrics,
        }
    }

    /// What the next handshake is to be made with.
    pub(super) fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Reads it again at each SIGHUP until `stop`; later ones find nobody who listens.
    pub(super) async fn renew(self, mut hangup: Signal, stop: CancellationToken) {
        let renewal = async {
            while hangup.recv().await.is_some() {
                self.read_again().await;
            }
        };
        stop.run_until_cancelled(renewal).await;
    }

    async fn read_again(&self) {
        let (file, now) = (self.file.clone(), self.clock.now().seconds());
        match spawn_blocking(move || config::Tls::load(&file, now)).await {
            Ok(Ok(tls)) => {
                self.current.send_replace(tls.server);
                let certificate = &tls.certificate;
                let until = Timestamp::from_seconds(certificate.not_after());
                self.metrics.server_certificate(until);
                info!(
                    serial = %Hex(certificate.serial()),
                    sha256 = %Hex(&certificate.sha256()),
                    not_after = rfc3339(certificate.not_after()),
                    "SIGHUP: new TLS handshakes use the files of [grpc] as they are now"
                );
            }
            Ok(Err(mistakes)) => {
                for mistake in mistakes.0 {
                    error!(%mistake, "SIGHUP: TLS goes on as it was");
                }
            }
            Err(error) => error!(%error, "SIGHUP: TLS goes on as it was"),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
