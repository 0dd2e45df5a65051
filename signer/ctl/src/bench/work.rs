//! One request of the load: made, sent, timed, its answer checked, its phone put where it belongs.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use semops_proto::v1::{
    AcceptDeviceResponse, CosignOrderRequest, CosignOrderResponse, EnrollDeviceRequest,
    EnrollDeviceResponse,
};
use tokio::sync::watch;
use tonic::Status;

use super::{
    authorities::Authorities,
    callers::Callers,
    order::Placed,
    outcome::Outcome,
    phone::{NewPhone, Phone},
    plan::Plan,
    pool::{Fate, Held, Pool},
    refusal::Refused,
    schedule::{Kind, turn},
};
use crate::failure::Failure;

/// How long a caller waits who lost the connection, or is told to wait without being told how long.
const PAUSE: Duration = Duration::from_millis(100);

/// How far the load has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Stage {
    /// Requests are sent.
    Running,
    /// No more are sent; those under way are answered.
    Ending,
    /// Nobody waits for them any more.
    Abandoned,
}

/// Everything that a request needs.
#[derive(Debug)]
pub struct Work {
    plan: Plan,
    callers: Callers,
    authorities: Authorities,
    pool: Mutex<Pool<Phone>>,
    /// The phones'.
    clock: fn() -> SystemTime,
    started: Instant,
    turns: AtomicU64,
    stand_ins: AtomicU64,
    /// Checks of authorizations so far.
    pub checks: Checks,
}

/// What was checked, and found.
#[derive(Debug, Default)]
pub struct Checks {
    authorizations: AtomicU64,
    signatures: AtomicU64,
    first_wrong: Mutex<Option<String>>,
}

impl Checks {
    /// Authorizations that were checked against their orders.
    #[must_use]
    pub fn authorizations(&self) -> u64 {
        self.authorizations.load(Ordering::Relaxed)
    }

    /// Those whose signature was verified.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.signatures.load(Ordering::Relaxed)
    }

    /// What was wrong with the first wrong answer.
    #[must_use]
    pub fn first_wrong(&self) -> Option<String> {
        lock(&self.first_wrong).clone()
    }

    fn judge(&self, checked: Result<(), String>) -> Outcome {
        match checked {
            Ok(()) => Outcome::Done,
            Err(wrong) => {
                lock(&self.first_wrong).get_or_insert(wrong);
                Outcome::Wrong
            }
        }
    }
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub enum Job {
    /// Enrols a phone.
    Enroll(NewPhone, EnrollDeviceRequest),
    /// Has it accepted.
    Accept(Phone),
    /// Has its order co-signed.
    Cosign(Held<Phone>, Placed),
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// What it was.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// When the answer came, before it was looked at.
    pub at: Instant,
    /// After what time the service said to call again.
    pub retry_after: Option<Duration>,
    /// How long a caller that is in no hurry waits before its next request.
    pub pause: Option<Duration>,
    /// What the service said when it refused, or the transport when it failed.
    pub status: Option<Box<Status>>,
}

/// An answer, or why there is none; and when that was.
struct Reply<T> {
    result: Result<T, Refused>,
    at: Instant,
}

impl Work {
    /// The work of a plan; `clock` is that of the phones.
    #[must_use]
    pub fn new(
        plan: Plan,
        callers: Callers,
        authorities: Authorities,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            plan,
            callers,
            authorities,
            pool: Mutex::default(),
            clock,
            started: Instant::now(),
            turns: AtomicU64::new(0),
            stand_ins: AtomicU64::new(0),
            checks: Checks::default(),
        }
    }

    /// What the load is to be.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether signatures can be verified.
    #[must_use]
    pub fn can_verify(&self) -> bool {
        self.authorities.are_known()
    }

    /// The request whose turn it is; without a phone for it, the one that brings a phone nearer.
    ///
    /// # Errors
    /// No random source.
    pub fn next(&self) -> Result<Job, Failure> {
        let number = self.turns.fetch_add(1, Ordering::Relaxed);
        let mut job = match turn(number, self.plan.enrolments) {
            Kind::Enroll => return Self::enrolment(),
            Kind::Accept => self.acceptance(),
            Kind::Cosign => None,
        };
        if job.is_none() {
            job = self.order()?;
        }
        if let Some(job) = job {
            return Ok(job);
        }
        self.stand_ins.fetch_add(1, Ordering::Relaxed);
        self.acceptance().map_or_else(Self::enrolment, Ok)
    }

    /// Enrolments and acceptances that came in the place of orders, for no phone was free to order.
    #[must_use]
    pub fn stand_ins(&self) -> u64 {
        self.stand_ins.load(Ordering::Relaxed)
    }

    /// A new phone that enrols.
    ///
    /// # Errors
    /// No random source.
    pub fn enrolment() -> Result<Job, Failure> {
        let (phone, request) = NewPhone::make()?;
        Ok(Job::Enroll(phone, request))
    }

    /// The acceptance of an enrolled phone, if there is one.
    #[must_use]
    pub fn acceptance(&self) -> Option<Job> {
        self.pool().take_enrolled().map(Job::Accept)
    }

    fn order(&self) -> Result<Option<Job>, Failure> {
        let Some(held) = self.pool().take(self.started.elapsed()) else {
            return Ok(None);
        };
        let now = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let placed = held.phone.sign(&self.plan.terms.order(now))?;
        Ok(Some(Job::Cosign(held, placed)))
    }

    /// A request that was made and not sent.
    pub fn take_back(&self, job: Job) {
        match job {
            Job::Enroll(..) => {}
            Job::Accept(phone) => self.pool().enrolled(phone),
            Job::Cosign(held, _) => self.pool().put_back(held),
        }
    }

    /// Sends a request and sees it to its end; a phone that is accepted gets `orders` to come.
    pub async fn run(&self, job: Job, orders: u32, stage: &mut watch::Receiver<Stage>) -> Answer {
        match job {
            Job::Enroll(phone, request) => {
                let client = self.callers.enrolment.next();
                let reply = reply(client.enroll_device(request), stage).await;
                self.enrolled(phone, reply)
            }
            Job::Accept(phone) => {
                let client = self.callers.acceptance.next();
                let reply = reply(client.accept_device(phone.acceptance()), stage).await;
                self.accepted(phone, orders, reply)
            }
            Job::Cosign(held, placed) => {
                let ask = CosignOrderRequest {
                    order_jws: placed.jws.clone(),
                    ..CosignOrderRequest::default()
                };
                let client = self.callers.payments.next();
                let reply = reply(client.cosign_order(ask), stage).await;
                self.cosigned(held, &placed, reply)
            }
        }
    }

    fn enrolled(&self, phone: NewPhone, reply: Reply<EnrollDeviceResponse>) -> Answer {
        reply.judged(Kind::Enroll, |answer| {
            let checked = phone.enrolled(&answer);
            self.checks
                .judge(checked.map(|phone| self.pool().enrolled(phone)))
        })
    }

    fn accepted(&self, phone: Phone, orders: u32, reply: Reply<AcceptDeviceResponse>) -> Answer {
        if reply.result.as_ref().is_err_and(Refused::may_be_repeated) {
            self.pool().enrolled(phone);
            return reply.judged(Kind::Accept, |_| Outcome::Wrong);
        }
        reply.judged(Kind::Accept, |answer| {
            let said = answer.device.map(|device| device.device_id);
            let checked = if said.as_deref() == Some(phone.device_id()) {
                self.pool().accepted(phone, orders);
                Ok(())
            } else {
                Err("AcceptDevice: another device came back".to_owned())
            };
            self.checks.judge(checked)
        })
    }

    fn cosigned(
        &self,
        held: Held<Phone>,
        placed: &Placed,
        reply: Reply<CosignOrderResponse>,
    ) -> Answer {
        let fate = match &reply.result {
            Ok(_) => Fate::Ordered,
            Err(refused) => refused.fate(self.started.elapsed()),
        };
        self.pool().give_back(held, fate);
        reply.judged(Kind::Cosign, |answer| {
            let number = self.checks.authorizations.fetch_add(1, Ordering::Relaxed);
            let verify = self.can_verify() && number.is_multiple_of(self.plan.verify_every.max(1));
            if verify {
                self.checks.signatures.fetch_add(1, Ordering::Relaxed);
            }
            let terms = &self.plan.terms;
            self.checks
                .judge(self.authorities.check(terms, placed, &answer, verify))
        })
    }

    fn pool(&self) -> MutexGuard<'_, Pool<Phone>> {
        lock(&self.pool)
    }
}

impl<T> Reply<T> {
    /// The answer, its content judged by `judge` once the clock has stopped.
    fn judged(self, kind: Kind, judge: impl FnOnce(T) -> Outcome) -> Answer {
        let answer = Answer {
            kind,
            outcome: Outcome::Wrong,
            at: self.at,
            retry_after: None,
            pause: None,
            status: None,
        };
        match self.result {
            Ok(said) => Answer {
                outcome: judge(said),
                ..answer
            },
            Err(refused) => Answer {
                pause: refused.pause(PAUSE),
                retry_after: refused.retry_after,
                outcome: refused.outcome,
                status: refused.status,
                ..answer
            },
        }
    }
}

/// Waits for the answer to `call`, unless nobody does any more.
async fn reply<T>(
    call: impl Future<Output = Result<T, Status>>,
    stage: &mut watch::Receiver<Stage>,
) -> Reply<T> {
    let result = tokio::select! {
        biased;
        result = call => result.map_err(Refused::from),
        // The sender outlives every request.
        _ = stage.wait_for(|stage| *stage == Stage::Abandoned) => Err(Refused::abandoned()),
    };
    Reply {
        result,
        at: Instant::now(),
    }
}

/// What a lock protects here is whole at any time: each verb either happens or does not.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
