//! The report of a made-up run: that its JSON and its lines say the same, and add up.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use semops_objects::{Amount, Channel, Payee};

use super::{
    super::{
        ceiling::RawLoop, order::Terms, outcome::Sample, schedule::Spacing, series::Recorder,
        summary,
    },
    *,
};
use crate::output::{Exit, Form};

const LINES: Form = Form::Lines { columns: 80 };
const SECOND: Duration = Duration::from_secs(1);

fn plan(driving: Driving) -> Plan {
    Plan {
        driving,
        duration: 4 * SECOND,
        warm_up: SECOND,
        connections: 4,
        enrolments: 10,
        orders_per_phone: 40,
        verify_every: 16,
        terms: Terms {
            payer: "alfa".parse().unwrap(),
            amount: Amount::parse("1.00", "EUR").unwrap(),
            channel: Channel::RealPos,
            payee: Payee::new("beta".parse().unwrap(), "bench", "Bench").unwrap(),
        },
    }
}

/// 100 orders and 10 enrolments a second for five seconds; every tenth order meets a limit after the warm-up.
fn recorder() -> Recorder {
    let limited = Outcome::Refused {
        code: "RESOURCE_EXHAUSTED",
        reason: Some("RATE_LIMITED".to_owned()),
    };
    let mut recorder = Recorder::new(SECOND);
    for second in 0..5_u64 {
        for number in 0..110_u64 {
            let kind = if number < 100 {
                Kind::Cosign
            } else {
                Kind::Enroll
            };
            let refused = second > 0 && number < 100 && number % 10 == 0;
            recorder.record(&Sample {
                kind,
                outcome: if refused {
                    limited.clone()
                } else {
                    Outcome::Done
                },
                due: Duration::from_millis(second * 1_000 + number),
                latency: Duration::from_millis(4),
                retry_after: refused.then_some(Duration::from_millis(1_500)),
            });
        }
        recorder.tick(Duration::from_secs(second + 1), 3);
    }
    recorder
}

fn run(driving: Driving) -> Run {
    let raw = |per_second| RawLoop {
        signatures: 1,
        seconds: 1.0,
        per_second,
        threads: 2,
    };
    Run {
        plan: plan(driving),
        issuer: "mobilis".to_owned(),
        started: UNIX_EPOCH + 1_790_000_000 * SECOND,
        prepared: Prepared {
            phones: 128,
            repeated: 0,
            took: SECOND,
        },
        ended: Ended {
            interrupted: false,
            after: 5 * SECOND,
            cpu: Some(SECOND / 25),
            sent: 550,
            recorder: recorder(),
        },
        stand_ins: 0,
        checked: Checked {
            authorizations: 460,
            signatures: 29,
            keys_known: true,
            first_wrong: None,
        },
        ceiling: Some(Ceiling {
            command: vec!["raw".to_owned()],
            before: raw(950.0),
            after: Ok(raw(850.0)),
        }),
        best: None,
        beside: None,
    }
}

const CLOSED: Driving = Driving::Closed { concurrency: 64 };

#[test]
fn the_json_adds_up() {
    let json = run(CLOSED).json();
    assert_eq!(json["schema"], SCHEMA);
    assert_eq!(
        (&json["ended"], &json["seconds"]),
        (&json!("time"), &json!(4.0))
    );
    for phase in ["warm_up", "measured"] {
        let outcomes = json[phase]["outcomes"].as_array().unwrap();
        let counted: u64 = outcomes
            .iter()
            .map(|outcome| outcome["count"].as_u64().unwrap())
            .sum();
        assert_eq!(json[phase]["sent"], counted, "{phase}");
    }
    let cosign = &json["measured"]["kinds"]["cosign"];
    assert_eq!(
        (&cosign["sent"], &cosign["done"]),
        (&json!(400), &json!(360))
    );
    assert_eq!(cosign["per_second"], 90.0);
    assert!((cosign["latency_ms"]["p99.9"].as_f64().unwrap() - 4.0).abs() < 0.01);
    assert_eq!(
        json["measured"]["kinds"]["accept"]["latency_ms"],
        Value::Null
    );
    let answered: u64 = json["series"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| ["cosign", "enroll", "accept"].map(|kind| row[kind].clone()))
        .map(|kind| kind["done"].as_u64().unwrap() + kind["not_done"].as_u64().unwrap())
        .sum();
    assert_eq!(answered, 550);
    let refused = &json["measured"]["outcomes"][1];
    assert_eq!(
        (
            &refused["kind"],
            &refused["code"],
            &refused["reason"],
            &refused["count"]
        ),
        (
            &json!("cosign"),
            &json!("RESOURCE_EXHAUSTED"),
            &json!("RATE_LIMITED"),
            &json!(40)
        )
    );
    assert_eq!(refused["longest_retry_seconds"], 1.5);
    assert_eq!(json["configuration"]["concurrency"], 64);
    assert_eq!(
        json["client"]["cpu_us_per_request"]
            .as_f64()
            .unwrap()
            .round(),
        91.0
    );
}

#[test]
fn ratios_are_to_the_mean_of_both_raw_loops() {
    let mut run = run(CLOSED);
    let (cosigned, all) = run.ratios().unwrap();
    assert!((cosigned - 0.1).abs() < 1e-9 && (all - 100.0 / 900.0).abs() < 1e-9);
    let json = run.json();
    assert_eq!(json["ceiling"]["mean_per_second"], 900.0);
    assert!((json["ceiling"]["spread"].as_f64().unwrap() - 1.0 / 9.0).abs() < 1e-9);
    let lines = summary::report(&run).render(LINES);
    assert!(lines.contains("0.100 co-signed to raw"), "{lines}");
    assert!(
        lines.contains("950 signatures per second before, 850 after, 11.1 % apart"),
        "{lines}"
    );
    assert!(!lines.contains("measure again"), "{lines}");
    if let Some(ceiling) = &mut run.ceiling {
        ceiling.after = Ok(RawLoop {
            per_second: 700.0,
            ..ceiling.before
        });
    }
    let lines = summary::report(&run).render(LINES);
    assert!(
        lines.contains("30 % apart, so others used the machine meanwhile"),
        "{lines}"
    );
    run.ceiling = None;
    assert_eq!((run.ratios(), &run.json()["ceiling"]), (None, &Value::Null));
    assert!(
        summary::report(&run)
            .render(LINES)
            .contains("--ceiling 'softhsm-setup")
    );
}

/// 20 orders a second for five seconds, each answered after so many milliseconds but the last, which is not.
fn half(milliseconds: u64) -> Ended {
    let mut recorder = Recorder::new(SECOND);
    for number in 0..100_u64 {
        let outcome = match number {
            99 => Outcome::TOO_LATE,
            _ => Outcome::Done,
        };
        recorder.record(&Sample {
            kind: Kind::Cosign,
            outcome,
            due: Duration::from_millis(number * 50),
            latency: Duration::from_millis(milliseconds),
            retry_after: None,
        });
    }
    Ended {
        interrupted: false,
        after: 5 * SECOND,
        cpu: None,
        sent: 100,
        recorder,
    }
}

#[test]
fn another_institution_is_compared_with_itself_and_a_run_with_an_earlier_one() {
    let mut run = run(CLOSED);
    let json = run.json();
    assert_eq!(
        (&json["best"], &json["beside"]),
        (&Value::Null, &Value::Null)
    );
    run.best = Some(Best { per_second: 100.0 });
    let mut other = plan(CLOSED);
    other.terms.payer = "beta".parse().unwrap();
    run.beside = Some(Compared {
        plan: other,
        phones: 40,
        alone: half(4),
        beside: half(6),
        first_wrong: None,
    });
    let json = run.json();
    assert_eq!(json["best"]["per_second"], 100.0);
    assert!((json["best"]["ratio"].as_f64().unwrap() - 0.9).abs() < 1e-9);
    let beside = &json["beside"];
    assert_eq!(beside["institution"], "beta");
    for half in ["alone", "beside"] {
        let half = &beside[half];
        assert_eq!((&half["sent"], &half["cosigned"]), (&json!(80), &json!(79)));
        assert_eq!(half["seconds"], 4.0);
    }
    for ratio in ["p50_ratio", "p99_ratio"] {
        assert!(
            (beside[ratio].as_f64().unwrap() - 1.5).abs() < 0.01,
            "{json}"
        );
    }
    assert!((beside["done_share"].as_f64().unwrap() - 79.0 / 80.0).abs() < 1e-9);
    let lines = summary::report(&run).render(LINES);
    let flat = lines.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "goodput 90.0 orders co-signed per second, 0.900 of the earlier run's 100.0",
        "ANOTHER INSTITUTION DONE NOT DONE P50 MS P99 MAX beta alone 79 1 4.0",
        "beta beside the load 79 1 6.0",
        "beside 1.50 times its p50 alone, 1.50 times its p99; 98.8 % co-signed",
    ] {
        assert!(flat.contains(said), "{said}\n{lines}");
    }
}

#[test]
fn people_read_rates_refusals_and_what_they_mean() {
    let report = summary::report(&run(CLOSED));
    assert_eq!(report.exit(), Exit::Done);
    let lines = report.render(LINES);
    let flat = lines.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "closed loop of 64 callers, 4 connections each, 10 % of requests enrol at mobilis",
        "4.0 s after 1.0 s of warm-up",
        "CALL SENT DONE PER S P50 MS P90 P99 P99.9 MAX",
        "CosignOrder 400 360 90.0 4.00 4.00 4.00 4.00 4.00",
        "AcceptDevice 0 0 0.0 - - - - -",
        "CALL CODE REASON COUNT RETRY S",
        "CosignOrder RESOURCE_EXHAUSTED RATE_LIMITED 40 1.500",
        "each of 460 authorizations against its order, its certificate against the trust bundle, 29 signatures verified",
        "40 requests (7.3 %) met rate limits",
    ] {
        assert!(flat.contains(said), "{said}\n{lines}");
    }
    for line in lines.lines().filter(|line| !line.starts_with("next")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn an_open_loop_tells_what_was_not_sent() {
    let mut run = run(Driving::Open {
        per_second: 500.0,
        spacing: Spacing::Fixed,
        in_flight: 10,
    });
    run.ended.recorder.not_sent(2 * SECOND);
    let json = run.json();
    assert_eq!(json["measured"]["not_sent"], 1);
    assert_eq!(
        (
            &json["configuration"]["loop"],
            &json["configuration"]["spacing"]
        ),
        (&json!("open"), &json!("fixed"))
    );
    let lines = summary::report(&run).render(LINES);
    assert!(
        lines.contains("not sent") && lines.contains("does not keep up"),
        "{lines}"
    );
}

#[test]
fn wrong_answers_are_said_first() {
    let mut run = run(CLOSED);
    run.ended.recorder.record(&Sample {
        kind: Kind::Cosign,
        outcome: Outcome::Wrong,
        due: 2 * SECOND,
        latency: SECOND,
        retry_after: None,
    });
    run.checked.first_wrong = Some("another amount".to_owned());
    assert_eq!(run.json()["checks"]["wrong_answers"], 1);
    let lines = summary::report(&run).render(LINES);
    let next = lines.lines().find(|line| line.starts_with("next")).unwrap();
    assert!(
        next.contains(
            "do not rely on these figures: 1 answers were wrong, the first: another amount"
        ),
        "{next}"
    );
}

#[test]
fn a_run_that_was_ended_in_its_warm_up_has_no_rates() {
    let mut run = run(CLOSED);
    run.ended.interrupted = true;
    run.ended.after = SECOND / 2;
    let json = run.json();
    assert_eq!(
        (&json["ended"], &json["seconds"]),
        (&json!("interrupted"), &json!(0.0))
    );
    assert_eq!(json["measured"]["per_second"], Value::Null);
    assert_eq!(json["ceiling"]["cosigned_to_raw"], Value::Null);
    assert!(summary::report(&run).render(LINES).contains("ended early"));
}
