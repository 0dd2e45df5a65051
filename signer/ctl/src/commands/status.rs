//! `status`: how the service fares, as far as it concerns the caller's institution.

mod clocks;

use std::time::{SystemTime, UNIX_EPOCH};

use clocks::{Clocks, SECOND};

use semops_objects::change::ChangeId;
use semops_proto::{
    client::Client,
    v1::{DocumentVersion, GetStatusRequest, GetStatusResponse, RateLimit, Token, TokenHealth},
};
use serde_json::{Value, json};

use super::{
    device::name_of,
    document::{version_cells, version_json, word},
};
use crate::{
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
        text::{span, utc},
    },
};

const JSON: &str = "JSON: {\"version\", \"started_at\" (Unix seconds), \"clock\": {\"difference_micros\" (above 0: the service is \
    ahead), \"round_trip_micros\", \"differs\" (by more than a second, for certain)}, \"caller\", \"token\": {\"label\", \
    \"description\", \"library\", \"health\": \"SERVING\" | \"FAILING\" | \"REPLACING\" | \"STUCK\" | \"FATAL\", \
    \"health_detail\", \"workers\", \"workers_replaced\", \"sessions\", \"session_limit\" or null, \"waiting\", \"waiting_limit\", \"mechanisms\": \
    []}, \"further_tokens\": [as \"token\"], \"documents\": [{\"document\", \"version\", \"sha256\" (hexadecimal), \"loaded_at\" (Unix seconds)}], \"limits\": \
    [{\"scope\", \"burst\", \"requests\", \"seconds\", \"left\"}], \"in_flight\", \"in_flight_limit\", \"held_seconds\" (no order is \
    co-signed for so long, after a restore; 0 at all other times), \"scheme\": {\"change\", \"change_id\"} (by which the \
    roots are in force) or null (nobody approved them)}";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {}

/// Asks, and compares the service's clock with `clock`, this machine's.
///
/// # Errors
/// [`Failure`].
pub async fn run(client: &Client, clock: fn() -> SystemTime) -> Result<Report, Failure> {
    let before = micros(clock());
    let answer = client.get_status(GetStatusRequest {}).await?;
    let after = micros(clock());
    report(&answer, &Clocks::compare(before, answer.now_micros, after))
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn report(answer: &GetStatusResponse, clocks: &Clocks) -> Result<Report, Failure> {
    let token = answer
        .token
        .as_ref()
        .ok_or_else(|| Failure::bad_answer("the token is missing"))?;
    let running = span(answer.now_micros / SECOND - answer.started_at);
    let warning = clocks.differ().then_some(
        "the clocks differ: orders and certificates are judged by the service's; set the one that is wrong",
    );
    let report = Report::new(members(answer, token, clocks))
        .row(
            "service",
            format!(
                "{}, up {running}, since {}",
                answer.version,
                utc(answer.started_at)
            ),
        )
        .row("clock", clocks.text())
        .row_if("warning", warning)
        .row_if("hold", hold(answer.held_seconds))
        .row("caller", &answer.caller)
        .row("scheme", scheme(answer));
    let mut tokens = std::iter::once(token).chain(&answer.further_tokens);
    let report = tokens.clone().fold(report, token_rows);
    let report = report
        .table(documents(answer))
        .table(limits(answer))
        .words("mechanisms", &token.mechanisms);
    let serves = |token: &Token| token.health() == TokenHealth::Serving;
    Ok(if tokens.all(serves) {
        report
    } else {
        report.next("tell the operator of the service what ails the token")
    })
}

/// Who rules the roots.
fn scheme(answer: &GetStatusResponse) -> String {
    match answer.scheme_change {
        0 => "nobody approved its roots".to_owned(),
        number => format!("ruled by its custodians, by change {number}"),
    }
}

/// After a restore, how long it takes until orders are co-signed again.
fn hold(seconds: u32) -> Option<String> {
    (seconds > 0).then(|| {
        format!("no order is co-signed for {seconds} s: the record was put back from a backup")
    })
}

fn token_rows(report: Report, token: &Token) -> Report {
    let limit = token.session_limit;
    let limit = limit.map_or("the token names no limit".to_owned(), |limit| {
        format!("at most {limit}")
    });
    let detail = Some(&token.health_detail).filter(|detail| !detail.is_empty());
    report
        .row("token", &token.label)
        .row("health", health(token))
        .row_if("detail", detail)
        .words("model", &parts(&token.description))
        .words("library", &parts(&token.library))
        .row(
            "workers",
            format!("{} ({} replaced)", token.workers, token.workers_replaced),
        )
        .row("sessions", format!("{} ({limit})", token.sessions))
        .row(
            "waiting",
            format!("{} of {}", token.waiting, token.waiting_limit),
        )
}

/// What stands between commas, so that it can be broken there.
fn parts(text: &str) -> Vec<String> {
    text.split(", ").map(str::to_owned).collect()
}

/// The documents in force.
fn documents(answer: &GetStatusResponse) -> Table {
    let columns = [
        Column::whole("DOCUMENT"),
        Column::number("VERSION"),
        Column::whole("LOADED"),
        Column::long("SHA256"),
    ];
    let row = |table: Table, document: &DocumentVersion| {
        let [version, loaded, sha256] = version_cells(document);
        table.row([word(document.kind()).to_owned(), version, loaded, sha256])
    };
    answer.documents.iter().fold(Table::new(columns), row)
}

/// The rate limits, and last the bound on what is under way.
fn limits(answer: &GetStatusResponse) -> Table {
    let columns = [
        Column::whole("LIMIT"),
        Column::whole("RATE"),
        Column::number("AT ONCE"),
        Column::number("LEFT"),
    ];
    let row = |table: Table, limit: &RateLimit| {
        table.row([
            limit.scope.clone(),
            format!("{} in {} s", limit.requests, limit.seconds),
            limit.burst.to_string(),
            limit.left.to_string(),
        ])
    };
    let left = answer.in_flight_limit.saturating_sub(answer.in_flight);
    let table = answer.limits.iter().fold(Table::new(columns), row);
    table.row([
        "institution".to_owned(),
        "under way".to_owned(),
        answer.in_flight_limit.to_string(),
        left.to_string(),
    ])
}

fn members(answer: &GetStatusResponse, token: &Token, clocks: &Clocks) -> Value {
    let documents = answer.documents.iter().map(|document| {
        let mut json = version_json(document);
        if let Value::Object(members) = &mut json {
            members.insert("document".to_owned(), json!(word(document.kind())));
        }
        json
    });
    let limits = answer.limits.iter().map(|limit| {
        json!({
            "scope": limit.scope,
            "burst": limit.burst,
            "requests": limit.requests,
            "seconds": limit.seconds,
            "left": limit.left,
        })
    });
    json!({
        "version": answer.version,
        "started_at": answer.started_at,
        "clock": {
            "difference_micros": clocks.difference,
            "round_trip_micros": clocks.round_trip,
            "differs": clocks.differ(),
        },
        "caller": answer.caller,
        "token": token_members(token),
        "further_tokens": answer.further_tokens.iter().map(token_members).collect::<Vec<_>>(),
        "documents": documents.collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
        "in_flight": answer.in_flight,
        "in_flight_limit": answer.in_flight_limit,
        "held_seconds": answer.held_seconds,
        "scheme": (answer.scheme_change > 0).then(|| {
            let id = <[u8; 32]>::try_from(answer.scheme_change_id.as_slice());
            let id = id.ok().map(|id| ChangeId::new(id).to_string());
            json!({"change": answer.scheme_change, "change_id": id})
        }),
    })
}

fn token_members(token: &Token) -> Value {
    json!({
        "label": token.label,
        "description": token.description,
        "library": token.library,
        "health": health(token),
        "health_detail": token.health_detail,
        "workers": token.workers,
        "workers_replaced": token.workers_replaced,
        "sessions": token.sessions,
        "session_limit": token.session_limit,
        "waiting": token.waiting,
        "waiting_limit": token.waiting_limit,
        "mechanisms": token.mechanisms,
    })
}

fn health(token: &Token) -> &'static str {
    name_of(token.health().as_str_name(), "TOKEN_HEALTH_")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_proto::v1::DocumentKind;

    use super::*;
    use crate::output::Form;

    const LINES: Form = Form::Lines { columns: 80 };

    fn answer(health: TokenHealth) -> GetStatusResponse {
        GetStatusResponse {
            version: "0.1.0".to_owned(),
            started_at: 0,
            now_micros: 7_200 * SECOND,
            caller: "spiffe://semops.example/alfa/auditor/audit".to_owned(),
            documents: vec![DocumentVersion {
                kind: DocumentKind::Policy.into(),
                version: 2,
                sha256: vec![0xcd; 32],
                loaded_at: 60,
            }],
            token: Some(Token {
                label: "alfa".to_owned(),
                health: health.into(),
                mechanisms: vec!["CKM_ECDSA".to_owned(); 12],
                waiting_limit: 256,
                ..Token::default()
            }),
            limits: vec![RateLimit {
                scope: "caller".to_owned(),
                burst: 1000,
                requests: 500,
                seconds: 1,
                left: 999,
            }],
            in_flight: 1,
            in_flight_limit: 256,
            held_seconds: 0,
            further_tokens: Vec::new(),
            scheme_change: 2,
            scheme_change_id: vec![0xab; 32],
        }
    }

    #[test]
    fn everything_fits_and_is_said() {
        let clocks = Clocks::compare(0, 0, 0);
        let report = report(&answer(TokenHealth::Serving), &clocks).unwrap();
        let shown = report.render(LINES);
        for said in [
            "service   0.1.0, up 2 h, since 1970-01-01T00:00:00Z\n",
            "\nscheme    ruled by its custodians, by change 2\n",
            "sessions  0 (the token names no limit)\n",
            "\n            CKM_ECDSA, CKM_ECDSA",
            "\npolicy          2  1970-01-01T00:01:00Z  cdcd",
            "\ncaller       500 in 1 s     1000   999\n",
            "\ninstitution  under way       256   255\n",
        ] {
            assert!(shown.contains(said), "{said} in\n{shown}");
        }
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
        assert!(
            !shown.contains("warning") && !shown.contains("next"),
            "{shown}"
        );
    }

    #[test]
    fn an_ailing_token_names_the_way_out() {
        let clocks = Clocks::compare(0, 0, 0);
        let mut ailing = answer(TokenHealth::Stuck);
        if let Some(token) = &mut ailing.token {
            token.health_detail = "C_Sign has not returned for 30 s".to_owned();
        }
        let shown = report(&ailing, &clocks).unwrap().render(LINES);
        assert!(
            shown.contains("\nhealth    STUCK\ndetail    C_Sign has not"),
            "{shown}"
        );
        assert!(
            shown.ends_with("\nnext        tell the operator of the service what ails the token\n")
        );
        assert!(!shown.contains("\nhold "), "{shown}");
        ailing.held_seconds = 629;
        let held = report(&ailing, &clocks).unwrap().render(LINES);
        assert!(
            held.contains("\nhold      no order is co-signed for 629 s: "),
            "{held}"
        );
        ailing.token = None;
        assert!(matches!(
            report(&ailing, &clocks),
            Err(Failure::BadAnswer { .. })
        ));
    }

    #[test]
    fn a_clock_that_differs_is_warned_of() {
        let behind = Clocks::compare(0, -3_000_000, 2_000);
        let shown = report(&answer(TokenHealth::Serving), &behind).unwrap();
        assert!(
            shown
                .render(LINES)
                .contains("\nwarning   the clocks differ")
        );
    }
}
