//! Addresses of this machine that are a deployment's own: certificates carry them, so they are drawn before anything is
//! issued.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use uuid::Uuid;

use crate::failure::Failure;

const GRPC: u16 = 8443;
const HTTP: u16 = 8080;

/// Where one deployment listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// CRLs and CA certificates.
    pub http: SocketAddr,
}

/// Draws an address of 127.0.0.0/8 on which both ports are free.
///
/// # Errors
/// None was found in 64 draws.
pub fn draw() -> Result<Addresses, Failure> {
    for _ in 0..64 {
        let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
        let ip = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        let addresses = Addresses {
            grpc: SocketAddr::from((ip, GRPC)),
            http: SocketAddr::from((ip, HTTP)),
        };
        if TcpListener::bind(addresses.grpc).is_ok() && TcpListener::bind(addresses.http).is_ok() {
            return Ok(addresses);
        }
    }
    Err(Failure::new(format!(
        "no address of 127.0.0.0/8 has the ports {GRPC} and {HTTP} free"
    ))
    .way_out("look at `ss -ltn`; the loopback interface must be up"))
}
