//! What goes wrong in the harness and the demo: said in words, with the way out where there is one.

use std::fmt;

/// What went wrong, and what to try.
///
/// It is no [`std::error::Error`], so that every error becomes one with `?`.
#[derive(Clone)]
pub struct Failure {
    what: String,
    way_out: Option<String>,
}

impl Failure {
    /// A failure in words.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            way_out: None,
        }
    }

    /// The same, with what to try.
    #[must_use]
    pub fn way_out(self, way_out: impl Into<String>) -> Self {
        Self {
            way_out: Some(way_out.into()),
            ..self
        }
    }

    /// The same, with the step of the story in which it came.
    #[must_use]
    pub fn in_step(self, step: &str) -> Self {
        Self {
            what: format!("{step}: {}", self.what),
            ..self
        }
    }

    /// Says what was being done when an error came: for `map_err`.
    pub fn during<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.way_out {
            Some(way_out) => write!(f, "\n  way out: {way_out}"),
            None => Ok(()),
        }
    }
}

/// As in Display: a test that fails shows it so.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what.push_str(": ");
            what.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(what)
    }
}
