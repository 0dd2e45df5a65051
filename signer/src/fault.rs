//! Owns the points at which a test has the process die: one at each step after which something has been read, decided,
//! recorded, signed or committed.
//!
//! A point does something in builds with debug assertions alone, which no release is; without them [`point`] has no body,
//! and what arms a point is not compiled. A point reached for the n-th time since it was armed ends the process by
//! SIGKILL, so that nothing is tidied up.

#[cfg(debug_assertions)]
mod armed;

#[cfg(all(test, debug_assertions))]
mod tests;

/// Declares the points: what has been done when it is reached, and its name.
macro_rules! points {
    ($($(#[doc = $done:literal])+ $point:ident = $name:literal,)+) => {
        /// A point of a use case; its name is `<use case>.<what was done last>`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[doc = $done])+ $point,)+
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// The name by which it is armed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

points! {
    /// Possession of the key is proven.
    EnrollProven = "enroll.proven",
    /// What stands about the request is read.
    EnrollRecalled = "enroll.recalled",
    /// The certificate to be signed is made.
    EnrollFrozen = "enroll.frozen",
    /// The intent is recorded.
    EnrollBegun = "enroll.begun",
    /// The token has signed; nobody else knows.
    EnrollSigned = "enroll.signed",
    /// The certificate is recorded; nobody was answered.
    EnrollCompleted = "enroll.completed",
    /// The device is found and may be accepted.
    AcceptDecided = "accept.decided",
    /// The acceptance is written, not committed.
    AcceptWritten = "accept.written",
    /// The acceptance is committed; nobody was answered.
    AcceptCommitted = "accept.committed",
    /// What stands about the order is read.
    CosignRecalled = "cosign.recalled",
    /// The phone's signature and certificate are good.
    CosignProven = "cosign.proven",
    /// Policy said yes.
    CosignDecided = "cosign.decided",
    /// The authorization to be signed is made.
    CosignFrozen = "cosign.frozen",
    /// The intent is recorded, with its reservation of money.
    CosignBegun = "cosign.begun",
    /// The token has signed; nobody else knows.
    CosignSigned = "cosign.signed",
    /// The authorization is recorded; nobody was answered.
    CosignCompleted = "cosign.completed",
    /// The device is found.
    RevokeFound = "revoke.found",
    /// The revocation is written, not committed.
    RevokeWritten = "revoke.written",
    /// The revocation is committed; nobody was answered, no CRL shows it.
    RevokeCommitted = "revoke.committed",
    /// That a key is to be made is recorded.
    CreateKeyAsked = "create-key.asked",
    /// The token has made it; nobody else knows.
    CreateKeyGenerated = "create-key.generated",
    /// Its public half is recorded; in the token it has no name.
    CreateKeyRecorded = "create-key.recorded",
    /// It has its name; nothing is signed of it.
    CreateKeyNamed = "create-key.named",
    /// What is to be signed of it is recorded.
    CreateKeyBegun = "create-key.begun",
    /// The token has signed it; nobody else knows.
    CreateKeySigned = "create-key.signed",
    /// What was signed of it is recorded; nobody was answered.
    CreateKeyCompleted = "create-key.completed",
    /// That a key is to be destroyed is recorded.
    DestroyBegun = "destroy.begun",
    /// The token has destroyed it; nobody else knows.
    DestroyGone = "destroy.gone",
    /// That it is destroyed is recorded.
    DestroyRecorded = "destroy.recorded",
    /// A CRL is due.
    CrlDue = "crl.due",
    /// The CRL to be signed is made.
    CrlFrozen = "crl.frozen",
    /// The intent is recorded, its CRLNumber is taken.
    CrlBegun = "crl.begun",
    /// The token has signed; nobody else knows.
    CrlSigned = "crl.signed",
    /// The CRL is recorded and shown.
    CrlCompleted = "crl.completed",
    /// The document is checked.
    LoadChecked = "load.checked",
    /// The document is written, not committed.
    LoadWritten = "load.written",
    /// The document is committed; the operator was not told.
    LoadCommitted = "load.committed",
    /// The server has read documents that came into force; it still decides by the earlier ones.
    SnapshotRead = "snapshot.read",
    /// The server decides by the documents that came into force.
    SnapshotTaken = "snapshot.taken",
    /// A group of intents is written, not committed.
    BeginWritten = "begin.written",
    /// A group of intents is committed; no use case knows.
    BeginCommitted = "begin.committed",
    /// A group of endings is written, not committed.
    CompleteWritten = "complete.written",
    /// A group of endings is committed; no use case knows.
    CompleteCommitted = "complete.committed",
}

/// The environment variable that names the file which arms a point: its name and a number, parted by a space.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "SEMOPS_FAULT_POINT";

/// Dies here if this point is armed and was reached that often.
#[cfg(debug_assertions)]
pub fn point(point: Point) {
    armed::reached(point);
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub const fn point(_: Point) {}
