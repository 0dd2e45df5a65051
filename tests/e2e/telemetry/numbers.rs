//! The numbers move by what was asked, and by nothing else.

use std::{net::SocketAddr, time::Duration};

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::{Numbers, ask},
    recheck::recheck,
    refusal,
    story::Callers,
    until::until,
};
use semops_proto::v1;
use softhsm_setup::scheme::Role;
use tonic::Code;

const COSIGN: &str = "/semops.signer.v1.CosigningService/CosignOrder";
const REQUESTS: &str = "semops_rpc_requests_total";
const DURATION: &str = "semops_rpc_duration_seconds_count";
const SOON: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;
const ORDERS: usize = 24;

/// Labels with what a counter has grown by.
type Growth<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);

fn grown(before: &Numbers, after: &Numbers, expected: &[Growth<'_>]) {
    for (name, labels, by) in expected {
        let (from, to) = (before.count(name, labels), after.count(name, labels));
        assert_eq!(to - from, *by, "{name} {labels:?}: from {from} to {to}");
    }
}

/// The numbers once the first CRLs are made: two of each institution, beside the one certificate of mobilis.
pub(super) async fn at_rest(deployment: &Deployment) -> Result<Numbers, Failure> {
    until("the first CRLs", SOON, async || {
        let numbers = Numbers::of(deployment)?;
        let made = |institution| {
            numbers.count(
                "semops_hsm_signatures_total",
                &[("institution", institution)],
            )
        };
        let rows = [("operation", "complete")];
        let ended = numbers.count("semops_store_commit_rows_sum", &rows);
        let all = (made("alfa"), made("beta"), made("mobilis"), ended) == (2, 2, 3, 7);
        Ok(all.then_some(numbers))
    })
    .await
}

/// Orders that are co-signed, three of them again, and one refusal of each kind.
async fn ask_for_orders(callers: &Callers, customer: &Customer) -> Result<(), Failure> {
    let mut asks = Vec::new();
    for _ in 0..ORDERS {
        asks.push(customer.asks(&order("0.01", "CNY")?)?);
    }
    for batch in asks.chunks(AT_ONCE) {
        let all = batch.iter().map(|ask| {
            let (client, ask) = (callers.alfa_payments.clone(), ask.clone());
            tokio::spawn(async move { client.cosign_order(ask).await })
        });
        for one in all.collect::<Vec<_>>() {
            one.await??;
        }
    }
    // Recalled: no stage after the first.
    for ask in &asks[..3] {
        callers.alfa_payments.cosign_order(ask.clone()).await?;
    }
    // Refused by policy, by role, and as a field that is none.
    let refused = callers
        .alfa_payments
        .cosign_order(customer.asks(&order("999999.00", "CNY")?)?);
    refusal::demand(
        refused.await,
        Code::FailedPrecondition,
        "AMOUNT_OVER_POLICY",
    )?;
    let refused = callers
        .mobilis_enrolment
        .cosign_order(asks[0].clone())
        .await;
    refusal::demand(refused, Code::PermissionDenied, "ROLE_NOT_ALLOWED")?;
    let nonsense = v1::CosignOrderRequest {
        order_jws: "no JWS".into(),
        ..Default::default()
    };
    let refused = callers.alfa_payments.cosign_order(nonsense).await;
    refusal::demand(refused, Code::InvalidArgument, "INVALID_FIELD")?;
    Ok(())
}

#[tokio::test]
async fn the_numbers_move_by_what_was_asked() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let callers = Callers::connect(&deployment).await?;
    let before = at_rest(&deployment).await?;

    ask_for_orders(&callers, &customer).await?;

    let after = Numbers::of(&deployment)?;
    let (orders, all) = (u64::try_from(ORDERS)?, u64::try_from(ORDERS + 3)?);
    let cosign = ("method", COSIGN);
    let (alfa, mobilis) = (("institution", "alfa"), ("institution", "mobilis"));
    let of = |stage| [("operation", "authorization"), ("stage", stage), alfa];
    const STAGES: &str = "semops_stage_duration_seconds_count";
    let rows = |operation| [("operation", operation)];
    grown(
        &before,
        &after,
        &[
            (REQUESTS, &[cosign], all + 3),
            (
                REQUESTS,
                &[cosign, alfa, ("code", "OK"), ("reason", "none")],
                all,
            ),
            (
                REQUESTS,
                &[
                    cosign,
                    alfa,
                    ("code", "FAILED_PRECONDITION"),
                    ("reason", "AMOUNT_OVER_POLICY"),
                ],
                1,
            ),
            (
                REQUESTS,
                &[
                    cosign,
                    alfa,
                    ("code", "INVALID_ARGUMENT"),
                    ("reason", "INVALID_FIELD"),
                ],
                1,
            ),
            (
                REQUESTS,
                &[
                    cosign,
                    mobilis,
                    ("code", "PERMISSION_DENIED"),
                    ("reason", "ROLE_NOT_ALLOWED"),
                ],
                1,
            ),
            (DURATION, &[cosign, alfa], all + 2),
            (STAGES, &of("recall"), all + 1),
            (STAGES, &of("prove"), orders + 1),
            (STAGES, &of("decide"), orders + 1),
            (STAGES, &of("begin"), orders),
            (STAGES, &of("sign"), orders),
            (STAGES, &of("complete"), orders),
            ("semops_hsm_signatures_total", &[alfa], orders),
            ("semops_hsm_signatures_total", &[mobilis], 0),
            ("semops_hsm_queue_wait_seconds_count", &[alfa], orders),
            (
                "semops_hsm_call_duration_seconds_count",
                &[alfa, ("operation", "sign")],
                orders,
            ),
            ("semops_hsm_failures_total", &[], 0),
            ("semops_store_commit_rows_sum", &rows("begin"), orders),
            ("semops_store_commit_rows_sum", &rows("complete"), orders),
            ("semops_store_commit_rows_sum", &rows("audit"), 1),
        ],
    );
    assert_eq!(after.count("semops_rpc_in_flight", &[]), 0);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, ORDERS);
    Ok(())
}

#[tokio::test]
async fn how_things_stand_is_shown() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let numbers = until("the schedule's first round", SOON, async || {
        let numbers = Numbers::of(&deployment)?;
        // The last that each institution's loop makes known is its CRLs.
        let measured = ["alfa", "beta", "mobilis"].iter().all(|institution| {
            ["device-ca", "signing-ca"].iter().all(|purpose| {
                let crl = [("institution", *institution), ("purpose", *purpose)];
                [
                    "semops_crl_this_update_timestamp_seconds",
                    "semops_crl_next_update_timestamp_seconds",
                ]
                .iter()
                .all(|name| numbers.sum(name, &crl).is_some())
            })
        });
        Ok((measured && numbers.count("semops_documents_generation", &[]) == 3).then_some(numbers))
    })
    .await?;
    assert_eq!(numbers.count("semops_ready", &[]), 1);
    assert_eq!(numbers.sum("semops_intents_pending", &[]), Some(0.0));
    assert_eq!(
        numbers.count(
            "semops_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        1
    );
    let now = e2e::deployment::unix_now()?;
    let moment = |name: &str, labels: &[(&str, &str)]| -> i64 {
        format!("{:.0}", numbers.sum(name, labels).expect(name))
            .parse()
            .expect("a number")
    };
    let started = moment("semops_process_start_time_seconds", &[]);
    assert!((now - 120..=now).contains(&started), "{started} {now}");
    assert!(moment("semops_server_certificate_not_after_timestamp_seconds", &[]) > now);
    for institution in ["alfa", "beta", "mobilis"] {
        let institution = ("institution", institution);
        for purpose in ["device-ca", "signing-ca", "authorization"] {
            let key = [institution, ("purpose", purpose)];
            assert!(moment("semops_key_not_before_timestamp_seconds", &key) <= now);
            assert!(moment("semops_certificate_not_after_timestamp_seconds", &key) > now);
            if purpose != "authorization" {
                assert!(moment("semops_crl_this_update_timestamp_seconds", &key) <= now);
                assert!(moment("semops_crl_next_update_timestamp_seconds", &key) > now);
            }
        }
        for kind in ["policy", "trust", "callers", "custodians"] {
            assert_eq!(
                numbers.count("semops_document_version", &[institution, ("kind", kind)]),
                1
            );
        }
        let token = [institution];
        assert_eq!(numbers.count("semops_hsm_threads", &token), 2);
        assert_eq!(numbers.count("semops_hsm_sessions", &token), 2);
        assert_eq!(numbers.count("semops_hsm_queue_capacity", &token), 256);
        assert_eq!(numbers.count("semops_hsm_logins_total", &token), 1);
        assert_eq!(
            numbers.count("semops_hsm_health", &[institution, ("reason", "SERVING")]),
            1
        );
        assert_eq!(
            numbers.count("semops_hsm_health", &token),
            1,
            "one health at a time"
        );
    }

    // A document that is loaded beside the running server.
    deployment.load_next("policy", "alfa", 2, |policy| policy)?;
    until("the new version", SOON, async || {
        let numbers = Numbers::of(&deployment)?;
        let version = numbers.count(
            "semops_document_version",
            &[("institution", "alfa"), ("kind", "policy")],
        );
        Ok((version == 2 && numbers.count("semops_documents_generation", &[]) == 4).then_some(()))
    })
    .await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn connections_are_counted() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let open = |wanted: u64| {
        let deployment = &deployment;
        async move {
            until("the connections", SOON, async || {
                let found = Numbers::of(deployment)?.count("semops_connections_open", &[]);
                Ok((found == wanted).then_some(()))
            })
            .await
        }
    };
    open(0).await?;
    let first = deployment.channel("alfa", Role::Payments).await?;
    let second = deployment.channel("beta", Role::Payments).await?;
    open(2).await?;
    drop((first, second));
    open(0).await?;

    let failed = || -> Result<u64, Failure> {
        let numbers = Numbers::of(&deployment)?;
        Ok(numbers.count(
            "semops_connections_refused_total",
            &[("reason", "HANDSHAKE_FAILED")],
        ))
    };
    assert_eq!(failed()?, 0);
    // No TLS at all.
    let _answer = ask(deployment.scheme().grpc(), "GET", "/");
    until("the failed handshake", SOON, async || {
        Ok((failed()? == 1).then_some(()))
    })
    .await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn the_admin_listener_shows_three_things_to_its_own_host() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let address = deployment.scheme().admin();
    let numbers = ask(address, "GET", "/metrics")?;
    assert_eq!(numbers.status, 200);
    assert!(
        numbers
            .head
            .to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        numbers.head
    );
    assert_eq!(ask(address, "GET", "/livez")?.status, 200);
    assert_eq!(ask(address, "GET", "/readyz")?.status, 200);
    for (method, path, status) in [
        ("POST", "/metrics", 405),
        ("PUT", "/readyz", 405),
        ("GET", "/", 404),
        ("GET", "/crl/device-root.crl", 404),
        ("GET", "/debug/pprof", 404),
    ] {
        assert_eq!(
            ask(address, method, path)?.status,
            status,
            "{method} {path}"
        );
    }
    // What is for this host is not on the address that is for everybody.
    assert_eq!(
        ask(deployment.scheme().http(), "GET", "/metrics")?.status,
        404
    );
    recheck(&mut deployment).await?;

    deployment.stop().await?;
    let elsewhere: SocketAddr = (std::net::Ipv4Addr::UNSPECIFIED, address.port()).into();
    deployment.configure(
        &format!("listen = \"{address}\""),
        &format!("listen = \"{elsewhere}\""),
    )?;
    let mut refused = deployment.spawn(deployment.signer()?)?;
    assert_eq!(refused.wait().await?.code(), Some(64));
    let said = deployment.log();
    assert!(
        said.contains("admin.listen: ") && said.contains("agent on this host"),
        "{said}"
    );
    Ok(())
}
