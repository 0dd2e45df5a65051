//! Owns proposals: the exact bytes that persons approve.

use std::{fmt, str::FromStr};

use semops_pki::algorithm::sha256;
use serde::Serialize;

use super::members;
use super::operation::Operation;
use super::{MAX_RECOVERY_VALIDITY, MAX_VALIDITY, MIN_VALIDITY};
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::institution::InstitutionId;
use crate::json::Object;

/// The longest proposal, in octets.
pub const MAX_PROPOSAL: usize = 64 << 10;

/// The name of a change: the SHA-256 of its proposal's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeId([u8; 32]);

impl ChangeId {
    /// The id with these octets.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Its 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

/// Why a text is no change's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change's id is 43 base64url characters")]
pub struct BadChangeId;

impl FromStr for ChangeId {
    type Err = BadChangeId;

    fn from_str(text: &str) -> Result<Self, BadChangeId> {
        base64url::decode_array(text)
            .map(Self)
            .map_err(|_| BadChangeId)
    }
}

/// What a change is made to: the whole history so far, by the name of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The scheme: the trust domain of its callers' ids.
    pub scheme: String,
    /// The institution that it rules.
    pub institution: InstitutionId,
    /// The change's number, from 1.
    pub sequence: u64,
    /// The change before it; only the ceremony has none.
    pub previous: Option<ChangeId>,
}

impl Base {
    /// That of an institution's ceremony.
    pub fn of_ceremony(scheme: &str, institution: InstitutionId) -> Self {
        Self {
            scheme: scheme.to_owned(),
            institution,
            sequence: 1,
            previous: None,
        }
    }
}

/// What persons are asked to approve. It is what its bytes say and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    bytes: Vec<u8>,
    id: ChangeId,
    base: Base,
    operation: Operation,
    nonce: [u8; 16],
    iat: u64,
    exp: u64,
}

#[derive(Serialize)]
struct Members<'a> {
    v: u8,
    scheme: &'a str,
    institution: &'a InstitutionId,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    operation: members::Members,
    nonce: String,
    iat: u64,
    exp: u64,
}

impl Proposal {
    /// A proposal of `operation`. `nonce` is random, so that the same change asked for twice has two names.
    pub fn new(
        base: Base,
        operation: Operation,
        nonce: [u8; 16],
        iat: u64,
        exp: u64,
    ) -> Result<Self, ObjectError> {
        let proposal = Self {
            bytes: Vec::new(),
            id: ChangeId([0; 32]),
            base,
            operation,
            nonce,
            iat,
            exp,
        };
        Self::parse(&proposal.written())
    }

    /// Reads a proposal of at most [`MAX_PROPOSAL`] octets. Its spelling is the only one of what it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        if bytes.len() > MAX_PROPOSAL {
            let rule = Rule::TooLong { max: MAX_PROPOSAL };
            return Err(ObjectError::new("proposal", rule));
        }
        let mut members = Object::parse("proposal", bytes)?;
        if members.integer("v")? != 1 {
            return Err(members.blame("v", Rule::Format));
        }
        let base = base(&mut members)?;
        let operation = Operation::from_members(members.object("operation")?)?;
        let nonce = members.octets("nonce")?;
        let (iat, exp) = times(&mut members, &operation)?;
        if base.institution.is_scheme() != matches!(operation, Operation::Scheme(_)) {
            return Err(members.blame("institution", Rule::SchemesOperation));
        }
        let ceremony = operation.is_ceremony();
        if (base.sequence == 1) != ceremony || base.previous.is_none() != ceremony {
            return Err(members.blame("sequence", Rule::Sequence));
        }
        members.finish()?;
        let proposal = Self {
            bytes: bytes.to_vec(),
            id: ChangeId(sha256(bytes)),
            base,
            operation,
            nonce,
            iat,
            exp,
        };
        if proposal.written() == bytes {
            Ok(proposal)
        } else {
            Err(ObjectError::new("proposal", Rule::Spelling))
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "serde_json fails on maps with keys that are no strings and on failing Serialize implementations; there are none here"
    )]
    fn written(&self) -> Vec<u8> {
        let members = Members {
            v: 1,
            scheme: &self.base.scheme,
            institution: &self.base.institution,
            sequence: self.base.sequence,
            previous: self.base.previous.map(|id| id.to_string()),
            operation: self.operation.members(),
            nonce: base64url::encode(&self.nonce),
            iat: self.iat,
            exp: self.exp,
        };
        serde_json::to_vec(&members).expect("plain members serialize")
    }

    /// Its exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its name: the SHA-256 of its bytes.
    pub fn id(&self) -> ChangeId {
        self.id
    }

    /// What it is to be executed on.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.base.scheme
    }

    /// The institution that it rules.
    pub fn institution(&self) -> &InstitutionId {
        &self.base.institution
    }

    /// The change's number.
    pub fn sequence(&self) -> u64 {
        self.base.sequence
    }

    /// The change before it.
    pub fn previous(&self) -> Option<ChangeId> {
        self.base.previous
    }

    /// What is to be done.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// What makes it another than the same proposal made again.
    pub fn nonce(&self) -> &[u8; 16] {
        &self.nonce
    }

    /// When it was made, in Unix seconds.
    pub fn iat(&self) -> u64 {
        self.iat
    }

    /// Until when it can be approved and executed, in Unix seconds.
    pub fn exp(&self) -> u64 {
        self.exp
    }
}

fn base(members: &mut Object) -> Result<Base, ObjectError> {
    let base = Base {
        scheme: members.text("scheme", scheme)?,
        institution: members.text("institution", str::parse)?,
        sequence: members.integer("sequence")?,
        previous: members.optional_text("previous", |text| {
            base64url::decode_array(text).map(ChangeId)
        })?,
    };
    if base.sequence == 0 {
        return Err(members.blame("sequence", Rule::Zero));
    }
    Ok(base)
}

/// A trust domain (SPIFFE-ID s2.1), bounded as in the configuration.
fn scheme(text: &str) -> Result<String, Rule> {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(Rule::Scheme)
    }
}

fn times(members: &mut Object, operation: &Operation) -> Result<(u64, u64), ObjectError> {
    let (iat, exp) = (members.integer("iat")?, members.integer("exp")?);
    let max = match operation {
        Operation::RecoverCustodians { .. } => MAX_RECOVERY_VALIDITY,
        _ => MAX_VALIDITY,
    };
    let min = MIN_VALIDITY;
    match exp.checked_sub(iat) {
        Some(validity) if (min..=max).contains(&validity) => Ok((iat, exp)),
        _ => Err(members.blame("exp", Rule::Validity { min, max })),
    }
}
