//! Owns what a client certificate says, read once per connection after TLS has verified it to the client root.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use semops_pki::certificate::Certificate;

/// The most certificates of a client's chain that are looked at.
const MAX_PRESENTED: usize = 4;

/// The peer of a connection, as each of its requests carries it; none when its certificate cannot be a caller's.
pub(crate) type Peer = Option<Arc<PeerIdentity>>;

/// What the certificate of one connection's peer says. Whether it counts is decided on every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerIdentity {
    /// The only URI among its alternative names.
    pub(crate) uri: String,
    /// O of its subject.
    pub(crate) organization: String,
    /// SHA-256 of the certificate of the CA that signed it.
    pub(crate) issuing_ca: [u8; 32],
    /// notBefore, seconds.
    pub(crate) not_before: i64,
    /// notAfter, seconds.
    pub(crate) not_after: i64,
}

impl PeerIdentity {
    /// Reads the chain that the peer presented, leaf first. None when it is not what a caller's certificate is: one URI,
    /// O then CN, and its CA beside it.
    pub(crate) fn read(presented: &[CertificateDer<'_>]) -> Option<Self> {
        let (leaf, others) = presented.split_first()?;
        let leaf = Certificate::from_der(leaf).ok()?;
        // TLS has verified some path to the root; the register names one CA, so the very signer has to be known.
        let mut issuers = others
            .iter()
            .take(MAX_PRESENTED)
            .filter_map(|der| Certificate::from_der(der).ok());
        let issuer = issuers.find(|ca| leaf.verify_issued_by(ca).is_ok())?;
        let [uri] = leaf.uri_sans() else { return None };
        Some(Self {
            uri: uri.clone(),
            organization: leaf.subject_organization()?.to_owned(),
            issuing_ca: issuer.sha256(),
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_pki::issuer::Subject;

    use super::*;
    use crate::specimen::Certified;

    const BACKEND: &str = "spiffe://semops.example/alfa/payments/backend";

    fn tls_ca(root: &Certified) -> Certified {
        root.issue(
            "alfa",
            Subject::TlsCa {
                common_name: "TLS CA",
            },
            100,
        )
    }

    fn client(ca: &Certified) -> Certified {
        let subject = Subject::TlsClient {
            common_name: "backend",
            spiffe_id: BACKEND,
        };
        ca.issue("alfa", subject, 50)
    }

    fn read(presented: &[&Certified]) -> Option<PeerIdentity> {
        let der = |c: &&Certified| CertificateDer::from(c.certificate.der().to_vec());
        PeerIdentity::read(&presented.iter().map(der).collect::<Vec<_>>())
    }

    #[test]
    fn the_ca_that_signed_is_found_among_those_presented() {
        let root = Certified::root();
        let (ca, other) = (tls_ca(&root), tls_ca(&root));
        let peer = read(&[&client(&ca), &other, &ca]).unwrap();
        assert_eq!(
            (peer.uri.as_str(), peer.organization.as_str()),
            (BACKEND, "alfa")
        );
        assert_eq!(peer.issuing_ca, ca.certificate.sha256());
    }

    /// The other CA has the same name: a name alone proves nothing.
    #[test]
    fn without_the_ca_that_signed_there_is_no_identity() {
        let root = Certified::root();
        let (ca, other) = (tls_ca(&root), tls_ca(&root));
        let client = client(&ca);
        assert_eq!(read(&[&client]), None);
        assert_eq!(read(&[&client, &other]), None);
        assert_eq!(read(&[&client, &root]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_certificate_without_a_uri_is_no_identity() {
        let root = Certified::root();
        assert_eq!(read(&[&tls_ca(&root), &root]), None);
    }
}
