//! Waiting for a condition, never for a time: asked again and again until it holds or a limit has passed.

use std::time::{Duration, Instant};

use crate::failure::Failure;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` until it gives something, at most for `limit`. `what` names it in the failure.
///
/// # Errors
/// That of `condition`, at once, or that `what` did not come about in time.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        if let Some(found) = condition().await? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            return Err(Failure::new(format!("{what}: not within {limit:?}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
