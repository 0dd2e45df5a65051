//! Tells the story: each step with its result and its time, counted from the program's first second.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::{Duration, Instant},
};

use crate::failure::Failure;

/// The column in which results begin.
const RESULT: usize = 70;

/// Tells steps on standard output, or keeps silent.
#[derive(Debug)]
pub struct Narrator {
    start: Instant,
    aloud: bool,
}

impl Narrator {
    /// Tells each step.
    #[must_use]
    pub fn aloud() -> Self {
        Self {
            start: Instant::now(),
            aloud: true,
        }
    }

    /// Plays without a word.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            start: Instant::now(),
            aloud: false,
        }
    }

    /// Does one step, which gives its value and its result in words, and tells it with its time.
    ///
    /// # Errors
    /// The step's, with its name.
    pub async fn step<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<(T, String), Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        // On a terminal the name stands there while the step is under way.
        if self.aloud && stdout().is_terminal() {
            print!("{} {name} ...", self.clock());
            let _ = stdout().flush();
        }
        match work.await {
            Ok((value, result)) => {
                self.tell_result(name, &result, begun.elapsed());
                Ok(value)
            }
            Err(failure) => {
                self.tell_result(name, "FAILED", begun.elapsed());
                Err(failure.in_step(name))
            }
        }
    }

    /// Says a line of its own.
    pub fn say(&self, text: &str) {
        if self.aloud {
            println!("{text}");
        }
    }

    /// Says a line with the time.
    pub fn note(&self, text: &str) {
        if self.aloud {
            println!("{} {text}", self.clock());
        }
    }

    fn tell_result(&self, name: &str, result: &str, took: Duration) {
        if !self.aloud {
            return;
        }
        if stdout().is_terminal() {
            // Back to the beginning of the line, and clear it.
            print!("\r\u{1b}[K");
        }
        let dots = RESULT.saturating_sub(name.chars().count());
        let dots = ".".repeat(dots.max(3));
        println!(
            "{} {name} {dots} {result} ({})",
            self.clock(),
            in_words(took)
        );
    }

    fn clock(&self) -> String {
        format!("[{:5.1} s]", self.start.elapsed().as_secs_f64())
    }
}

fn in_words(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}
