//! Another institution, which has a few orders co-signed at a steady rate: first alone, then beside the load. What the load
//! of one does to another is the difference.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    drivers,
    live::Live,
    load::{self, Ended, Load},
    outcome::Outcome,
    plan::Plan,
    report,
    schedule::Kind,
    setup::Prepared,
    statistics::{Latency, Tallies, number},
    work::Work,
};
use crate::{
    failure::Failure,
    output::table::{Column, Table},
};

/// The other institution's orders.
#[derive(Debug)]
pub struct Neighbour {
    work: Arc<Work>,
    phones: u32,
}

/// What became of them.
#[derive(Debug)]
pub struct Compared {
    /// What they were to be.
    pub plan: Plan,
    /// The phones that they began with.
    pub phones: u32,
    /// Before the load.
    pub alone: Ended,
    /// While it ran.
    pub beside: Ended,
    /// What was wrong with the first wrong answer.
    pub first_wrong: Option<String>,
}

impl Neighbour {
    /// With its first phones.
    #[must_use]
    pub fn of((work, prepared): (Arc<Work>, Prepared)) -> Self {
        let phones = prepared.phones;
        Self { work, phones }
    }

    /// Orders, with nothing beside it, for as long as the load will take.
    ///
    /// # Errors
    /// A request could not be made, or `interrupts` gave something: there is nothing to compare with then.
    pub async fn alone(
        &self,
        live: &mut Live,
        interrupts: impl AsyncFnMut(),
    ) -> Result<Ended, Failure> {
        live.step(&format!("{}, alone", self.work.plan().terms.payer));
        let ended = self.orders(live, interrupts).await?;
        if ended.interrupted {
            return Err(Failure::usage(
                "--beside: ended before the load began",
                "let it order alone for as long as the load takes, or leave it out",
            ));
        }
        Ok(ended)
    }

    /// Orders beside `load`, and no longer than that.
    ///
    /// # Errors
    /// As above, or those of `load`.
    pub async fn beside(
        self,
        alone: Ended,
        load: impl Future<Output = Result<Ended, Failure>>,
    ) -> Result<(Ended, Compared), Failure> {
        let over = Notify::new();
        let load = async {
            let ended = load.await;
            over.notify_one();
            ended
        };
        let mut silent = Live::silent();
        let orders = self.orders(&mut silent, async || over.notified().await);
        let (ended, beside) = tokio::join!(load, orders);
        let compared = Compared {
            plan: self.work.plan().clone(),
            phones: self.phones,
            alone,
            beside: beside?,
            first_wrong: self.work.checks.first_wrong(),
        };
        Ok((ended?, compared))
    }

    async fn orders(
        &self,
        live: &mut Live,
        interrupts: impl AsyncFnMut(),
    ) -> Result<Ended, Failure> {
        let load = Load::new(Arc::clone(&self.work));
        let drivers = drivers::start(&load);
        load::run(load, drivers, live, interrupts).await
    }
}

/// A half of the comparison, as it is told.
struct Half<'a> {
    ended: &'a Ended,
    seconds: f64,
}

impl Half<'_> {
    fn tallies(&self) -> &Tallies {
        &self.ended.recorder.measured
    }

    fn latency(&self) -> Option<Latency> {
        self.tallies().of(Kind::Cosign).latency()
    }

    fn done(&self) -> u64 {
        self.tallies().of(Kind::Cosign).done()
    }

    /// Orders that had another end than an authorization, those that were due and not sent included.
    fn not_done(&self) -> u64 {
        let cosign = self.tallies().of(Kind::Cosign);
        let [_, not_sent] = self.ended.recorder.not_sent;
        let refused = cosign.sent().saturating_sub(cosign.done());
        refused.saturating_add(not_sent)
    }

    fn json(&self) -> Value {
        let [_, not_sent] = self.ended.recorder.not_sent;
        let mut json = report::phase(self.tallies(), not_sent);
        if let Some(all) = json.as_object_mut() {
            all.insert("seconds".to_owned(), json!(self.seconds));
            all.insert("cosigned".to_owned(), json!(self.done()));
            let latency = self.latency().map(report::latency);
            all.insert("latency_ms".to_owned(), json!(latency));
        }
        json
    }

    fn row(&self, when: &str) -> [String; 6] {
        let latency = self.latency();
        let shown = |quantile: fn(Latency) -> f64| {
            latency.map_or_else(|| "-".to_owned(), |l| format!("{:.2}", quantile(l)))
        };
        [
            when.to_owned(),
            self.done().to_string(),
            self.not_done().to_string(),
            shown(|latency| latency.p50),
            shown(|latency| latency.p99),
            shown(|latency| latency.max),
        ]
    }
}

impl Compared {
    fn halves(&self) -> [Half<'_>; 2] {
        [&self.alone, &self.beside].map(|ended| Half {
            ended,
            seconds: ended.after.saturating_sub(self.plan.warm_up).as_secs_f64(),
        })
    }

    /// How many times as long as alone it took beside the load: the median, and what 99 of 100 stay below. None without
    /// right answers in both.
    #[must_use]
    pub fn latency_ratios(&self) -> Option<(f64, f64)> {
        let [alone, beside] = self.halves();
        let (alone, beside) = (alone.latency()?, beside.latency()?);
        Some((beside.p50 / alone.p50, beside.p99 / alone.p99))
    }

    /// Which share of the orders ended with an authorization beside the load.
    #[must_use]
    pub fn done_share(&self) -> Option<f64> {
        let [_, beside] = self.halves();
        let all = beside.done().saturating_add(beside.not_done());
        (all > 0).then(|| number(beside.done()) / number(all))
    }

    /// Wrong answers in both.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let recorders = [&self.alone.recorder, &self.beside.recorder];
        let outcomes = recorders.into_iter().flat_map(|recorder| {
            let measured = recorder.measured.outcomes();
            recorder.before.outcomes().chain(measured)
        });
        let wrong = outcomes.filter(|(_, outcome, _)| **outcome == Outcome::Wrong);
        wrong.map(|(_, _, count)| count.times).sum()
    }

    /// Both halves for people.
    #[must_use]
    pub fn table(&self) -> Table {
        let payer = &self.plan.terms.payer;
        let headings = ["DONE", "NOT DONE", "P50 MS", "P99", "MAX"].map(Column::number);
        let when = Column::whole("ANOTHER INSTITUTION");
        let table = Table::new([when].into_iter().chain(headings));
        let [alone, beside] = self.halves();
        let table = table.row(alone.row(&format!("{payer} alone")));
        table.row(beside.row(&format!("{payer} beside the load")))
    }

    /// All of it, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let [alone, beside] = self.halves();
        let ratios = self.latency_ratios();
        json!({
            "institution": self.plan.terms.payer.as_str(),
            "phones": self.phones,
            "alone": alone.json(),
            "beside": beside.json(),
            "done_share": self.done_share(),
            "p50_ratio": ratios.map(|(p50, _)| p50),
            "p99_ratio": ratios.map(|(_, p99)| p99),
        })
    }
}
