//! Changes that two or more persons make: their form, their judging, what stands after them, and what is tried against it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod approvals;
mod attacks;
mod judging;
mod lives;
mod model;
mod parsing;
mod recovery;
mod registers;
mod rotations;
mod scheme;
mod world;
