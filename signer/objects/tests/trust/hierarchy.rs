//! A signing hierarchy of two institutions, and the trust document that describes it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use const_oid::ObjectIdentifier;
use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::crl::{CertificateRevocationList, Reason};
use semops_pki::issuer::{Addresses, Content, Issuer, RevokedEntry, Subject, root};
use semops_pki::profile::Oids;
use semops_pki::signed::{ToBeSigned, assemble};

use crate::sample::Key;

pub(crate) const DAY: u64 = 86_400;
pub(crate) const NOW: u64 = 1_800_000_000;
const START: i64 = 1_799_000_000;
const ADDRESSES: Addresses<'static> = Addresses {
    crl: "http://127.0.0.1/crl",
    ca_certificate: "http://127.0.0.1/ca",
};

pub(crate) fn oids() -> Oids {
    let under = |arc: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.32473.{arc}"));
    Oids {
        device_eku: under("1"),
        authorization_eku: under("2"),
        audit_eku: Some(under("4")),
        statement_eku: Some(under("5")),
        device_policy: under("3"),
    }
}

fn signed(key: &Key, tbs: &ToBeSigned) -> Vec<u8> {
    assemble(tbs.bytes(), &key.0.sign(tbs.bytes()).unwrap())
}

fn content<'a>(organization: &'a str, key: &'a PublicKey, serial: u8, days: i64) -> Content<'a> {
    Content {
        organization,
        public_key: key,
        serial: [serial; 16],
        not_before: START,
        not_after: START + days * 86_400,
    }
}

fn make_root(key: &Key, common_name: &str) -> Certificate {
    let public = key.public();
    let tbs = root(&content("scheme", &public, 1, 4000), common_name, &oids()).unwrap();
    Certificate::from_der(&signed(key, &tbs)).unwrap()
}

fn issue(ca: &Certificate, key: &Key, what: &Content<'_>, subject: Subject<'_>) -> Certificate {
    let issuer = Issuer::new(ca.clone()).unwrap();
    let tbs = issuer
        .certificate(what, subject, Some(ADDRESSES), &oids())
        .unwrap();
    Certificate::from_der(&signed(key, &tbs)).unwrap()
}

fn crl(
    ca: &Certificate,
    key: &Key,
    days: i64,
    revoked: Option<&Certificate>,
) -> CertificateRevocationList {
    let entries: Vec<_> = revoked
        .map(|certificate| RevokedEntry {
            serial: certificate.serial().to_vec(),
            at: START,
            reason: Reason::KeyCompromise,
        })
        .into_iter()
        .collect();
    let issuer = Issuer::new(ca.clone()).unwrap();
    let tbs = issuer
        .crl(7, START, START + days * 86_400, &entries)
        .unwrap();
    CertificateRevocationList::from_der(&signed(key, &tbs)).unwrap()
}

/// One institution's signing CA, its authorization key, and a device certificate by the same CA.
pub(crate) struct Institution {
    ca_key: Key,
    pub(crate) ca: Certificate,
    pub(crate) key: Key,
    pub(crate) leaf: Certificate,
    pub(crate) device: Certificate,
    pub(crate) crl: CertificateRevocationList,
}

impl Institution {
    fn new(id: &str, root: &Certificate, root_key: &Key, serial: u8) -> Self {
        let (ca_key, key) = (Key::generate(), Key::generate());
        let (ca_public, public) = (ca_key.public(), key.public());
        let common_name = "signing CA";
        let ca = issue(
            root,
            root_key,
            &content(id, &ca_public, serial, 3000),
            Subject::InstitutionCa { common_name },
        );
        let common_name = "authorization";
        let leaf = issue(
            &ca,
            &ca_key,
            &content(id, &public, 3, 365),
            Subject::Authorization { common_name },
        );
        let device_id = "8a562c67-ca16-48ba-b074-65581be6f001";
        let device = issue(
            &ca,
            &ca_key,
            &content(id, &public, 4, 365),
            Subject::Device { device_id },
        );
        Self {
            crl: crl(&ca, &ca_key, 30, None),
            ca_key,
            ca,
            key,
            leaf,
            device,
        }
    }

    pub(crate) fn crl_base64(&self) -> String {
        STANDARD.encode(self.crl.der())
    }

    pub(crate) fn revoke_leaf(&mut self) {
        self.crl = crl(&self.ca, &self.ca_key, 30, Some(&self.leaf));
    }
}

pub(crate) struct Hierarchy {
    root_key: Key,
    pub(crate) root: Certificate,
    pub(crate) device_root: Certificate,
    root_crl: CertificateRevocationList,
    pub(crate) alfa: Institution,
    pub(crate) beta: Institution,
}

impl Hierarchy {
    pub(crate) fn new() -> Self {
        let root_key = Key::generate();
        let root = make_root(&root_key, "signing root");
        Self {
            device_root: make_root(&Key::generate(), "device root"),
            root_crl: crl(&root, &root_key, 365, None),
            alfa: Institution::new("alfa", &root, &root_key, 21),
            beta: Institution::new("beta", &root, &root_key, 22),
            root_key,
            root,
        }
    }

    pub(crate) fn revoke_ca_of_alfa(&mut self) {
        self.root_crl = crl(&self.root, &self.root_key, 365, Some(&self.alfa.ca));
    }

    /// Gives the root a CRL that ends before those of the CAs.
    pub(crate) fn shorten_root_crl(&mut self) -> u64 {
        self.root_crl = crl(&self.root, &self.root_key, 20, None);
        self.root_crl.next_update().try_into().unwrap()
    }

    /// The trust document of beta, version 3.
    pub(crate) fn document(&self) -> String {
        let head = format!(
            "institution = \"beta\"\nversion = 3\ndevice_root = \"\"\"{}\"\"\"\nsigning_root = \"\"\"{}\"\"\"\nsigning_root_crl = \"{}\"\n",
            self.device_root.to_pem(),
            self.root.to_pem(),
            STANDARD.encode(self.root_crl.der()),
        );
        format!(
            "{head}{}{}",
            self.entry("alfa", &self.alfa),
            self.entry("beta", &self.beta)
        )
    }

    pub(crate) fn entry(&self, id: &str, institution: &Institution) -> String {
        format!(
            "[[trusted]]\ninstitution = \"{id}\"\nsigning_ca = \"\"\"{}\"\"\"\nauthorization_certificates = [\"\"\"{}\"\"\"]\nsigning_ca_crls = [\"{}\"]\n",
            institution.ca.to_pem(),
            institution.leaf.to_pem(),
            institution.crl_base64(),
        )
    }
}
