//! Owns the log: structured events on standard error, as text or JSON. What may be logged of a request is its id, method,
//! caller, institution, object id, device id, result and reason, and how long it took; nothing else of it.

use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, registry,
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process; a second call changes nothing.
pub(crate) fn start(log: Log) {
    // Libraries log details of connections and certificates at lower levels.
    let filter = Targets::new()
        .with_default(log.level.min(tracing::Level::WARN))
        .with_target("signer", log.level);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let _second = registry().with(layer.with_filter(filter)).try_init();
}
