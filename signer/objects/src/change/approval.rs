//! Owns approvals: what a person says to a proposal, signed with the person's own key.

use std::{fmt, str::FromStr};

use semops_pki::algorithm::{PublicKey, Signature};
use semops_pki::error::BadSignature;
use serde::Serialize;

use super::person::PersonId;
use super::proposal::ChangeId;
use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::institution::InstitutionId;
use crate::json::Object;
use crate::jws::{self, Compact, Header};
use crate::key::KeyId;

/// The `typ` of an approval. Another set of members is another version.
pub const APPROVAL_TYP: &str = "semops-approval-v1+jwt";

/// The longest approval, in octets of its compact serialization.
pub const MAX_APPROVAL: usize = 2048;

/// What a person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Let it be done.
    Approve,
    /// Let it not be done.
    Reject,
}

impl Decision {
    /// The word in approvals and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

impl FromStr for Decision {
    type Err = Rule;

    fn from_str(word: &str) -> Result<Self, Rule> {
        match word {
            "approve" => Ok(Self::Approve),
            "reject" => Ok(Self::Reject),
            _ => Err(Rule::OneOf("approve, reject")),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Serialize)]
struct Members<'a> {
    iat: u64,
    iss: &'a str,
    aud: &'a InstitutionId,
    proposal_sha256: String,
    decision: &'static str,
}

/// An approval as it was received: every rule that needs no clock, register or proposal holds. Its signature is not
/// checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    jws: Compact,
    kid: KeyId,
    iat: u64,
    person: PersonId,
    institution: InstitutionId,
    proposal: ChangeId,
    decision: Decision,
}

impl Approval {
    /// What the person's approval key, whose id is `kid`, signs with ES256. The signature joins it with
    /// [`jws::compact`].
    pub fn signing_input(
        kid: KeyId,
        iss: &PersonId,
        aud: &InstitutionId,
        proposal: ChangeId,
        decision: Decision,
        iat: u64,
    ) -> String {
        let header = Header {
            alg: "ES256",
            kid: &kid.to_string(),
            typ: APPROVAL_TYP,
            x5t_s256: None,
        };
        let members = Members {
            iat,
            iss: iss.as_str(),
            aud,
            proposal_sha256: base64url::encode(proposal.as_bytes()),
            decision: decision.name(),
        };
        jws::signing_input(&header, &members)
    }

    /// Reads a compact JWS of at most [`MAX_APPROVAL`] octets. The header has exactly `alg` ES256, `kid` and `typ`.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let jws = Compact::parse(text, MAX_APPROVAL)?;
        let mut header = jws.header_members(APPROVAL_TYP)?;
        let kid = KeyId::new(header.octets("kid")?);
        header.finish()?;
        let mut members = Object::parse("payload", jws.payload())?;
        let approval = Self {
            kid,
            iat: members.integer("iat")?,
            person: members.text("iss", str::parse)?,
            institution: members.text("aud", str::parse)?,
            proposal: ChangeId::new(members.octets("proposal_sha256")?),
            decision: members.text("decision", str::parse)?,
            jws,
        };
        members.finish()?;
        Ok(approval)
    }

    /// The key that it names.
    pub fn kid(&self) -> KeyId {
        self.kid
    }

    /// When it was signed, in Unix seconds by the person's clock.
    pub fn iat(&self) -> u64 {
        self.iat
    }

    /// The person who decides.
    pub fn person(&self) -> &PersonId {
        &self.person
    }

    /// The institution for which the person decides.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// What is decided about.
    pub fn proposal(&self) -> ChangeId {
        self.proposal
    }

    /// What the person says.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// The whole JWS, byte for byte as received.
    pub fn compact(&self) -> &str {
        self.jws.as_str()
    }

    /// Checks the person's signature.
    pub fn verify(&self, key: &PublicKey) -> Result<Signature, BadSignature> {
        self.jws.verify(key)
    }
}
