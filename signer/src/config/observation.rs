//! Owns what is configured of watching the service: the admin listener and the collector, both on this host alone.

use std::net::SocketAddr;

use super::reader::Reader;

/// Where traces and measurements go: OTLP over gRPC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collector {
    /// Of this host.
    pub address: SocketAddr,
    /// The share of requests that are traced, 0 to 1.
    pub sample_ratio: f64,
}

/// `[admin]`, if it is there: where metrics and health are shown without authentication. None inside when it is absent.
pub(super) fn admin(file: &mut Reader<'_>) -> Option<Option<SocketAddr>> {
    if !file.has("admin") {
        return Some(None);
    }
    let mut admin = file.table("admin")?;
    let listen: SocketAddr = admin.parsed(
        "listen",
        "give an IP address and a port, such as 127.0.0.1:9464",
    )?;
    if listen.ip().is_loopback() {
        return Some(Some(listen));
    }
    admin.wrong(
        "listen",
        "is not an address of the loopback interface: what it shows is neither encrypted nor authenticated",
        "give one such as 127.0.0.1:9464, and scrape it by an agent on this host",
    );
    None
}

/// `[telemetry]`, if it is there. None inside when it is absent.
pub(super) fn collector(file: &mut Reader<'_>) -> Option<Option<Collector>> {
    if !file.has("telemetry") {
        return Some(None);
    }
    let mut telemetry = file.table("telemetry")?;
    let endpoint = telemetry.text("otlp_endpoint");
    let ratio = telemetry.fraction("sample_ratio");
    let (endpoint, sample_ratio) = (endpoint?, ratio?);
    let address = endpoint.strip_prefix("http://");
    let address = address.map(|rest| rest.strip_suffix('/').unwrap_or(rest).parse::<SocketAddr>());
    match address {
        Some(Ok(address)) if address.ip().is_loopback() && address.port() != 0 => {
            Some(Some(Collector {
                address,
                sample_ratio,
            }))
        }
        _ => {
            telemetry.wrong(
                "otlp_endpoint",
                "is not http:// with an address of the loopback interface and a port: what is sent is not encrypted",
                "give one such as http://127.0.0.1:4317, and let a collector on this host pass it on over TLS",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::path::Path;

    use super::{super::reader::Mistakes, *};

    fn read<T>(text: &str, read: fn(&mut Reader<'_>) -> Option<T>) -> Result<T, Vec<String>> {
        let mistakes = Mistakes::default();
        let found = read(&mut Reader::new(
            text.parse().unwrap(),
            Path::new("."),
            &mistakes,
        ));
        let mistakes: Vec<_> = mistakes
            .into_vec()
            .into_iter()
            .map(|m| m.to_string())
            .collect();
        found.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    #[test]
    fn absent_is_off() {
        assert_eq!(read("", admin), Ok(None));
        assert_eq!(read("", collector), Ok(None));
    }

    #[test]
    fn the_loopback_interface_is_taken() {
        let ours = read("[admin]\nlisten = '127.0.0.1:9464'", admin).unwrap();
        assert_eq!(ours, Some("127.0.0.1:9464".parse().unwrap()));
        for (endpoint, address) in [
            ("http://127.0.0.1:4317", "127.0.0.1:4317"),
            ("http://127.9.8.7:1/", "127.9.8.7:1"),
            ("http://[::1]:4317", "[::1]:4317"),
        ] {
            let text = format!("[telemetry]\notlp_endpoint = '{endpoint}'\nsample_ratio = 0.25");
            let expected = Collector {
                address: address.parse().unwrap(),
                sample_ratio: 0.25,
            };
            assert_eq!(read(&text, collector), Ok(Some(expected)));
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_way_out() {
        for listen in ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"] {
            let [mistake] = &read(&format!("[admin]\nlisten = '{listen}'"), admin).unwrap_err()[..]
            else {
                panic!("one mistake")
            };
            assert!(
                mistake.starts_with("admin.listen: ") && mistake.contains("agent on this host"),
                "{mistake}"
            );
        }
        for endpoint in [
            "https://127.0.0.1:4317",
            "http://collector.example:4317",
            "http://localhost:4317",
            "http://192.0.2.1:4317",
            "http://127.0.0.1",
            "127.0.0.1:4317",
            "http://127.0.0.1:4317/v1/traces",
            "http://user@127.0.0.1:4317",
        ] {
            let text = format!("[telemetry]\notlp_endpoint = '{endpoint}'\nsample_ratio = 1");
            let [mistake] = &read(&text, collector).unwrap_err()[..] else {
                panic!("one mistake")
            };
            assert!(
                mistake.starts_with("telemetry.otlp_endpoint: "),
                "{mistake}"
            );
            assert!(mistake.contains("collector on this host"), "{mistake}");
        }
    }

    #[test]
    fn a_ratio_is_a_ratio() {
        for ratio in ["-0.1", "1.1", "nan", "inf", "'0.1'", "2"] {
            let text = format!(
                "[telemetry]\notlp_endpoint = 'http://127.0.0.1:4317'\nsample_ratio = {ratio}"
            );
            let [mistake] = &read(&text, collector).unwrap_err()[..] else {
                panic!("one mistake")
            };
            assert!(mistake.starts_with("telemetry.sample_ratio: "), "{mistake}");
        }
    }
}
