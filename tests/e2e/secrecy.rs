//! What must stay inside: PINs and private keys everywhere; and in logs, traces, metrics and audit events whatever says who
//! paid whom how much.

mod cores;
mod traces;

use std::{fs, io::ErrorKind};

use e2e::{
    collector::Collector,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    numbers::ask,
    phone,
    recheck::recheck,
    refusal,
    story::{self, Narrator, QR},
};
use rusqlite::Connection;
use semops_objects::{authorization::AuthorizationJws, offer};
use semops_proto::v1;
use serde_json::Value;
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;

use self::traces::Traces;

/// What an audit event may say (docs of the audit event: time, request, caller, and so on).
const LEAF: [&str; 12] = [
    "v",
    "time",
    "request",
    "caller",
    "institution",
    "operation",
    "object",
    "device",
    "policy",
    "key",
    "result",
    "reason",
];
/// What a line of the log may say of a request, and of the service itself, beside the logger's own members.
const LINE: [&str; 37] = [
    "timestamp",
    "level",
    "message",
    "span",
    "spans",
    "name",
    "request",
    "method",
    "caller",
    "institution",
    "object",
    "device",
    "result",
    "reason",
    "micros",
    "peer",
    "why",
    "cause",
    "error",
    "fault",
    "signal",
    "seconds",
    "made",
    "closed",
    "kind",
    "mistake",
    "pid",
    "advice",
    "call",
    "code",
    "class",
    "token",
    "key",
    "purpose",
    "change",
    "version",
    "signing",
];

#[tokio::test]
async fn neither_secrets_nor_payments_stand_where_they_must_not() -> Result<(), Failure> {
    for format in ["text", "json"] {
        let mut deployment = Deployment::prepare_limited(Scheme::EXAMPLE, &mut |_| {})?;
        deployment.configure("format = \"text\"", &format!("format = \"{format}\""))?;
        deployment.configure("level = \"info\"", "level = \"debug\"")?;
        let collector = Collector::start().await?;
        deployment.configure(
            "[log]\n",
            &format!("{}\n[log]\n", collector.configuration()),
        )?;
        deployment.start().await?;
        let personal = busy(&deployment).await?;
        let metrics = ask(deployment.scheme().admin(), "GET", "/metrics")?.body;
        let secrets = Traces::secrets(&deployment)?;
        let inside = process(&mut deployment)?;
        recheck(&mut deployment).await?;
        deployment.stop().await?;

        let log = deployment.log();
        for (place, octets) in stored(&deployment)? {
            secrets.are_not_in(&octets, &place);
        }
        let sent = collector.seen();
        let outside = [
            ("the log", log.as_bytes()),
            ("the metrics", metrics.as_bytes()),
            ("what the collector got", sent.octets.as_slice()),
        ];
        for (place, octets) in outside {
            secrets.are_not_in(octets, place);
            personal.are_not_in(octets, &format!("{place}, logged as {format}"));
        }
        for (place, octets) in &inside {
            secrets.are_not_in(octets, place);
        }
        let leaves = leaves(&deployment)?;
        for leaf in &leaves {
            personal.are_not_in(leaf, "an audit event");
            known_members(&serde_json::from_slice(leaf)?, &LEAF);
        }
        if format == "json" {
            for line in log.lines().filter(|line| line.starts_with('{')) {
                known_members(&serde_json::from_str(line)?, &LINE);
            }
        }
        // The search finds what is there: what may be told is told, and the record holds what it must.
        let all = leaves.concat();
        for told in [
            "spiffe://semops.example/alfa/payments/backend",
            "ORDER_CONFLICT",
        ] {
            assert!(String::from_utf8_lossy(&all).contains(told), "{told}");
        }
        assert!(leaves.len() > 20);
        for (place, octets) in outside {
            let told = String::from_utf8_lossy(octets);
            assert!(told.contains("CosigningService/CosignOrder"), "{place}");
        }
        assert!(sent.spans.len() > 100 && sent.metrics.len() > 30);
        let record = stored(&deployment)?.into_iter().map(|(_, octets)| octets);
        assert!(personal.any_in(&record.collect::<Vec<_>>().concat()));
    }
    Ok(())
}

/// Payments, refusals and nonsense; gives the traces that they would leave.
async fn busy(deployment: &Deployment) -> Result<Traces, Failure> {
    let mut traces = Traces::default();
    let evidence = story::play(deployment, &Narrator::silent()).await?;
    traces.jws("an order", &evidence.order_jws);
    traces.jws("an authorization", &evidence.authorization_jws);
    traces.octets("a certification request", &evidence.device_csr);
    for text in ["500.01", "BEST TRANSPORT", "A93FO3230Q"] {
        traces.text("of the merchant's code", text);
    }
    traces.octets("the offer", QR);
    traces.octets("the offer's digest", &offer::sha256(QR));

    let customer = Customer::of_alfa(deployment).await?;
    traces.text("a subscriber", &customer.subscriber);
    traces.text("an account", &customer.account);
    for certificate in customer.phone.chain()? {
        traces.octets("a certificate", certificate.der());
    }
    traces.octets("the tracker of a phone", &customer.phone.kid()?);
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let enrolment = deployment.client("alfa", Role::Enrolment).await?;
    let (paid, other) = (order("137.91", "EUR")?, order("137.92", "EUR")?);
    let mut ask = customer.asks(&paid)?;
    ask.end_to_end_id = Some("E2E-SECRET-INVOICE-4711".into());
    ask.uetr = Some("97ed4827-7b6f-4491-a06f-b548d5a7512d".into());
    for text in ["137.91", "137.92", "E2E-SECRET", "97ed4827", "Kiosk"] {
        traces.text("of a payment", text);
    }
    let cosigned = alfa.cosign_order(ask.clone()).await?;
    traces.jws("an order", &ask.order_jws);
    traces.jws("an authorization", &cosigned.authorization_jws);
    let authorization = AuthorizationJws::parse(&cosigned.authorization_jws)?;
    traces.octets("a payer", &authorization.authorization().payer);

    // Refusals, whose causes tempt to repeat what was sent.
    let conflict = alfa.cosign_order(customer.asks(&paid)?).await;
    refusal::demand(conflict, Code::AlreadyExists, "ORDER_CONFLICT")?;
    let mut forged = customer.asks(&other)?;
    forged.order_jws.truncate(forged.order_jws.len() - 2);
    traces.jws("a broken order", &forged.order_jws);
    alfa.cosign_order(forged).await.unwrap_err();
    for account in ["0123456789", &phone::pseudonym()] {
        traces.text("another account", account);
        let accept = v1::AcceptDeviceRequest {
            device_id: customer.device_id(),
            account_reference: account.to_owned(),
        };
        enrolment.accept_device(accept).await.unwrap_err();
    }
    let nonsense = v1::VerifyAuthorizationRequest {
        authorization_jws: "SECRET.NON.SENSE".into(),
    };
    traces.text("nonsense", "SECRET.NON.SENSE");
    alfa.verify_authorization(nonsense).await?;
    Ok(traces)
}

/// The members of an event and of all objects in it are among these.
fn known_members(event: &Value, known: &[&str]) {
    let objects = std::iter::once(event).chain(event["spans"].as_array().into_iter().flatten());
    for object in objects.chain(event.get("span")) {
        for member in object.as_object().expect("an object").keys() {
            assert!(known.contains(&member.as_str()), "{member} in {event}");
        }
    }
}

/// The store's files.
fn stored(deployment: &Deployment) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", deployment.database().display());
        match fs::read(&path) {
            Ok(octets) => files.push((path, octets)),
            Err(error) if error.kind() == ErrorKind::NotFound && !suffix.is_empty() => {}
            Err(error) => return Err(Failure::during(path)(error)),
        }
    }
    Ok(files)
}

fn leaves(deployment: &Deployment) -> Result<Vec<Vec<u8>>, Failure> {
    let connection = Connection::open(deployment.database())?;
    let mut query = connection.prepare("SELECT CAST(leaf AS BLOB) FROM audit ORDER BY seq")?;
    let rows = query.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the system shows of the process to others: its command line, and its environment to those who may read it.
fn process(deployment: &mut Deployment) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let pid = deployment.server()?.pid().as_raw_nonzero();
    let mut shown = Vec::new();
    for file in ["cmdline", "environ"] {
        let path = format!("/proc/{pid}/{file}");
        match fs::read(&path) {
            Ok(octets) => shown.push((path, octets)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied && file == "environ" => {}
            Err(error) => return Err(Failure::during(path)(error)),
        }
    }
    assert!(String::from_utf8_lossy(&shown[0].1).contains("--config"));
    Ok(shown)
}
