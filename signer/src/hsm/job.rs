//! Owns one piece of work for a token: what is asked, until when, and where its result goes.

use std::time::Instant;

use semops_pki::algorithm::PublicKey;
use tokio::sync::oneshot;
use tracing::Span;
use uuid::Uuid;

use super::Key;
use super::error::{Fault, HsmError, WORKER};
use super::report::KeyReport;
use super::wire::{self, WireKey};
use crate::domain::key::KeyId;
use crate::metrics::Call;

/// One piece of work for one token.
pub(super) struct Job {
    pub(super) deadline: Instant,
    pub(super) queued: Instant,
    /// Of the request that asks for it.
    pub(super) span: Span,
    pub(super) work: Work,
    /// How many worker processes it was lost with.
    pub(super) lost: u32,
}

/// Where the result of a job goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, HsmError>>;

/// What is to be done. Each may be done again when nobody knows whether it was.
pub(super) enum Work {
    Sign {
        key: KeyId,
        digest: [u8; 32],
        reply: Reply<[u8; 64]>,
    },
    Random {
        length: u32,
        reply: Reply<Vec<u8>>,
    },
    Generate {
        request: Uuid,
        label: &'static str,
        reply: Reply<PublicKey>,
    },
    Adopt {
        key: Box<Key>,
        request: Option<Uuid>,
        reply: Reply<KeyReport>,
    },
    Destroy {
        key: KeyId,
        reply: Reply<()>,
    },
    /// The service itself asks whether session and login are good.
    Tend,
}

impl Job {
    pub(super) fn new(deadline: Instant, work: Work) -> Self {
        Self {
            deadline,
            queued: Instant::now(),
            span: Span::current(),
            work,
            lost: 0,
        }
    }

    /// Whether it is too late, or nobody waits any more.
    pub(super) fn is_over(&self) -> bool {
        let gone = match &self.work {
            Work::Sign { reply, .. } => reply.is_closed(),
            Work::Random { reply, .. } => reply.is_closed(),
            Work::Generate { reply, .. } => reply.is_closed(),
            Work::Adopt { reply, .. } => reply.is_closed(),
            Work::Destroy { reply, .. } => reply.is_closed(),
            Work::Tend => false,
        };
        gone || Instant::now() >= self.deadline
    }

    /// What a worker process is told of it.
    pub(super) fn told(&self, id: u64) -> wire::Job {
        let order = match &self.work {
            Work::Sign { key, digest, .. } => wire::Order::Sign(wire::Sign {
                key: key.as_bytes().to_vec(),
                digest: digest.to_vec(),
            }),
            Work::Random { length, .. } => wire::Order::Random(*length),
            Work::Generate { request, label, .. } => wire::Order::Generate(wire::Generate {
                request: request.into_bytes().to_vec(),
                label: (*label).to_owned(),
            }),
            Work::Adopt { key, request, .. } => wire::Order::Adopt(wire::Adopt {
                key: Some(WireKey::from(key.as_ref())),
                request: request.map(|request| request.into_bytes().to_vec()),
            }),
            Work::Destroy { key, .. } => wire::Order::Destroy(key.as_bytes().to_vec()),
            Work::Tend => wire::Order::Tend(wire::Tend {}),
        };
        wire::Job {
            id,
            deadline: wire::shared(self.deadline),
            order: Some(order),
        }
    }

    /// The name that the metrics have for it; none for what no request asks for.
    pub(super) fn call(&self) -> Option<Call> {
        match self.work {
            Work::Sign { .. } => Some(Call::Sign),
            Work::Random { .. } => Some(Call::Random),
            Work::Generate { .. } => Some(Call::Generate),
            Work::Adopt { .. } => Some(Call::Adopt),
            Work::Destroy { .. } => Some(Call::Destroy),
            Work::Tend => None,
        }
    }

    /// Gives the result to whoever asked; who has gone misses nothing.
    pub(super) fn done(self, octets: Vec<u8>) {
        match self.work {
            Work::Sign { reply, .. } => {
                let signature = octets.try_into().map_err(|odd: Vec<u8>| {
                    let code = format!("a signature of {} octets, not 64", odd.len());
                    HsmError::Rejected(Fault::new("C_Sign", code))
                });
                drop(reply.send(signature));
            }
            Work::Random { reply, .. } => drop(reply.send(Ok(octets))),
            Work::Generate { reply, .. } => {
                let public = PublicKey::from_sec1(&octets);
                drop(reply.send(public.map_err(|_| odd("no public key"))));
            }
            Work::Adopt { key, reply, .. } => {
                let report = wire::adopted(&octets, &key);
                drop(reply.send(report.ok_or_else(|| odd("another key than was asked for"))));
            }
            Work::Destroy { reply, .. } => drop(reply.send(Ok(()))),
            Work::Tend => {}
        }
    }

    /// Says why there is no result.
    pub(super) fn failed(self, error: HsmError) {
        match self.work {
            Work::Sign { reply, .. } => drop(reply.send(Err(error))),
            Work::Random { reply, .. } => drop(reply.send(Err(error))),
            Work::Generate { reply, .. } => drop(reply.send(Err(error))),
            Work::Adopt { reply, .. } => drop(reply.send(Err(error))),
            Work::Destroy { reply, .. } => drop(reply.send(Err(error))),
            Work::Tend => {}
        }
    }
}

/// The process answered what was not asked.
fn odd(code: &str) -> HsmError {
    HsmError::Rejected(Fault::new(WORKER, code))
}
