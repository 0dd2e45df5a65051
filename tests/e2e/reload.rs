//! SIGHUP: the TLS files are read again. New handshakes use what they hold now, open connections go on, and whatever is
//! wrong with them changes nothing but the log.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    held::Held,
    raw,
    recheck::recheck,
    stored,
    terminal::Terminal,
    until::until,
    wire::Wire,
};
use rustix::process::Signal;
use rustls::AlertDescription;
use semops_pki::{certificate::Certificate, local_key::LocalKey};
use softhsm_setup::{directory::CallerFiles, scheme::Role};
use tonic::Code;

use crate::tls::{
    GENUINE, HEALTH, ca,
    credentials::{Credentials, Leaf, Met, forge, other_root, shake},
};

const SOON: Duration = Duration::from_secs(30);
const TAKEN: &str = "new TLS handshakes use";
const NOT_TAKEN: &str = "TLS goes on as it was";

/// A new certificate and key for the server, by the CA that issued the first.
fn server_identity(deployment: &Deployment, until: &str) -> Result<Credentials, Failure> {
    let scheme = deployment.scheme();
    let issuer = ca(deployment, scheme.operator().as_str());
    // Both names of one certificate, in openssl's words.
    let names = format!("{},IP:{}", scheme.server_id(), scheme.grpc().ip());
    let leaf = Leaf {
        organization: scheme.operator().as_str(),
        uris: &[&names],
        usage: "serverAuth",
        until,
        ..GENUINE
    };
    forge(deployment, (&issuer.0, &issuer.1), leaf)
}

/// Puts these files where the configuration names them.
fn install(deployment: &Deployment, identity: &Credentials) -> Result<(), Failure> {
    fs::copy(&identity.chain, deployment.directory().server_chain())?;
    fs::copy(&identity.key, deployment.directory().server_key())?;
    Ok(())
}

/// Sends SIGHUP and waits for the word that it has been heeded; what the log says since.
async fn hang_up(deployment: &mut Deployment) -> Result<String, Failure> {
    let before = deployment.log().len();
    deployment.server()?.signal(Signal::HUP)?;
    until("what became of SIGHUP", SOON, async || {
        let said = deployment.log().split_off(before);
        let heeded = [TAKEN, NOT_TAKEN].iter().any(|word| said.contains(word));
        // The last line has to be whole.
        Ok((heeded && said.ends_with('\n')).then_some(said))
    })
    .await
}

fn files(deployment: &Deployment) -> CallerFiles {
    let alfa = "alfa".parse().unwrap();
    (deployment.directory()).caller(&alfa, Role::Payments, "backend")
}

/// A connection of alfa's backend.
async fn backend(deployment: &Deployment) -> Result<Wire, Failure> {
    Wire::of(deployment, "alfa", Role::Payments, "backend").await
}

async fn demand_served(wire: &mut Wire) -> Result<(), Failure> {
    let answer = wire.call(HEALTH, &[]).await?;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    assert!(wire.is_open());
    Ok(())
}

fn leaf(chain: &Path) -> Result<Certificate, Failure> {
    let chain = Certificate::chain_from_pem(&fs::read_to_string(chain)?)?;
    Ok(chain[0].clone())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The serial number of the certificate that openssl is shown.
fn shown_to_openssl(deployment: &Deployment) -> Result<String, Failure> {
    let terminal = Terminal::new()?;
    let address = deployment.scheme().grpc();
    // Without a client certificate the handshake fails, after the server has shown its own.
    let shown = terminal.try_openssl(&format!("s_client -connect {address} -alpn h2"))?;
    terminal.write("shown.pem", shown.out)?;
    let said = terminal.openssl("x509 -in shown.pem -noout -serial")?;
    Ok(said.trim().replace("serial=", "").to_lowercase())
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_open_ones_go_on() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let first = leaf(&deployment.directory().server_chain())?;
    let mut open = backend(&deployment).await?;
    demand_served(&mut open).await?;
    assert_eq!(open.server().sha256(), first.sha256());

    let renewed = server_identity(&deployment, "20600101000000Z")?;
    let second = leaf(&renewed.chain)?;
    install(&deployment, &renewed)?;
    // Nobody has told the service.
    assert_eq!(
        backend(&deployment).await?.server().sha256(),
        first.sha256()
    );
    let said = hang_up(&mut deployment).await?;
    for word in [
        &format!("serial={}", hex(second.serial())),
        &format!("sha256={}", hex(&second.sha256())),
        "not_after=\"2060-01-01T00:00:00Z\"",
        "files of [grpc] as they are now",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains(NOT_TAKEN), "{said}");
    let mut new = backend(&deployment).await?;
    assert_eq!(new.server().sha256(), second.sha256());
    demand_served(&mut new).await?;
    demand_served(&mut open).await?;
    assert_eq!(shown_to_openssl(&deployment)?, hex(second.serial()));
    // The command line knows the server by its SPIFFE id, which is the same.
    let channel = deployment.channel("beta", Role::Auditor).await?;
    let answer = raw::call(&channel, HEALTH, &[]).await?;
    assert_eq!(answer.status.code(), Code::Ok);
    recheck(&mut deployment).await.map(drop)
}

/// SIGHUP is answered with exactly these mistakes, and connections are made as before.
async fn demand_refusal(
    deployment: &mut Deployment,
    first: &Certificate,
    mistakes: &[&str],
) -> Result<(), Failure> {
    let mut said = hang_up(deployment).await?;
    // All are written at once; the last may not have reached the file yet.
    until("every mistake", SOON, async || {
        said += deployment
            .log()
            .split_once(&said)
            .map_or("", |(_, rest)| rest);
        let told = |mistake: &&str| said.contains(&format!("mistake={mistake}"));
        Ok(mistakes.iter().all(told).then_some(()))
    })
    .await
    .map_err(|failure| failure.in_step(&said))?;
    assert_eq!(said.matches(NOT_TAKEN).count(), mistakes.len(), "{said}");
    assert!(!said.contains(TAKEN), "{said}");
    let mut new = backend(deployment).await?;
    assert_eq!(new.server().sha256(), first.sha256());
    demand_served(&mut new).await
}

#[tokio::test]
async fn files_that_are_wrong_change_nothing_and_every_mistake_is_told() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let directory = deployment.directory().clone();
    let (chain, key) = (directory.server_chain(), directory.server_key());
    let first = leaf(&chain)?;
    let original = (fs::read(&chain)?, fs::read(&key)?);
    let mut open = backend(&deployment).await?;

    fs::write(&key, &*LocalKey::generate()?.to_pkcs8_pem()?)?;
    let other_key = "grpc.key: is not the key of `certificate`: ";
    demand_refusal(&mut deployment, &first, &[other_key]).await?;
    install(
        &deployment,
        &server_identity(&deployment, "20210101000000Z")?,
    )?;
    let expired =
        "grpc.certificate: is valid from 2020-01-01T00:00:00Z until 2021-01-01T00:00:00Z only: ";
    demand_refusal(&mut deployment, &first, &[expired]).await?;
    let client = files(&deployment);
    install(
        &deployment,
        &Credentials::of(client.chain.clone(), client.key),
    )?;
    let not_a_servers = "grpc.certificate: its first certificate is not for servers";
    demand_refusal(&mut deployment, &first, &[not_a_servers]).await?;

    // Nothing of the three is right, and the file of the configuration itself is read again for their names.
    fs::write(&chain, "-----BEGIN NOTHING-----\n")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    deployment.configure(
        "client_root = \"tls-root.pem\"",
        "client_root = \"no-such.pem\"",
    )?;
    let all = ["grpc.certificate: ", "grpc.key: ", "grpc.client_root: "];
    demand_refusal(&mut deployment, &first, &all).await?;
    assert!(deployment.log().contains("no-such.pem"));
    let no_ca = format!("client_root = \"{}\"", client.chain.display());
    deployment.configure("client_root = \"no-such.pem\"", &no_ca)?;
    demand_refusal(&mut deployment, &first, &all).await?;

    // What is right again is taken, whatever else the configuration says by now: nothing else of it is read.
    fs::write(&chain, original.0)?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    fs::write(&key, original.1)?;
    deployment.configure(&no_ca, "client_root = \"tls-root.pem\"")?;
    deployment.configure("threads = 2", "threads = 0")?;
    let said = hang_up(&mut deployment).await?;
    assert!(said.contains(TAKEN) && !said.contains(NOT_TAKEN), "{said}");
    demand_served(&mut backend(&deployment).await?).await?;
    demand_served(&mut open).await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn another_client_root_is_for_new_connections() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mut open = backend(&deployment).await?;
    let (root, root_key) = other_root(&deployment)?;
    let stranger = forge(&deployment, (&root, &root_key), GENUINE)?;
    let files = files(&deployment);
    let caller = Credentials::of(files.chain, files.key);
    let unknown = Met::Alert(AlertDescription::UnknownCA);
    assert_eq!(shake(&deployment, Some(&stranger)).await?, unknown);
    assert_eq!(shake(&deployment, Some(&caller)).await?, Met::Http2);

    let other = format!("client_root = \"{}\"", root.display());
    deployment.configure("client_root = \"tls-root.pem\"", &other)?;
    hang_up(&mut deployment).await?;
    assert_eq!(shake(&deployment, Some(&stranger)).await?, Met::Http2);
    assert_eq!(shake(&deployment, Some(&caller)).await?, unknown);
    demand_served(&mut open).await?;

    deployment.configure(&other, "client_root = \"tls-root.pem\"")?;
    hang_up(&mut deployment).await?;
    assert_eq!(shake(&deployment, Some(&stranger)).await?, unknown);
    demand_served(&mut open).await?;
    demand_served(&mut backend(&deployment).await?).await?;
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_service_that_drains_hears_no_hangup() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let order = customer::order("1.00", "CNY")?;
    let (client, ask) = (
        deployment.client("alfa", Role::Payments).await?,
        customer.asks(&order)?,
    );
    let bank = Held::token(&deployment, "alfa")?;
    let call = tokio::spawn(async move { client.cosign_order(ask).await });
    let jti = order.jti.to_string();
    stored::in_state(&deployment, "authorization", Some(&jti), "PENDING").await?;
    deployment.server()?.signal(Signal::TERM)?;
    until("the drain", SOON, async || {
        Ok(deployment.log().contains("draining").then_some(()))
    })
    .await?;
    deployment.server()?.signal(Signal::HUP)?;
    deployment.server()?.still_runs()?;
    drop(bank);
    call.await??;
    assert!(deployment.server()?.wait().await?.success());
    let said = deployment.log();
    assert!(!said.contains(TAKEN) && !said.contains(NOT_TAKEN), "{said}");
    deployment.kill()?;
    deployment.start().await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.unsigned), (1, 0));
    Ok(())
}
