//! Sets up a SEMOPS scheme on SoftHSM: from one declarative file to a directory with tokens, keys, certificates,
//! documents and the signer's configuration. Time and the path of this crate's executable are arguments.

mod authority;
mod ceremony;
pub mod client;
pub mod directory;
mod documents;
pub mod error;
mod institution;
pub mod policy;
mod protocol;
mod random;
mod reader;
mod roots;
pub mod scheme;
mod softhsm;
mod tls;
mod token;

pub use ceremony::{Edge, init};
pub use softhsm::serve_token;
pub use tls::Identity;
