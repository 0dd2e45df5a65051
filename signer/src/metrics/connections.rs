//! Owns what is measured of connections.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter, UpDownCounter},
};

use super::{Metrics, catalog, counter, up_down};

pub(super) struct Connections {
    open: UpDownCounter<i64>,
    refused: Counter<u64>,
}

impl Connections {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            open: up_down(meter, &catalog::CONNECTIONS_OPEN),
            refused: counter(meter, &catalog::CONNECTIONS_REFUSED),
        }
    }
}

/// An open connection, until it is dropped.
pub struct OpenConnection(Metrics);

/// Why a connection came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The TLS handshake failed.
    Handshake,
    /// It took too long.
    Slow,
    /// There are as many connections as may be.
    Full,
}

impl Turned {
    const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "HANDSHAKE_FAILED",
            Self::Slow => "HANDSHAKE_SLOW",
            Self::Full => "TOO_MANY",
        }
    }
}

impl Metrics {
    /// A connection is open.
    pub fn connected(&self) -> OpenConnection {
        self.0.connections.open.add(1, &[]);
        OpenConnection(self.clone())
    }

    /// A connection came to nothing.
    pub fn turned_away(&self, why: Turned) {
        self.0
            .connections
            .refused
            .add(1, &[KeyValue::new("reason", why.name())]);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.connections.open.add(-1, &[]);
    }
}
