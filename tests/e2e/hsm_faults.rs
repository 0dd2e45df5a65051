//! Whatever HSMs are known to do wrong, done to a running service by the fault module. Each time: the same process serves on,
//! every request is answered by its deadline with a precise reason, health and numbers say what is, another institution
//! notices nothing, the service heals by itself, and the record keeps its rules.

pub(crate) mod drill;
mod login;
mod presence;
mod processes;
mod sessions;
mod signatures;
mod slowness;
