//! The signing service: keys of banks and mobile network operators in a PKCS#11 token, one road to a signature.

pub mod authority;
pub mod clock;
pub mod domain;
pub mod error;
pub mod hsm;
pub mod ids;
pub mod policy;
pub mod schedule;
pub mod signing;
pub mod store;

#[cfg(test)]
mod specimen;
