//! Owns the table of rate limits in a policy document. What it does not name has its default, never no limit.

use serde::Deserialize;

use crate::domain::limit::{InFlight, RateLimits, Window, Windows};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitsForm {
    in_flight: Option<u64>,
    institution: Option<Vec<WindowForm>>,
    caller: Option<Vec<WindowForm>>,
    device: Option<Vec<WindowForm>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowForm {
    burst: u64,
    requests: u64,
    seconds: u64,
}

/// The limits that the table names, and the defaults of the others.
pub(super) fn rate_limits(form: Option<&RateLimitsForm>, mistakes: &mut Vec<String>) -> RateLimits {
    let default = RateLimits::DEFAULT;
    let Some(form) = form else { return default };
    let in_flight = form.in_flight.map(InFlight::new).transpose();
    let in_flight = in_flight.unwrap_or_else(|mistake| {
        mistakes.push(format!("rate_limits.{mistake}"));
        None
    });
    let mut of = |name, form: &Option<Vec<WindowForm>>| {
        form.as_deref()
            .and_then(|form| windows(name, form, mistakes))
    };
    RateLimits {
        in_flight: in_flight.unwrap_or(default.in_flight),
        institution: of("institution", &form.institution).unwrap_or(default.institution),
        caller: of("caller", &form.caller).unwrap_or(default.caller),
        device: of("device", &form.device).unwrap_or(default.device),
    }
}

/// None if there was a mistake.
fn windows(name: &str, form: &[WindowForm], mistakes: &mut Vec<String>) -> Option<Windows> {
    let mut windows = Vec::new();
    for (index, form) in form.iter().enumerate() {
        match Window::new(form.burst, form.requests, form.seconds) {
            Ok(window) => windows.push(window),
            Err(bad) => {
                let at = |bad| format!("rate_limits.{name}[{index}]: {bad}");
                mistakes.extend(bad.into_iter().map(at));
            }
        }
    }
    if windows.len() < form.len() {
        return None;
    }
    let windows = Windows::new(&windows);
    windows
        .map_err(|bad| mistakes.push(format!("rate_limits.{name}: {bad}")))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{policy::Policy, specimen::POLICY};

    fn parsed(table: &str) -> Result<RateLimits, String> {
        let text = format!("{POLICY}\n[rate_limits]\n{table}");
        let policy = Policy::parse(text.as_bytes());
        policy.map(|p| *p.rate_limits()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        let policy = Policy::parse(POLICY.as_bytes()).unwrap();
        assert_eq!(*policy.rate_limits(), RateLimits::DEFAULT);
        assert_eq!(parsed(""), Ok(RateLimits::DEFAULT));
        let window = Window::new(9, 2, 3).unwrap();
        let expected = RateLimits {
            in_flight: InFlight::new(7).unwrap(),
            device: Windows::new(&[window, window]).unwrap(),
            ..RateLimits::DEFAULT
        };
        let one = "{ burst = 9, requests = 2, seconds = 3 }";
        let table = format!("in_flight = 7\ndevice = [{one}, {one}]");
        assert_eq!(parsed(&table), Ok(expected));
    }

    /// The example is what `signer policy --help` shows.
    #[test]
    fn the_example_names_every_limit_with_its_default() {
        let example = include_str!("../../policy.example.toml");
        let policy = Policy::parse(example.as_bytes()).unwrap();
        assert_eq!(*policy.rate_limits(), RateLimits::DEFAULT);
        let table: toml::Table = example.parse().unwrap();
        let named = table["rate_limits"].as_table().unwrap().keys();
        let named: Vec<&str> = named.map(String::as_str).collect();
        assert_eq!(named, ["caller", "device", "in_flight", "institution"]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let good = "{ burst = 1, requests = 1, seconds = 1 }";
        let table = format!(
            "in_flight = 4097\n\
             institution = [{good}, {{ burst = 0, requests = 1, seconds = 86401 }}]\n\
             caller = []\n\
             device = [{good}, {good}, {good}, {good}, {good}]"
        );
        let text = parsed(&table).unwrap_err();
        for part in [
            "rate_limits.in_flight = 4097: from 1 to 4096",
            "rate_limits.institution[1]: burst = 0: from 1 to 1000000",
            "rate_limits.institution[1]: seconds = 86401: from 1 to 86400",
            "rate_limits.caller: 0 windows: from 1 to 4",
            "rate_limits.device: 5 windows: from 1 to 4",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn unknown_and_missing_members_are_refused() {
        for table in [
            "per_second = 5",
            "device = [{ burst = 1, requests = 1 }]",
            "device = [{ burst = 1, requests = 1, seconds = 1, minutes = 1 }]",
            "device = { burst = 1, requests = 1, seconds = 1 }",
            "in_flight = -1",
        ] {
            assert!(parsed(table).is_err(), "{table}");
        }
    }
}
