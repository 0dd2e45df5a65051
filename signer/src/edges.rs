//! Owns the list of edges whose parsers are private to their modules: what is made of the bytes of others there, as one
//! function from bytes to plain data each, so that what must hold of it can be shown from outside. The service does
//! not use it.

pub use crate::{
    rpc::{BadTimeout, Read, read_request, time},
    telemetry::trace_context,
};
