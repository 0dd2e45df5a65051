//! Owns the rehearsal of a worker process that may say anything: the service's side of one token, from the socket to those
//! who wait for a result, with nobody's process at the other end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use tokio::sync::oneshot;

use super::error::{Fault, WORKER};
use super::job::{Job, Work};
use super::supervisor::NoStart;
use super::token::{TokenPool, Verdict};
use super::wire::{self, Answer, Begun, LONGEST, Received};
use super::{Gauges, Health, HsmError, Settings, Token, TokenReport};
use crate::metrics::Metrics;

/// So long a packet is waited for; all that are said lie there already.
const TICK: Duration = Duration::from_millis(1);

/// What a process says that says nothing.
const NOTHING: &[u8] = &[];

/// One token as the service sees it, without a process.
pub struct Rehearsal {
    settings: Settings,
    token: Token,
    pool: TokenPool,
    waiting: Vec<Waiting>,
    buffer: Vec<u8>,
}

enum Waiting {
    Signature(oneshot::Receiver<Result<[u8; 64], HsmError>>),
    Random(oneshot::Receiver<Result<Vec<u8>, HsmError>>),
}

impl Rehearsal {
    /// Of this token, with `settings.workers` places.
    pub fn new(settings: Settings, token: Token, metrics: &Metrics) -> Self {
        let meter = metrics.token(&token.institution, &token.label);
        Self {
            pool: TokenPool::new(&settings, token.clone(), meter),
            settings,
            token,
            waiting: Vec::new(),
            buffer: vec![0; LONGEST],
        }
    }

    /// Asks for a signature by the token's first key, and for 16 random octets.
    ///
    /// # Errors
    /// Neither is queued, or the second is not.
    pub fn ask(&mut self, deadline: Instant) -> Result<(), HsmError> {
        let (reply, signature) = oneshot::channel();
        if let Some(key) = self.token.keys.first() {
            let (key, digest) = (key.id, [0; 32]);
            let work = Work::Sign { key, digest, reply };
            self.pool.submit(Job::new(deadline, work))?;
            self.waiting.push(Waiting::Signature(signature));
        }
        let (reply, random) = oneshot::channel();
        let work = Work::Random { length: 16, reply };
        self.pool.submit(Job::new(deadline, work))?;
        self.waiting.push(Waiting::Random(random));
        Ok(())
    }

    /// The life of a process at `place` that sends these packets, one after the other, and ends: what it reported, and how
    /// many of its answers were heard.
    ///
    /// # Errors
    /// There is no socket, or a packet is too long for it.
    pub fn life(
        &mut self,
        place: usize,
        packets: &[&[u8]],
    ) -> io::Result<(Option<TokenReport>, usize)> {
        if self.pool.is_over() {
            return Ok((None, 0));
        }
        let (ours, theirs) = link()?;
        let (first, answers) = packets.split_first().unwrap_or((&NOTHING, &[]));
        let begun = self.say::<Begun>(&ours, &theirs, first)?;
        let report = begun.map_or(Err(None), |begun| begun.report(&self.token, &self.settings));
        let report = match report.map_err(NoStart::said) {
            Ok(report) => report,
            Err(no) => {
                if let Some(failure) = no.failure() {
                    self.pool.not_replaced(failure);
                }
                return Ok((None, 0));
            }
        };
        let ours = Arc::new(ours);
        self.pool.found(report.clone());
        self.pool.joined(place, Arc::clone(&ours), report.threads);
        let mut heard = 0;
        let mut verdict = Verdict::GoOn;
        for answer in answers {
            let Some(answer) = self.say::<Answer>(&ours, &theirs, answer)? else {
                break;
            };
            heard += 1;
            verdict = self.pool.answered(place, answer);
            if verdict != Verdict::GoOn {
                break;
            }
        }
        let fault = match verdict {
            Verdict::Replace(why) => why,
            Verdict::GoOn | Verdict::End => Fault::new(WORKER, "ended"),
        };
        self.pool.left(place, &fault);
        Ok((Some(report), heard))
    }

    fn say<T: prost::Message + Default>(
        &mut self,
        ours: &OwnedFd,
        theirs: &OwnedFd,
        packet: &[u8],
    ) -> io::Result<Option<T>> {
        send(theirs, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(match wire::take(ours, &mut self.buffer) {
            Ok(Received::Message(message)) => Some(message),
            Ok(Received::Nothing | Received::End) | Err(_) => None,
        })
    }

    /// How the token fares.
    pub fn health(&self) -> Health {
        self.pool.health()
    }

    /// What the metrics show of it.
    pub fn gauges(&self) -> Gauges {
        self.pool.gauges()
    }

    /// Ends it. What came of each piece of work, in the order of asking; nothing if whoever asked would wait for ever.
    pub fn end(self) -> Vec<Option<Result<Vec<u8>, HsmError>>> {
        self.pool.stop();
        for place in 0..self.settings.workers {
            self.pool.left(place, &Fault::new(WORKER, "ended"));
        }
        self.waiting.into_iter().map(Waiting::came).collect()
    }
}

/// Our end and theirs.
fn link() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (ours, theirs) = socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&ours, Timeout::Recv, Some(TICK))?;
    Ok((ours, theirs))
}

impl Waiting {
    fn came(self) -> Option<Result<Vec<u8>, HsmError>> {
        match self {
            Self::Signature(mut reply) => reply.try_recv().ok().map(|came| came.map(Vec::from)),
            Self::Random(mut reply) => reply.try_recv().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use prost::Message as _;

    use super::*;

    fn rehearsal(workers: usize) -> Rehearsal {
        let settings = Settings {
            program: Settings::THIS_PROGRAM.into(),
            module: "/module.so".into(),
            environment: Vec::new(),
            network: false,
            workers,
            hung: Duration::from_secs(10),
            threads: 2,
            queue: 4,
        };
        let token = Token {
            institution: "alfa".parse().unwrap(),
            label: "alfa".to_owned(),
            pin: "1234".into(),
            keys: Vec::new(),
        };
        Rehearsal::new(settings, token, &Metrics::none())
    }

    /// A report of two threads, and so many times the same answer.
    fn said(answer: Answer, times: usize) -> Vec<Vec<u8>> {
        let mut packets = vec![vec![0x0a, 2, 0x28, 2]];
        packets.resize(times + 1, answer.encode_to_vec());
        packets
    }

    fn life(rehearsal: &mut Rehearsal, place: usize, said: &[Vec<u8>]) -> usize {
        let packets: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
        rehearsal.life(place, &packets).unwrap().1
    }

    #[test]
    fn numbers_of_a_process_that_boasts_stop_no_metrics_and_no_supervisor() {
        let mut rehearsal = rehearsal(2);
        let boast = Answer {
            logins: u64::MAX,
            sessions: u32::MAX,
            nanos: u64::MAX,
            ..Answer::default()
        };
        for place in [0, 1, 0] {
            assert_eq!(life(&mut rehearsal, place, &said(boast.clone(), 1)), 1);
        }
        let gauges = rehearsal.gauges();
        assert_eq!((gauges.logins, gauges.sessions), (u64::MAX, 0));
        assert_eq!(gauges.replaced, 3);
    }

    #[test]
    fn a_process_that_babbles_is_replaced() {
        let mut rehearsal = rehearsal(1);
        let unasked = Answer {
            logins: 1,
            ..Answer::default()
        };
        let unasked = said(unasked, 1_000);
        let heard = life(&mut rehearsal, 0, &unasked);
        assert!((101..1_000).contains(&heard), "{heard}");
        let Health::Replacing(fault) = rehearsal.health() else {
            unreachable!("{:?}", rehearsal.health())
        };
        assert_eq!(fault.code(), "answers what it was not asked");
        // The next one is heard anew, and what it was asked meanwhile it may answer.
        let soon = Instant::now() + Duration::from_secs(60);
        rehearsal.ask(soon).unwrap();
        let octets = vec![5; 16];
        let answer = Answer {
            id: 1,
            octets: octets.clone(),
            ..Answer::default()
        };
        assert_eq!(life(&mut rehearsal, 0, &said(answer, 1)), 1);
        assert_eq!(rehearsal.end(), [Some(Ok(octets))]);
    }
}
