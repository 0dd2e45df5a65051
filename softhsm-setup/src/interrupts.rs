//! Owns the minding of signals while a ceremony is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;

/// Whether somebody wants the ceremony to end. From now on signals do not end this process; the next step does.
pub(crate) fn interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let runtime = Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(Failure::Signals)?;
    let stop = Arc::new(AtomicBool::new(false));
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    for kind in kinds {
        let stop = Arc::clone(&stop);
        let mut signals = runtime
            .block_on(async { signal(kind) })
            .map_err(Failure::Signals)?;
        runtime.spawn(async move {
            signals.recv().await;
            stop.store(true, Ordering::Relaxed);
        });
    }
    std::thread::Builder::new()
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(Failure::Signals)?;
    Ok(stop)
}
