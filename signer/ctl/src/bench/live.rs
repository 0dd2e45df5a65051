//! What is seen while the load runs: a bar on a terminal, a line per second elsewhere, nothing beside JSON for programs.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{schedule::Kind, series::Row};

/// Shows how far it is.
#[derive(Debug)]
pub struct Live {
    shown: Shown,
    /// Seconds of the whole load.
    total: u64,
    last: Option<Instant>,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Live {
    /// On standard error; for a load of `total`.
    #[must_use]
    pub fn on_stderr(json: bool, total: Duration) -> Self {
        let shown = if io::stderr().is_terminal() {
            Shown::Bar(bar())
        } else if json {
            Shown::Nothing
        } else {
            Shown::Lines
        };
        Self {
            shown,
            total: total.as_secs().max(1),
            last: None,
        }
    }

    /// Shows nothing, for what runs beside something that is shown.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            shown: Shown::Nothing,
            total: 1,
            last: None,
        }
    }

    /// A step that takes a while.
    pub fn step(&self, what: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.set_message(what.to_owned()),
            Shown::Lines => line(what),
            Shown::Nothing => {}
        }
    }

    /// The setup has come so far; a line at most every second.
    pub fn setup(&mut self, made: u32, phones: u32) {
        let what = format!("phones enrolled and accepted: {made} of {phones}");
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_length(phones.into());
                bar.set_position(made.into());
                bar.set_message(what);
            }
            Shown::Lines => {
                let recent = |last: Instant| last.elapsed() < Duration::from_secs(1);
                if made == phones || !self.last.is_some_and(recent) {
                    line(&what);
                    self.last = Some(Instant::now());
                }
            }
            Shown::Nothing => {}
        }
    }

    /// The load begins.
    pub fn begins(&self) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_length(self.total);
                bar.set_position(0);
            }
            Shown::Lines => line("each second: right answers per second, p50/p99 in ms"),
            Shown::Nothing => {}
        }
    }

    /// A second has passed, `left` is to come.
    pub fn second(&self, row: &Row, left: Duration) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(row.to.as_secs());
                bar.set_message(said(row, left));
            }
            Shown::Lines => line(&said(row, left)),
            Shown::Nothing => {}
        }
    }

    /// A load without a setup begins.
    pub fn begins_at_zero(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_length(self.total);
            bar.set_position(0);
        }
    }

    /// It is so far, as `what` says.
    pub fn at(&self, at: Duration, what: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(at.as_secs());
        }
        self.step(what);
    }

    /// Nothing more is to be seen.
    pub fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    // The template is a constant that indicatif takes; without it, its own style would do.
    if let Ok(style) = ProgressStyle::with_template("{bar:8} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// One second in one line.
#[must_use]
pub fn said(row: &Row, left: Duration) -> String {
    let kinds = Kind::ALL.into_iter().zip(row.kinds).zip(row.rates());
    let kinds: Vec<String> = kinds
        .map(|((kind, answers), rate)| match answers.latency {
            Some(latency) => format!(
                "{} {rate:.0}/s {}/{}",
                kind.word(),
                short(latency.p50),
                short(latency.p99)
            ),
            None => format!("{} 0/s", kind.word()),
        })
        .collect();
    let errors: u64 = row.kinds.iter().map(|kind| kind.not_done).sum();
    let at = row.to.as_secs_f64();
    let left = left.as_secs_f64();
    format!(
        "{at:.0} s, {left:.0} s left | {} | errors {errors}",
        kinds.join(" | ")
    )
}

/// Milliseconds, as exact as one looks.
fn short(milliseconds: f64) -> String {
    if milliseconds < 99.95 {
        format!("{milliseconds:.1}")
    } else {
        format!("{milliseconds:.0}")
    }
}

fn line(text: &str) {
    // Whoever reads it may have gone away; the load goes on.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::{
        super::{series::RowOfKind, statistics::Latency},
        *,
    };

    #[test]
    fn a_second_is_one_line() {
        let latency = Latency {
            p50: 9.04,
            p90: 12.0,
            p99: 118.26,
            p999: 20.0,
            max: 21.0,
        };
        let cosign = RowOfKind {
            done: 5_123,
            not_done: 2,
            latency: Some(latency),
        };
        let enroll = RowOfKind {
            done: 0,
            not_done: 3,
            latency: None,
        };
        let row = Row {
            from: Duration::from_secs(11),
            to: Duration::from_secs(12),
            in_flight: 64,
            kinds: [cosign, enroll, RowOfKind::default()],
        };
        assert_eq!(
            said(&row, Duration::from_secs(18)),
            "12 s, 18 s left | cosign 5123/s 9.0/118 | enroll 0/s | accept 0/s | errors 5"
        );
    }
}
