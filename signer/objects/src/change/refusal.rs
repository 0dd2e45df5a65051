//! Why a change is refused.

use super::custodians::CustodiansError;
use super::document::{AttachmentKind, DocumentKind};
use super::key_life::ImpossibleKeyChange;
use super::person::PersonId;
use super::roots::RootsError;
use crate::error::ObjectError;
use crate::institution::InstitutionId;
use crate::key::KeyId;

/// A rule of changes that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefusal {
    /// The bytes are no proposal, no approval or no change file.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It is of another scheme.
    #[error("it is made for the scheme {0}")]
    OtherScheme(String),
    /// It is of another institution.
    #[error("it is made for the institution {0}")]
    OtherInstitution(InstitutionId),
    /// It is not made on what stands.
    #[error("what it is made on has changed: the next change is number {next}")]
    BaseMoved {
        /// The number of the next change.
        next: u64,
    },
    /// Its time has not come.
    #[error("its iat lies ahead: {iat}")]
    NotYetValid {
        /// Its `iat`.
        iat: u64,
    },
    /// Its time is over.
    #[error("it expired at {exp}")]
    Expired {
        /// Its `exp`.
        exp: u64,
    },
    /// A history begins with a ceremony, and has no other.
    #[error("it is no ceremony with which a history could begin")]
    NoCeremony,
    /// A ceremony that somebody of its own register has not approved.
    #[error("a ceremony must be approved by everybody in it, and {0} has not")]
    CeremonyIncomplete(PersonId),
    /// An approval by a key that stands in no register.
    #[error("the key {0} is no custodian's approval key")]
    NotACustodian(KeyId),
    /// An approval in the name of another person.
    #[error("the key is {holder}'s, and the approval is in the name of {named}")]
    OtherPerson {
        /// Whose key it is.
        holder: PersonId,
        /// Who is named.
        named: PersonId,
    },
    /// The person's decisions do not count for now.
    #[error("{0} is suspended as a custodian")]
    Suspended(PersonId),
    /// The person has decided already.
    #[error("{0} has decided already: one decision for each person")]
    AlreadyDecided(PersonId),
    /// The approval is about something else.
    #[error("the approval of {0} is of another proposal")]
    OtherProposal(PersonId),
    /// The approval is older than the proposal, later than its end or ahead of the clock.
    #[error("the approval of {person} has an iat outside the proposal's time: {iat}")]
    ApprovalTime {
        /// Who decided.
        person: PersonId,
        /// The `iat`.
        iat: u64,
    },
    /// The signature is none.
    #[error("the signature of {0} does not verify")]
    BadSignature(PersonId),
    /// A recovery is decided by the recovery key, and nothing else is.
    #[error("the recovery key decides about recoveries alone, and nobody else about them")]
    RecoveryAlone,
    /// The register names no recovery key.
    #[error("the register of custodians has no recovery key")]
    NoRecovery,
    /// The delay would end after the proposal.
    #[error("the recovery has to wait until {until}, and the proposal expires before")]
    RecoveryTooLate {
        /// When the delay ends, in Unix seconds.
        until: u64,
    },
    /// Not the next version.
    #[error("version {found} of {}: the next one is {expected}", kind.name())]
    DocumentVersion {
        /// Which document.
        kind: DocumentKind,
        /// The version found.
        found: u64,
        /// The version that it must be.
        expected: u64,
    },
    /// The bytes are not those that are named.
    #[error("the {} document is not the one whose SHA-256 is in the proposal", kind.name())]
    DocumentDigest {
        /// Which document.
        kind: DocumentKind,
    },
    /// It does not say whose and which version it is.
    #[error("the {} document is not accepted: {why}", kind.name())]
    DocumentForm {
        /// Which document.
        kind: DocumentKind,
        /// Why.
        why: String,
    },
    /// The certificate of a new key cannot be used.
    #[error("the certificate is not accepted: {0}")]
    Certificate(String),
    /// Something that the proposal names did not come with it.
    #[error("{} is named and not sent along", .0.name())]
    AttachmentMissing(AttachmentKind),
    /// Something came along that the proposal does not name, or came twice.
    #[error("{} is sent along and not named, or sent twice", .0.name())]
    AttachmentUnexpected(AttachmentKind),
    /// The new register is none.
    #[error(transparent)]
    Custodians(#[from] CustodiansError),
    /// The roots of the scheme that come with it are none.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// A trust document with a root of somebody's own.
    #[error("{member} {root} is none of the scheme's roots in force")]
    RootNotApproved {
        /// Which member of the document.
        member: &'static str,
        /// The root: SHA-256 of its certificate, hexadecimal.
        root: String,
    },
    /// What a CA's key issued would be valid without anybody who could revoke it.
    #[error("key {key} is still needed when it would be destroyed: {why}")]
    StillNeeded {
        /// Which key.
        key: KeyId,
        /// For what.
        why: String,
    },
    /// No such key.
    #[error("the institution has no key {0}")]
    KeyNotFound(KeyId),
    /// The key's life does not allow it.
    #[error("key {key}: {why}")]
    Key {
        /// Which key.
        key: KeyId,
        /// Why not.
        why: ImpossibleKeyChange,
    },
}

impl ChangeRefusal {
    /// A stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Object(_) => "CHANGE_MALFORMED",
            Self::OtherScheme(_) => "OTHER_SCHEME",
            Self::OtherInstitution(_) => "OTHER_INSTITUTION",
            Self::BaseMoved { .. } => "BASE_MOVED",
            Self::NotYetValid { .. } => "CHANGE_NOT_YET_VALID",
            Self::Expired { .. } => "CHANGE_EXPIRED",
            Self::NoCeremony | Self::CeremonyIncomplete(_) => "CEREMONY_INCOMPLETE",
            Self::NotACustodian(_) => "NOT_A_CUSTODIAN",
            Self::Suspended(_) => "CUSTODIAN_SUSPENDED",
            Self::AlreadyDecided(_) => "ALREADY_DECIDED",
            Self::OtherProposal(_) => "OTHER_PROPOSAL",
            Self::OtherPerson { .. } | Self::ApprovalTime { .. } | Self::BadSignature(_) => {
                "APPROVAL_INVALID"
            }
            Self::RecoveryAlone | Self::NoRecovery | Self::RecoveryTooLate { .. } => {
                "RECOVERY_REFUSED"
            }
            Self::DocumentVersion { .. } | Self::DocumentDigest { .. } => "DOCUMENT_MISMATCH",
            Self::DocumentForm { .. } => "DOCUMENT_INVALID",
            Self::Certificate(_) => "CERTIFICATE_INVALID",
            Self::AttachmentMissing(_) | Self::AttachmentUnexpected(_) => "ATTACHMENT_MISMATCH",
            Self::Custodians(error) => error.reason(),
            Self::Roots(error) => error.reason(),
            Self::RootNotApproved { .. } => "ROOT_NOT_APPROVED",
            Self::KeyNotFound(_) => "KEY_NOT_FOUND",
            Self::Key { .. } => "KEY_STATE",
            Self::StillNeeded { .. } => "KEY_NEEDED",
        }
    }
}
