//! Owns the authentication of callers: a connection's certificate and the register of callers, compared on every
//! request. Every refusal looks the same from outside.

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
    /// `CALLER_UNKNOWN`, whatever the cause.
    pub(crate) fn authenticate(
        peer: Option<&PeerIdentity>,
        snapshot: &Snapshot,
        scheme: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let registered = |id: &SpiffeId| snapshot.register(id.institution()).map(AsRef::as_ref);
        peer.and_then(|peer| caller(peer, registered, scheme, now))
            .ok_or(Error::Unauthenticated(Reason::CallerUnknown))
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.0
    }
}

fn caller<'a>(
    peer: &PeerIdentity,
    register: impl FnOnce(&SpiffeId) -> Option<&'a Register>,
    scheme: &str,
    now: Timestamp,
) -> Option<Caller> {
    let id: SpiffeId = peer.uri.parse().ok()?;
    let register = register(&id)?;
    let counts = id.scheme() == scheme
        && peer.organization == id.institution().as_str()
        // Another institution's TLS CA may issue what it likes: it does not count here.
        && peer.issuing_ca == register.tls_ca().sha256()
        && register.state(&id) == Some(CallerState::Active)
        // A connection may outlive the certificate that opened it.
        && (peer.not_before..=peer.not_after).contains(&now.seconds());
    counts.then_some(Caller(id))
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
            |_| Some(&register),
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
            uri("spiffe://semops.example/alfa/payments/old"),
            uri("spiffe://semops.example/alfa/payments/unregistered"),
            uri("spiffe://semops.example/alfa/custodian/backend"),
            uri("spiffe://other.example/alfa/payments/backend"),
            uri("urn:uuid:0191d6a0-3c1e-4b7a-9f00-000000000001"),
            PeerIdentity {
                organization: "beta".into(),
                ..peer(&ca)
            },
            PeerIdentity {
                issuing_ca: [7; 32],
                ..peer(&ca)
            },
            PeerIdentity {
                not_before: 151,
                ..peer(&ca)
            },
            PeerIdentity {
                not_after: 149,
                ..peer(&ca)
            },
        ];
        for peer in peers {
            let found = caller(
                &peer,
                |_| Some(&register),
                SCHEME,
                Timestamp::from_seconds(150),
            );
            assert_eq!(found, None, "{peer:?}");
        }
        assert_eq!(
            caller(&peer(&ca), |_| None, SCHEME, Timestamp::from_seconds(150)),
            None
        );
        assert_eq!(
            caller(
                &peer(&ca),
                |_| Some(&register),
                "s",
                Timestamp::from_seconds(150)
            ),
            None
        );
    }
}
