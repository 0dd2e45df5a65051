//! From the text of a trust document to what has been checked.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use semops_pki::algorithm::sha256;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::profile::{self, Kind, Oids};
use serde::Deserialize;

use super::{MAX_LENGTH, SigningCa, TrustDocument, TrustError, TrustRule, TrustedInstitution};
use crate::institution::InstitutionId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    institution: InstitutionId,
    version: u64,
    device_root: String,
    signing_root: String,
    signing_root_crl: String,
    #[serde(default)]
    trusted: Vec<TrustedText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedText {
    institution: InstitutionId,
    signing_ca: String,
    authorization_certificates: Vec<String>,
    signing_ca_crls: Vec<String>,
}

pub(super) fn parse(toml: &[u8], oids: &Oids) -> Result<TrustDocument, TrustError> {
    let text = read(toml)?;
    if text.version == 0 {
        return Err(TrustError::new("version", TrustRule::Version));
    }
    let device_root = root("device_root", &text.device_root, oids)?;
    let signing_root = root("signing_root", &text.signing_root, oids)?;
    if signing_root.public_key() == device_root.public_key() {
        return Err(TrustError::new("signing_root", TrustRule::SameRoot));
    }
    let signing_root_crl = crl("signing_root_crl", &text.signing_root_crl)?;
    signing_root_crl
        .verify_issued_by(&signing_root)
        .map_err(|error| TrustError::new("signing_root_crl", error))?;
    let mut institutions = HashSet::new();
    let mut trusted = Vec::new();
    for entry in &text.trusted {
        let reader = Entry::new(entry, &signing_root, oids);
        if !institutions.insert(&entry.institution) {
            return Err(TrustError::new(reader.path, TrustRule::Duplicate));
        }
        trusted.push(reader.read()?);
    }
    Ok(TrustDocument {
        institution: text.institution,
        version: text.version,
        sha256: sha256(toml),
        device_root,
        signing_root,
        signing_root_crl,
        trusted,
    })
}

fn read(toml: &[u8]) -> Result<Text, TrustError> {
    if toml.len() > MAX_LENGTH {
        return Err(TrustError::new("document", TrustRule::TooLong));
    }
    let malformed =
        |message: &str| TrustError::new("document", TrustRule::Toml(message.to_owned()));
    let text = str::from_utf8(toml).map_err(|_| malformed("must be UTF-8"))?;
    toml::from_str(text).map_err(|error| malformed(error.message()))
}

fn root(field: &str, pem: &str, oids: &Oids) -> Result<Certificate, TrustError> {
    let root = certificate(field, pem)?;
    check_issued(&root, Kind::Root, &root, oids).map_err(|rule| TrustError::new(field, rule))?;
    Ok(root)
}

/// Profile, names, constraints and signature; times are looked at when the document is used.
fn check_issued(
    certificate: &Certificate,
    kind: Kind,
    issuer: &Certificate,
    oids: &Oids,
) -> Result<(), TrustRule> {
    profile::check(certificate, kind, issuer, oids)?;
    Ok(certificate.verify_issued_by(issuer)?)
}

fn certificate(field: &str, pem: &str) -> Result<Certificate, TrustError> {
    Certificate::from_pem(pem).map_err(|error| TrustError::new(field, error))
}

fn crl(field: &str, base64: &str) -> Result<CertificateRevocationList, TrustError> {
    let der = STANDARD
        .decode(base64)
        .map_err(|_| TrustError::new(field, TrustRule::Base64))?;
    CertificateRevocationList::from_der(&der).map_err(|error| TrustError::new(field, error))
}

/// One `[[trusted]]` and what it is checked against.
struct Entry<'a> {
    path: String,
    text: &'a TrustedText,
    signing_root: &'a Certificate,
    oids: &'a Oids,
}

impl<'a> Entry<'a> {
    fn new(text: &'a TrustedText, signing_root: &'a Certificate, oids: &'a Oids) -> Self {
        Self {
            path: format!("trusted.{}", text.institution),
            text,
            signing_root,
            oids,
        }
    }

    fn refuse(&self, name: &str, at: usize, rule: impl Into<TrustRule>) -> TrustError {
        TrustError::new(format!("{}.{name}[{at}]", self.path), rule)
    }

    fn read(self) -> Result<TrustedInstitution, TrustError> {
        let cas = self.signing_cas()?;
        let crls = self.crls(&cas)?;
        let mut signing_cas = Vec::new();
        for (at, certificate) in cas.into_iter().enumerate() {
            signing_cas.push(SigningCa {
                crl: self.crl_of(&certificate, at, &crls)?,
                authorization_certificates: Vec::new(),
                certificate,
            });
        }
        self.read_authorization_certificates(&mut signing_cas)?;
        Ok(TrustedInstitution {
            institution: self.text.institution.clone(),
            signing_cas,
        })
    }

    fn signing_cas(&self) -> Result<Vec<Certificate>, TrustError> {
        let cas = Certificate::chain_from_pem(&self.text.signing_ca)
            .map_err(|error| TrustError::new(format!("{}.signing_ca", self.path), error))?;
        let mut seen = HashSet::new();
        for (at, ca) in cas.iter().enumerate() {
            self.check_organization(ca)
                .and_then(|()| check_issued(ca, Kind::InstitutionCa, self.signing_root, self.oids))
                .map_err(|rule| self.refuse("signing_ca", at, rule))?;
            if !seen.insert(ca.sha256()) {
                return Err(self.refuse("signing_ca", at, TrustRule::Duplicate));
            }
        }
        Ok(cas)
    }

    fn crls(&self, cas: &[Certificate]) -> Result<Vec<CertificateRevocationList>, TrustError> {
        let name = "signing_ca_crls";
        let mut crls = Vec::new();
        for (at, base64) in self.text.signing_ca_crls.iter().enumerate() {
            let crl = crl(&format!("{}.{name}[{at}]", self.path), base64)?;
            if !cas.iter().any(|ca| crl.verify_issued_by(ca).is_ok()) {
                return Err(self.refuse(name, at, TrustRule::OtherIssuer));
            }
            crls.push(crl);
        }
        Ok(crls)
    }

    /// The one CRL of signing CA number `at`. Certificates of one CA name and key share it.
    fn crl_of(
        &self,
        ca: &Certificate,
        at: usize,
        crls: &[CertificateRevocationList],
    ) -> Result<CertificateRevocationList, TrustError> {
        let mut found = crls.iter().filter(|crl| crl.verify_issued_by(ca).is_ok());
        match (found.next(), found.next()) {
            (Some(crl), None) => Ok(crl.clone()),
            (None, _) => Err(self.refuse("signing_ca", at, TrustRule::NoCrl)),
            (Some(_), Some(_)) => Err(self.refuse("signing_ca", at, TrustRule::TwoCrls)),
        }
    }

    fn read_authorization_certificates(&self, cas: &mut [SigningCa]) -> Result<(), TrustError> {
        let name = "authorization_certificates";
        let mut seen = HashSet::new();
        for (at, pem) in self.text.authorization_certificates.iter().enumerate() {
            let leaf = certificate(&format!("{}.{name}[{at}]", self.path), pem)?;
            self.check_organization(&leaf)
                .map_err(|rule| self.refuse(name, at, rule))?;
            let ca = cas
                .iter_mut()
                .find(|ca| leaf.verify_issued_by(&ca.certificate).is_ok())
                .ok_or_else(|| self.refuse(name, at, TrustRule::OtherIssuer))?;
            profile::check(&leaf, Kind::Authorization, &ca.certificate, self.oids)
                .map_err(|error| self.refuse(name, at, error))?;
            if !seen.insert(leaf.sha256()) {
                return Err(self.refuse(name, at, TrustRule::Duplicate));
            }
            ca.authorization_certificates.push(leaf);
        }
        Ok(())
    }

    fn check_organization(&self, certificate: &Certificate) -> Result<(), TrustRule> {
        let expected = self.text.institution.as_str();
        if certificate.subject_organization() == Some(expected) {
            Ok(())
        } else {
            Err(TrustRule::Organization(expected.to_owned()))
        }
    }
}
