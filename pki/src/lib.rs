//! X.509 for the SEMOPS signing service, without I/O: no clock, token, database or socket.
//! Time, randomness and data are arguments; what comes out is checked, or is bytes to sign.

pub mod algorithm;
pub mod error;
pub mod local_key;
mod name;
pub mod request;
pub mod signed;
