//! An earlier run, with whose rate of co-signed orders another is compared.

use std::path::Path;

use serde_json::Value;

use super::report::SCHEMA;
use crate::{failure::Failure, files};

/// The rate of an earlier run, as its JSON tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Orders co-signed per second.
    pub per_second: f64,
}

impl Best {
    /// Reads it in a file that `--json-out` wrote.
    ///
    /// # Errors
    /// It is no such file, or nothing was co-signed in that run.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path)?;
        Self::of(&bytes).ok_or_else(|| {
            Failure::usage(
                format!(
                    "--best: {}: no report of a run that had orders co-signed",
                    path.display()
                ),
                "name a file that --json-out wrote",
            )
        })
    }

    fn of(json: &[u8]) -> Option<Self> {
        let report: Value = serde_json::from_slice(json).ok()?;
        let schema = report.get("schema")?.as_str()?;
        let rate = report.pointer("/measured/kinds/cosign/per_second")?;
        let per_second = rate.as_f64()?;
        (schema == SCHEMA && per_second > 0.0).then_some(Self { per_second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_with_co_signed_orders_can_be_compared_with() {
        let report = |schema: &str, rate: &str| {
            let kinds = format!(r#"{{"cosign": {{"per_second": {rate}}}}}"#);
            format!(r#"{{"schema": "{schema}", "measured": {{"kinds": {kinds}}}}}"#)
        };
        let best = Best::of(report(SCHEMA, "203.5").as_bytes());
        assert_eq!(best, Some(Best { per_second: 203.5 }));
        for other in [
            report("semops-bench-v2", "203.5"),
            report(SCHEMA, "0.0"),
            report(SCHEMA, "null"),
            "{}".to_owned(),
            "203.5".to_owned(),
            "no JSON".to_owned(),
        ] {
            assert_eq!(Best::of(other.as_bytes()), None, "{other}");
        }
    }
}
