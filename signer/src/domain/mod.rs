//! Owns the words of the service as types. No I/O.

pub mod key;
