//! What is said: the rates under load, the parts alone, and the ratios between them; as a table and as JSON.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use e2e::failure::Failure;
use serde::Serialize;

use crate::{
    load::{Level, count},
    parts::Rate,
    work::Measured,
};

/// The parts, each measured alone.
#[derive(Debug, Serialize)]
pub(crate) struct Parts {
    /// C_Sign in one thread and in two.
    pub(crate) raw_sign: [Rate; 2],
    pub(crate) verify: Rate,
    /// By a queue and threads in one process, for comparison with the next.
    pub(crate) queued_sign: Rate,
    /// By the queue and one worker process.
    pub(crate) sign: Rate,
    /// By two of them.
    pub(crate) sign_by_two: Rate,
    pub(crate) echo_server: Rate,
    pub(crate) echo_client: Rate,
    pub(crate) commit: Rate,
}

/// One RPC.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) measured: Measured,
    pub(crate) parts: Parts,
}

/// The ratios of one RPC.
#[derive(Debug, Serialize)]
struct Ratios {
    /// Processor time of an operation's parts, microseconds.
    sum_of_parts_us: f64,
    /// Operations per second if all processors did nothing but these parts.
    bound_per_second: f64,
    /// The best rate to that bound.
    achieved: f64,
    /// The same to that part of the bound that others left to us.
    achieved_of_share: f64,
    /// The sum of the parts to the processor time that an operation took.
    of_processor_time: f64,
    /// The best rate to the bare C_Sign loop, in one thread and in two.
    to_raw_sign: [f64; 2],
}

impl Operation {
    /// What an operation is made of, and how often: name, how many, microseconds each.
    fn parts(&self) -> [(&'static str, f64, Rate); 5] {
        let parts = &self.parts;
        [
            // The phone's signature; and the token's, before it goes out.
            ("P-256 verification", 2.0, parts.verify),
            ("C_Sign by the queue and worker process", 1.0, parts.sign),
            ("unary echo over mutual TLS: server", 1.0, parts.echo_server),
            ("unary echo over mutual TLS: client", 1.0, parts.echo_client),
            ("durable begin and complete, grouped", 1.0, parts.commit),
        ]
    }

    fn ratios(&self, cores: f64) -> Result<Ratios, Failure> {
        let best = self.measured.best()?;
        let each = self.parts().map(|(_, times, rate)| times * rate.cpu_us);
        let sum_of_parts_us: f64 = each.iter().sum();
        let bound_per_second = cores * 1e6 / sum_of_parts_us;
        let raw = self.parts.raw_sign;
        Ok(Ratios {
            sum_of_parts_us,
            bound_per_second,
            achieved: best.per_second / bound_per_second,
            achieved_of_share: best.per_second / bound_per_second / (1.0 - best.others),
            of_processor_time: sum_of_parts_us / best.cpu_us(),
            to_raw_sign: raw.map(|raw| best.per_second / raw.per_second),
        })
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    cores: f64,
    operations: Vec<(Operation, Ratios)>,
}

impl Report {
    /// # Errors
    /// Nothing was measured.
    pub(crate) fn new(cosigning: Operation, enrolling: Operation) -> Result<Self, Failure> {
        let cores = count(std::thread::available_parallelism()?.get());
        let ratios = |operation: Operation| {
            let ratios = operation.ratios(cores)?;
            Ok::<_, Failure>((operation, ratios))
        };
        Ok(Self {
            cores,
            operations: vec![ratios(cosigning)?, ratios(enrolling)?],
        })
    }

    /// Writes `bench/throughput.json` into the target folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self) -> Result<PathBuf, Failure> {
        // Cargo names the folder `tmp` in it.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
        let folder = target.unwrap_or(Path::new(".")).join("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join("throughput.json");
        fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        Ok(file)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operation, ratios) in &self.operations {
            writeln!(
                f,
                "\n{} over mutual TLS, 4 connections, closed loop; {} cores, shared with the load",
                operation.name, self.cores
            )?;
            table(f, &operation.measured.levels)?;
            writeln!(
                f,
                "\n  {:<48}{:>6}{:>12}{:>14}",
                "a part alone", "times", "per second", "cpu us each"
            )?;
            for (index, raw) in (1..).zip(&operation.parts.raw_sign) {
                let name = format!("(C_Sign in a loop, threads: {index})");
                row(f, &name, "", raw)?;
            }
            let parts = &operation.parts;
            row(
                f,
                "(C_Sign by a queue and two threads)",
                "",
                &parts.queued_sign,
            )?;
            row(
                f,
                "(C_Sign by the queue and two worker processes)",
                "",
                &parts.sign_by_two,
            )?;
            for (name, times, rate) in operation.parts() {
                row(f, name, &times.to_string(), &rate)?;
            }
            summary(f, ratios)?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, levels: &[Level]) -> fmt::Result {
    writeln!(
        f,
        "  {:>11}{:>12}{:>10}{:>10}{:>16}{:>16}{:>8}{:>8}",
        "concurrency",
        "per second",
        "p50 ms",
        "p99 ms",
        "server cpu us",
        "client cpu us",
        "idle",
        "others"
    )?;
    for level in levels {
        writeln!(
            f,
            "  {:>11}{:>12.0}{:>10.2}{:>10.2}{:>16.0}{:>16.0}{:>8.2}{:>8.2}",
            level.concurrency,
            level.per_second,
            level.p50_ms,
            level.p99_ms,
            level.server_cpu_us,
            level.client_cpu_us,
            level.idle,
            level.others
        )?;
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, times: &str, rate: &Rate) -> fmt::Result {
    writeln!(
        f,
        "  {name:<48}{times:>6}{:>12.0}{:>14.1}",
        rate.per_second, rate.cpu_us
    )
}

fn summary(f: &mut fmt::Formatter<'_>, ratios: &Ratios) -> fmt::Result {
    writeln!(
        f,
        "\n  sum of the parts {:.0} us, so at most {:.0} per second",
        ratios.sum_of_parts_us, ratios.bound_per_second
    )?;
    writeln!(
        f,
        "  achieved {:.2} of that, {:.2} of what others left of it; {:.2} of the processor time is the parts'",
        ratios.achieved, ratios.achieved_of_share, ratios.of_processor_time
    )?;
    let [one, two] = ratios.to_raw_sign;
    writeln!(
        f,
        "  to the C_Sign loop {one:.2} (one thread), {two:.2} (two)"
    )
}
