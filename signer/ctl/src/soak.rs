//! A soak: whole lives of phones at several institutions for a set time, while commands of the user's do harm; every call
//! is repeated until it has a final answer, and whatever can be checked from outside is checked again at the end.

pub mod calls;
pub mod check;
pub mod crls;
pub mod faults;
pub mod lane;
pub mod ledger;
pub mod life;
pub mod report;
pub mod run;
