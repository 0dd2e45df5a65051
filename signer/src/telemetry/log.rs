//! Owns the log: structured events on standard error, as text or JSON. What may be logged of a request is its id, method,
//! caller, institution, object id, device id, result and reason, and how long it took; nothing else of it.

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt as _, Targets, filter_fn},
    fmt,
};

use crate::config::{Log, LogFormat};

pub(super) fn layer(log: Log) -> Box<dyn Layer<Registry> + Send + Sync> {
    // Libraries log details of connections and certificates at lower levels.
    let events = Targets::new()
        .with_default(log.level.min(Level::WARN))
        .with_target("signer", log.level);
    // A line tells its request at every level.
    let spans = filter_fn(|of| {
        of.is_span() && of.level() <= &Level::INFO && of.target().starts_with("signer")
    })
    .with_max_level_hint(LevelFilter::INFO);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.format {
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    layer.with_filter(events.or(spans)).boxed()
}
