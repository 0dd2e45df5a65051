//! What a command waits for, told on standard error once it has taken a second, if a person watches there.

use std::{borrow::Cow, future::Future, pin::pin, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often what is told moves, so that it is seen to live.
const TICK: Duration = Duration::from_millis(100);
const LOOKS: &str = "{spinner} {msg} ({elapsed})";

/// A line that comes when it is worth it, and goes when the work is done.
#[derive(Debug)]
pub struct Progress {
    line: ProgressBar,
}

impl Progress {
    /// A line that will say `message`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        // The template is our own constant; if it were wrong, the default one would do.
        let style = ProgressStyle::with_template(LOOKS);
        line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self {
            line: line.with_message(message),
        }
    }

    /// Changes what the line says.
    pub fn tell(&self, message: impl Into<Cow<'static, str>>) {
        self.line.set_message(message);
    }

    /// Does `work`, which talks to the person, while the line is not there.
    pub fn hush<T>(&self, work: impl FnOnce() -> T) -> T {
        self.line.suspend(work)
    }

    /// Waits for `work`; the line stands from its second second to its end. Nothing is written where no terminal is.
    pub async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(PATIENCE, work.as_mut()).await {
            return done;
        }
        self.line.set_draw_target(ProgressDrawTarget::stderr());
        self.line.enable_steady_tick(TICK);
        let done = work.await;
        self.line.finish_and_clear();
        done
    }
}
