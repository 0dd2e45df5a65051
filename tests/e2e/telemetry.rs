//! What the service tells of itself: numbers that are exact, health that is true, traces that belong together.

mod collectors;
mod health;
mod numbers;
mod ops;
mod traces;
