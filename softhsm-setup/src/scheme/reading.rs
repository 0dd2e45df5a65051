//! Owns reading `scheme.toml` into a [`Scheme`], with every mistake noted.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;

use semops_objects::institution::InstitutionId;

use super::form::{absolute_path, base_url, label, trust_domain, usable_id};
use super::{Caller, Ground, Institution, Register, Scheme, oids};
use crate::policy::Policy;
use crate::reader::{Mistakes, Reader};

/// The most institutions in one scheme: one token each.
pub(super) const MAX_INSTITUTIONS: usize = 64;

pub(super) fn read(mut document: Reader, mistakes: &mut Mistakes) -> Option<Scheme> {
    let name = document.parse("scheme", mistakes, trust_domain);
    let operator = document.parse("operator", mistakes, usable_id);
    let server = document.parse("server", mistakes, label);
    let register = Register::read(&mut document, mistakes);
    let public_base_url = document.parse("public_base_url", mistakes, base_url);
    let grpc = listen(&mut document, "grpc", mistakes);
    let http = listen(&mut document, "http", mistakes);
    let admin = listen_here(&mut document, "admin", mistakes);
    let module = document.table("hsm", mistakes).and_then(|mut hsm| {
        let module = hsm.parse("module", mistakes, absolute_path);
        hsm.finish(mistakes);
        module
    });
    let oids = document
        .table("oids", mistakes)
        .and_then(|oids| oids::read(oids, mistakes));
    let institutions = read_institutions(&mut document, mistakes);
    document.finish(mistakes);
    if grpc.is_some() && grpc == http {
        mistakes.note("http.listen", "is the same as grpc.listen");
    }
    let ground = Ground {
        name: name?,
        operator: operator?,
        server: server?,
        public_base_url: public_base_url?,
        grpc: grpc?,
        module: module?,
        oids: oids?,
    };
    Some(Scheme {
        ground,
        register: register?,
        http: http?,
        admin: admin?,
        institutions,
    })
}

fn listen(document: &mut Reader, name: &str, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let mut table = document.table(name, mistakes)?;
    let address = table.parse("listen", mistakes, |text| {
        let address: SocketAddr = text
            .parse()
            .map_err(|_| "must be an address and a port, such as 127.0.0.1:8443")?;
        if address.ip().is_unspecified() || address.port() == 0 {
            return Err("must be the one address and port that others connect to");
        }
        Ok(address)
    });
    table.finish(mistakes);
    address
}

/// The same for this host alone.
fn listen_here(document: &mut Reader, name: &str, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let address = listen(document, name, mistakes)?;
    if !address.ip().is_loopback() {
        let what = "must be an address of this host alone, such as 127.0.0.1:9464";
        mistakes.note(&format!("{name}.listen"), what);
    }
    Some(address)
}

/// Reads the institutions, and what none of them shows alone: ids that stand there twice, trust in one that does not,
/// and file names that two callers would share.
fn read_institutions(document: &mut Reader, mistakes: &mut Mistakes) -> Vec<Institution> {
    let tables = document.tables("institution", mistakes);
    if tables.is_empty() || tables.len() > MAX_INSTITUTIONS {
        let what = format!("there must be 1 to {MAX_INSTITUTIONS} institutions");
        mistakes.note("institution", what);
    }
    let (mut ids, mut stems, mut trust) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut institutions = Vec::new();
    for table in tables {
        let path = table.path().to_owned();
        let read = read_institution(table, mistakes);
        if let Some(id) = &read.id {
            if !ids.insert(id.clone()) {
                mistakes.note(&format!("{path}.id"), "stands there twice");
            }
            for caller in read.callers.iter().flatten() {
                if !stems.insert(format!("{id}-{}-{}", caller.role, caller.name)) {
                    let what = format!("{caller}: another caller would have the same file name");
                    mistakes.note(&format!("{path}.callers"), what);
                }
            }
        }
        trust.extend(
            read.trusts
                .iter()
                .flatten()
                .map(|id| (path.clone(), id.clone())),
        );
        institutions.extend(read.whole());
    }
    for (path, trusted) in trust {
        if !ids.contains(&trusted) {
            let what = format!("{trusted} is not an institution of this scheme");
            mistakes.note(&format!("{path}.trusts"), what);
        }
    }
    institutions
}

/// What could be read of an institution.
pub(super) struct PartialInstitution {
    pub(super) id: Option<InstitutionId>,
    pub(super) trusts: Option<Vec<InstitutionId>>,
    callers: Option<Vec<Caller>>,
    register: Option<Register>,
    policy: Option<Policy>,
}

impl PartialInstitution {
    pub(super) fn whole(self) -> Option<Institution> {
        Some(Institution {
            id: self.id?,
            trusts: self.trusts?,
            callers: self.callers?,
            register: self.register?,
            policy: self.policy?,
        })
    }
}

pub(super) fn read_institution(mut table: Reader, mistakes: &mut Mistakes) -> PartialInstitution {
    let read = PartialInstitution {
        id: table.parse("id", mistakes, usable_id),
        trusts: table.parse_list("trusts", mistakes, InstitutionId::from_str),
        callers: table.parse_list("callers", mistakes, Caller::from_str),
        register: Register::read(&mut table, mistakes),
        policy: table
            .table("policy", mistakes)
            .and_then(|policy| Policy::read(policy, mistakes)),
    };
    table.finish(mistakes);
    read
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        Scheme::parse(text).unwrap_err().mistakes().to_vec()
    }

    fn changed(from: &str, to: &str) -> String {
        assert!(
            Scheme::EXAMPLE.contains(from),
            "{from} is not in the example"
        );
        Scheme::EXAMPLE.replacen(from, to, 1)
    }

    #[test]
    fn the_example_is_a_scheme() {
        let scheme = Scheme::parse(Scheme::EXAMPLE).unwrap();
        let ids: Vec<_> = scheme
            .institutions()
            .iter()
            .map(|i| i.id().as_str())
            .collect();
        assert_eq!(ids, ["alfa", "beta", "mobilis"]);
        assert_eq!(scheme.server_dns_name(), "signer.semops.example");
        assert_eq!(
            scheme.server_id(),
            "spiffe://semops.example/operator/server/signer"
        );
        let alfa = scheme.institutions().first().unwrap();
        assert_eq!(
            scheme.caller_id(alfa.id(), alfa.callers().first().unwrap()),
            "spiffe://semops.example/alfa/enrolment/ra"
        );
        let moved = scheme.listening(
            "127.3.2.1:1".parse().unwrap(),
            "127.3.2.1:2".parse().unwrap(),
            "127.3.2.1:3".parse().unwrap(),
        );
        assert_eq!(moved.public_base_url(), "http://127.3.2.1:2");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let text = Scheme::EXAMPLE
            .replacen("semops.example", "Semops.example", 1)
            .replacen("http://127", "https://127", 1)
            .replacen("127.0.0.1:8443", "0.0.0.0:8443", 1)
            .replacen("device_eku =", "device_oid =", 1)
            .replacen("[\"alfa\", \"beta\"]", "[\"alfa\", \"gamma\", \"alfa\"]", 1)
            .replacen("payments/backend", "payment/backend", 1)
            .replacen("acceptance_seconds = 60", "acceptance_seconds = 601", 1);
        let mistakes = mistakes(&text);
        let expected = [
            "scheme: must be a DNS name",
            "public_base_url: must begin with http://",
            "grpc.listen: must be the one address",
            "oids.device_eku: missing",
            "oids.device_oid: unknown member",
            "institution[alfa].trusts[2]: \"alfa\" stands there twice",
            "institution[alfa].callers[1]: the role must be",
            "institution[alfa].policy.acceptance_seconds: must be an integer from 1 to 600",
            "institution[alfa].trusts: gamma is not an institution",
        ];
        for start in expected {
            let named = mistakes.iter().filter(|m| m.starts_with(start)).count();
            assert_eq!(named, 1, "{start} in {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    }

    #[test]
    fn what_only_shows_between_institutions_is_named() {
        let text = changed("id = \"beta\"", "id = \"alfa\"");
        assert!(mistakes(&text).contains(&"institution[alfa].id: stands there twice".to_owned()));
        let text = changed("trusts = [\"alfa\", \"beta\"]", "trusts = [\"gamma\"]");
        let named = "institution[alfa].trusts: gamma is not an institution of this scheme";
        assert_eq!(mistakes(&text), [named]);
        let text = Scheme::EXAMPLE
            .replacen("\"alfa\"", "\"a\"", 1)
            .replacen("\"beta\"", "\"a-auditor\"", 2)
            .replace("trusts = [\"alfa\", \"beta\"]", "trusts = []")
            .replacen("auditor/audit", "auditor/payments-backend", 1)
            .replace("id = \"beta\"", "id = \"a-auditor\"");
        assert!(
            mistakes(&text)
                .iter()
                .any(|m| m.contains("the same file name"))
        );
    }

    /// A member of the example, what it becomes, and how the mistake begins.
    const WRONG: &[(&str, &str, &str)] = &[
        (
            "operator = \"operator\"",
            "operator = \"tokens\"",
            "operator: ",
        ),
        (
            "operator = \"operator\"",
            "operator = \"scheme\"",
            "operator: \"scheme\" is the id under which the scheme itself is ruled",
        ),
        ("server = \"signer\"", "server = \"-\"", "server: "),
        (
            "\"vera-holm\", ",
            "",
            "custodians: must be at least 3: one more than the quorum",
        ),
        ("quorum = 2\n", "quorum = 1\n", "quorum: "),
        (
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/",
            "public_base_url: ",
        ),
        (
            "127.0.0.1:8443",
            "127.0.0.1:8080",
            "http.listen: is the same",
        ),
        ("127.0.0.1:8443", "localhost:8443", "grpc.listen: "),
        ("/usr/lib", "usr/lib", "hsm.module: "),
        (
            "32473.7.2\"",
            "32473.7.1\"",
            "oids.authorization_eku: is the same",
        ),
        (
            "32473.7.5\"",
            "32473.7.2\"",
            "oids.statement_eku: is the same as authorization_eku",
        ),
        (
            "1.3.6.1.4.1.32473.7.3",
            "2.25.329800735698586629295641978511506172918.3",
            "oids.device_policy: must be an OID with arcs below 2^32",
        ),
        (
            "\"real_pos\"",
            "\"pos\"",
            "institution[alfa].policy.channels[0]: ",
        ),
        (
            "CNY = \"500.00\"",
            "CNY = \"500.0\"",
            "institution[alfa].policy.amount_per_order.CNY: ",
        ),
        (
            "CNY = \"500.00\"",
            "CNX = \"500.00\"",
            "institution[alfa].policy.amount_per_order.CNX: ",
        ),
        (
            "CNY = \"1000.00\"",
            "",
            "institution[alfa].policy.device_limits.amount_per_day: ",
        ),
        (
            "orders_per_day = 50",
            "orders_per_day = 0",
            "institution[alfa].policy.device_limits.",
        ),
        (
            "devices_per_subscriber = 5",
            "",
            "institution[alfa].policy.devices_per_subscriber: missing",
        ),
        (
            "in_flight = 256",
            "in_flight = 4097",
            "institution[alfa].policy.rate_limits.in_flight: must be an integer from 1 to 4096",
        ),
        (
            "caller = [{ burst = 1000, requests = 500, seconds = 1 }]",
            "caller = []",
            "institution[alfa].policy.rate_limits.caller: must be a list of 1 to 4 windows",
        ),
        (
            "requests = 1000, seconds = 1",
            "requests = 1000, hours = 1",
            "institution[alfa].policy.rate_limits.institution[0].hours: unknown member",
        ),
        (
            "burst = 60, requests = 60, seconds = 3600",
            "burst = 1000, requests = 1, seconds = 86400",
            "institution[alfa].policy.rate_limits.device[1]: a burst takes more than 31 days",
        ),
    ];

    #[test]
    fn single_members_are_held_to_their_rules() {
        for (from, to, start) in WRONG {
            let mistakes = mistakes(&changed(from, to));
            assert!(
                mistakes.iter().any(|m| m.starts_with(*start)),
                "{start}: {mistakes:#?}"
            );
        }
        assert!(
            mistakes("scheme = ")
                .iter()
                .all(|m| m.starts_with("not TOML"))
        );
        assert!(mistakes("").contains(&"institution: missing".to_owned()));
    }
}
