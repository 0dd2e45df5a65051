//! Connecting, against a TLS server of this test: which servers are taken, and what the user reads of the others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod scheme;

use scheme::{SPIFFE, Scheme};
use semopsctl::{connection, failure::Failure};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tokio_rustls::TlsAcceptor;

/// Serves one connection that speaks `protocol`, and says on which port.
async fn serve(scheme: &Scheme, protocol: &[u8]) -> u16 {
    let config = scheme.server_config(protocol);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(config).accept(tcp).await {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    port
}

/// What the user reads when this server is not taken.
async fn refusal(scheme: &Scheme, protocol: &[u8], server: &str, root: &str) -> String {
    let port = serve(scheme, protocol).await;
    match connection::connect(&scheme.profile(port, server, root)).await {
        Ok(_) => panic!("{server} was taken"),
        Err(error) => Failure::from(error).render(false),
    }
}

#[tokio::test]
async fn the_server_named_in_the_profile_is_taken() {
    let scheme = Scheme::new();
    for server in ["localhost", SPIFFE] {
        let port = serve(&scheme, b"h2").await;
        let connected = connection::connect(&scheme.profile(port, server, "root.pem")).await;
        assert!(connected.is_ok(), "{server}: {:?}", connected.err());
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_not() {
    let scheme = Scheme::new();
    let near = format!("{SPIFFE}2");
    for server in [
        "signer.example",
        "127.0.0.1",
        "spiffe://semops.example/beta/server/main",
        &near,
    ] {
        let text = refusal(&scheme, b"h2", server, "root.pem").await;
        assert!(
            text.contains("compare `server` in the profile"),
            "{server}: {text}"
        );
    }
}

#[tokio::test]
async fn a_server_of_another_root_is_not() {
    let scheme = Scheme::new();
    for server in ["localhost", SPIFFE] {
        let text = refusal(&scheme, b"h2", server, "other.pem").await;
        assert!(
            text.contains("does not come from `root` in the profile"),
            "{server}: {text}"
        );
    }
}

#[tokio::test]
async fn a_server_without_http_2_is_not() {
    let scheme = Scheme::new();
    let text = refusal(&scheme, b"http/1.1", "localhost", "root.pem").await;
    assert!(text.contains("does not speak HTTP/2"), "{text}");
}
