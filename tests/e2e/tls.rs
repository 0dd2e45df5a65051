//! Who gets in: TLS 1.3 alone, both sides with certificates, and of those with good certificates the registered callers
//! alone, at every request.

pub(crate) mod credentials;
mod removal;

use std::{process::Stdio, time::Duration};

use e2e::{
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    raw::{self, Answer},
    recheck::recheck,
    refusal::demand,
};
use rustls::AlertDescription;
use semops_pki::local_key::LocalKey;
use semops_proto::v1;
use softhsm_setup::{
    client::{IssuedBy, issue_client},
    directory::{CallerFiles, Hierarchy},
    scheme::{Role, Scheme},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tonic::Code;

use crate::bad_input::rows::requests as rows;

use self::credentials::{
    CLIENT_AUTH, Credentials, Leaf, Met, PREFACE, SETTINGS, forge, other_root, shake,
};

pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";
const BACKEND: &str = "spiffe://semops.example/alfa/payments/backend";
const LONG_AGO: &str = "20200101000000Z";
const LAST_YEAR: &str = "20210101000000Z";
const FAR: &str = "20600101000000Z";
/// More than the server's own limit for a handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// A leaf in time that alfa's TLS CA may have issued to its backend.
pub(crate) const GENUINE: Leaf<'static> = Leaf {
    organization: "alfa",
    uris: &[BACKEND],
    usage: CLIENT_AUTH,
    from: LONG_AGO,
    until: FAR,
};

#[tokio::test]
async fn only_certificates_of_the_tls_hierarchy_for_clients_pass_the_handshake()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let alfa = ca(&deployment, "alfa");
    let alfa = (alfa.0.as_path(), alfa.1.as_path());
    let genuine = forge(&deployment, alfa, GENUINE)?;
    assert_eq!(shake(&deployment, Some(&genuine)).await?, Met::Http2);

    let other = other_root(&deployment)?;
    let of = |leaf| forge(&deployment, alfa, leaf);
    let server = deployment.directory();
    let server = Credentials::of(server.server_chain(), server.server_key());
    let strangers = [
        (
            "another root",
            forge(&deployment, (&other.0, &other.1), GENUINE)?,
            AlertDescription::UnknownCA,
        ),
        (
            "a CA below the device root",
            below(&deployment, Hierarchy::Device)?,
            AlertDescription::UnknownCA,
        ),
        (
            "a CA below the signing root",
            below(&deployment, Hierarchy::Signing)?,
            AlertDescription::UnknownCA,
        ),
        (
            "a phone",
            phone(&deployment).await?,
            AlertDescription::UnsupportedCertificate,
        ),
        (
            "a phone's usage",
            of(Leaf {
                usage: "critical,1.3.6.1.4.1.32473.7.1",
                ..GENUINE
            })?,
            AlertDescription::UnsupportedCertificate,
        ),
        (
            "the server itself",
            server,
            AlertDescription::UnsupportedCertificate,
        ),
        (
            "expired",
            of(Leaf {
                until: LAST_YEAR,
                ..GENUINE
            })?,
            AlertDescription::CertificateExpired,
        ),
        (
            "not valid yet",
            of(Leaf {
                from: "20590101000000Z",
                ..GENUINE
            })?,
            AlertDescription::CertificateExpired,
        ),
    ];
    for (who, credentials, alert) in &strangers {
        let met = shake(&deployment, Some(credentials)).await?;
        assert_eq!(met, Met::Alert(*alert), "{who}");
    }
    let nobody = shake(&deployment, None).await?;
    assert_eq!(nobody, Met::Alert(AlertDescription::CertificateRequired));
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_good_certificate_makes_nobody_a_caller() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let (alfa, beta) = (ca(&deployment, "alfa"), ca(&deployment, "beta"));
    let alfa = (alfa.0.as_path(), alfa.1.as_path());
    let beta = (beta.0.as_path(), beta.1.as_path());
    let of = |issuer, organization, uris| {
        let leaf = Leaf {
            organization,
            uris,
            ..GENUINE
        };
        forge(&deployment, issuer, leaf)
    };
    let id = |end| format!("spiffe://semops.example/{end}");
    let (beta_backend, unregistered) = (id("beta/payments/backend"), id("alfa/payments/other"));
    let genuine = of(alfa, "alfa", &[BACKEND])?;
    let served = health(&deployment, &genuine).await?;
    assert_eq!(served.status.code(), Code::Ok, "{:?}", served.status);

    let gamma_backend = id("gamma/payments/backend");
    let gamma_ids = [gamma_backend.as_str()];
    let newcomer = of(alfa, "gamma", &gamma_ids)?;
    let strangers = [
        ("O is another institution's", of(alfa, "beta", &[BACKEND])?),
        ("alfa's CA, beta's id", of(alfa, "alfa", &[&beta_backend])?),
        (
            "alfa's CA, beta's id and O",
            of(alfa, "beta", &[&beta_backend])?,
        ),
        ("beta's CA, alfa's id and O", of(beta, "alfa", &[BACKEND])?),
        (
            "an unregistered CA of alfa",
            below(&deployment, Hierarchy::Tls)?,
        ),
        ("an unregistered name", of(alfa, "alfa", &[&unregistered])?),
        (
            "another role",
            of(alfa, "alfa", &[&id("alfa/enrolment/backend")])?,
        ),
        (
            "a role that is none",
            of(alfa, "alfa", &[&id("alfa/server/backend")])?,
        ),
        (
            "another scheme",
            of(
                alfa,
                "alfa",
                &["spiffe://other.example/alfa/payments/backend"],
            )?,
        ),
        (
            "a longer id",
            of(alfa, "alfa", &[&id("alfa/payments/backend/x")])?,
        ),
        ("two ids", of(alfa, "alfa", &[BACKEND, &unregistered])?),
        ("no id", of(alfa, "alfa", &[])?),
    ];
    let mut told = Vec::new();
    for (who, credentials) in &strangers {
        let answer = health(&deployment, credentials).await?;
        rows::UNKNOWN_CALLER
            .refuses(Err::<(), _>(answer.status.clone()))
            .map_err(|failure| failure.in_step(who))?;
        assert!(answer.request_id().is_some(), "{who}");
        told.push(answer.status.message().to_owned());
    }
    // Of an institution that the configuration does not name nobody's register is known: a newcomer's callers are told when
    // they will be served, and so is whoever says that he is one.
    let answer = health(&deployment, &newcomer).await?;
    demand(
        Err::<(), _>(answer.status),
        Code::Unavailable,
        "INSTITUTION_NOT_SERVED",
    )?;
    // From outside they are all the same.
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn openssl_gets_in_with_tls_1_3_and_not_with_1_2() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let caller = caller(&deployment, "alfa", Role::Payments, "backend");
    let mut old = s_client(&deployment, &caller, "-tls1_2")?;
    let old = timeout(PATIENCE, old.stdin(Stdio::null()).output()).await??;
    let said = String::from_utf8_lossy(&old.stderr);
    assert!(!old.status.success(), "{said}");
    // RFC 8446 s6: protocol_version(70).
    assert!(
        said.contains("alert protocol version") && said.contains("alert number 70"),
        "{said}"
    );

    let mut new = s_client(&deployment, &caller, "-tls1_3")?;
    let mut new = new.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
    let (mut input, mut output) = (new.stdin.take().unwrap(), new.stdout.take().unwrap());
    input.write_all(PREFACE).await?;
    let mut frame = [0; 9];
    timeout(PATIENCE, output.read_exact(&mut frame)).await??;
    assert_eq!(frame[SETTINGS.0], SETTINGS.1, "{frame:?}");
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn strangers_who_say_nothing_or_nonsense_keep_nobody_waiting() -> Result<(), Failure> {
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.configure("handshake_seconds = 5", "handshake_seconds = 2")?;
    deployment.start().await?;
    let address = deployment.scheme().grpc();
    let early = deployment.channel("beta", Role::Payments).await?;
    // More than there are handshakes at a time. One after the other they would take ten minutes.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(address).await?);
    }
    let mut slow = TcpStream::connect(address).await?;
    // A record of 512 octets is announced, and one octet of it comes.
    slow.write_all(&[0x16, 3, 1, 2, 0, 1]).await?;
    silent.push(slow);
    assert_eq!(
        raw::call(&early, HEALTH, &[]).await?.status.code(),
        Code::Ok
    );
    let late = timeout(PATIENCE, deployment.channel("alfa", Role::Payments)).await??;
    assert_eq!(raw::call(&late, HEALTH, &[]).await?.status.code(), Code::Ok);

    let plain = plaintext(&deployment).await?;
    assert!(!plain.starts_with(b"HTTP/"), "{plain:?}");
    for mut stream in silent {
        // Each is hung up on, with an alert at most.
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await?;
        assert!(ended.is_err() || rest.len() < 64, "{} octets", rest.len());
    }
    recheck(&mut deployment).await.map(drop)
}

/// What the gRPC port says to somebody without TLS.
async fn plaintext(deployment: &Deployment) -> Result<Vec<u8>, Failure> {
    let mut said = Vec::new();
    for hello in [
        &b"GET /crl/device-root.crl HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        PREFACE,
    ] {
        let mut stream = TcpStream::connect(deployment.scheme().grpc()).await?;
        stream.write_all(hello).await?;
        // A reset is an answer too.
        let _ended = timeout(PATIENCE, stream.read_to_end(&mut said)).await?;
    }
    Ok(said)
}

fn s_client(
    deployment: &Deployment,
    caller: &CallerFiles,
    version: &str,
) -> Result<Command, Failure> {
    let mut command = Command::from(programs::openssl()?);
    command
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-alpn",
            "h2",
            version,
            "-connect",
        ])
        .arg(deployment.scheme().grpc().to_string())
        .arg("-CAfile")
        .arg(deployment.directory().root(Hierarchy::Tls))
        .arg("-cert")
        .arg(&caller.chain)
        .arg("-cert_chain")
        .arg(&caller.chain)
        .arg("-key")
        .arg(&caller.key)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

async fn health(deployment: &Deployment, credentials: &Credentials) -> Result<Answer, Failure> {
    raw::call(&credentials.channel(deployment).await?, HEALTH, &[]).await
}

/// The TLS CA of an institution: certificate and key.
pub(crate) fn ca(
    deployment: &Deployment,
    institution: &str,
) -> (std::path::PathBuf, std::path::PathBuf) {
    let (id, directory) = (institution.parse().unwrap(), deployment.directory());
    (directory.ca(Hierarchy::Tls, &id), directory.tls_ca_key(&id))
}

pub(crate) fn caller(
    deployment: &Deployment,
    institution: &str,
    role: Role,
    name: &str,
) -> CallerFiles {
    let id = institution.parse().unwrap();
    deployment.directory().caller(&id, role, name)
}

/// alfa's backend as certified by a CA of alfa that no register names, below one of the roots.
fn below(deployment: &Deployment, root: Hierarchy) -> Result<Credentials, Failure> {
    let identity = issue_client(
        deployment.scheme(),
        deployment.directory(),
        &"alfa".parse().map_err(Failure::during("alfa"))?,
        BACKEND,
        IssuedBy::NewCa(root),
        unix_now()?,
    )?;
    Credentials::identity(deployment, &identity)
}

/// A phone's certificate and key, as mobilis enrolled it.
async fn phone(deployment: &Deployment) -> Result<Credentials, Failure> {
    let key = LocalKey::generate()?;
    let ask = v1::EnrollDeviceRequest {
        certification_request: key.certification_request("phone")?,
        subscriber_reference: e2e::phone::pseudonym(),
    };
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let enrolled = mobilis.enroll_device(ask).await?;
    let mut chain = String::new();
    for der in &enrolled.certificate_chain {
        chain += &semops_pki::certificate::Certificate::from_der(der)?.to_pem();
    }
    Credentials::write(deployment, &chain, &key.to_pkcs8_pem()?)
}
