//! Owns the optional table of rate limits in a policy: what it does not name has the signer's default.

use serde::Serialize;

use crate::reader::{Mistakes, Reader};

/// The longest that a burst may take to come back, seconds.
const LONGEST: u64 = 31 * 86_400;

/// Rate limits, as a policy document names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RateLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    institution: Option<Vec<Window>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Vec<Window>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Vec<Window>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Window {
    burst: u32,
    requests: u32,
    seconds: u32,
}

impl RateLimits {
    pub(crate) fn read(mut table: Reader, mistakes: &mut Mistakes) -> Self {
        let in_flight = if table.has("in_flight") {
            table.integer("in_flight", mistakes, 1, 4_096)
        } else {
            None
        };
        let limits = Self {
            in_flight,
            institution: windows(&mut table, "institution", mistakes),
            caller: windows(&mut table, "caller", mistakes),
            device: windows(&mut table, "device", mistakes),
        };
        table.finish(mistakes);
        limits
    }
}

fn windows(table: &mut Reader, name: &str, mistakes: &mut Mistakes) -> Option<Vec<Window>> {
    if !table.has(name) {
        return None;
    }
    let windows = table.tables(name, mistakes);
    if !(1..=4).contains(&windows.len()) {
        mistakes.note(&table.at(name), "must be a list of 1 to 4 windows");
    }
    let windows = windows.into_iter();
    windows
        .map(|window| Window::read(window, mistakes))
        .collect()
}

impl Window {
    fn read(mut table: Reader, mistakes: &mut Mistakes) -> Option<Self> {
        let burst = table.integer("burst", mistakes, 1, 1_000_000);
        let requests = table.integer("requests", mistakes, 1, 1_000_000);
        let seconds = table.integer("seconds", mistakes, 1, 86_400);
        let path = table.path().to_owned();
        table.finish(mistakes);
        let (burst, requests, seconds) = (burst?, requests?, seconds?);
        if u64::from(burst) * u64::from(seconds) > LONGEST * u64::from(requests) {
            mistakes.note(&path, "a burst takes more than 31 days to come back");
        }
        Some(Self {
            burst,
            requests,
            seconds,
        })
    }
}
