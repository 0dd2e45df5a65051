//! Custodians change what rules their institution, two persons at a time: from the proposal to the next request, what one of
//! them may do alone, everything that must not pass for an approval, and a record that somebody else has written.

mod attacks;
pub(crate) mod desk;
mod emergency;
mod proposals;
mod record;
mod recovery;
mod strangers;
mod ways;
