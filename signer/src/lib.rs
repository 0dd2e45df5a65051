//! The SEMOPS signing service.

pub mod domain;
pub mod hsm;
