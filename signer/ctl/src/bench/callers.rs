//! Who calls: the callers of the profiles, each with its connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use semops_objects::InstitutionId;
use semops_pki::certificate::Certificate;
use semops_proto::client::Client;

use crate::{connection, failure::Failure, files, profile::Profile};

/// The callers of the load.
#[derive(Debug)]
pub struct Callers {
    /// Enrols phones.
    pub enrolment: Connections,
    /// Accepts them for the payer's institution.
    pub acceptance: Connections,
    /// Has orders co-signed.
    pub payments: Connections,
}

/// Connections of one caller, used in turn.
#[derive(Debug)]
pub struct Connections {
    clients: Vec<Client>,
    turn: AtomicUsize,
}

impl Connections {
    /// Opens `count` of them.
    ///
    /// # Errors
    /// One could not be opened.
    pub async fn open(profile: &Profile, count: usize) -> Result<Self, Failure> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count.max(1) {
            clients.push(connection::client(profile).await?);
        }
        Ok(Self {
            clients,
            turn: AtomicUsize::new(0),
        })
    }

    /// The one whose turn it is.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "invariant: there is at least one, and the remainder is below their number"
    )]
    pub fn next(&self) -> &Client {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.clients[turn % self.clients.len()]
    }
}

/// Whose profile it is, by the SPIFFE id in its certificate: `spiffe://SCHEME/INSTITUTION/ROLE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The institution.
    pub institution: InstitutionId,
    /// The role.
    pub role: String,
}

impl Identity {
    /// Reads it out of the profile's certificate. `option` is where the profile was named.
    ///
    /// # Errors
    /// The certificate is unreadable or carries no such id, or the role is not `role`.
    pub fn of(profile: &Profile, role: &str, option: &str) -> Result<Self, Failure> {
        let path = profile.certificate().display().to_string();
        let pem = files::read_text(profile.certificate())?;
        let refused = |rule: String| {
            Failure::usage(
                format!("{option}: {path}: {rule}"),
                &format!("name the profile of a caller with the role {role}"),
            )
        };
        let chain =
            Certificate::chain_from_pem(&pem).map_err(|error| refused(error.to_string()))?;
        let uri = chain.first().and_then(|leaf| leaf.uri_sans().first());
        let identity = uri.and_then(|uri| Self::parse(uri));
        let identity = identity.ok_or_else(|| refused("no SPIFFE id of a caller".to_owned()))?;
        if identity.role == role {
            return Ok(identity);
        }
        let Self { institution, role } = identity;
        Err(refused(format!(
            "a caller of {institution} with the role {role}"
        )))
    }

    fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("spiffe://")?.split('/').skip(1);
        let (institution, role) = (parts.next()?, parts.next()?);
        parts.next()?;
        Some(Self {
            institution: institution.parse().ok()?,
            role: role.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_caller_is_known_by_its_spiffe_id() {
        let identity = Identity::parse("spiffe://semops.example/alfa/payments/backend").unwrap();
        assert_eq!(
            (identity.institution.as_str(), identity.role.as_str()),
            ("alfa", "payments")
        );
        for uri in [
            "",
            "https://semops.example/alfa/payments/backend",
            "spiffe://semops.example",
            "spiffe://semops.example/alfa",
            "spiffe://semops.example/alfa/payments",
            "spiffe://semops.example/ALFA/payments/backend",
        ] {
            assert_eq!(Identity::parse(uri), None, "{uri}");
        }
    }
}
