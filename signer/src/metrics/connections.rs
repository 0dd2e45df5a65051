//! Owns what is measured of connections.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter, UpDownCounter},
};

use super::{Metrics, catalog, counter, gauge, number, up_down};

pub(super) struct Connections {
    open: UpDownCounter<i64>,
    allowed: Gauge<u64>,
    configured: Gauge<u64>,
    refused: Counter<u64>,
    ended: Counter<u64>,
}

impl Connections {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            open: up_down(meter, &catalog::CONNECTIONS_OPEN),
            allowed: gauge(meter, &catalog::CONNECTIONS_ALLOWED),
            configured: gauge(meter, &catalog::CONNECTIONS_CONFIGURED),
            refused: counter(meter, &catalog::CONNECTIONS_REFUSED),
            ended: counter(meter, &catalog::CONNECTIONS_ENDED),
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
    /// There are as many of its institution, or of nobody's, as may be.
    Share,
}

impl Turned {
    const ALL: [Self; 4] = [Self::Handshake, Self::Slow, Self::Full, Self::Share];

    const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "HANDSHAKE_FAILED",
            Self::Slow => "HANDSHAKE_SLOW",
            Self::Full => "TOO_MANY",
            Self::Share => "SHARE_TAKEN",
        }
    }
}

/// Why the service ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The service drains.
    Drain,
    /// It had reached its age.
    Age,
    /// Its peer was no caller.
    NoCaller,
    /// Its peer did not let go of it.
    CutOff,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Drain, Self::Age, Self::NoCaller, Self::CutOff];

    const fn name(self) -> &'static str {
        match self {
            Self::Drain => "DRAIN",
            Self::Age => "AGE",
            Self::NoCaller => "NO_CALLER",
            Self::CutOff => "CUT_OFF",
        }
    }
}

impl Metrics {
    /// Every end that can come, at none: a rise from nothing is seen by those who watch.
    pub(super) fn no_connection_ended_yet(&self) {
        let connections = &self.0.connections;
        for why in Turned::ALL {
            let labels = [KeyValue::new("reason", why.name())];
            connections.refused.add(0, &labels);
        }
        for why in Ended::ALL {
            let labels = [KeyValue::new("reason", why.name())];
            connections.ended.add(0, &labels);
        }
    }

    /// How many connections there may be, and how many the configuration allows.
    pub fn room(&self, allowed: usize, configured: usize) {
        let connections = &self.0.connections;
        connections.allowed.record(number(allowed), &[]);
        connections.configured.record(number(configured), &[]);
    }

    /// A connection is open.
    pub fn connected(&self) -> OpenConnection {
        self.0.connections.open.add(1, &[]);
        OpenConnection(self.clone())
    }

    /// The service has ended a connection.
    pub fn disconnected(&self, why: Ended) {
        self.0
            .connections
            .ended
            .add(1, &[KeyValue::new("reason", why.name())]);
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
