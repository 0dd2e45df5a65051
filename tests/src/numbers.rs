//! What a running service tells of itself on its admin listener: plain GETs, and the metrics as numbers.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{deployment::Deployment, failure::Failure};

const SOON: Duration = Duration::from_secs(30);

/// What a GET was answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The head, line by line.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Asks `address` for `path` over HTTP/1.1.
///
/// # Errors
/// No connection, or no answer of HTTP.
pub fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Failure::new("no head"))?;
    Ok(Answer {
        status: head.split(' ').nth(1).unwrap_or_default().parse()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// All metrics at one time.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    series: Vec<(String, Labels, f64)>,
    types: BTreeMap<String, String>,
}

impl Numbers {
    /// What the deployment's server says now.
    ///
    /// # Errors
    /// It does not answer, or not in Prometheus' text format.
    pub fn of(deployment: &Deployment) -> Result<Self, Failure> {
        Self::at(deployment.scheme().admin())
    }

    /// What the server with this admin listener says now.
    ///
    /// # Errors
    /// As above.
    pub fn at(admin: SocketAddr) -> Result<Self, Failure> {
        let answer = ask(admin, "GET", "/metrics")?;
        if answer.status != 200 {
            return Err(Failure::new(format!("GET /metrics: {}", answer.head)));
        }
        Self::parse(&answer.body)
    }

    /// Reads the text format (version 0.0.4); our label values need no escapes.
    ///
    /// # Errors
    /// A line that is not of the format.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut numbers = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| odd(line))?;
                numbers.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                numbers.series.push(series(line).ok_or_else(|| odd(line))?);
            }
        }
        Ok(numbers)
    }

    /// The sum over all series of this name that have these labels; nothing if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.with(name, labels).peekable();
        found.peek()?;
        Some(found.map(|(_, _, value)| value).sum())
    }

    /// The same as a whole number; 0 if there is none.
    #[must_use]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels).unwrap_or_default();
        format!("{sum:.0}").parse().unwrap_or_default()
    }

    /// The names that can be asked for, those of a histogram's three kinds of series included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|(name, _, _)| name.as_str())
    }

    /// What each metric is: counter, gauge or histogram.
    #[must_use]
    pub fn types(&self) -> &BTreeMap<String, String> {
        &self.types
    }

    /// Every series' name and labels.
    pub fn series(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.series
            .iter()
            .map(|(name, labels, _)| (name.as_str(), labels))
    }

    fn with<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a (String, Labels, f64)> {
        let has = |of: &Labels, (key, value): &(&str, &str)| {
            of.get(*key).is_some_and(|found| found == value)
        };
        self.series.iter().filter(move |(found, of, _)| {
            found == name && labels.iter().all(|label| has(of, label))
        })
    }
}

/// `name{key="value",...} number`.
fn series(line: &str) -> Option<(String, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some((series.to_owned(), Labels::new(), value));
    };
    let mut labels = Labels::new();
    for label in rest.strip_suffix('}')?.split("\",") {
        let (key, value) = label.split_once("=\"")?;
        labels.insert(key.to_owned(), value.trim_end_matches('"').to_owned());
    }
    Some((name.to_owned(), labels, value))
}

fn odd(line: &str) -> Failure {
    Failure::new(format!("no line of Prometheus' text format: {line}"))
}
