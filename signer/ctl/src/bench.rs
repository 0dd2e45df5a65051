//! A load on a running service: phones that enrol, are accepted and order, as fast as they are answered (closed loop) or
//! as they come (open loop); every answer checked, every request accounted for.

pub mod authorities;
pub mod best;
pub mod callers;
pub mod ceiling;
pub mod cpu;
pub mod drivers;
pub mod live;
pub mod load;
pub mod neighbour;
pub mod order;
pub mod outcome;
pub mod pace;
pub mod phone;
pub mod plan;
pub mod plot;
pub mod pool;
pub(crate) mod refusal;
pub mod report;
pub mod schedule;
pub mod series;
pub mod setup;
pub mod statistics;
pub mod summary;
pub mod work;
