//! Owns the tables of the configuration but the institutions': what each key means and what it may be.

use std::{net::SocketAddr, time::Duration};

use const_oid::ObjectIdentifier;
use semops_pki::profile::Oids;

use super::{
    Config, CrlTimes, Grpc, Hsm, Log, LogFormat, environment::environment,
    institution::institutions, observation, reader::Reader, retention::retention, roots::roots,
    store::store, tls::tls,
};

// Every part is read before the first `?`, so that all mistakes are found.
pub(super) fn config(mut file: Reader<'_>, now: i64) -> Option<Config> {
    let scheme = scheme(&mut file);
    let public_base_url = public_base_url(&mut file);
    let store = store(&mut file);
    let grpc = file.table("grpc").and_then(grpc);
    let http = file.table("http").and_then(http);
    let (admin, collector) = (
        observation::admin(&mut file),
        observation::collector(&mut file),
    );
    let log = file.table("log").and_then(log);
    let hsm = file.table("hsm").and_then(hsm);
    let (drain, retention) = (drain(&mut file), retention(&mut file));
    let oids = file.table("oids").and_then(oids);
    let (days, crl) = (validity_days(&mut file), file.table("crl").and_then(crl));
    let roots = roots(&mut file, scheme.as_deref(), now);
    let tables = file.tables("institution");
    let institutions = institutions(tables, scheme.as_deref(), roots.published.as_ref());
    Some(Config {
        scheme: scheme?,
        public_base_url: public_base_url?,
        store: store?,
        grpc: grpc?,
        http: http?,
        admin: admin?,
        collector: collector?,
        log: log?,
        hsm: hsm?,
        drain: drain?,
        oids: oids?,
        device_validity_days: days?,
        crl: crl?,
        retention: retention?,
        roots: roots.in_force?,
        institutions: institutions?,
    })
}

/// The oldest that a connection becomes, where the file does not say.
const CONNECTION_AGE: Duration = Duration::from_secs(3_600);
/// How long a call may last, where the file does not say.
const HUNG: Duration = Duration::from_secs(10);

fn drain(file: &mut Reader<'_>) -> Option<Duration> {
    seconds(&mut file.table("drain")?, "seconds", 3_600)
}

fn validity_days(file: &mut Reader<'_>) -> Option<u16> {
    let mut device = file.table("device_certificates")?;
    let days = device.number("validity_days", 1..=397)?;
    u16::try_from(days).ok()
}

const AN_ADDRESS: &str = "give an IP address and a port, such as 127.0.0.1:8443";

pub(super) fn scheme(file: &mut Reader<'_>) -> Option<String> {
    let scheme = file.text("scheme")?;
    // SPIFFE-ID s2.1; the bound is that of a segment of a caller's id.
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if scheme.len() <= 64 && scheme.bytes().all(allowed) {
        return Some(scheme);
    }
    file.wrong(
        "scheme",
        "is no SPIFFE trust domain",
        "give 1-64 of a-z, 0-9, '-', '_' and '.'",
    );
    None
}

fn public_base_url(file: &mut Reader<'_>) -> Option<String> {
    let url = file.text("public_base_url")?;
    // Plain HTTP: a CRL behind TLS cannot be had without a CRL (RFC 5280 s8).
    let host = url.strip_prefix("http://").unwrap_or_default();
    let plain = url.bytes().all(|b| b.is_ascii_graphic()) && !url.contains(['?', '#', '@']);
    if !host.is_empty() && !host.starts_with(['/', ':']) && plain && !url.ends_with('/') {
        return Some(url);
    }
    file.wrong(
        "public_base_url",
        "is not an absolute http URL",
        "give one such as http://crl.example, without a final slash",
    );
    None
}

fn seconds(reader: &mut Reader<'_>, key: &str, most: u32) -> Option<Duration> {
    reader
        .number(key, 1..=most)
        .map(|seconds| Duration::from_secs(seconds.into()))
}

fn count(reader: &mut Reader<'_>, key: &str, most: u32) -> Option<usize> {
    reader
        .number(key, 1..=most)
        .and_then(|number| usize::try_from(number).ok())
}

fn grpc(mut grpc: Reader<'_>) -> Option<Grpc> {
    let listen = grpc.parsed("listen", AN_ADDRESS);
    let tls = tls(&mut grpc, None);
    let max_connections = count(&mut grpc, "max_connections", 65_536);
    let handshake = seconds(&mut grpc, "handshake_seconds", 60);
    let request = seconds(&mut grpc, "request_seconds", 600);
    let age = if grpc.has("max_connection_age_seconds") {
        seconds(&mut grpc, "max_connection_age_seconds", 86_400)
    } else {
        Some(CONNECTION_AGE)
    };
    Some(Grpc {
        listen: listen?,
        tls: tls?,
        max_connections: max_connections?,
        handshake: handshake?,
        request: request?,
        max_connection_age: age?,
    })
}

fn http(mut http: Reader<'_>) -> Option<SocketAddr> {
    http.parsed("listen", AN_ADDRESS)
}

fn log(mut log: Reader<'_>) -> Option<Log> {
    use tracing::Level;
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
    ];
    let level = log.word("level", &levels);
    let format = log.word(
        "format",
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    );
    Some(Log {
        level: level?,
        format: format?,
    })
}

fn hsm(mut hsm: Reader<'_>) -> Option<Hsm> {
    let module = hsm.path("module");
    let threads = count(&mut hsm, "threads", 256);
    let queue = count(&mut hsm, "queue", 65_536);
    let environment = environment(&mut hsm);
    let network = hsm.switch("network");
    let workers = if hsm.has("workers") {
        count(&mut hsm, "workers", 64)
    } else {
        Some(1)
    };
    let hung = if hsm.has("hung_seconds") {
        seconds(&mut hsm, "hung_seconds", 3_600)
    } else {
        Some(HUNG)
    };
    Some(Hsm {
        module: module?,
        environment: environment?,
        network: network?,
        workers: workers?,
        hung: hung?,
        threads: threads?,
        queue: queue?,
    })
}

pub(super) fn oids(mut oids: Reader<'_>) -> Option<Oids> {
    const AN_OID: &str = "give an object identifier in dotted form, such as 2.25.1.2";
    let mut oid = |key| oids.parsed::<ObjectIdentifier>(key, AN_OID);
    let (device, authorization, policy) = (
        oid("device_eku"),
        oid("authorization_eku"),
        oid("device_policy"),
    );
    // A scheme may do without keys for audit records and for statements.
    let mut optional = |key| match oids.has(key) {
        true => oids.parsed::<ObjectIdentifier>(key, AN_OID).map(Some),
        false => Some(None),
    };
    let (audit, statement) = (optional("audit_eku"), optional("statement_eku"));
    let found = Oids {
        device_eku: device?,
        authorization_eku: authorization?,
        audit_eku: audit?,
        statement_eku: statement?,
        device_policy: policy?,
    };
    let Some((one, other)) = found.same_usage() else {
        return Some(found);
    };
    oids.wrong(
        other,
        format!("is {one}"),
        "give each its own, or a key of one purpose could sign for another",
    );
    None
}

fn crl(mut crl: Reader<'_>) -> Option<CrlTimes> {
    let validity = crl.number("validity_hours", 1..=8_784);
    let refresh = crl.number("refresh_hours", 1..=8_784);
    let (validity_hours, refresh_hours) = (validity?, refresh?);
    if refresh_hours >= validity_hours {
        crl.wrong(
            "refresh_hours",
            "is not below validity_hours",
            "make it less, so that no CRL becomes stale",
        );
        return None;
    }
    Some(CrlTimes {
        validity_hours,
        refresh_hours,
    })
}
