//! Owns the specimens of unit tests: a small scheme in memory, with keys that sign here instead of in a token.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub(crate) mod board;
pub(crate) mod founders;

use std::sync::Arc;

use semops_objects::{
    institution::InstitutionId,
    jwk,
    money::Amount,
    order::{Order, OrderJws},
    payment::{Channel, Kind, Payee},
};
use semops_pki::{
    algorithm::PublicKey,
    certificate::Certificate,
    crl::{self, CertificateRevocationList},
    issuer::{self, Addresses, Content, Issuer, RevokedEntry, Subject},
    local_key::LocalKey,
    profile::Oids,
    signed::{ToBeSigned, assemble},
};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        device::{Device, DeviceId},
        key::{KeyId, KeyRecord, Purpose},
        published_roots::{PublishedRoot, PublishedRoots},
    },
};

/// A moment inside every specimen's validity.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

const ADDRESSES: Addresses<'_> = Addresses {
    crl: "http://127.0.0.1/crl/x.crl",
    ca_certificate: "http://127.0.0.1/ca/x.cer",
};

pub(crate) fn oids() -> Oids {
    let oid = |arc: &str| format!("1.3.6.1.4.1.32473.7.{arc}").parse().unwrap();
    Oids {
        device_eku: oid("1"),
        authorization_eku: oid("2"),
        audit_eku: Some(oid("4")),
        statement_eku: Some(oid("5")),
        device_policy: oid("3"),
    }
}

/// A key with its certificate.
pub(crate) struct Certified {
    pub(crate) key: Arc<LocalKey>,
    pub(crate) certificate: Certificate,
}

impl Certified {
    /// The root of a hierarchy.
    pub(crate) fn root() -> Self {
        Self::root_for(400)
    }

    /// The same, valid for `days` around [`NOW`].
    pub(crate) fn root_for(days: i64) -> Self {
        let key = LocalKey::generate().unwrap();
        let content = content("scheme", key.public_key(), days);
        let tbs = issuer::root(&content, "root", &oids()).unwrap();
        let certificate = sign(&key, &tbs);
        Self {
            key: Arc::new(key),
            certificate,
        }
    }

    /// Something that this CA certifies, valid for `days` around [`NOW`].
    pub(crate) fn issue(&self, organization: &str, subject: Subject<'_>, days: i64) -> Self {
        let key = LocalKey::generate().unwrap();
        let certificate = self.certify(organization, key.public_key(), subject, days);
        Self {
            key: Arc::new(key),
            certificate,
        }
    }

    /// The certificate of a key that is elsewhere.
    pub(crate) fn certify(
        &self,
        organization: &str,
        public_key: &PublicKey,
        subject: Subject<'_>,
        days: i64,
    ) -> Certificate {
        let issuer = Issuer::new(self.certificate.clone()).unwrap();
        let content = content(organization, public_key, days);
        let responder = matches!(subject, Subject::OcspResponder { .. });
        let addresses = (!responder).then_some(ADDRESSES);
        let tbs = issuer
            .certificate(&content, subject, addresses, &oids())
            .unwrap();
        sign(&self.key, &tbs)
    }

    /// A CRL by this CA.
    pub(crate) fn crl(&self, number: u64, entries: &[RevokedEntry]) -> CertificateRevocationList {
        let issuer = Issuer::new(self.certificate.clone()).unwrap();
        let (from, until) = (NOW.seconds(), NOW.seconds() + 86_400);
        let tbs = issuer.crl(number, from, until, entries).unwrap();
        let der = assemble(tbs.bytes(), &self.key.sign(tbs.bytes()).unwrap());
        CertificateRevocationList::from_der(&der).unwrap()
    }

    /// The same, which revokes these certificates of its own because they were superseded.
    pub(crate) fn revokes(&self, number: u64, revoked: &[&Certificate]) -> PublishedRoot {
        let entry = |certificate: &&Certificate| RevokedEntry {
            serial: certificate.serial().to_vec(),
            at: NOW.seconds(),
            reason: crl::Reason::Superseded,
        };
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        PublishedRoot::new(self.certificate.clone(), self.crl(number, &entries))
    }

    /// The record of this key for `institution`.
    pub(crate) fn record(&self, institution: &InstitutionId, purpose: Purpose) -> Arc<KeyRecord> {
        let certificate = self.certificate.clone();
        Arc::new(KeyRecord::new(institution, purpose, certificate, None))
    }
}

/// Two roots that revoke nothing.
pub(crate) fn roots(device: &Certified, signing: &Certified) -> PublishedRoots {
    PublishedRoots::new(device.revokes(1, &[]), signing.revokes(1, &[]))
}

fn content<'a>(organization: &'a str, public_key: &'a PublicKey, days: i64) -> Content<'a> {
    let half = days * 43_200;
    Content {
        organization,
        public_key,
        serial: *Uuid::new_v4().as_bytes(),
        not_before: NOW.seconds() - half,
        not_after: NOW.seconds() + half,
    }
}

fn sign(key: &LocalKey, tbs: &ToBeSigned) -> Certificate {
    Certificate::from_der(&assemble(tbs.bytes(), &key.sign(tbs.bytes()).unwrap())).unwrap()
}

/// A phone with its certificate, and the row that the store would have of it.
pub(crate) struct Phone {
    pub(crate) certified: Certified,
    pub(crate) device: Device,
}

impl Phone {
    /// A phone of `issuer`, enrolled by its device CA.
    pub(crate) fn new(issuer: &str, days: i64) -> Self {
        let id = DeviceId::from_random(*Uuid::new_v4().as_bytes());
        let ca = Certified::root().issue(
            issuer,
            Subject::InstitutionCa {
                common_name: "device-ca",
            },
            300,
        );
        let certified = ca.issue(
            issuer,
            Subject::Device {
                device_id: &id.to_string(),
            },
            days,
        );
        let device = Device {
            id,
            issuer: issuer.parse().unwrap(),
            subscriber: "AbCdEfGhIjKlMnOpQrStUv".parse().unwrap(),
            issuer_key: KeyId::new(jwk::thumbprint(ca.key.public_key())),
            certificate: certified.certificate.der().to_vec(),
            not_after: Timestamp::from_seconds(certified.certificate.not_after()),
            revoked: None,
        };
        Self { certified, device }
    }

    /// An order signed by this phone.
    pub(crate) fn sign(&self, order: &Order) -> OrderJws {
        sign_order(
            order,
            &self.certified.certificate.sha256(),
            &self.certified.key,
        )
    }
}

/// An order signed by `key` in the name of the device with certificate digest `kid`.
pub(crate) fn sign_order(order: &Order, kid: &[u8; 32], key: &LocalKey) -> OrderJws {
    let input = order.signing_input(kid);
    let signature = key.sign_raw(input.as_bytes()).unwrap();
    OrderJws::parse(&semops_objects::jws::compact(&input, &signature)).unwrap()
}

/// An order of CNY 23.72 from alfa to beta, signed now, good for 60 s.
pub(crate) fn order() -> Order {
    let iat = u64::try_from(NOW.seconds()).unwrap();
    Order {
        jti: Uuid::now_v7(),
        iat,
        exp: iat + 60,
        aud: "alfa".parse().unwrap(),
        kind: Kind::Payment,
        channel: Channel::RealPos,
        amount: Amount::parse("23.72", "CNY").unwrap(),
        payee: Payee::new("beta".parse().unwrap(), "A93FO3230Q", "BEST TRANSPORT").unwrap(),
        offer_sha256: None,
    }
}

/// alfa's policy: CNY up to 500.00 an order and 1000.00 a day, 10 orders a day, to beta, by devices of mobilis.
pub(crate) const POLICY: &str = r#"
    institution = "alfa"
    version = 1
    acceptance_seconds = 60
    channels = ["real_pos", "p2p"]
    payees = ["beta"]
    device_issuers = ["mobilis"]
    devices_per_subscriber = 2
    [amount_per_order]
    CNY = "500.00"
    [device_limits]
    orders_per_day = 10
    [device_limits.amount_per_day]
    CNY = "1000.00"
"#;

/// Rate limits that no test meets, to be added to a policy.
pub(crate) const WIDE: &str = r#"
    [rate_limits]
    device = [{ burst = 1000000, requests = 1000000, seconds = 1 }]
"#;
