//! Sets up a SEMOPS scheme on SoftHSM: from one declarative file to a directory with tokens, keys, certificates,
//! documents, the record and the signer's configuration; adds an institution to it later, or certifies its next CA; measures its tokens. Time and
//! the paths of programs are arguments.

mod add;
mod authority;
mod ceremony;
mod certify;
pub mod client;
mod custodians;
pub mod directory;
mod documents;
pub mod error;
mod files;
mod first_documents;
mod init;
mod institution;
mod made;
pub mod policy;
mod protocol;
mod random;
mod rate_limits;
mod reader;
mod record;
mod roots;
pub mod scheme;
mod sign_loop;
mod softhsm;
mod standing;
mod tls;
mod token;

pub use add::{Added, NextTrust, add};
pub use ceremony::{Edge, Progress};
pub use certify::{CertifiedCa, certify};
pub use init::init;
pub use sign_loop::{Measured, sign_loop};
pub use softhsm::serve_token;
pub use tls::Identity;
