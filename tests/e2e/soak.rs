//! `semopsctl soak` against a service that a supervisor starts again: killed, drained and stopped in turn, it gives a good
//! verdict, and the record says the same; where something answered is lost, or no harm was done, the verdict says so.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, PYTHON, Watched},
    recheck::recheck,
    stored,
    terminal::{Said, Terminal},
    until::until,
};
use semops_objects::InstitutionId;
use serde_json::Value;
use softhsm_setup::scheme::{Role, Scheme};

/// What a service manager does: it starts the service again however it ends, and passes on that it is to end itself.
/// The service never outlives it.
const SUPERVISOR: &str = "\
trap 'over=1; kill -TERM \"$(cat \"$pid\")\"' TERM
pid=$1; shift
while [ -z \"$over\" ]; do
    setpriv --pdeathsig KILL \"$@\" &
    echo $! >\"$pid\"
    wait $!
done
wait
";
/// Half a minute of it is a test; an hour of it is .ci/long's.
const HALF_A_MINUTE: &str = "--duration 36s --every 4s";
const HALF_AN_HOUR: &str = "--duration 30m --every 20s";
const SOON: std::time::Duration = std::time::Duration::from_secs(30);
/// What the process may hold more of after half an hour than after a minute: a cache that fills, a buffer that grew.
const MORE_KIB: u64 = 64 * 1024;
const MORE_FILES: usize = 4;

/// A service under a supervisor, and somebody who soaks it.
struct Soaked {
    deployment: Deployment,
    terminal: Terminal,
}

impl Soaked {
    async fn start() -> Result<Self, Failure> {
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        let terminal = Terminal::new()?;
        let signer = deployment.signer()?;
        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", SUPERVISOR, "sh"]);
        supervisor
            .arg(terminal.path("pid"))
            .arg(signer.get_program());
        supervisor
            .args(signer.get_args())
            .env_remove("SOFTHSM2_CONF");
        deployment.start_with(supervisor).await?;
        Ok(Self {
            deployment,
            terminal,
        })
    }

    fn pid(&self) -> PathBuf {
        self.terminal.path("pid")
    }

    /// Sends the running service a signal.
    fn signal(&self, name: &str) -> String {
        format!("kill -{name} $(cat {})", self.pid().display())
    }

    /// Soaks phones of `mobilis` whose payers are at both banks.
    async fn soak(&self, line: &str, faults: &[String]) -> Result<(Said, Value), Failure> {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        command.current_dir(self.terminal.path("")).arg("soak");
        for (option, institution, role, name) in [
            ("--enrolment", "mobilis", Role::Enrolment, "ra"),
            ("--payments", "alfa", Role::Payments, "backend"),
            ("--acceptance", "alfa", Role::Enrolment, "ra"),
            ("--payments", "beta", Role::Payments, "backend"),
            ("--acceptance", "beta", Role::Enrolment, "ra"),
        ] {
            let id: InstitutionId = institution.parse().map_err(Failure::during(institution))?;
            let files = self.deployment.directory().caller(&id, role, name);
            command.arg(option).arg(files.profile);
        }
        command.args(["--to", "beta", "--concurrency", "4"]);
        command.args(line.split_whitespace());
        for fault in faults {
            command.arg("--fault").arg(fault);
        }
        let out = self.terminal.path("soak.json");
        command.arg("--json-out").arg(&out);
        let said = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = Said {
            code: said.status.code(),
            out: String::from_utf8_lossy(&said.stdout).into_owned(),
            err: String::from_utf8_lossy(&said.stderr).into_owned(),
        };
        let json = fs::read(out).map_err(Failure::during(said.all()))?;
        Ok((said, serde_json::from_slice(&json)?))
    }

    /// What the record says is what was answered.
    async fn end(mut self, reports: &[&Value]) -> Result<(), Failure> {
        until("the service's health", SOON, async || {
            Ok(self.deployment.is_healthy().await.then_some(()))
        })
        .await?;
        let sum = |name: &str| -> u64 { reports.iter().map(|report| count(report, name)).sum() };
        assert_eq!(
            stored::count(&self.deployment, "authorization", "PENDING")?,
            0
        );
        let checked = recheck(&mut self.deployment).await?;
        assert_eq!(u64::try_from(checked.authorizations)?, sum("authorized"));
        assert_eq!(u64::try_from(checked.certificates)?, sum("enrolled"));
        self.deployment.stop().await
    }
}

fn count(report: &Value, name: &str) -> u64 {
    report["counts"][name].as_u64().unwrap()
}

fn must_pass(said: &Said, report: &Value) {
    assert!(said.succeeded(), "{said:?}");
    assert_eq!(report["schema"], "semops-soak-v1");
    assert_eq!(report["verdict"], "pass", "{report}");
    assert_eq!(
        report["configuration"]["lanes"].as_array().unwrap().len(),
        2
    );
    assert!(said.out.contains("pass, after"), "{}", said.out);
    assert!(said.err.contains("left | enrolled "), "{}", said.err);
    for name in ["enrolled", "accepted", "authorized", "revoked", "repeated"] {
        assert!(count(report, name) > 0, "{name}: {report}");
    }
    assert!(report["checks"]["same_again"].as_u64() > Some(count(report, "authorized") / 5));
    assert!(report["checks"]["crls_seen"].as_u64() > Some(1));
    // Whoever was revoked ordered once more, and was refused.
    assert_eq!(
        count(report, "refused_after_revocation"),
        count(report, "revoked")
    );
}

#[tokio::test]
async fn half_a_minute_of_kills_ends_well() -> Result<(), Failure> {
    let soaked = Soaked::start().await?;
    let stopped = format!(
        "{}; sleep 2; {}",
        soaked.signal("STOP"),
        soaked.signal("CONT")
    );
    let faults = [soaked.signal("KILL"), soaked.signal("TERM"), stopped];
    let (said, report) = soaked.soak(HALF_A_MINUTE, &faults).await?;
    must_pass(&said, &report);
    let injected = report["faults"].as_array().unwrap();
    assert!(injected.len() >= 6, "{report}");
    soaked.end(&[&report]).await
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found() -> Result<(), Failure> {
    let soaked = Soaked::start().await?;
    // Somebody with the database changes what was answered: the last octet of each authorization.
    let script = soaked.terminal.path("tamper");
    let database = soaked.deployment.database();
    fs::write(&script, tamper(&database))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    let faults = [script.display().to_string()];
    let (said, report) = soaked.soak("--duration 6s --every 2s", &faults).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(report["verdict"], "fail", "{report}");
    assert_eq!(report["faults"][0]["failed"], Value::Null, "{report}");
    let findings = report["findings"].as_array().unwrap();
    let other = |finding: &Value| finding.as_str().unwrap().contains("another answer came");
    assert!(findings.iter().any(other), "{report}");

    // Harm that was not done shows nothing.
    let missing = ["cat /nonexistent/pid".to_owned()];
    let (said, report) = soaked.soak("--duration 3s --every 1s", &missing).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("could not be injected"), "{}", said.out);
    let failed = report["faults"][0]["failed"].as_str().unwrap();
    assert!(failed.contains("/nonexistent/pid"), "{report}");
    Ok(())
}

fn tamper(database: &Path) -> String {
    format!(
        "#!{PYTHON}\nimport sqlite3\nc = sqlite3.connect({database:?}, timeout=20)\n\
         c.execute(\"UPDATE operation SET artifact = CAST(substr(artifact, 1, length(artifact) - 1) || '-' AS BLOB) \
         WHERE kind = 'authorization' AND state = 'AUTHORIZED'\")\nc.commit()\n"
    )
}

/// What the running service holds.
#[derive(Debug)]
struct Held {
    /// VmRSS (proc_pid_status(5)).
    kib: u64,
    files: usize,
}

impl Held {
    fn now(soaked: &Soaked) -> Result<Self, Failure> {
        let pid = fs::read_to_string(soaked.pid())?;
        let process = Path::new("/proc").join(pid.trim());
        let status = fs::read_to_string(process.join("status"))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|kib| kib.trim().strip_suffix(" kB"));
        Ok(Self {
            kib: kib.unwrap_or_default().parse()?,
            files: fs::read_dir(process.join("fd"))?.count(),
        })
    }
}

#[tokio::test]
#[ignore = "an hour: .ci/long runs it"]
async fn an_hour_ends_well_and_nothing_grows() -> Result<(), Failure> {
    let soaked = Soaked::start().await?;
    let stop = format!(
        "{}; sleep 2; {}",
        soaked.signal("STOP"),
        soaked.signal("CONT")
    );
    let faults = [soaked.signal("KILL"), soaked.signal("TERM"), stop.clone()];
    let (said, killed) = soaked.soak(HALF_AN_HOUR, &faults).await?;
    must_pass(&said, &killed);
    // One process from here on: its caches fill in the first minutes.
    let (said, first) = soaked
        .soak("--duration 2m --every 30s", std::slice::from_ref(&stop))
        .await?;
    must_pass_unkilled(&said, &first);
    let before = Held::now(&soaked)?;
    let (said, second) = soaked.soak(HALF_AN_HOUR, &[stop]).await?;
    must_pass_unkilled(&said, &second);
    let after = Held::now(&soaked)?;
    eprintln!("before {before:?}, after {after:?}");
    assert!(after.kib <= before.kib + MORE_KIB, "{before:?} {after:?}");
    assert!(
        after.files <= before.files + MORE_FILES,
        "{before:?} {after:?}"
    );
    soaked.end(&[&killed, &first, &second]).await
}

/// A process that only stands still for a while leaves nothing to repeat.
fn must_pass_unkilled(said: &Said, report: &Value) {
    assert!(said.succeeded(), "{said:?}");
    assert_eq!(report["verdict"], "pass", "{report}");
    assert!(count(report, "authorized") > 0, "{report}");
}
