//! Owns the authentication of callers: a connection's certificate and the register of callers, compared on every
//! request. Every refusal looks the same from outside.

use semops_objects::institution::InstitutionId;
use tracing::info;

use crate::{
    authority::Snapshot,
    clock::Timestamp,
    domain::actor::SpiffeId,
    error::{Error, Reason},
    policy::{CallerState, Register},
    rpc::peer::PeerIdentity,
};

/// An authenticated, registered, active caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(SpiffeId);

impl Caller {
    /// The caller behind a connection, by the documents of this snapshot.
    ///
    /// # Errors
    /// `CALLER_UNKNOWN`, whatever the cause lies with the caller; `INSTITUTION_NOT_SERVED` or `NOT_APPROVED` where it does
    /// not.
    pub(crate) fn authenticate(
        peer: Option<&PeerIdentity>,
        snapshot: &Snapshot,
        scheme: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::known(peer, snapshot, scheme, now).map_err(|why| {
            // The cause is for the operator alone.
            info!(peer = peer.map(|peer| peer.uri.as_str()), %why, "a caller is not known");
            match why {
                // Nobody can be known there: all its callers are told to come again.
                Stranger::NotServed(institution) => Error::not_served(&institution),
                Stranger::NotApproved(institution) => Error::not_approved(&institution, "callers"),
                _ => Error::Unauthenticated(Reason::CallerUnknown),
            }
        })
    }

    /// The same, with the cause: for those who decide about connections.
    ///
    /// # Errors
    /// [`Stranger`].
    pub(crate) fn known(
        peer: Option<&PeerIdentity>,
        snapshot: &Snapshot,
        scheme: &str,
        now: Timestamp,
    ) -> Result<Self, Stranger> {
        let registered = |id: &SpiffeId| {
            let institution = id.institution();
            match snapshot.register(institution) {
                Some(register) => Ok(register.as_ref()),
                None if snapshot.serves(institution) => {
                    Err(Stranger::NotApproved(institution.clone()))
                }
                None => Err(Stranger::NotServed(institution.clone())),
            }
        };
        caller(peer.ok_or(Stranger::Certificate)?, registered, scheme, now)
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.0
    }
}

/// Why a peer is no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    #[error("its certificate has not one URI and O, or its CA was not presented")]
    Certificate,
    #[error("its URI is no caller's SPIFFE id of this scheme")]
    SpiffeId,
    #[error("its certificate's O is not the institution in its SPIFFE id")]
    Organization,
    #[error("its certificate is outside its validity")]
    Validity,
    #[error("the configuration has no institution {0}")]
    NotServed(InstitutionId),
    #[error("the register of callers of {0} in the record was not approved")]
    NotApproved(InstitutionId),
    #[error("its certificate was not issued by the TLS CA in the register")]
    TlsCa,
    #[error("it is not in the register, or disabled there")]
    NotActive,
}

fn caller<'a>(
    peer: &PeerIdentity,
    register: impl FnOnce(&SpiffeId) -> Result<&'a Register, Stranger>,
    scheme: &str,
    now: Timestamp,
) -> Result<Caller, Stranger> {
    let id = peer.uri.parse::<SpiffeId>().ok();
    let id = id
        .filter(|id| id.scheme() == scheme)
        .ok_or(Stranger::SpiffeId)?;
    if peer.organization != id.institution().as_str() {
        return Err(Stranger::Organization);
    }
    // A connection may outlive the certificate that opened it.
    if !(peer.not_before..=peer.not_after).contains(&now.seconds()) {
        return Err(Stranger::Validity);
    }
    let register = register(&id)?;
    // Another institution's TLS CA may issue what it likes: it does not count here.
    if peer.issuing_ca != register.tls_ca().sha256() {
        return Err(Stranger::TlsCa);
    }
    match register.state(&id) {
        Some(CallerState::Active) => Ok(Caller(id)),
        Some(CallerState::Disabled) | None => Err(Stranger::NotActive),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_pki::{certificate::Certificate, issuer::Subject};

    use super::*;
    use crate::specimen::Certified;

    const SCHEME: &str = "semops.example";
    const BACKEND: &str = "spiffe://semops.example/alfa/payments/backend";

    fn tls_ca() -> Certificate {
        let subject = Subject::TlsCa {
            common_name: "TLS CA",
        };
        Certified::root().issue("alfa", subject, 100).certificate
    }

    fn register(ca: &Certificate) -> Register {
        let text = format!(
            "institution = 'alfa'\nversion = 1\ntls_ca = '''{}'''\n[[caller]]\nid = '{BACKEND}'\nstate = 'active'\n\
             [[caller]]\nid = 'spiffe://semops.example/alfa/payments/old'\nstate = 'disabled'\n",
            ca.to_pem()
        );
        Register::parse(text.as_bytes()).unwrap()
    }

    fn peer(ca: &Certificate) -> PeerIdentity {
        PeerIdentity {
            uri: BACKEND.into(),
            organization: "alfa".into(),
            issuing_ca: ca.sha256(),
            not_before: 100,
            not_after: 200,
        }
    }

    #[test]
    fn a_registered_caller_is_who_its_certificate_says() {
        let ca = tls_ca();
        let register = register(&ca);
        let caller = caller(
            &peer(&ca),
            |_| Ok(&register),
            SCHEME,
            Timestamp::from_seconds(200),
        )
        .unwrap();
        assert_eq!(caller.id().to_string(), BACKEND);
    }

    #[test]
    fn every_other_peer_is_unknown() {
        let ca = tls_ca();
        let register = register(&ca);
        let uri = |uri: &str| PeerIdentity {
            uri: uri.into(),
            ..peer(&ca)
        };
        let peers = [
            (
                uri("spiffe://semops.example/alfa/payments/old"),
                Stranger::NotActive,
            ),
            (
                uri("spiffe://semops.example/alfa/payments/unregistered"),
                Stranger::NotActive,
            ),
            (
                uri("spiffe://semops.example/alfa/custodian/backend"),
                Stranger::NotActive,
            ),
            (
                uri("spiffe://other.example/alfa/payments/backend"),
                Stranger::SpiffeId,
            ),
            (
                uri("urn:uuid:0191d6a0-3c1e-4b7a-9f00-000000000001"),
                Stranger::SpiffeId,
            ),
            (
                PeerIdentity {
                    organization: "beta".into(),
                    ..peer(&ca)
                },
                Stranger::Organization,
            ),
            (
                PeerIdentity {
                    issuing_ca: [7; 32],
                    ..peer(&ca)
                },
                Stranger::TlsCa,
            ),
            (
                PeerIdentity {
                    not_before: 151,
                    ..peer(&ca)
                },
                Stranger::Validity,
            ),
            (
                PeerIdentity {
                    not_after: 149,
                    ..peer(&ca)
                },
                Stranger::Validity,
            ),
        ];
        let now = Timestamp::from_seconds(150);
        for (peer, why) in peers {
            let found = caller(&peer, |_| Ok(&register), SCHEME, now);
            assert_eq!(found, Err(why), "{peer:?}");
        }
        let peer = peer(&ca);
        let unapproved = Stranger::NotApproved("alfa".parse().unwrap());
        assert_eq!(
            caller(&peer, |_| Err(unapproved.clone()), SCHEME, now),
            Err(unapproved)
        );
        assert_eq!(
            caller(&peer, |_| Ok(&register), "s", now),
            Err(Stranger::SpiffeId)
        );
    }
}
