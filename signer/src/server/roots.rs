//! Owns the roots of the scheme while the service serves: SIGHUP has the table [roots] and its files read again; what its
//! custodians have put in force since, and what roots have revoked, counts from then on.

use std::{path::PathBuf, sync::Arc};

use semops_objects::change::SchemeStanding;
use tokio::{signal::unix::Signal, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    authority::Authority,
    config,
    domain::{published_roots::PublishedRoots, scheme_roots::SchemeRoots},
    metrics::Metrics,
};

/// Where the scheme's changes are named, and who uses what stands by them.
pub(super) struct Roots {
    file: PathBuf,
    authority: Arc<Authority>,
    metrics: Metrics,
}

impl Roots {
    /// Those of the configuration `file`. Says if nobody approved them.
    pub(super) fn new(file: PathBuf, authority: Arc<Authority>, metrics: Metrics) -> Self {
        metrics.roots_not_taken(false);
        match authority.roots().standing() {
            Some(standing) => say("the roots of the scheme are in force", standing),
            None => warn!(
                "nobody approved the roots of this scheme: they are whatever the configuration names; \
                 `changes` in its table [roots] names the history by which custodians rule them"
            ),
        }
        Self {
            file,
            authority,
            metrics,
        }
    }

    /// Reads them again at each SIGHUP until `stop`.
    pub(super) async fn renew(self, mut hangup: Signal, stop: CancellationToken) {
        let renewal = async {
            while hangup.recv().await.is_some() {
                self.read_again().await;
            }
        };
        stop.run_until_cancelled(renewal).await;
    }

    async fn read_again(&self) {
        let (file, now) = (self.file.clone(), self.authority.clock().now().seconds());
        let taken = match spawn_blocking(move || config::load_roots(&file, now)).await {
            Ok(Ok(roots)) => self.take(roots).await,
            Ok(Err(mistakes)) => {
                for mistake in mistakes.0 {
                    error!(%mistake, "SIGHUP: the roots of the scheme go on as they were");
                }
                false
            }
            Err(error) => {
                error!(%error, "SIGHUP: the roots of the scheme go on as they were");
                false
            }
        };
        self.metrics.roots_not_taken(!taken);
    }

    async fn take(&self, roots: SchemeRoots) -> bool {
        match self.authority.take_roots(roots).await {
            Ok(roots) => {
                match roots.standing() {
                    Some(standing) => {
                        say("SIGHUP: the roots of the scheme are read again", standing);
                    }
                    None => warn!("SIGHUP: nobody approved the roots of this scheme"),
                }
                say_lists(roots.published());
                true
            }
            Err(error) => {
                error!(%error, "SIGHUP: the roots of the scheme go on as they were");
                false
            }
        }
    }
}

/// Which CRL of each root is published.
fn say_lists(published: &PublishedRoots) {
    for (hierarchy, root) in published.all() {
        let (crl, key) = (root.crl(), root.id());
        info!(
            hierarchy = hierarchy.name(),
            %key,
            number = crl.number(),
            revoked = crl.entries().len(),
            "the CRL of a root"
        );
    }
}

fn say(what: &str, standing: &SchemeStanding) {
    let roots = standing.roots();
    info!(
        change = standing.sequence(),
        version = roots.named().version,
        device = roots.device().len(),
        signing = roots.signing().len(),
        "{what}"
    );
}
