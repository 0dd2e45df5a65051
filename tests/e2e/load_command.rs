//! `semopsctl bench` against the running service: whatever it reports is what the record says, no request is unaccounted
//! for, and refusals are said.

pub(crate) mod desk;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use e2e::{
    deployment::{Deployment, limits::limited},
    failure::Failure,
    held::Held,
    programs::{self, Watched},
    terminal::Terminal,
};
use semops_objects::InstitutionId;
use serde_json::Value;
use softhsm_setup::scheme::{Role, Scheme};

use self::desk::{Desk, Running, count, recorded};

#[tokio::test]
async fn both_loops_report_what_the_record_says() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    desk.terminal.write(
        "raw.json",
        r#"{"signatures": 3000, "seconds": 2.0, "per_second": 1500.0, "threads": 2}"#,
    )?;
    let closed = desk.types(
        "--concurrency 8 --connections 2 --duration 3s --warm-up 1s --verify-every 4 --json-out closed.json --svg closed.svg \
         --ceiling cat --ceiling raw.json",
    )?;
    assert!(closed.succeeded(), "{closed:?}");
    for said in [
        "phones enrolled and accepted: 16 of 16",
        " s left | cosign ",
    ] {
        assert!(closed.err.contains(said), "{said}: {}", closed.err);
    }
    let report = desk.json("closed.json")?;
    let ratio = report["ceiling"]["cosigned_to_raw"].as_f64().unwrap();
    let rate = report["measured"]["kinds"]["cosign"]["per_second"]
        .as_f64()
        .unwrap();
    assert!((ratio * 1500.0 / rate - 1.0).abs() < 1e-9, "{report}");
    assert!(
        closed.out.contains("co-signed to raw") && closed.out.contains("0.0 % apart"),
        "{}",
        closed.out
    );
    desk.draws("closed.svg")?;

    let open = desk.types(
        "--rate 40/s --spacing fixed --duration 2s --warm-up 0s --verify-every 4 --enrolments 20 --json --svg open.svg",
    )?;
    assert!(open.succeeded() && open.err.is_empty(), "{open:?}");
    let open: Value = serde_json::from_str(&open.out)?;
    // Every arrival of two seconds was sent, or is said not to have been; a fifth of them enrols.
    let measured = &open["measured"];
    assert_eq!(
        measured["sent"].as_u64().unwrap() + measured["not_sent"].as_u64().unwrap(),
        80
    );
    assert_eq!(open["warm_up"]["sent"], 0);
    if measured["not_sent"] == 0 {
        // More only if phones gave out.
        assert!(
            measured["kinds"]["enroll"]["sent"].as_u64() >= Some(16),
            "{open}"
        );
    }
    desk.draws("open.svg")?;
    recorded(&mut deployment, &[&report, &open]).await
}

#[tokio::test]
async fn what_a_load_does_to_another_institution_is_told() -> Result<(), Failure> {
    const RATE: u64 = 10;
    const SECONDS: u64 = 3;
    let mut deployment = Deployment::new().await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    let common = "--duration 3s --warm-up 0s --enrolments 0 --verify-every 4";
    let said = desk.types(&format!("{common} --concurrency 2 --json-out best.json"))?;
    assert!(said.succeeded(), "{said:?}");
    let profile = |institution: &str, role, name| {
        let id: InstitutionId = institution.parse().map_err(Failure::during(institution))?;
        let files = deployment.directory().caller(&id, role, name);
        Ok::<_, Failure>(files.profile.display().to_string())
    };
    let (backend, ra) = (
        profile("beta", Role::Payments, "backend")?,
        profile("beta", Role::Enrolment, "ra")?,
    );
    let said = desk.types(&format!(
        "{common} --concurrency 8 --best best.json --beside {backend} --beside-acceptance {ra} --beside-rate {RATE}/s \
         --json-out report.json"
    ))?;
    assert!(said.succeeded(), "{said:?}");
    let (best, report) = (desk.json("best.json")?, desk.json("report.json")?);
    let beside = &report["beside"];
    assert_eq!(beside["institution"], "beta");
    let p99 = ["alone", "beside"].map(|half| {
        let half = &beside[half];
        let count = |member: &str| half[member].as_u64().unwrap();
        assert_eq!(
            count("sent") + count("not_sent"),
            RATE * SECONDS,
            "{report}"
        );
        assert!(count("cosigned") > 0, "{report}");
        half["latency_ms"]["p99"].as_f64().unwrap()
    });
    let ratio = beside["p99_ratio"].as_f64().unwrap();
    assert!((ratio - p99[1] / p99[0]).abs() < 1e-9, "{report}");
    assert!(said.out.contains(" times its p99; "), "{}", said.out);

    let rate = |report: &Value| {
        let rate = &report["measured"]["kinds"]["cosign"]["per_second"];
        rate.as_f64().unwrap()
    };
    assert_eq!(report["best"]["per_second"], rate(&best));
    let ratio = report["best"]["ratio"].as_f64().unwrap();
    assert!(
        (ratio - rate(&report) / rate(&best)).abs() < 1e-9,
        "{report}"
    );
    assert!(said.out.contains(" of the earlier run's "), "{}", said.out);

    let own = profile("alfa", Role::Payments, "backend")?;
    let own_ra = profile("alfa", Role::Enrolment, "ra")?;
    for (line, expected) in [
        (
            format!("--beside {own} --beside-acceptance {own_ra}"),
            "a caller of alfa itself",
        ),
        (
            format!("--beside {backend}"),
            "beta's enrolment caller: --beside-acceptance PROFILE",
        ),
        ("--beside-rate 5/s".to_owned(), "--beside <PROFILE>"),
        ("--best /dev/null".to_owned(), "no report of a run"),
    ] {
        let said = desk.types(&line)?;
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        assert!(said.err.contains(expected), "{line}: {said:?}");
    }
    recorded(&mut deployment, &[&best, &report]).await
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_explained() -> Result<(), Failure> {
    // A phone's day has room for one such order.
    let scheme = Scheme::EXAMPLE.replace("EUR = \"500.00\"", "EUR = \"150.00\"");
    let mut deployment = Deployment::of(&scheme).await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    let line = "--amount 150.00 --orders-per-phone 5 --enrolments 5 --concurrency 4 --duration 3s --warm-up 0s --verify-every 4 \
                --json-out report.json";
    let said = desk.types(line)?;
    assert!(said.succeeded(), "{said:?}");
    let report = desk.json("report.json")?;
    let limit = Some("DEVICE_AMOUNT_PER_DAY");
    let refused = count(&report, "cosign", "FAILED_PRECONDITION", limit);
    assert!(refused > 0, "{report}");
    let flat = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains(&format!(
            "CosignOrder FAILED_PRECONDITION DEVICE_AMOUNT_PER_DAY {refused}"
        )) && flat.contains("met the money limits of their phones"),
        "{}",
        said.out
    );
    recorded(&mut deployment, &[&report]).await?;

    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    for (line, expected) in [
        ("--acceptance", "a value is required"),
        ("--duration 1d", "a number and ms, s, m or h"),
        ("--rate 5/s --concurrency 3", "cannot be used with"),
        (
            "--svg /nonexistent/x.svg",
            "cannot write /nonexistent/x.svg",
        ),
        ("--amount 1", "--amount, --currency"),
        ("--ceiling false", "--ceiling: false: exit status"),
        ("--ceiling echo", "it must print"),
    ] {
        let said = desk.types(line)?;
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        assert!(said.err.contains(expected), "{line}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn rate_limits_hold_the_load_and_are_told() -> Result<(), Failure> {
    let caller = [("caller", "{ burst = 2, requests = 2, seconds = 1 }")];
    let scheme = limited(Scheme::EXAMPLE, Some("alfa"), &caller)?;
    let mut deployment = Deployment::limited(&scheme).await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    let line = "--concurrency 8 --enrolments 0 --duration 3s --warm-up 0s --verify-every 4 --json-out report.json";
    let said = desk.types(line)?;
    assert!(said.succeeded(), "{said:?}");
    let report = desk.json("report.json")?;
    // Sixteen phones are accepted by a caller that may do two things a second.
    assert!(report["setup"]["repeated"].as_u64() > Some(0), "{report}");
    let refused = count(
        &report,
        "cosign",
        "RESOURCE_EXHAUSTED",
        Some("RATE_LIMITED"),
    );
    assert!(refused > 0, "{report}");
    let outcomes = report["measured"]["outcomes"].as_array().unwrap();
    let told = outcomes
        .iter()
        .find(|outcome| outcome["reason"] == "RATE_LIMITED");
    assert!(
        told.unwrap()["longest_retry_seconds"].as_f64() > Some(0.0),
        "{report}"
    );
    assert!(said.out.contains("met rate limits"), "{}", said.out);
    recorded(&mut deployment, &[&report]).await
}

#[tokio::test]
async fn a_phone_that_met_its_limit_waits_and_others_order() -> Result<(), Failure> {
    let device = [("device", "{ burst = 1, requests = 1, seconds = 3600 }")];
    let scheme = limited(Scheme::EXAMPLE, Some("alfa"), &device)?;
    let mut deployment = Deployment::limited(&scheme).await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    let line = "--concurrency 4 --enrolments 0 --duration 6s --warm-up 0s --verify-every 4 --json-out report.json";
    let said = desk.types(line)?;
    assert!(said.succeeded(), "{said:?}");
    let report = desk.json("report.json")?;
    // Each phone orders once, is refused once at most and then not asked again: new ones take its place.
    let phones = report["setup"]["phones"].as_u64().unwrap() + count(&report, "accept", "OK", None);
    let refused = count(
        &report,
        "cosign",
        "RESOURCE_EXHAUSTED",
        Some("RATE_LIMITED"),
    );
    assert!((1..=phones).contains(&refused), "{report}");
    assert!(count(&report, "cosign", "OK", None) <= phones, "{report}");
    assert!(report["stand_ins"].as_u64() > Some(0), "{report}");
    assert!(
        said.out.contains("no phone was free to order"),
        "{}",
        said.out
    );
    recorded(&mut deployment, &[&report]).await
}

#[tokio::test]
async fn an_interrupted_load_still_reports_and_a_second_time_waits_for_nothing()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    let line = "--duration 1h --warm-up 1s --concurrency 4 --verify-every 4 --json-out";
    let start = |file: &str| {
        let mut command = desk.bench(&format!("{line} {file}"))?;
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok::<_, Failure>(Running(command.spawn()?))
    };
    let mut load = start("once.json")?;
    let _lines = load.under_way()?;
    load.interrupt()?;
    assert!(load.report()?.contains("ended early"));
    let once = desk.json("once.json")?;
    assert_eq!(once["ended"], "interrupted");
    assert!(once["seconds"].as_f64().unwrap() < 3_600.0);

    // alfa signs nothing: what is under way stays so.
    let mut load = start("twice.json")?;
    let mut lines = load.under_way()?;
    let held = Held::token(&deployment, "alfa")?;
    held.is_waited_for().await?;
    load.interrupt()?;
    assert!(lines.any(|line| line.starts_with("ending early: ")));
    load.interrupt()?;
    load.report()?;
    drop(held);
    let twice = desk.json("twice.json")?;
    let abandoned = count(&twice, "cosign", "NONE", Some("ABANDONED"));
    assert!((1..=4).contains(&abandoned), "{twice}");
    recorded(&mut deployment, &[&once, &twice]).await
}

#[tokio::test]
async fn callers_of_other_roles_are_refused_before_anything_is_sent() -> Result<(), Failure> {
    let scheme = Scheme::EXAMPLE;
    let deployment = Deployment::prepare(scheme, &mut |_| {})?;
    let profile = |institution: &str, role, name| {
        let id: InstitutionId = institution.parse().map_err(Failure::during(institution))?;
        Ok::<_, Failure>(deployment.directory().caller(&id, role, name).profile)
    };
    let (ra, backend) = (
        profile("mobilis", Role::Enrolment, "ra")?,
        profile("alfa", Role::Payments, "backend")?,
    );
    let terminal = Terminal::new()?;
    for (enrolment, payments, expected) in [
        (&backend, &backend, "--enrolment: "),
        (&ra, &ra, "--payments: "),
        (&ra, &backend, "name the profile of alfa's enrolment caller"),
    ] {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        command
            .args(["bench", "--to", "beta", "--enrolment"])
            .arg(enrolment)
            .arg("--payments")
            .arg(payments);
        let said = terminal.run(&mut command)?;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(expected), "{expected}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wait_counts_from_the_moment_that_was_due_and_what_finds_no_place_is_not_sent()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk {
        deployment: &deployment,
        terminal: Terminal::new()?,
    };
    // alfa signs nothing from the first order on until the second second has passed.
    let held = Held::token(&deployment, "alfa")?;
    let line = "--rate 20/s --spacing fixed --max-in-flight 3 --enrolments 0 --duration 4s --warm-up 0s --verify-every 4 \
                --json-out report.json";
    let mut command = desk.bench(line)?;
    let mut load = Running(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(load.0.stderr.take().unwrap()).lines();
    let seconds = lines.by_ref().map_while(Result::ok);
    let two = seconds.filter(|line| line.contains(" s left | cosign 0/s "));
    assert_eq!(two.take(2).count(), 2);
    drop(held);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(load.0.wait()?.code(), Some(0), "{rest:?}");

    let report = desk.json("report.json")?;
    let measured = &report["measured"];
    let (sent, not_sent) = (
        measured["sent"].as_u64().unwrap(),
        measured["not_sent"].as_u64().unwrap(),
    );
    assert_eq!(sent + not_sent, 80, "{report}");
    for row in report["series"].as_array().unwrap() {
        assert!(row["in_flight"].as_u64().unwrap() <= 3, "{row}");
    }
    // Three were sent and stood for two seconds; all others of the first second, a quarter of them all, waited for a place.
    let cosign = &measured["kinds"]["cosign"];
    assert!(
        cosign["latency_ms"]["max"].as_f64().unwrap() > 1_900.0,
        "{report}"
    );
    assert!(
        cosign["latency_ms"]["p90"].as_f64().unwrap() > 1_000.0,
        "{report}"
    );
    recorded(&mut deployment, &[&report]).await
}
