//! Scenarios: each runs the real service in a deployment of its own and has its record re-checked at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod arriving;
mod bad_input;
mod changes;
mod commands;
mod compromise;
mod connections;
mod cosigning;
mod crash;
mod create_key;
mod crls;
mod demo;
mod descriptors;
mod destruction;
mod device_lists;
mod devices;
mod documents;
mod drain;
mod duplicates;
mod enrollment;
mod environment;
mod failover;
mod faults;
mod guides;
mod hsm_faults;
mod hsm_workers;
mod isolation;
mod keys;
mod leaving;
mod lives;
// Nothing dies at a point in a release.
#[cfg(debug_assertions)]
mod kills;
mod load_command;
mod main_job;
mod malformed;
mod malformed_orders;
mod migration;
mod money_limits;
mod operator;
mod overload;
mod purposes;
mod rate_limits;
mod read_only_disk;
mod recheck;
mod refused_orders;
mod reload;
mod replicas;
mod requests;
mod restore;
mod retention;
mod roles;
mod rotation;
mod scheme;
mod secrecy;
mod security;
mod soak;
mod standing_directory;
mod status;
mod telemetry;
mod tls;
mod tokens;
mod trust_documents;
mod under_load;
mod upgrade;
mod verification;
