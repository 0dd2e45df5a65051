//! The signed objects of SEMOPS as values: what an order, an authorization, an approval and an offer say, and the strict
//! compact JWS that carries them; and what stands after the changes that were approved. Pure: no clock, socket, database
//! or token; time and keys are arguments.
//!
//! Parsing is checking: a type of this crate holds only what its module's rules allow, and every refusal
//! names the member (`payload.amount.value`) and the rule that it broke. Times are integer Unix seconds.

pub mod authorization;
mod base64url;
pub mod ca;
pub mod change;
pub mod emv;
pub mod error;
pub mod institution;
mod json;
pub mod jwk;
pub mod jws;
pub mod key;
pub mod money;
pub mod offer;
pub mod order;
pub mod payment;
pub mod reference;
pub mod trust;

pub use authorization::{Authorization, AuthorizationError, AuthorizationJws};
pub use error::{ObjectError, Rule};
pub use institution::InstitutionId;
pub use money::{Amount, Currency};
pub use order::{Order, OrderError, OrderJws};
pub use payment::{Channel, Kind, Payee};
pub use reference::{EndToEndId, Uetr};
pub use trust::{TrustDocument, Verdict, verify_authorization};
