//! Owns which alternative names each kind of certificate has (RFC 5280 s4.2.1.6): a device its UUID, a TLS certificate its
//! SPIFFE id and, of a server, its hosts.

use x509_cert::ext::pkix::name::GeneralName;

use super::Kind;
use crate::error::ProfileError;
use crate::tbs::TbsCertificate;

pub(super) fn check(
    tbs: &TbsCertificate,
    kind: Kind,
    organization: &str,
    common_name: &str,
) -> Result<(), ProfileError> {
    let names = &tbs.extensions.subject_alt_names;
    let mut uris = Vec::new();
    let mut hosts = 0_usize;
    for name in names {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str()),
            GeneralName::DnsName(_) | GeneralName::IpAddress(_) => {
                hosts = hosts.saturating_add(1);
            }
            _ => return Err(ProfileError::SubjectAltName),
        }
    }
    let fits = match (kind, uris.as_slice()) {
        (Kind::Device, [uri]) => {
            if !is_uuid(common_name) {
                return Err(ProfileError::CommonName);
            }
            hosts == 0 && uri.strip_prefix("urn:uuid:") == Some(common_name)
        }
        (Kind::TlsClient, [uri]) => hosts == 0 && is_spiffe_id_of(uri, organization),
        (Kind::TlsServer, [uri]) => hosts > 0 && is_spiffe_id_of(uri, organization),
        (Kind::Device | Kind::TlsClient | Kind::TlsServer, _) => false,
        (_, uris) => uris.is_empty() && hosts == 0,
    };
    fits.then_some(()).ok_or(ProfileError::SubjectAltName)
}

/// The text form of RFC 9562 s4, in lower case.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(hexadecimal))
}

/// `spiffe://<scheme>/<institution>/...`, the institution being the certificate's O.
fn is_spiffe_id_of(uri: &str, organization: &str) -> bool {
    let Some(id) = uri.strip_prefix("spiffe://") else {
        return false;
    };
    let mut segments = id.split('/');
    let domain = segments.next().is_some_and(|domain| !domain.is_empty());
    let institution = segments.next() == Some(organization);
    let mut rest = segments.peekable();
    domain && institution && rest.peek().is_some() && rest.all(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_names_its_institution() {
        assert!(is_spiffe_id_of(
            "spiffe://scheme/alfa/payments/core",
            "alfa"
        ));
        assert!(!is_spiffe_id_of(
            "spiffe://scheme/beta/payments/core",
            "alfa"
        ));
        assert!(!is_spiffe_id_of("spiffe://scheme/alfa", "alfa"));
        assert!(!is_spiffe_id_of("spiffe:///alfa/payments", "alfa"));
        assert!(!is_spiffe_id_of("spiffe://scheme/alfa//core", "alfa"));
        assert!(!is_spiffe_id_of("https://scheme/alfa/payments", "alfa"));
    }

    #[test]
    fn a_uuid_is_lower_case_and_whole() {
        assert!(is_uuid("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b"));
        assert!(!is_uuid("0190A5B2-7c3d-7e4f-8a9b-0c1d2e3f4a5b"));
        assert!(!is_uuid("0190a5b27c3d7e4f8a9b0c1d2e3f4a5b"));
        assert!(!is_uuid("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5"));
    }
}
