//! Owns the sharing out of descriptors (RLIMIT_NOFILE): what the service opens itself is set aside, so that connections
//! never take from it what the token and the record need.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::{config::Config, http};

/// The most handshakes at a time. Strangers can fill these places and no others.
const MAX_HANDSHAKES: usize = 256;
/// Open beside connections: the record with its log, listeners, files that are read anew, the way to a collector.
const FILES: usize = 128;
/// Open for a worker process: the socket to it, and some while another one is started. What its module opens is its own.
const OF_A_WORKER: usize = 4;
/// With fewer for connections it makes no sense to serve.
const FEWEST: usize = 16;

/// Too few for the service itself.
#[derive(Debug, thiserror::Error)]
pub enum TooFew {
    /// By this limit.
    #[error(
        "the system gives this process {limit} open files, and {needed} are needed; raise the limit (`ulimit -n`, LimitNOFILE= of a unit)"
    )]
    Limit {
        /// RLIMIT_NOFILE.
        limit: usize,
        /// What is needed at least.
        needed: usize,
    },
    /// The limit cannot be set.
    #[error("the limit of open files cannot be raised to what the system allows: {0}")]
    Raise(#[from] io::Error),
}

/// What gRPC may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Connections.
    pub(super) connections: usize,
    /// Handshakes beside these.
    pub(super) handshakes: usize,
}

impl Room {
    /// Raises the limit to what the system allows, and shares it out. Says so if that is less than is configured.
    pub(super) fn of(config: &Config) -> Result<Self, TooFew> {
        let wanted = config.grpc.max_connections;
        let workers = config.hsm.workers.saturating_mul(config.institutions.len());
        let own = FILES
            .saturating_add(http::STRANGERS)
            .saturating_add(http::admin::NEIGHBOURS)
            .saturating_add(workers.saturating_mul(OF_A_WORKER));
        let limit = raised()?;
        let room = share_out(limit, own, wanted)?;
        if room.connections < wanted {
            warn!(
                max_connections = wanted,
                served = room.connections,
                open_files = limit,
                "the limit of open files allows fewer connections than the configuration; raise it (`ulimit -n`, LimitNOFILE= of a unit)"
            );
        }
        Ok(room)
    }
}

/// The limit, which is then as high as an unprivileged process can set it.
fn raised() -> io::Result<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    // None: unlimited.
    let limit = maximum.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(limit.unwrap_or(usize::MAX))
}

fn share_out(limit: usize, own: usize, wanted: usize) -> Result<Room, TooFew> {
    let left = limit.saturating_sub(own);
    if left < FEWEST {
        return Err(TooFew::Limit {
            limit,
            needed: own.saturating_add(FEWEST),
        });
    }
    let handshakes = MAX_HANDSHAKES.min(left / 4);
    Ok(Room {
        connections: wanted.min(left.saturating_sub(handshakes)),
        handshakes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_shared_out_is_never_more_than_there_is() {
        for (limit, own, wanted, connections, handshakes) in [
            (20_000, 300, 1_024, 1_024, 256),
            (1_580, 300, 1_024, 1_024, 256),
            (1_579, 300, 1_024, 1_023, 256),
            (400, 300, 1_024, 75, 25),
            (316, 300, 1_024, 12, 4),
            (usize::MAX, 300, 8, 8, 256),
        ] {
            let room = share_out(limit, own, wanted).unwrap();
            let expected = Room {
                connections,
                handshakes,
            };
            assert_eq!(room, expected, "{limit}");
            assert!(own + room.connections + room.handshakes <= limit);
        }
        let refused = share_out(315, 300, 1_024).unwrap_err();
        assert!(matches!(
            refused,
            TooFew::Limit {
                limit: 315,
                needed: 316
            }
        ));
    }
}
