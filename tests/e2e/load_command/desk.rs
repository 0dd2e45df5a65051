//! Somebody who measures, and what a report must have whatever it measured.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command},
};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, PYTHON, Watched},
    recheck::recheck,
    terminal::{Said, Terminal},
};
use rustix::process::{Pid, Signal, kill_process};
use semops_objects::InstitutionId;
use serde_json::Value;
use softhsm_setup::scheme::Role;

/// Somebody who measures.
pub(crate) struct Desk<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) terminal: Terminal,
}

impl Desk<'_> {
    /// `semopsctl bench` with phones of `mobilis` whose payers are at `alfa`, and the options of `line`.
    pub(crate) fn bench(&self, line: &str) -> Result<Command, Failure> {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        command.current_dir(self.terminal.path("")).arg("bench");
        for (option, institution, role, name) in [
            ("--enrolment", "mobilis", Role::Enrolment, "ra"),
            ("--acceptance", "alfa", Role::Enrolment, "ra"),
            ("--payments", "alfa", Role::Payments, "backend"),
        ] {
            let id: InstitutionId = institution.parse().map_err(Failure::during(institution))?;
            let files = self.deployment.directory().caller(&id, role, name);
            command.arg(option).arg(files.profile);
        }
        command.args(["--to", "beta"]).args(line.split_whitespace());
        Ok(command)
    }

    pub(crate) fn types(&self, line: &str) -> Result<Said, Failure> {
        self.terminal.run(&mut self.bench(line)?)
    }

    pub(crate) fn json(&self, file: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&self.terminal.read(file)?)?)
    }

    /// Python's parser, which is not ours, takes the picture.
    pub(crate) fn draws(&self, file: &str) -> Result<(), Failure> {
        let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
        let mut command = Command::new(PYTHON);
        let said = self.terminal.run(command.args(["-c", parse, file]))?;
        assert!(said.succeeded(), "{said:?}");
        let svg = String::from_utf8(self.terminal.read(file)?)?;
        for axis in [
            "seconds since the load began",
            "answered per second",
            "latency, milliseconds",
        ] {
            assert!(svg.contains(axis), "{axis}");
        }
        Ok(())
    }
}

/// How often this outcome came in both phases.
pub(crate) fn count(report: &Value, kind: &str, code: &str, reason: Option<&str>) -> u64 {
    let phases = [&report["warm_up"], &report["measured"]];
    let outcomes = phases
        .iter()
        .flat_map(|phase| phase["outcomes"].as_array().unwrap());
    outcomes
        .filter(|outcome| outcome["kind"] == kind && outcome["code"] == code)
        .filter(|outcome| outcome["reason"].as_str() == reason)
        .map(|outcome| outcome["count"].as_u64().unwrap())
        .sum()
}

/// Everything that was sent has an outcome, and stands in one second of the series.
fn adds_up(report: &Value) {
    assert_eq!(report["schema"], "semops-bench-v1");
    let mut sent = 0;
    for phase in ["warm_up", "measured"] {
        let outcomes = report[phase]["outcomes"].as_array().unwrap();
        let counted: u64 = outcomes
            .iter()
            .map(|outcome| outcome["count"].as_u64().unwrap())
            .sum();
        assert_eq!(report[phase]["sent"], counted, "{phase}: {report}");
        sent += counted;
    }
    let rows = report["series"].as_array().unwrap();
    let kinds = rows
        .iter()
        .flat_map(|row| ["cosign", "enroll", "accept"].map(|kind| &row[kind]));
    let answered: u64 = kinds
        .map(|kind| kind["done"].as_u64().unwrap() + kind["not_done"].as_u64().unwrap())
        .sum();
    assert_eq!(answered, sent, "{report}");
    assert_eq!(report["checks"]["wrong_answers"], 0, "{report}");
    assert_eq!(report["checks"]["first_wrong"], Value::Null);
    let done = count(report, "cosign", "OK", None);
    assert_eq!(report["checks"]["authorizations"], done);
    assert_eq!(report["checks"]["signatures_verified"], done.div_ceil(4));
}

/// What was asked and got no answer in time: it may be recorded or not.
fn open_ended(report: &Value, kind: &str) -> u64 {
    let late = [
        ("NONE", Some("DEADLINE")),
        ("NONE", Some("ABANDONED")),
        ("DEADLINE_EXCEEDED", Some("DEADLINE_EXCEEDED")),
        ("DEADLINE_EXCEEDED", None),
    ];
    late.map(|(code, reason)| count(report, kind, code, reason))
        .iter()
        .sum()
}

/// Orders and certificates of these runs stand in the record, and no others.
pub(crate) async fn recorded(
    deployment: &mut Deployment,
    reports: &[&Value],
) -> Result<(), Failure> {
    let checked = recheck(deployment).await?;
    let (mut orders, mut certificates) = (0..=0, 0..=0);
    for report in reports {
        adds_up(report);
        for (kind, sum) in [("cosign", &mut orders), ("enroll", &mut certificates)] {
            let done = count(report, kind, "OK", None);
            *sum = sum.start() + done..=sum.end() + done + open_ended(report, kind);
        }
        let phones = report["setup"]["phones"].as_u64().unwrap();
        certificates = certificates.start() + phones..=certificates.end() + phones;
        if !report["beside"].is_null() {
            let (done, sent, made) = of_another(&report["beside"]);
            orders = orders.start() + done..=orders.end() + sent;
            certificates = certificates.start() + made..=certificates.end() + made;
        }
    }
    let found = u64::try_from(checked.authorizations)?;
    assert!(
        *orders.start() > 0 && orders.contains(&found),
        "{found}, not {orders:?}"
    );
    let found = u64::try_from(checked.certificates)?;
    assert!(
        certificates.contains(&found),
        "{found}, not {certificates:?}"
    );
    Ok(())
}

/// Of the institution beside a load without a warm-up: orders co-signed, requests sent, phones enrolled.
fn of_another(beside: &Value) -> (u64, u64, u64) {
    let sum = |member: &str| ["alone", "beside"].map(|half| beside[half][member].as_u64().unwrap());
    let (cosigned, sent): (u64, u64) = (sum("cosigned").iter().sum(), sum("sent").iter().sum());
    (cosigned, sent, beside["phones"].as_u64().unwrap())
}

/// Kills the load if a test ends before it.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Its live lines; past the warm-up, and with orders co-signed.
    pub(crate) fn under_way(&mut self) -> Result<impl Iterator<Item = String> + use<>, Failure> {
        let lines = BufReader::new(self.0.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let mut seconds = lines
            .by_ref()
            .filter(|line| line.contains(" s left | cosign "));
        let orders = seconds
            .by_ref()
            .skip(2)
            .find(|line| !line.contains("cosign 0/s"));
        assert!(orders.is_some());
        Ok(lines)
    }

    pub(crate) fn interrupt(&self) -> Result<(), Failure> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::INT)?)
    }

    /// What it prints at its end, which must be a good one.
    pub(crate) fn report(&mut self) -> Result<String, Failure> {
        let mut out = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut out)?;
        assert_eq!(self.0.wait()?.code(), Some(0), "{out}");
        Ok(out)
    }
}
