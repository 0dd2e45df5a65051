//! What must hold of every parser of foreign bytes: one function for each, called by the fuzzer (tests/fuzz) and by the
//! ordinary tests, which replay the seeds and what was found before, and change them at random a fixed number of times.
//!
//! A function asserts properties, not only that nothing panics: what is accepted has one spelling and says what an
//! independent reader finds in it, and whatever carries a signature loses it with any bit that changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold ends the run: that is the finding"
)]

pub mod changes;
pub mod documents;
pub mod edges;
pub mod material;
pub mod messages;
pub mod objects;
pub mod trust;
pub mod workers;
pub mod x509;

/// What a parser said of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took them, and they held what they had to.
    Accepted,
    /// It gave a reason.
    Refused,
}

impl Verdict {
    fn any(self, other: Self) -> Self {
        match self {
            Self::Accepted => Self::Accepted,
            Self::Refused => other,
        }
    }
}

/// The check of one parser.
pub type Check = fn(&[u8]) -> Verdict;

/// Every target by its name: that of its file in tests/fuzz/fuzz_targets and of its folder in tests/fuzz/seeds.
pub const TARGETS: &[(&str, Check)] = &[
    ("approval", changes::approval),
    ("authorization", objects::authorization),
    ("callers", documents::callers),
    ("certificate", x509::certificate),
    ("certificate_chain", x509::certificate_chain),
    ("certification_request", x509::certification_request),
    ("change_file", changes::change_file),
    ("configuration", documents::configuration),
    ("control", documents::control),
    ("crl", x509::crl),
    ("custodians", changes::custodians),
    ("field", messages::field),
    ("headers", edges::headers),
    ("jws", objects::jws),
    ("message", messages::message),
    ("money", objects::money),
    ("offer", objects::offer),
    ("order", objects::order),
    ("policy", documents::policy),
    ("profile", documents::profile),
    ("proposal", changes::proposal),
    ("public_key", x509::public_key),
    ("request", edges::request),
    ("scheme", documents::scheme),
    ("signature", x509::signature),
    ("trust", trust::trust),
    ("worker", workers::worker),
];

/// Runs the target `name` on `bytes`, for the fuzzer.
///
/// # Panics
/// A property does not hold, or there is no such target.
pub fn fuzz(name: &str, bytes: &[u8]) {
    let (_, check) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    check(bytes);
}
