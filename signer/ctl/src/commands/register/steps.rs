//! The steps of a plan, as a table and as JSON: how far it has come, who does what comes next, and what is typed for it.
//! Pure.

use serde_json::{Value, json};

use crate::output::{
    Report,
    table::{Column, Table},
    utc,
};

/// So many of the lines to type are printed for people.
const PRINTED: usize = 4;

/// Whether a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is, by the verified history or by what the service shows.
    Done,
    /// It is not.
    Open,
    /// That cannot be seen from here.
    Hidden,
}

impl Seen {
    pub(super) fn is(done: bool) -> Self {
        if done { Self::Done } else { Self::Open }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) seen: Seen,
    /// Unix seconds: when it happens, or the earliest time at which it can.
    pub(super) when: Option<u64>,
    pub(super) who: &'static str,
    /// What is typed, in this order.
    pub(super) commands: Vec<String>,
    /// What is missing, or what to look at.
    pub(super) detail: Option<String>,
}

impl Step {
    pub(super) fn new(what: impl Into<String>, seen: Seen) -> Self {
        Self {
            what: what.into(),
            seen,
            when: None,
            who: "",
            commands: Vec::new(),
            detail: None,
        }
    }

    /// Who does it, by typing this.
    pub(super) fn by(mut self, who: &'static str, commands: Vec<String>) -> Self {
        self.who = who;
        self.commands = commands;
        self
    }

    pub(super) fn at(mut self, when: Option<u64>) -> Self {
        self.when = when;
        self
    }

    pub(super) fn detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail;
        self
    }
}

/// Of each step; the first that is open is the next one.
fn states(steps: &[Step]) -> Vec<&'static str> {
    let next = steps.iter().position(|step| step.seen == Seen::Open);
    let state = |(place, step): (usize, &Step)| match step.seen {
        Seen::Done => "done",
        Seen::Hidden => "ask",
        Seen::Open if Some(place) == next => "next",
        Seen::Open => "later",
    };
    steps.iter().enumerate().map(state).collect()
}

/// The step that comes next, if any is open.
pub(super) fn next(steps: &[Step]) -> Option<&Step> {
    steps.iter().find(|step| step.seen == Seen::Open)
}

pub(super) fn json(steps: &[Step]) -> Vec<Value> {
    let told = |(step, state): (&Step, &str)| {
        json!({
            "step": step.what,
            "state": state,
            "when": step.when,
            "who": step.who,
            "commands": step.commands,
            "detail": step.detail,
        })
    };
    steps.iter().zip(states(steps)).map(told).collect()
}

pub(super) fn table(steps: &[Step]) -> Table {
    let columns = ["STEP", "STATE", "WHEN"].map(Column::whole);
    let rows = steps.iter().zip(states(steps));
    rows.fold(Table::new(columns), |table, (step, state)| {
        let when = step.when.map_or(String::new(), moment);
        table.row([step.what.clone(), state.to_owned(), when])
    })
}

/// What is missing, and what comes next with whoever does it.
pub(super) fn told(report: Report, steps: &[Step]) -> Report {
    let asked = steps.iter().filter(|step| step.seen == Seen::Hidden);
    let report = asked.fold(report, |report, step| lines(report, "ask", step));
    match next(steps) {
        Some(step) => lines(report, "next", step),
        None => report,
    }
}

fn lines(report: Report, label: &'static str, step: &Step) -> Report {
    let report = report.row(label, format!("{}: {}", step.who, step.what));
    let report = report.row_if("", step.detail.as_ref());
    let printed = step.commands.iter().take(PRINTED);
    let report = printed.fold(report, |report, command| report.row("", command));
    let more = step.commands.len().saturating_sub(PRINTED);
    report.row_if(
        "",
        (more > 0).then(|| format!("and {more} more: --json has all of them")),
    )
}

pub(super) fn moment(seconds: u64) -> String {
    utc(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::output::Form;

    #[test]
    fn the_first_open_step_is_next_and_no_hidden_one_holds_it_up() {
        let steps = [Seen::Done, Seen::Hidden, Seen::Open, Seen::Done, Seen::Open]
            .map(|seen| Step::new("it", seen));
        assert_eq!(states(&steps), ["done", "ask", "next", "done", "later"]);
        assert_eq!(states(&steps[..2]), ["done", "ask"]);
        assert_eq!(next(&steps[..2]), None);
    }

    #[test]
    fn people_read_the_first_lines_and_programs_all() {
        let commands: Vec<String> = (0..6).map(|number| format!("type {number}")).collect();
        let step = Step::new("it", Seen::Open).by("somebody", commands.clone());
        let read = told(Report::new(Value::Null), std::slice::from_ref(&step));
        let read = read.render(Form::Lines { columns: 80 });
        assert!(read.contains("somebody: it"), "{read}");
        assert!(
            read.contains("type 3\n") && !read.contains("type 4"),
            "{read}"
        );
        assert!(read.contains("and 2 more"), "{read}");
        assert_eq!(json(&[step])[0]["commands"], json!(commands));
    }
}
