//! Plain HTTP: strangers have one limit for all of them, and it is nobody else's.

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck, until::until};
use softhsm_setup::scheme::{Role, Scheme};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{SOON, bundle};

/// Twice what strangers may ask for at once.
const EACH: usize = 100;
const STRANGERS: usize = 8;

/// The answers to `EACH` requests, sent in one go.
async fn asks(address: std::net::SocketAddr) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = "GET /ca/device-root.cer HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /ca/device-root.cer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = ask.repeat(EACH - 1) + last;
    stream.write_all(all.as_bytes()).await?;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await?;
    Ok(String::from_utf8_lossy(&answers).into_owned())
}

#[tokio::test]
async fn a_flood_of_strangers_is_told_when_to_come_again_and_stops_no_caller() -> Result<(), Failure>
{
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    let address = deployment.scheme().http();
    let backend = deployment.client("alfa", Role::Payments).await?;
    until("a refused stranger", SOON, async || {
        let mut strangers = JoinSet::new();
        for _ in 0..STRANGERS {
            strangers.spawn(asks(address));
        }
        bundle(&backend).await?;
        let mut refused = 0;
        for answers in strangers.join_all().await {
            let answers = answers?;
            let count = |line: &str| answers.matches(line).count();
            let [ok, too_many, busy] =
                ["200 OK", "429 Too Many Requests", "503 Service Unavailable"]
                    .map(|status| count(&format!("HTTP/1.1 {status}\r\n")));
            assert_eq!(ok + too_many + busy, EACH, "{answers}");
            assert_eq!(count("retry-after: 1\r\n"), too_many + busy);
            refused += too_many;
        }
        Ok((refused > 0).then_some(()))
    })
    .await?;
    until("a stranger who is let in again", SOON, async || {
        Ok(asks(address).await?.contains("200 OK").then_some(()))
    })
    .await?;
    recheck(&mut deployment).await.map(drop)
}
