//! Owns who acts: a caller over mutual TLS, the schedule, or the local operator; and for which request.

use std::{fmt, str::FromStr};

use semops_objects::institution::InstitutionId;

use crate::ids::RequestId;

/// What a caller may do; the third part of its SPIFFE id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Enrols, revokes, accepts and releases devices.
    Enrolment,
    /// Has orders co-signed and verifies authorizations.
    Payments,
    /// Rules keys, policy and trust.
    Custodian,
    /// Reads what was done.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [
        Self::Enrolment,
        Self::Payments,
        Self::Custodian,
        Self::Auditor,
    ];

    /// The word in a SPIFFE id.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Payments => "payments",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
        }
    }
}

/// Why a text is no SPIFFE id of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a caller's id is spiffe://<scheme>/<institution>/<role>/<name>; name is 1-64 of a-z, 0-9, '-', '_' and '.'"
)]
pub struct BadSpiffeId;

/// The identity of a caller: `spiffe://<scheme>/<institution>/<role>/<name>` (SPIFFE-ID s2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    scheme: String,
    institution: InstitutionId,
    role: Role,
    name: String,
}

impl SpiffeId {
    /// The trust domain: the deployment's scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// For whom the caller acts.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }
}

impl FromStr for SpiffeId {
    type Err = BadSpiffeId;

    fn from_str(text: &str) -> Result<Self, BadSpiffeId> {
        let path = text.strip_prefix("spiffe://").ok_or(BadSpiffeId)?;
        let mut parts = path.split('/');
        let mut next = || parts.next().filter(|p| is_segment(p)).ok_or(BadSpiffeId);
        let (scheme, institution, role, name) = (next()?, next()?, next()?, next()?);
        let id = Self {
            scheme: scheme.to_owned(),
            institution: institution.parse().map_err(|_| BadSpiffeId)?,
            role: Role::ALL
                .into_iter()
                .find(|r| r.name() == role)
                .ok_or(BadSpiffeId)?,
            name: name.to_owned(),
        };
        parts.next().is_none().then_some(id).ok_or(BadSpiffeId)
    }
}

fn is_segment(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/{}/{}/{}",
            self.scheme,
            self.institution,
            self.role.name(),
            self.name
        )
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A caller over mutual TLS.
    Caller(SpiffeId),
    /// The service's own schedule.
    Schedule,
    /// A local operator with access to the store, by user id.
    Operator(u32),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(id) => id.fmt(f),
            Self::Schedule => f.write_str("schedule"),
            Self::Operator(uid) => write!(f, "operator:{uid}"),
        }
    }
}

/// On whose behalf, and for which request, something is done.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who acts.
    pub actor: Actor,
    /// For which request.
    pub request: RequestId,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_id_reads_back() {
        let text = "spiffe://semops.example/alfa/payments/backend";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.role()), (text, Role::Payments));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "spiffe://s/alfa/payments",
            "spiffe://s/alfa/payments/a/b",
            "spiffe://s/alfa/payments/",
            "spiffe://s/alfa/root/a",
            "spiffe://s/ALFA/payments/a",
            "spiffe:///alfa/payments/a",
            "https://s/alfa/payments/a",
            "spiffe://s/alfa/payments/a?x",
            "spiffe://s/alfa/payments/A",
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(BadSpiffeId), "{text}");
        }
    }
}
