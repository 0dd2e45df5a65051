//! The worker processes against real SoftHSM tokens: signing, refusing, recovering and ending.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod life;
mod pairs;
mod probe;
mod several;
mod signing;
mod stage;
mod tokens;
