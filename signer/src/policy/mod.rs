//! Owns the decisions: what an institution's documents say, and pure functions from (document, order, device, now) to
//! yes or a reason. Default deny: what a document does not name is refused.

mod approve;
mod document;
mod proof;
mod rates;
mod register;

pub use approve::{Approved, DevicesPerSubscriber};
pub use document::{Policy, PolicyMistakes};
pub use proof::{Denial, LONGEST_GOOD_SECONDS, ProvenOrder, prove};
pub use register::{CallerState, Register, RegisterMistake};
