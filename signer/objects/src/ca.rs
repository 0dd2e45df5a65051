//! The names of institutions' CAs that come after the first: each says by its key which one it is, so that no two of an
//! institution have one name (RFC 5280 s4.2.1.1 tells CAs of one name apart by their keys alone).

use semops_pki::algorithm::PublicKey;

use crate::{base64url, jwk};

/// The characters of a key's id that tell it from the institution's others.
const APART: usize = 8;

/// CN of the CA of `hierarchy` (`device` or `signing`) whose key this is: `device CA ` and the first characters of the key's
/// RFC 7638 thumbprint.
#[must_use]
pub fn common_name(hierarchy: &str, key: &PublicKey) -> String {
    let id = base64url::encode(&jwk::thumbprint(key));
    let apart: String = id.chars().take(APART).collect();
    format!("{hierarchy} CA {apart}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use semops_pki::local_key::LocalKey;

    use super::*;

    #[test]
    fn each_key_has_a_name_of_its_own_that_fits_a_certificate() {
        let keys = [0, 1].map(|_| LocalKey::generate().unwrap().public_key().clone());
        let [one, other] = keys.each_ref().map(|key| common_name("device", key));
        assert_ne!(one, other);
        assert_eq!(one, common_name("device", keys.first().unwrap()));
        assert!(one.starts_with("device CA ") && one.len() == "device CA ".len() + APART);
    }
}
