//! The commands, one per file: what each asks of the service and what it tells its user.

pub mod accept;
pub mod authorization;
pub mod bench;
pub mod change;
pub mod completions;
pub mod cosign;
pub mod crl;
pub mod custodian;
pub mod device;
pub mod devices;
pub mod document;
pub mod enroll;
pub mod keys;
pub mod phone;
pub mod register;
pub mod release;
pub mod revoke;
pub mod scheme;
pub mod soak;
pub mod status;
pub mod trust;
pub mod verify;
