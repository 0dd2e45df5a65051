//! Owns plain HTTP: CRLs and CA certificates for everybody, under the addresses that certificates name. Both are signed
//! objects, so that the transport need not be (RFC 5280 s4.2.1.13, s4.2.2.1, s8). Nothing else is answered there, and no
//! more than the limits of strangers allow; what is for this host alone has a listener of its own, see [`admin`].

pub(crate) mod admin;
mod listener;
mod published;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_pki::algorithm::sha256;
use tracing::warn;

pub(crate) use self::listener::serve;
use self::published::Name;
use crate::{
    authority::Authority,
    error::Error,
    limits::{RateLimited, Rule},
};

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
        .layer(from_fn_with_state(Arc::clone(&authority), admit))
        .with_state(authority)
}

/// Holds a place among the requests of strangers until the answer is made.
async fn admit(State(authority): State<Arc<Authority>>, asked: Request, next: Next) -> Response {
    match authority.admit_stranger() {
        Ok(_place) => next.run(asked).await,
        Err(Error::Limited(refused)) => later(&refused),
        Err(error) => {
            warn!(%error, "a stranger cannot be admitted");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Come again (RFC 6585 s4; RFC 9110 s10.2.3, s15.6.4); in whole seconds, and never too early.
fn later(refused: &RateLimited) -> Response {
    let status = match refused.rule {
        Rule::Window(_) => StatusCode::TOO_MANY_REQUESTS,
        Rule::InFlight(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let wait = refused.retry_after;
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    (status, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
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
    match name.and_then(|name| authority.ca_certificate(name.ca())) {
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
    use std::time::Duration;

    use super::*;
    use crate::domain::limit::{PublicLimits, Scope};

    #[test]
    fn who_comes_too_often_is_told_when_to_come_again() {
        let window = PublicLimits::DEFAULT.windows.iter().next().unwrap();
        let told = |rule, retry_after| {
            let scope = Scope::Public;
            let answer = later(&RateLimited {
                scope,
                rule,
                retry_after,
            });
            let seconds = answer.headers()[header::RETRY_AFTER].to_str().unwrap();
            (answer.status(), seconds.to_owned())
        };
        let second = Duration::from_secs(1);
        let too_many = told(Rule::Window(window), second + Duration::from_nanos(1));
        assert_eq!(too_many, (StatusCode::TOO_MANY_REQUESTS, "2".to_owned()));
        let busy = told(Rule::InFlight(32), second);
        assert_eq!(busy, (StatusCode::SERVICE_UNAVAILABLE, "1".to_owned()));
    }

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
