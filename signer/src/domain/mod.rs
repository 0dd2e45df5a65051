//! Owns the words of the service as types: who calls, what is kept, what is done, how it ends, what is audited. No I/O.

pub mod actor;
pub mod audit;
pub mod ceremony;
pub mod change;
pub mod device;
pub mod document;
pub mod key;
pub mod keyring;
pub mod limit;
pub mod new_key;
pub mod operation;
pub mod outcome;
pub mod pace;
pub mod published_roots;
pub mod quota;
pub mod reason;
pub mod retention;
pub mod scheme_roots;
