//! The rules themselves: which module may name which, what has its one place, what is pure, how long is too long.

/// Each top-level module of `signer` and the others that it may name. Deciding goes rpc, http, schedule -> authority ->
/// policy, limits -> domain; acting goes authority -> signing -> store, hsm. `store` and `hsm` never see each other.
pub(crate) const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["clock", "config", "hsm", "operator", "server"]),
    ("clock", &[]),
    // Where a test has the process die; nothing in a release.
    ("fault", &[]),
    ("ids", &[]),
    ("domain", &["clock", "ids"]),
    ("policy", &["clock", "domain"]),
    ("limits", &["domain"]),
    // What is measured, and by which words; where the numbers go is the matter of `telemetry`.
    ("metrics", &["clock", "domain"]),
    ("store", &["clock", "domain", "fault", "metrics"]),
    ("hsm", &["clock", "domain", "metrics"]),
    (
        "signing",
        &[
            "clock", "domain", "fault", "policy", "store", "hsm", "metrics",
        ],
    ),
    // What happened, grouped by what the caller can do about it: the errors of what lies below.
    (
        "error",
        &["domain", "hsm", "limits", "policy", "signing", "store"],
    ),
    // `store` for its reads, `hsm` for random numbers; signatures go through `signing` alone (see PLACES).
    (
        "authority",
        &[
            "clock", "domain", "error", "fault", "hsm", "ids", "limits", "metrics", "policy",
            "signing", "store",
        ],
    ),
    // What of the two is shown to whoever fuzzes.
    ("edges", &["rpc", "telemetry"]),
    ("schedule", &["authority", "clock", "domain", "error"]),
    (
        "rpc",
        // `telemetry` for the trace context that a caller sends.
        &[
            "authority",
            "clock",
            "domain",
            "error",
            "ids",
            "limits",
            "metrics",
            "policy",
            "telemetry",
        ],
    ),
    ("http", &["authority", "clock", "domain", "error", "limits"]),
    ("config", &["domain"]),
    ("telemetry", &["config", "ids", "metrics"]),
    // Assembles the parts.
    (
        "server",
        &[
            "authority",
            "clock",
            "config",
            "domain",
            "error",
            "hsm",
            "http",
            "ids",
            "limits",
            "metrics",
            "policy",
            "rpc",
            "schedule",
            "signing",
            "store",
            "telemetry",
        ],
    ),
    // The acts of a local operator beside the server: documents and migrations.
    (
        "operator",
        &[
            "authority",
            "clock",
            "config",
            "domain",
            "error",
            "ids",
            "policy",
            "server",
            "store",
        ],
    ),
];

/// Paths that have their place, and the modules that are it.
pub(crate) const PLACES: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("clap", &["main", "operator"]),
    ("cryptoki", &["hsm"]),
    ("governor", &["limits"]),
    ("libc", &["hsm"]),
    ("mimalloc", &["main"]),
    ("nix", &["hsm"]),
    ("opentelemetry", &["metrics", "telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_prometheus", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    // In `hsm` for what crosses the socket to worker processes.
    ("prost", &["hsm", "rpc"]),
    ("rusqlite", &["store"]),
    // In `store` for the connections to PostgreSQL, made from what `config` has read.
    ("rustls", &["config", "rpc", "server", "store"]),
    ("seccompiler", &["hsm"]),
    ("semops_proto", &["rpc"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("tokio_rustls", &["rpc", "server"]),
    // In `telemetry` for the way to the collector alone.
    ("tonic", &["rpc", "server", "telemetry"]),
    ("tonic_health", &["rpc"]),
    ("tonic_reflection", &["rpc"]),
    ("tonic_types", &["rpc"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    // One clock, made in main's server or operator.
    ("std::time::SystemTime::now", &["clock"]),
    ("std::time::UNIX_EPOCH::elapsed", &["clock"]),
    ("uuid::Uuid::now_v7", &["ids"]),
    // Nothing outside changes behaviour. Points are armed in debug builds alone (tests/fault_points.rs).
    ("std::env", &["fault"]),
    // One road to a signature: the HSM's signing half is the recorded signer's; no key of the service is in memory.
    ("crate::hsm::Signer", &["hsm", "server", "signing"]),
    ("aws_lc_rs::signature", &["objects", "pki"]),
    ("semops_pki::local_key", &["objects"]),
    ("unsafe", &[]),
];

/// Modules and crates that decide: no input, no output, no waiting.
pub(crate) const PURE: &[&str] = &[
    "clock", "ids", "domain", "policy", "error", "pki", "objects",
];
pub(crate) const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "tokio",
];

/// Longest function in lines of code, longest operation (`authority`), longest file with its tests.
pub(crate) const FUNCTION: usize = 40;
pub(crate) const OPERATION: usize = 80;
pub(crate) const FILE: usize = 400;
