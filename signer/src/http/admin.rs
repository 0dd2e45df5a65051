//! Owns what is shown on this host alone, to monitoring and to whoever runs the process: the numbers, whether the process
//! lives, and whether it takes requests. It changes nothing and tells nothing of a single request.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::task::spawn_blocking;
use tracing::error;

/// The most connections at a time.
pub(crate) const NEIGHBOURS: usize = 16;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is shown.
pub(crate) struct Admin {
    /// Gives all numbers as Prometheus text.
    pub(crate) numbers: Box<dyn Fn() -> Result<Vec<u8>, Failure> + Send + Sync>,
    /// The media type of that.
    pub(crate) media_type: &'static str,
    /// Why no requests are taken, if none are.
    pub(crate) unready: Box<dyn Fn() -> Option<&'static str> + Send + Sync>,
    /// How long no order is co-signed yet; all else is.
    pub(crate) held: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// What is answered, and what is not.
pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "the process lives\n"))
        .route("/readyz", get(readiness))
        .with_state(Arc::new(admin))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let shown = Arc::clone(&admin);
    let numbers = spawn_blocking(move || (shown.numbers)()).await;
    match numbers.map_err(Failure::from).flatten() {
        Ok(text) => ([(header::CONTENT_TYPE, admin.media_type)], text).into_response(),
        Err(error) => {
            error!(%error, "the metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readiness(State(admin): State<Arc<Admin>>) -> Response {
    match (admin.unready)() {
        None => match (admin.held)().as_secs() {
            0 => "requests are taken\n".into_response(),
            left => format!(
                "requests are taken, but no order is co-signed for {left} s: the record was restored\n"
            )
            .into_response(),
        },
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
