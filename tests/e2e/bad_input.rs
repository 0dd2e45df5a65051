//! What bad input meets: the rows of the README's table, the tests that show those that no other scenario shows, and the
//! check that the table says what a running service said.

mod clock;
mod limits;
pub(super) mod members;
mod outages;
mod readme;
mod requests;
pub(super) mod row;
pub(super) mod rows;
mod sources;
mod starts;
