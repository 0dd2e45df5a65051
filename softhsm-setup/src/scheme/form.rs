//! Owns the forms of single values in a scheme: names, addresses and paths.

use std::path::PathBuf;
use std::str::FromStr;

use semops_objects::institution::InstitutionId;

/// Names that the directory uses itself, so that no institution can bear them.
const RESERVED: [&str; 8] = [
    "callers",
    "custodians",
    "documents",
    "offline",
    "pins",
    "profiles",
    "tls",
    "tokens",
];
pub(super) fn usable_id(text: &str) -> Result<InstitutionId, String> {
    if RESERVED.contains(&text) {
        return Err(format!("{text:?} is the name of a folder of the directory"));
    }
    let id = InstitutionId::from_str(text).map_err(|error| error.to_string())?;
    if id.is_scheme() {
        return Err(format!(
            "{text:?} is the id under which the scheme itself is ruled"
        ));
    }
    Ok(id)
}

/// A DNS label in lower case (RFC 1035 s2.3.1, RFC 1123 s2.1).
pub(super) fn label(text: &str) -> Result<String, &'static str> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = text.starts_with('-') || text.ends_with('-');
    if !(1..=63).contains(&text.len()) || edges || !text.bytes().all(good) {
        return Err("must be 1-63 of a-z, 0-9 and '-', which neither begins nor ends it");
    }
    Ok(text.to_owned())
}

/// A SPIFFE trust domain that is also a DNS name, no longer than the signer takes it.
pub(super) fn trust_domain(text: &str) -> Result<String, &'static str> {
    if text.len() > 64 || text.split('.').any(|part| label(part).is_err()) {
        return Err("must be a DNS name in lower case of at most 64 characters");
    }
    Ok(text.to_owned())
}

/// An http address without path end, query or fragment: CRLs are fetched over plain HTTP, for a relying party that
/// must check a certificate to reach a CRL would go in circles (RFC 5280 s8).
pub(super) fn base_url(text: &str) -> Result<String, &'static str> {
    let rest = text
        .strip_prefix("http://")
        .ok_or("must begin with http:// (RFC 5280 s8)")?;
    let odd = |byte: u8| !byte.is_ascii_graphic() || b"?#%\"<>\\^`{|}@".contains(&byte);
    if rest.is_empty() || rest.starts_with('/') || rest.ends_with('/') || rest.bytes().any(odd) {
        return Err("must be http://<host>[:<port>][/<path>] without a final slash");
    }
    if text.len() > 200 {
        return Err("must have at most 200 characters");
    }
    Ok(text.to_owned())
}

pub(super) fn absolute_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be an absolute path")
    }
}
