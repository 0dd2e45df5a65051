//! The text of a trust document with one authorization certificate more, or less. All else of it stays as it is, comments
//! too. Pure.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use semops_objects::{InstitutionId, key::KeyId};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use serde::Deserialize;
use toml::Spanned;

/// What the next document is to have.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Of whose certificates.
    pub(super) of: &'a InstitutionId,
    /// The certificate to add, then its CA's, which is added too if the document does not have it; empty for none.
    pub(super) add: &'a [Certificate],
    /// The CRL of a CA that is added.
    pub(super) crl: Option<&'a CertificateRevocationList>,
    /// The key whose certificate goes: its id, or the beginning of it.
    pub(super) retire: Option<&'a str>,
}

/// The next document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) text: String,
    pub(super) version: u64,
    pub(super) added: Option<KeyId>,
    pub(super) retired: Option<KeyId>,
}

/// What is edited, with where it stands. The service reads the rest, and all of it, when it is proposed.
#[derive(Deserialize)]
struct Document {
    version: Spanned<u64>,
    signing_root: String,
    #[serde(default)]
    trusted: Vec<Trusted>,
}

#[derive(Deserialize)]
struct Trusted {
    institution: InstitutionId,
    signing_ca: Spanned<String>,
    authorization_certificates: Spanned<Vec<Spanned<String>>>,
    signing_ca_crls: Spanned<Vec<Spanned<String>>>,
}

/// Something else in place of what stands there.
pub(in crate::commands) type Edit = (Range<usize>, String);

/// The document that follows `text`.
///
/// # Errors
/// What is wanted cannot be, and why.
pub(super) fn next(text: &str, wanted: &Wanted<'_>) -> Result<Next, String> {
    let document: Document = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut all = document.trusted.iter();
    let Some(trusted) = all.find(|trusted| trusted.institution == *wanted.of) else {
        return newcomer(text, &document, wanted);
    };
    let version = document.version.get_ref().saturating_add(1);
    let mut edits = vec![(document.version.span(), version.to_string())];
    let added = match wanted.add {
        [] => None,
        [leaf, rest @ ..] => {
            let root = Certificate::from_pem(&document.signing_root).map_err(|e| e.to_string())?;
            edits.extend(trusted.with(leaf, rest.first(), wanted.crl, &root)?);
            Some(KeyId::of(leaf.public_key()))
        }
    };
    let retired = match wanted.retire {
        None => None,
        Some(key) => {
            let (key, place) = trusted.one(key)?;
            if added.is_none() && trusted.authorization_certificates.get_ref().len() == 1 {
                let of = wanted.of;
                return Err(format!(
                    "it is the only one of {of}: none of its authorizations would be believed"
                ));
            }
            edits.push((through_comma(text, place), String::new()));
            Some(key)
        }
    };
    Ok(Next {
        text: edited(text, edits)?,
        version,
        added,
        retired,
    })
}

/// The document that trusts one institution more.
fn newcomer(text: &str, document: &Document, wanted: &Wanted<'_>) -> Result<Next, String> {
    let of = wanted.of;
    let ([leaf, ca, ..], Some(crl), None) = (wanted.add, wanted.crl, wanted.retire) else {
        return Err(format!(
            "it does not trust {of}: to trust it from now on name the chain with its CA, and that CA's CRL (--crl)"
        ));
    };
    if leaf.subject_organization() != Some(of.as_str()) {
        return Err(format!("the certificate to add is not one of {of}"));
    }
    let root = Certificate::from_pem(&document.signing_root).map_err(|e| e.to_string())?;
    leaf.verify_issued_by(ca).map_err(|e| e.to_string())?;
    ca.verify_issued_by(&root).map_err(|e| e.to_string())?;
    crl.verify_issued_by(ca).map_err(|e| e.to_string())?;
    let version = document.version.get_ref().saturating_add(1);
    let next = edited(text, vec![(document.version.span(), version.to_string())])?;
    let table = format!(
        "\n[[trusted]]\ninstitution = \"{of}\"\nsigning_ca = {}\nauthorization_certificates = [{}]\nsigning_ca_crls = [\"{}\"]\n",
        quoted(&ca.to_pem()),
        quoted(&leaf.to_pem()),
        STANDARD.encode(crl.der())
    );
    Ok(Next {
        text: format!("{}\n{table}", next.trim_end_matches('\n')),
        version,
        added: Some(KeyId::of(leaf.public_key())),
        retired: None,
    })
}

impl Trusted {
    /// With one authorization certificate more, and its CA's if that is not there.
    fn with(
        &self,
        leaf: &Certificate,
        ca: Option<&Certificate>,
        crl: Option<&CertificateRevocationList>,
        root: &Certificate,
    ) -> Result<Vec<Edit>, String> {
        let of = &self.institution;
        if leaf.subject_organization() != Some(of.as_str()) {
            return Err(format!("the certificate to add is not one of {of}"));
        }
        let certificates = self.certificates()?;
        if certificates
            .iter()
            .any(|(has, _)| has.sha256() == leaf.sha256())
        {
            return Err("it has the certificate already".to_owned());
        }
        let mut edits = vec![first_in(
            &self.authorization_certificates.span(),
            &quoted(&leaf.to_pem()),
        )];
        let cas =
            Certificate::chain_from_pem(self.signing_ca.get_ref()).map_err(|e| e.to_string())?;
        let known = cas.iter().any(|ca| leaf.verify_issued_by(ca).is_ok());
        match (known, ca, crl) {
            (true, _, None) => {}
            (true, _, Some(_)) => {
                return Err("it has the certificate's CA already: leave out --crl".to_owned());
            }
            (false, Some(ca), Some(crl)) => {
                leaf.verify_issued_by(ca).map_err(|e| e.to_string())?;
                ca.verify_issued_by(root).map_err(|e| e.to_string())?;
                crl.verify_issued_by(ca).map_err(|e| e.to_string())?;
                let both = format!("{}{}", ca.to_pem(), self.signing_ca.get_ref().trim_start());
                edits.push((self.signing_ca.span(), quoted(&both)));
                let crl = format!("\"{}\"", STANDARD.encode(crl.der()));
                edits.push(first_in(&self.signing_ca_crls.span(), &crl));
            }
            (false, ..) => {
                return Err(format!(
                    "none of {of}'s signing CAs in it has issued the certificate: name the chain with its CA, and that CA's CRL (--crl)"
                ));
            }
        }
        Ok(edits)
    }

    fn certificates(&self) -> Result<Vec<(Certificate, Range<usize>)>, String> {
        let all = self.authorization_certificates.get_ref().iter();
        let read = |pem: &Spanned<String>| {
            let certificate = Certificate::from_pem(pem.get_ref()).map_err(|e| e.to_string())?;
            Ok((certificate, pem.span()))
        };
        all.map(read).collect()
    }

    /// The one key whose id begins so, and where its certificate stands.
    fn one(&self, begins: &str) -> Result<(KeyId, Range<usize>), String> {
        let certificates = self.certificates()?.into_iter();
        let keys =
            certificates.map(|(certificate, place)| (KeyId::of(certificate.public_key()), place));
        let mut found = keys.filter(|(key, _)| key.to_string().starts_with(begins));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(format!(
                "it has no certificate of a key {begins} of {}",
                self.institution
            )),
            (Some(_), Some(_)) => Err(format!("several keys begin with {begins}: name more of it")),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"\"\"\n{text}\"\"\"")
}

/// An element more, in front of the others of an array.
fn first_in(array: &Range<usize>, element: &str) -> Edit {
    let inside = array.start.saturating_add(1);
    (inside..inside, format!("\n{element},"))
}

/// An element with the comma behind it, and the end of its line.
fn through_comma(text: &str, element: Range<usize>) -> Range<usize> {
    let rest = text.get(element.end..).unwrap_or_default();
    let mut behind = rest;
    loop {
        behind = behind.trim_start();
        match behind.strip_prefix('#') {
            Some(comment) => {
                behind = comment
                    .find('\n')
                    .and_then(|end| comment.get(end..))
                    .unwrap_or_default()
            }
            None => break,
        }
    }
    match behind.strip_prefix(',') {
        Some(after) => {
            let after = after.strip_prefix('\n').unwrap_or(after);
            element.start..text.len().saturating_sub(after.len())
        }
        None => element,
    }
}

/// The text with these edits.
///
/// # Errors
/// They overlap.
pub(in crate::commands) fn edited(text: &str, mut edits: Vec<Edit>) -> Result<String, String> {
    edits.sort_by_key(|(place, _)| place.start);
    let (mut all, mut from) = (String::new(), 0);
    for (place, instead) in edits {
        let before = text.get(from..place.start);
        all.push_str(before.ok_or("it cannot be edited here: edit it by hand")?);
        all.push_str(&instead);
        from = place.end;
    }
    all.push_str(text.get(from..).unwrap_or_default());
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn an_element_goes_with_its_comma_and_comes_in_front() {
        for (text, element, without) in [
            ("[\"a\", \"b\"]", 1..4, "[ \"b\"]"),
            ("[\"a\", \"b\"]", 6..9, "[\"a\", ]"),
            ("[\n\"a\",\n\"b\",\n]", 2..5, "[\n\"b\",\n]"),
            ("[\"a\" # of ,\n, \"b\"]", 1..4, "[ \"b\"]"),
            ("[\"a\" # alone\n]", 1..4, "[ # alone\n]"),
        ] {
            let edit = (through_comma(text, element), String::new());
            let left = edited(text, vec![edit]).unwrap();
            assert_eq!(left, without, "{text}");
            let whole = 0..left.len();
            let more = edited(&left, vec![first_in(&whole, "\"c\"")]).unwrap();
            let read = format!("all = {more}").parse::<toml::Table>().unwrap();
            let all = read["all"].as_array().unwrap();
            assert_eq!(all[0].as_str(), Some("c"), "{more}");
        }
    }

    #[test]
    fn what_is_no_trust_document_is_said_to_be_none() {
        let alfa = "alfa".parse().unwrap();
        let wanted = Wanted {
            of: &alfa,
            add: &[],
            crl: None,
            retire: Some("key"),
        };
        assert!(
            next("version = 1\n", &wanted)
                .unwrap_err()
                .contains("signing_root")
        );
        let other = "version = 1\nsigning_root = \"PEM\"\n";
        let refused = next(other, &wanted).unwrap_err();
        assert!(refused.starts_with("it does not trust alfa"), "{refused}");
    }
}
