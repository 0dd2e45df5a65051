//! The signing service: keys of banks and mobile network operators in a PKCS#11 token, one road to a signature.

pub mod authority;
pub mod clock;
pub mod config;
pub mod domain;
pub mod edges;
pub mod error;
pub mod fault;
pub mod hsm;
mod http;
pub mod ids;
pub mod limits;
pub mod metrics;
pub mod operator;
pub mod policy;
mod rpc;
pub mod schedule;
pub mod server;
pub mod signing;
pub mod store;
mod telemetry;

#[cfg(test)]
mod specimen;
