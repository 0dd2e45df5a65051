//! Sets up a SEMOPS scheme on SoftHSM: from one declarative file to a directory with tokens, keys, certificates,
//! documents, the record and the signer's configuration; adds an institution to it later, certifies its next CA, has a root
//! revoke a CA or issue its next CRL, or changes the PIN of a
//! token; measures its tokens. Time and
//! the paths of programs are arguments.

mod add;
mod add_token;
mod authority;
mod ceremony;
mod certify;
mod change_pin;
pub mod client;
mod custodians;
mod custody;
pub mod directory;
mod documents;
pub mod error;
mod files;
mod first_documents;
mod founding;
mod init;
mod institution;
mod made;
pub mod policy;
mod protocol;
mod random;
mod rate_limits;
mod reader;
mod record;
mod root_crl;
mod roots;
pub mod scheme;
mod sign_loop;
mod softhsm;
mod standing;
mod tls;
mod token;

pub use add::{Added, NextTrust, add};
pub use add_token::{AddedToken, add_token};
pub use ceremony::{Edge, Progress};
pub use certify::{CertifiedCa, certify};
pub use change_pin::{ChangedPin, change_pin};
pub use custody::take_custody;
pub use init::init;
pub use root_crl::{CaReason, NoCaReason, RootCrl, next_root_crls, revoke_ca};
pub use sign_loop::{Measured, sign_loop};
pub use softhsm::serve_token;
pub use tls::Identity;
