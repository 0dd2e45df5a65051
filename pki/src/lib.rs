//! X.509 for the SEMOPS signing service, without I/O: no clock, token, database or socket.
//! Time, randomness and data are arguments; what comes out is checked, or is bytes to sign.

pub mod algorithm;
pub mod certificate;
pub mod chain;
pub mod crl;
mod ecdsa;
pub mod error;
mod extensions;
pub mod issuer;
pub mod local_key;
mod name;
pub mod profile;
pub mod request;
mod revocation;
pub mod signed;
mod tbs;
