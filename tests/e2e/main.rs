//! Scenarios: each runs the real service in a deployment of its own and has its record re-checked at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod demo;
mod main_job;
mod recheck;
