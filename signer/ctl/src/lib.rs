//! The command line of the signing service's callers: banks, mobile network operators, custodians, auditors. A library
//! too, so that other programs connect as the profile says and speak to the service with the same client.

pub mod bench;
pub mod cli;
pub mod commands;
pub mod connection;
pub mod custody;
pub mod failure;
pub mod files;
pub mod output;
pub mod profile;
pub mod progress;
pub mod soak;
