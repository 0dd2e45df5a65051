//! Traces that something would leave: its octets, and the ways in which octets are usually written.

use std::fs;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use e2e::{deployment::Deployment, failure::Failure};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use semops_pki::algorithm::sha256;
use softhsm_setup::directory::Hierarchy;

/// As many octets as are looked for at once: a longer thing is found by each of its parts.
const PART: usize = 48;
/// No shorter than this, or chance finds it.
const SHORTEST: usize = 4;

/// What is looked for, with names that may be told when it is found.
#[derive(Debug, Default)]
pub(super) struct Traces(Vec<(String, Vec<u8>)>);

impl Traces {
    /// The PINs, and every private key that lies in a file of the deployment.
    pub(super) fn secrets(deployment: &Deployment) -> Result<Self, Failure> {
        let (mut traces, directory) = (Self::default(), deployment.directory());
        let mut keys = vec![directory.server_key()];
        for hierarchy in [Hierarchy::Device, Hierarchy::Signing, Hierarchy::Tls] {
            keys.push(directory.root_key(hierarchy));
        }
        for institution in deployment.scheme().institutions() {
            let id = institution.id();
            for pin in [directory.pin(id), directory.so_pin(id)] {
                let pin = fs::read_to_string(pin)?;
                traces.text(&format!("a PIN of {id}"), pin.trim());
                traces.octets(&format!("a PIN of {id}"), pin.trim().as_bytes());
            }
            keys.push(directory.tls_ca_key(id));
            for caller in institution.callers() {
                keys.push(directory.caller(id, caller.role(), caller.name()).key);
            }
        }
        for path in keys {
            let der = PrivatePkcs8KeyDer::from_pem_file(&path)?;
            let der = der.secret_pkcs8_der();
            let name = path.display().to_string();
            // ECPrivateKey (RFC 5915): version 1, then the octets of the private key.
            let start = der.windows(5).position(|found| found == [2, 1, 1, 4, 32]);
            let start = start.ok_or_else(|| Failure::new(format!("{name}: no P-256 key")))? + 5;
            traces.octets(&name, &der[start..start + 32]);
            // The lines of a PEM file break the base64 of the key, which ends in the second one.
            let pem = fs::read_to_string(&path)?;
            for line in pem.lines().skip(1).take(2) {
                traces.text(&name, line);
            }
        }
        Ok(traces)
    }

    /// A text as it is.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        assert!(text.len() >= SHORTEST, "{name}: {text} is found by chance");
        self.0.push((name.to_owned(), text.as_bytes().to_vec()));
    }

    /// Octets, part by part: as they are, in hexadecimal, base64 and base64url at each of the three offsets that they
    /// may have in it, and as a list of decimal numbers.
    pub(super) fn octets(&mut self, name: &str, octets: &[u8]) {
        for part in octets.chunks(PART).filter(|part| part.len() >= 16) {
            let hexadecimal: String = part.iter().map(|octet| format!("{octet:02x}")).collect();
            let decimal: Vec<String> = part.iter().map(u8::to_string).collect();
            let mut forms = vec![
                part.to_vec(),
                hexadecimal.to_uppercase().into_bytes(),
                hexadecimal.into_bytes(),
                decimal.join(", ").into_bytes(),
            ];
            for offset in 0..3 {
                let aligned = &part[offset..offset + (part.len() - offset) / 3 * 3];
                forms.push(STANDARD_NO_PAD.encode(aligned).into_bytes());
                forms.push(URL_SAFE_NO_PAD.encode(aligned).into_bytes());
            }
            self.0
                .extend(forms.into_iter().map(|form| (name.to_owned(), form)));
        }
    }

    /// A compact JWS: payload, signature and digest. Its header is no secret, and of what the payload says some may be
    /// told: the rest is to be named.
    pub(super) fn jws(&mut self, name: &str, jws: &str) {
        self.octets(&format!("the digest of {name}"), &sha256(jws.as_bytes()));
        for part in jws.split('.').skip(1) {
            self.text(name, part);
        }
        let signature = jws.rsplit('.').next().unwrap_or_default();
        if let Ok(octets) = URL_SAFE_NO_PAD.decode(signature) {
            self.octets(&format!("the signature of {name}"), &octets);
        }
    }

    pub(super) fn are_not_in(&self, octets: &[u8], place: &str) {
        for (name, trace) in &self.0 {
            assert!(!contains(octets, trace), "{name} stands in {place}");
        }
    }

    pub(super) fn any_in(&self, octets: &[u8]) -> bool {
        self.0.iter().any(|(_, trace)| contains(octets, trace))
    }
}

/// Whether `needle` is in `octets`: by its first octet, which is quick enough without a library.
fn contains(octets: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return false;
    };
    let mut rest = octets;
    while let Some(place) = rest.iter().position(|octet| octet == first) {
        rest = &rest[place..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}
