//! The whole service, driven from outside: the harness for scenarios, the story that the demo plays, and the check of the
//! record after each. It runs the real programs against real tokens and speaks to them over real sockets.

pub mod clock;
pub mod cluster;
pub mod collector;
pub mod custodian;
pub mod customer;
pub mod deployment;
pub mod disk;
pub mod evidence;
pub mod failure;
pub mod faults;
pub mod held;
pub mod next;
pub mod numbers;
pub mod phone;
pub mod programs;
pub mod raw;
pub mod recheck;
pub mod refusal;
pub mod stored;
pub mod story;
pub mod stranger;
pub mod terminal;
pub mod token;
pub mod until;
pub mod wire;
pub mod workers;
