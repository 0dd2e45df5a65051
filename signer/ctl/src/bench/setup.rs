//! Before the load: its first phones, enrolled and accepted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{
    live::Live,
    outcome::Outcome,
    plan::{Driving, Plan},
    pool::staggered,
    work::{Answer, Job, Stage, Work},
};
use crate::failure::Failure;

/// Phones that are made at a time.
const AT_A_TIME: usize = 16;
/// How long the service may tell us to wait in all, or not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the setup did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepared {
    /// Phones that were enrolled and accepted.
    pub phones: u32,
    /// Requests that were refused for the moment, and sent again.
    pub repeated: u64,
    /// How long it took.
    pub took: Duration,
}

/// The phones that the load begins with: enough that none is waited for.
#[must_use]
pub fn first_phones(plan: &Plan) -> u32 {
    let phones = match plan.driving {
        Driving::Closed { concurrency } => concurrency.saturating_mul(2),
        // Those of two seconds.
        Driving::Open {
            per_second,
            in_flight,
            ..
        } => {
            let two = Duration::try_from_secs_f64(per_second * 2.0).unwrap_or_default();
            let two = usize::try_from(two.as_secs()).unwrap_or(in_flight);
            two.min(in_flight).max(32)
        }
    };
    u32::try_from(phones).unwrap_or(u32::MAX).clamp(16, 4_096)
}

/// Makes `phones` phones.
///
/// # Errors
/// The service refuses one for good, or does not answer in a minute.
pub async fn make(work: &Arc<Work>, phones: u32, live: &mut Live) -> Result<Prepared, Failure> {
    let started = Instant::now();
    let tickets = Arc::new(AtomicU32::new(0));
    let repeated = Arc::new(AtomicU64::new(0));
    let (made, mut progress) = watch::channel(0_u32);
    let mut makers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (work, tickets) = (Arc::clone(work), Arc::clone(&tickets));
        let (repeated, made) = (Arc::clone(&repeated), made.clone());
        makers.spawn(async move {
            let mut maker = Maker {
                work,
                repeated,
                until: started + PATIENCE,
            };
            loop {
                let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                if ticket >= phones {
                    return Ok::<_, Failure>(());
                }
                maker.make(ticket, phones).await?;
                made.send_modify(|made| *made = made.saturating_add(1));
            }
        });
    }
    drop(made);
    while progress.changed().await.is_ok() {
        live.setup(*progress.borrow_and_update(), phones);
    }
    while let Some(maker) = makers.join_next().await {
        maker.map_err(Failure::bad_answer)??;
    }
    Ok(Prepared {
        phones,
        repeated: repeated.load(Ordering::Relaxed),
        took: started.elapsed(),
    })
}

struct Maker {
    work: Arc<Work>,
    repeated: Arc<AtomicU64>,
    until: Instant,
}

impl Maker {
    /// One phone, from its key to its acceptance.
    async fn make(&mut self, number: u32, phones: u32) -> Result<(), Failure> {
        let orders = staggered(number, phones, self.work.plan().orders_per_phone);
        self.persist(orders, || Work::enrolment().map(Some)).await?;
        let work = Arc::clone(&self.work);
        self.persist(orders, || Ok(work.acceptance())).await
    }

    /// Sends requests of this kind until one is done.
    async fn persist(
        &mut self,
        orders: u32,
        job: impl Fn() -> Result<Option<Job>, Failure>,
    ) -> Result<(), Failure> {
        let (_stage, mut stage) = watch::channel(Stage::Running);
        loop {
            let job = job()?.ok_or_else(|| Failure::bad_answer("a phone was lost"))?;
            let answer = self.work.run(job, orders, &mut stage).await;
            if answer.outcome == Outcome::Done {
                return Ok(());
            }
            let Some(pause) = self.may_wait(&answer) else {
                return Err(self.failure(answer));
            };
            self.repeated.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
    }

    fn may_wait(&self, answer: &Answer) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        answer.pause.filter(|pause| *pause < left)
    }

    fn failure(&self, answer: Answer) -> Failure {
        let wrong = || self.work.checks.first_wrong().unwrap_or_default();
        answer.status.map_or_else(
            || Failure::bad_answer(wrong()),
            |status| Failure::from(*status),
        )
    }
}
