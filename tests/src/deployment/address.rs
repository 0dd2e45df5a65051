//! Addresses of this machine that are a deployment's own: certificates carry them, so they are drawn before anything is
//! issued.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use uuid::Uuid;

use crate::failure::Failure;

const GRPC: u16 = 8443;
const HTTP: u16 = 8080;
const ADMIN: u16 = 9464;

/// Where one deployment listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// CRLs and CA certificates.
    pub http: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

/// Draws an address of 127.0.0.0/8 on which all ports are free.
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
            admin: SocketAddr::from((ip, ADMIN)),
        };
        let all = [addresses.grpc, addresses.http, addresses.admin];
        if all.iter().all(|address| TcpListener::bind(address).is_ok()) {
            return Ok(addresses);
        }
    }
    Err(Failure::new(format!(
        "no address of 127.0.0.0/8 has the ports {GRPC}, {HTTP} and {ADMIN} free"
    ))
    .way_out("look at `ss -ltn`; the loopback interface must be up"))
}
