//! What the dashboard and the alerts ask for is there: every name, every label and every value that they name.

use std::{collections::BTreeSet, fs, time::Duration};

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::{Numbers, ask},
    programs::workspace,
    recheck::recheck,
    refusal,
    story::Callers,
    until::until,
};
use signer::error::Reason;
use tonic::Code;

const SOON: Duration = Duration::from_secs(30);

/// The names of google.rpc.Code; a healthy service shows few of them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A metric as a query names it, with the labels that it is to have and their values, alternatives apart.
#[derive(Debug)]
struct Selector {
    name: String,
    labels: Vec<(String, Vec<String>)>,
}

/// Every selector of our metrics in a query.
fn selectors(query: &str) -> Vec<Selector> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find("semops_") {
        rest = &rest[start..];
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let inside = after
            .strip_prefix('{')
            .and_then(|text| text.split_once('}'));
        let matchers = inside.map_or("", |(matchers, _)| matchers);
        let labels = matchers.split(',').filter(|text| !text.is_empty());
        found.push(Selector {
            name: name.to_owned(),
            labels: labels.map(matcher).collect(),
        });
        rest = after;
    }
    found
}

/// `label="a"`, `label=~"a|b"`, `label=~".*/(a|b)"`, `label!="a"`.
fn matcher(text: &str) -> (String, Vec<String>) {
    let (label, value) = text.split_once(['=', '!']).expect(text);
    let value = value.trim_matches(['=', '~', '"']);
    let value = value.trim_start_matches(".*/").trim_matches(['(', ')']);
    (
        label.trim().to_owned(),
        value.split('|').map(str::to_owned).collect(),
    )
}

/// Every query of the dashboard and of the alerts.
fn queries() -> Result<Vec<String>, Failure> {
    let folder = workspace().join("signer/ops");
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("dashboard.json"))?)?;
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let mut queries: Vec<_> = targets
        .map(|target| target["expr"].as_str().expect("a query").to_owned())
        .collect();
    assert!(queries.len() > 40, "{}", queries.len());
    // A rule's query goes from `expr:` to the next key of the rule.
    let alerts = fs::read_to_string(folder.join("alerts.yml"))?;
    let rules = alerts.split("expr:").skip(1);
    let expressions: Vec<_> = rules
        .map(|rest| {
            rest.split("\n        labels:")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .map(|text| {
            text.split("\n        for:")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(expressions.len(), alerts.matches("- alert:").count());
    queries.extend(expressions);
    Ok(queries)
}

#[tokio::test]
async fn what_the_dashboard_and_the_alerts_ask_for_is_there() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let callers = Callers::connect(&deployment).await?;
    callers
        .alfa_payments
        .cosign_order(customer.asks(&order("1.00", "CNY")?)?)
        .await?;
    let refused = callers
        .alfa_payments
        .cosign_order(customer.asks(&order("999999.00", "CNY")?)?);
    refusal::demand(
        refused.await,
        Code::FailedPrecondition,
        "AMOUNT_OVER_POLICY",
    )?;
    let _no_tls = ask(deployment.scheme().grpc(), "GET", "/");
    // What is shown only where policy limits the lifetime of keys.
    let limited = |text: String| format!("{text}\n[key_lifetime]\nauthorization = 1000\n");
    deployment.load_next("policy", "alfa", 2, limited)?;
    let numbers = until("all that is observed", SOON, async || {
        let numbers = Numbers::of(&deployment)?;
        let there = numbers.sum("semops_key_lifetime_signatures", &[]).is_some();
        Ok(there.then_some(numbers))
    })
    .await?;

    for query in queries()? {
        for selector in selectors(&query) {
            let of = || numbers.series().filter(|(name, _)| *name == selector.name);
            assert!(of().next().is_some(), "{} of {query}", selector.name);
            for (label, values) in &selector.labels {
                let there: BTreeSet<_> = of()
                    .filter_map(|(_, labels)| labels.get(label))
                    .flat_map(|value| {
                        [value.as_str(), value.rsplit('/').next().unwrap_or_default()]
                    })
                    .collect();
                assert!(!there.is_empty(), "{label} of {query}");
                for value in values.iter().filter(|value| *value != "$institution") {
                    let known = there.contains(value.as_str())
                        || (label == "code" && CODES.contains(&value.as_str()))
                        || (label == "reason" && Reason::named(value).is_some());
                    assert!(known, "{label}={value} of {query}; there are {there:?}");
                }
            }
        }
    }
    recheck(&mut deployment).await.map(drop)
}

#[test]
fn a_selector_is_read_as_it_is_written() {
    let query = "sum(rate(semops_a_total{code=~\"X|Y\",institution=~\"$institution\"}[5m])) / semops_b \
                 > histogram_quantile(0.9, semops_c_bucket{method=~\".*/(M|N)\",scope!=\"s\"})";
    let read: Vec<_> = selectors(query)
        .into_iter()
        .map(|selector| format!("{selector:?}"))
        .collect();
    assert_eq!(
        read,
        [
            r#"Selector { name: "semops_a_total", labels: [("code", ["X", "Y"]), ("institution", ["$institution"])] }"#,
            r#"Selector { name: "semops_b", labels: [] }"#,
            r#"Selector { name: "semops_c_bucket", labels: [("method", ["M", "N"]), ("scope", ["s"])] }"#,
        ]
    );
}
