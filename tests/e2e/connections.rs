//! How long connections live: as long as their caller is one, as long as its certificate, until their age; and how many
//! there are, so that nobody takes all. Nothing that was asked is lost with them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use e2e::{
    customer::{self, Customer},
    deployment::{Deployment, unix_now},
    failure::Failure,
    held::Held,
    numbers::Numbers,
    recheck::recheck,
    refusal, stored,
    until::until,
    wire::{self, Wire},
};
use prost::Message as _;
use semops_proto::v1;
use softhsm_setup::{
    client::{IssuedBy, issue_client},
    directory::Hierarchy,
    scheme::{Role, Scheme},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use crate::tls::{
    GENUINE, HEALTH, ca, caller,
    credentials::{Credentials, Leaf, PREFACE, forge},
};

const SOON: Duration = Duration::from_secs(30);
const COSIGN: &str = "/semops.signer.v1.CosigningService/CosignOrder";
const NO_CALLER: &str = "its peer is no caller";
const REFUSED: &str = "semops_connections_refused_total";
const AGED: &str = "it has reached its age";

/// A running deployment; each pair is a change of its configuration.
async fn deployment(configuration: &[(&str, &str)]) -> Result<Deployment, Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    for (from, to) in configuration {
        deployment.configure(from, to)?;
    }
    deployment.start().await?;
    Ok(deployment)
}

async fn alfa(deployment: &Deployment, role: Role, name: &str) -> Result<Wire, Failure> {
    Wire::of(deployment, "alfa", role, name).await
}

async fn demand_served(wire: &mut Wire) -> Result<(), Failure> {
    let answer = wire.call(HEALTH, &[]).await?;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    assert!(wire.is_open());
    Ok(())
}

/// So many connections were ended for this reason, and so many are open.
async fn demand_numbers(
    deployment: &Deployment,
    reason: &str,
    ended: u64,
    open: u64,
) -> Result<(), Failure> {
    until("the numbers of connections", SOON, async || {
        let numbers = Numbers::of(deployment)?;
        let found = (
            numbers.count("semops_connections_ended_total", &[("reason", reason)]),
            numbers.count("semops_connections_open", &[]),
        );
        Ok((found == (ended, open)).then_some(()))
    })
    .await
}

/// The register with another state of that caller.
fn disabled(text: &str, id: &str) -> String {
    let entry = format!("id = \"spiffe://semops.example/alfa/{id}\"\nstate = \"active\"");
    assert!(text.contains(&entry), "{entry} is not in {text}");
    text.replace(&entry, &entry.replace("active", "disabled"))
}

/// The register without that caller.
fn removed(text: &str, id: &str) -> String {
    let entry = format!("spiffe://semops.example/alfa/{id}");
    let kept = text
        .split("[[caller]]")
        .filter(|part| !part.contains(&entry));
    let kept = kept.collect::<Vec<_>>().join("[[caller]]");
    assert!(kept.len() < text.len(), "{entry} is not in {text}");
    kept
}

/// The register with another TLS CA.
fn certified_by(text: &str, ca: &str) -> String {
    let (before, rest) = text.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (_, after) = rest.split_once("-----END CERTIFICATE-----\n").unwrap();
    format!("{before}{ca}{after}")
}

#[tokio::test]
async fn who_leaves_the_register_loses_his_connection_and_nobody_else() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let mut backend = alfa(&deployment, Role::Payments, "backend").await?;
    let mut ra = alfa(&deployment, Role::Enrolment, "ra").await?;
    let mut audit = alfa(&deployment, Role::Auditor, "audit").await?;
    let mut others = Wire::of(&deployment, "beta", Role::Payments, "backend").await?;
    for wire in [&mut backend, &mut ra, &mut audit, &mut others] {
        demand_served(wire).await?;
    }
    // None asks anything from here on until it is looked at; and nobody else asks either.
    deployment.load_next("callers", "alfa", 2, |text| {
        disabled(&text, "payments/backend")
    })?;
    backend.closed().await?;
    assert!(ra.is_open() && audit.is_open() && others.is_open());

    deployment.load_next("callers", "alfa", 3, |text| removed(&text, "enrolment/ra"))?;
    ra.closed().await?;
    assert!(audit.is_open() && others.is_open());
    demand_served(&mut audit).await?;

    let id = "alfa".parse().unwrap();
    let auditor = "spiffe://semops.example/alfa/auditor/audit";
    let (scheme, directory) = (deployment.scheme(), deployment.directory());
    let issuer = IssuedBy::NewCa(Hierarchy::Tls);
    let identity = issue_client(scheme, directory, &id, auditor, issuer, unix_now()?)?;
    let new_ca = identity
        .chain
        .split_inclusive("-----END CERTIFICATE-----\n");
    let new_ca = new_ca.last().unwrap().to_owned();
    let credentials = Credentials::identity(&deployment, &identity)?;
    deployment.load_next("callers", "alfa", 4, |text| certified_by(&text, &new_ca))?;
    audit.closed().await?;
    // The same name, certified by the new CA, is a caller again.
    let mut audit = Wire::open(&deployment, &credentials.chain, &credentials.key).await?;
    demand_served(&mut audit).await?;
    demand_served(&mut others).await?;
    assert_eq!(deployment.log().matches(NO_CALLER).count(), 3);
    demand_numbers(&deployment, "NO_CALLER", 3, 2).await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_connection_ends() -> Result<(), Failure> {
    let mut deployment = deployment(&[("level = \"info\"", "level = \"debug\"")]).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let order = customer::order("1.00", "CNY")?;
    let ask = customer.asks(&order)?.encode_to_vec();
    let mut backend = alfa(&deployment, Role::Payments, "backend").await?;
    let bank = Held::token(&deployment, "alfa")?;
    let call = tokio::spawn(async move {
        let answer = backend.call(COSIGN, &ask).await?;
        backend.closed().await?;
        Ok::<_, Failure>(answer)
    });
    let jti = order.jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&jti), "PENDING").await?;
    deployment.load_next("callers", "alfa", 2, |text| {
        removed(&text, "payments/backend")
    })?;
    until("the end of the connection", SOON, async || {
        Ok(deployment.log().contains(NO_CALLER).then_some(()))
    })
    .await?;
    assert!(!call.is_finished());
    drop(bank);
    // It was admitted and recorded while its caller was one.
    let answer = call.await??;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    let cosigned = v1::CosignOrderResponse::decode(answer.message().unwrap())?;
    assert!(!cosigned.authorization_jws.is_empty());
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate_busy_or_idle() -> Result<(), Failure> {
    let mut deployment = deployment(&[]).await?;
    let end = unix_now()? + 8;
    let date = std::process::Command::new("date")
        .args(["-u", "+%Y%m%d%H%M%SZ", "-d", &format!("@{end}")])
        .output()?;
    let date = String::from_utf8(date.stdout)?;
    let leaf = Leaf {
        until: date.trim(),
        ..GENUINE
    };
    let issuer = ca(&deployment, "alfa");
    let short = forge(&deployment, (&issuer.0, &issuer.1), leaf)?;
    let mut idle = Wire::open(&deployment, &short.chain, &short.key).await?;
    let mut busy = Wire::open(&deployment, &short.chain, &short.key).await?;
    let mut long = alfa(&deployment, Role::Payments, "backend").await?;
    demand_served(&mut idle).await?;
    demand_served(&mut busy).await?;
    // A request is refused, or there is no connection for it any more: whichever comes first.
    let refused = until("the certificate's end", SOON, async || {
        Ok(match busy.call(HEALTH, &[]).await {
            Ok(answer) if answer.status.code() == Code::Ok => None,
            ended => Some(ended),
        })
    })
    .await?;
    assert!(unix_now()? > end, "refused before its end");
    if let Ok(answer) = refused {
        let status = Err::<(), _>(answer.status);
        refusal::demand(status, Code::Unauthenticated, "CALLER_UNKNOWN")?;
    }
    busy.closed().await?;
    idle.closed().await?;
    assert_eq!(deployment.log().matches(NO_CALLER).count(), 2);
    demand_served(&mut long).await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_stranger_with_a_good_certificate_is_told_and_does_not_stay() -> Result<(), Failure> {
    let changes = [("request_seconds = 10", "request_seconds = 3")];
    let mut deployment = deployment(&changes).await?;
    let issuer = ca(&deployment, "alfa");
    let leaf = Leaf {
        uris: &["spiffe://semops.example/alfa/payments/nobody"],
        ..GENUINE
    };
    let nobody = forge(&deployment, (&issuer.0, &issuer.1), leaf)?;
    let mut wire = Wire::open(&deployment, &nobody.chain, &nobody.key).await?;
    let told = wire.call(HEALTH, &[]).await?;
    let refused = Err::<(), _>(told.status);
    refusal::demand(refused, Code::Unauthenticated, "CALLER_UNKNOWN")?;
    wire.closed().await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn connections_are_replaced_at_their_age_and_no_request_is_lost() -> Result<(), Failure> {
    const CLIENTS: usize = 4;
    const AT_A_TIME: usize = 16;
    let changes = [
        ("level = \"info\"", "level = \"debug\""),
        (
            "request_seconds = 10",
            "request_seconds = 10\nmax_connection_age_seconds = 1",
        ),
    ];
    let mut deployment = deployment(&changes).await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = deployment.client("alfa", Role::Payments).await?;
        let ask = customer.asks(&customer::order("0.01", "CNY")?)?;
        let first = client.cosign_order(ask.clone()).await?;
        // On one connection, so that some are under way and some not yet sent when it ends.
        for _ in 0..AT_A_TIME {
            let (client, ask, first) = (client.clone(), ask.clone(), first.clone());
            let stop = Arc::clone(&stop);
            load.spawn(async move {
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.cosign_order(ask.clone()).await?, first);
                    answers += 1;
                }
                Ok::<_, Failure>(answers)
            });
        }
    }
    let before = deployment.log().matches(AGED).count();
    until("the sixth connection of each", SOON, async || {
        if let Some(ended) = load.try_join_next() {
            ended??;
        }
        let aged = deployment.log().matches(AGED).count() - before;
        Ok((aged >= 5 * CLIENTS).then_some(()))
    })
    .await?;
    stop.store(true, Ordering::Relaxed);
    let mut answers = CLIENTS;
    while let Some(ended) = load.join_next().await {
        answers += ended??;
    }
    // Each answer that was given was received.
    let log = deployment.log();
    let given = |line: &&str| line.contains("answered") && line.contains(COSIGN);
    assert_eq!(log.lines().filter(given).count(), answers);
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (CLIENTS, 0));
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_let_go_is_cut_off() -> Result<(), Failure> {
    let changes = [(
        "request_seconds = 10",
        "request_seconds = 1\nmax_connection_age_seconds = 1",
    )];
    let mut deployment = deployment(&changes).await?;
    let files = caller(&deployment, "alfa", Role::Payments, "backend");
    // It says hello, and neither reads nor acknowledges anything from then on.
    let mut stream = wire::tls(&deployment, &files.chain, &files.key).await?;
    stream.write_all(PREFACE).await?;
    let mut rest = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut rest)).await?;
    assert!(
        ended.is_err() || rest.len() < 1_024,
        "{} octets",
        rest.len()
    );
    assert!(deployment.log().contains("a connection was cut off"));
    demand_numbers(&deployment, "CUT_OFF", 1, 0).await?;
    recheck(&mut deployment).await.map(drop)
}

/// Of so many connections of this caller opened now, those that are served.
pub(super) async fn served(
    deployment: &Deployment,
    credentials: &Credentials,
    tried: usize,
) -> Result<Vec<Wire>, Failure> {
    let mut served = Vec::new();
    for _ in 0..tried {
        let wire = Wire::open(deployment, &credentials.chain, &credentials.key).await;
        let Ok(mut wire) = wire else { continue };
        // Even who is told that he is nobody has a connection.
        if wire.call(HEALTH, &[]).await.is_ok() {
            served.push(wire);
        }
    }
    Ok(served)
}

#[tokio::test]
async fn no_institution_takes_all_places() -> Result<(), Failure> {
    let changes = [("max_connections = 1024", "max_connections = 16")];
    let mut deployment = deployment(&changes).await?;
    let of = |institution| {
        let files = caller(&deployment, institution, Role::Payments, "backend");
        Credentials::of(files.chain, files.key)
    };
    let (alfa, beta) = (of("alfa"), of("beta"));
    let issuer = ca(&deployment, "alfa");
    // alfa's CA says it is beta's: beta's places are not taken so.
    let leaf = Leaf {
        organization: "beta",
        uris: &["spiffe://semops.example/beta/payments/backend"],
        ..GENUINE
    };
    let pretender = forge(&deployment, (&issuer.0, &issuer.1), leaf)?;
    let mut alfas = served(&deployment, &alfa, 12).await?;
    assert_eq!(alfas.len(), 8);
    assert_eq!(served(&deployment, &pretender, 6).await?.len(), 2);
    let mut betas = served(&deployment, &beta, 4).await?;
    assert_eq!(betas.len(), 4);
    for wire in alfas.iter_mut().chain(&mut betas) {
        demand_served(wire).await?;
    }
    // A place that is given back is there for the next.
    alfas.pop();
    until("the place given back", SOON, async || {
        let next = served(&deployment, &alfa, 1).await?;
        Ok((next.len() == 1).then_some(()))
    })
    .await?;
    let turned = Numbers::of(&deployment)?.count(REFUSED, &[("reason", "SHARE_TAKEN")]);
    assert!(turned >= 8, "{turned}");
    let log = deployment.log();
    for why in ["its institution has its share", "those who are no callers"] {
        assert!(log.contains(why), "{log}");
    }
    drop((alfas, betas));
    recheck(&mut deployment).await.map(drop)
}
