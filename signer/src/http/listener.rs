//! Owns the connections of whoever asks over HTTP: few at a time, each for a short time.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

/// The longest that a request's head may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The longest that a connection lasts.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// The longest head of a request, octets; hyper wants 8 KiB at least.
const MAX_HEAD: usize = 8 * 1024;
/// How long to wait when the system gives no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers over this listener until `draining` is cancelled and every request under way is answered. More than `most`
/// connections at a time wait in the system's queue.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    draining: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(most));
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            () = draining.cancelled() => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    connections.spawn(answer(stream, router.clone(), draining.clone(), place));
                }
                Err(error) => {
                    warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<(TcpStream, OwnedSemaphorePermit), Box<dyn std::error::Error + Send + Sync>> {
    let place = Arc::clone(places).acquire_owned().await?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn answer(
    stream: TcpStream,
    router: Router,
    draining: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = timeout(CONNECTION_TIME, async {
        tokio::select! {
            done = connection.as_mut() => done,
            () = draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an HTTP connection failed"),
        Err(_) => debug!("an HTTP connection lasted too long"),
    }
}
