//! Owns plain HTTP: CRLs and CA certificates for everybody, under the addresses that certificates name. Both are signed
//! objects, so that the transport need not be (RFC 5280 s4.2.1.13, s4.2.2.1, s8). Nothing else is answered there; what is
//! for this host alone has a listener of its own, see [`admin`].

pub(crate) mod admin;
mod listener;
mod published;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_pki::algorithm::sha256;
use tracing::warn;

pub(crate) use self::listener::serve;
use self::published::Name;
use crate::{authority::Authority, error::Error};

/// The most connections at a time of strangers.
pub(crate) const STRANGERS: usize = 128;
/// How long a CA certificate may be kept, seconds. It changes with the next ceremony at the earliest.
const CERTIFICATE_AGE: i64 = 86_400;
/// The longest that a CRL may be kept, seconds: after a revocation there is a newer one at once.
const CRL_AGE: i64 = 300;

/// What is answered, and what is not.
pub(crate) fn router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route("/crl/{file}", get(crl))
        .route("/ca/{file}", get(certificate))
        .with_state(authority)
}

async fn crl(
    State(authority): State<Arc<Authority>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(name) = file.strip_suffix(".crl").and_then(Name::parse) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match authority.crl(name.ca()).await {
        Ok(crl) => {
            let left = crl
                .next_update
                .saturating_sub(authority.clock().now().seconds());
            object(
                &headers,
                "application/pkix-crl",
                left.clamp(0, CRL_AGE),
                crl.der,
            )
        }
        Err(Error::NotFound(_)) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            warn!(%error, "a CRL cannot be shown");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn certificate(
    State(authority): State<Arc<Authority>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let name = file.strip_suffix(".cer").and_then(Name::parse);
    match name.and_then(|name| {
        name.certificate(authority.setup())
            .map(|ca| ca.der().to_vec())
    }) {
        Some(der) => object(&headers, "application/pkix-cert", CERTIFICATE_AGE, der),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The object, or word that the asker has it already (RFC 9110 s13.1.2).
fn object(asked: &HeaderMap, media_type: &'static str, max_age: i64, der: Vec<u8>) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(&der)));
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let fresh = known.is_some_and(|tags| {
        tags.split(',')
            .any(|known| [tag.as_str(), "*"].contains(&known.trim()))
    });
    let cache = format!("public, max-age={max_age}");
    let headers = [(header::ETAG, tag), (header::CACHE_CONTROL, cache)];
    if fresh {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let typed = [
        (header::CONTENT_TYPE, media_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, typed, Body::from(der)).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_object_that_is_known_is_not_sent_again() {
        let first = object(
            &HeaderMap::new(),
            "application/pkix-crl",
            60,
            b"crl".to_vec(),
        );
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(
            first.headers()[header::CONTENT_TYPE],
            "application/pkix-crl"
        );
        assert_eq!(first.headers()[header::CACHE_CONTROL], "public, max-age=60");
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = object(&asked, "application/pkix-crl", 60, b"crl".to_vec());
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let newer = object(&asked, "application/pkix-crl", 60, b"newer".to_vec());
        assert_eq!(newer.status(), StatusCode::OK);
    }
}
