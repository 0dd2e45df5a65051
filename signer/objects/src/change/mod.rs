//! Owns how what rules an institution changes: two or more persons together, each change bound to everything before it.
//! Pure: whoever asks brings the time, the bytes and the decisions.
//!
//! A **proposal** is exact bytes: JSON in UTF-8 without white space, its members in this order. It is named by their
//! SHA-256, its [`ChangeId`]. `previous` names the proposal that was executed before it, so that it binds everything that
//! stood; only the ceremony, change 1, has none.
//!
//! ```json
//! {"v":1,"scheme":"semops.example","institution":"alfa","sequence":7,"previous":"<base64url, 32 octets>",
//!  "operation":{"name":"document","kind":"policy","version":4,"sha256":"<base64url, 32 octets>"},
//!  "nonce":"<base64url, 16 octets>","iat":1800000000,"exp":1800086400}
//! ```
//! (shown in three lines). The operations:
//!
//! | `name` | other members | approved by |
//! |---|---|---|
//! | `ceremony` | `documents`, `keys` | every active person of its own register |
//! | `document` | `kind`, `version`, `sha256` | the quorum |
//! | `suspend-key` | `key` | one person |
//! | `resume-key`, `deactivate-key`, `mark-compromised`, `call-off-destruction` | `key` | the quorum |
//! | `schedule-destruction` | `key`, `at` | the quorum |
//! | `rotate-key` | `from`, `to`, `certificate`, `activate_at`, `retire_at` | the quorum |
//! | `call-off-rotation` | `to` | the quorum |
//! | `recover-custodians` | `version`, `sha256` | the recovery key, after its delay |
//! | `scheme-ceremony` | `custodians`, `roots`, each an object of `version`, `sha256` | every active person of its own register |
//! | `scheme-roots`, `scheme-custodians` | `version`, `sha256` | the quorum |
//!
//! The last two rows rule the scheme itself, and no institution: their `institution` is `scheme`, which is the id of none,
//! and theirs alone. That history is kept in files; what stands by it is [`SchemeStanding`].
//!
//! An **approval** is a compact JWS by a person's own approval key, with `typ` `semops-approval-v1+jwt`; `kid` is the
//! RFC 7638 thumbprint of that key:
//!
//! ```json
//! {"alg":"ES256","kid":"<base64url, 32 octets>","typ":"semops-approval-v1+jwt"}
//! {"iat":1800000060,"iss":"anna-berg","aud":"alfa","proposal_sha256":"<base64url, 32 octets>","decision":"approve"}
//! ```
//!
//! The **custodians document** says who the persons are:
//!
//! ```toml
//! institution = "alfa"
//! version = 1
//! quorum = 2                       # distinct persons who must approve a change
//! [[custodian]]                    # at least quorum + 1 active ones, at most 64 in all
//! person = "anna-berg"
//! name = "Anna Berg"
//! state = "active"                 # or "suspended"
//! approval_keys = ["-----BEGIN PUBLIC KEY-----..."]   # one to four, each once in the whole document
//! [recovery]                       # may be left out
//! approval_key = "-----BEGIN PUBLIC KEY-----..."
//! delay_hours = 72                 # 24 to 720
//! ```
//!
//! The **roots document** names the offline roots on which a scheme stands, one to four of a hierarchy:
//!
//! ```toml
//! scheme = "semops.example"
//! version = 1
//! device_roots = ["-----BEGIN CERTIFICATE-----..."]
//! signing_roots = ["-----BEGIN CERTIFICATE-----..."]  # no key twice in the whole document
//! ```
//!
//! A **change file** carries a proposal, its approvals and what accompanies it: a document as its text, a certificate as
//! PEM.
//!
//! ```json
//! {"v":1,"proposal":"<base64url>","approvals":["<JWS>"],"documents":[{"kind":"policy","content":"<text>"}]}
//! ```
//!
//! What is in force is [`Standing`]: a fold over the executed changes from the ceremony on, each judged again at the time
//! when it was executed, against the register that was in force then.

mod approval;
mod custodians;
mod document;
mod file;
mod judgement;
mod key_life;
mod members;
mod operation;
mod person;
mod proposal;
mod refusal;
mod roots;
mod scheme;
mod scheme_standing;
mod standing;

pub use approval::{APPROVAL_TYP, Approval, Decision, MAX_APPROVAL};
pub use custodians::{
    Custodian, CustodianState, Custodians, CustodiansError, MAX_CUSTODIANS, MAX_PERSONS,
    PersonMistake, Recovery,
};
pub use document::{Attachment, AttachmentKind, DocumentKind, DocumentName, MAX_DOCUMENT};
pub use file::{ChangeFile, MAX_CHANGE_FILE};
pub use judgement::{ApprovedChange, Judgement, Moment};
pub use key_life::{ImpossibleKeyChange, KeyLife, KeyOperation};
pub use operation::{Addition, CeremonyKey, Operation, Publication, Rotation};
pub use person::{PersonId, Quorum, QuorumTooSmall};
pub use proposal::{BadChangeId, Base, ChangeId, MAX_PROPOSAL, Proposal};
pub use refusal::ChangeRefusal;
pub use roots::{MAX_ROOTS, Roots, RootsError};
pub use scheme::{SchemeOperation, SchemeVersion};
pub use scheme_standing::{NotInForce, SchemeHistoryError, SchemeStanding};
pub use standing::Standing;

/// How far clocks may differ, in seconds.
pub const CLOCK_SKEW: u64 = 30;

/// The shortest time between `iat` and `exp` of a proposal, in seconds.
pub const MIN_VALIDITY: u64 = 60;

/// The longest time between `iat` and `exp` of a proposal, in seconds: two weeks.
pub const MAX_VALIDITY: u64 = 14 * DAY;

/// The longest time of a recovery's proposal, which also holds the longest delay.
pub const MAX_RECOVERY_VALIDITY: u64 = MAX_VALIDITY + 30 * DAY;

/// How long a destruction can be called off, in seconds, counted from the execution of the change that schedules it. One
/// scheduled for a week after its proposal's `exp` fits whenever it is approved.
pub const DESTRUCTION_WINDOW: u64 = 7 * DAY;
/// So many keys of a purpose may sign beside each other: one in each token that an institution may have.
pub const KEYS_OF_A_PURPOSE: usize = 4;

/// The `iss` of approvals by the recovery key. No person has this id.
pub const RECOVERY: &str = "recovery";

const DAY: u64 = 86_400;
