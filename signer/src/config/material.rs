//! Owns what the configuration names by file: certificates, CRLs, the server's TLS key and the PINs. Each is read once,
//! checked at once, and never written out.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::SecretString;
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use zeroize::Zeroizing;

use super::reader::Reader;

/// The longest PIN, octets; PKCS#11 leaves the bound to the token.
const MAX_PIN: u64 = 255;

/// The longest password of the record's database, octets.
const MAX_PASSWORD: u64 = 1024;

/// A CA with a CRL that it issued.
#[derive(Debug)]
pub struct CaFiles {
    /// Its certificate.
    pub certificate: Certificate,
    /// The CRL that was made with it: the root's current one, or an institution CA's first one.
    pub crl: CertificateRevocationList,
}

/// The `certificate` and the `crl` of a CA; the issuer of the CA is checked by the caller.
pub(super) fn ca(reader: &mut Reader<'_>) -> Option<CaFiles> {
    let certificate = certificate(reader, "certificate");
    let crl = reader.file("crl").and_then(|der| {
        let crl = CertificateRevocationList::from_der(&der);
        crl.map_err(|e| reader.wrong("crl", e.to_string(), "name the DER file of the CA's CRL"))
            .ok()
    });
    let (certificate, crl) = (certificate?, crl?);
    if !certificate.is_ca() {
        reader.wrong(
            "certificate",
            "is no CA certificate (RFC 5280 s4.2.1.9)",
            "name the CA's certificate",
        );
        return None;
    }
    if let Err(error) = crl.verify_issued_by(&certificate) {
        reader.wrong("crl", error.to_string(), "name the CRL that this CA issued");
        return None;
    }
    Some(CaFiles { certificate, crl })
}

pub(super) fn certificate(reader: &mut Reader<'_>, key: &str) -> Option<Certificate> {
    let content = reader.file(key)?;
    let certificate =
        text(&content).and_then(|pem| Certificate::from_pem(pem).map_err(|e| e.to_string()));
    certificate
        .map_err(|what| reader.wrong(key, what, "name a PEM file with this one certificate"))
        .ok()
}

/// A chain file: leaf first, without the root.
pub(super) fn chain(reader: &mut Reader<'_>, key: &str) -> Option<Vec<Certificate>> {
    let content = reader.file(key)?;
    let chain =
        text(&content).and_then(|pem| Certificate::chain_from_pem(pem).map_err(|e| e.to_string()));
    chain
        .map_err(|what| reader.wrong(key, what, "name a PEM file with the leaf, then its CA"))
        .ok()
}

fn text(content: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(content).map_err(|_| "is not PEM".to_owned())
}

pub(super) fn private_key(
    reader: &mut Reader<'_>,
    key: &str,
) -> Option<PrivatePkcs8KeyDer<'static>> {
    let path = reader.path(key)?;
    let content = open_private(path).and_then(|file| read_secret(file, 64 * 1024));
    let content = content
        .map_err(|e| reader.wrong(key, e.to_string(), OWNER_ONLY))
        .ok()?;
    let parsed = PrivatePkcs8KeyDer::from_pem_slice(&content);
    parsed
        .map_err(|_| {
            reader.wrong(
                key,
                "is not PEM of a PKCS#8 PRIVATE KEY",
                "convert it with `openssl pkcs8`",
            )
        })
        .ok()
}

const OWNER_ONLY: &str = "put the file there, owned by this user, of mode 0600 or less";

/// The PIN, from `pin_file` or `pin_fd`; exactly one of them stands there.
pub(super) fn pin(reader: &mut Reader<'_>) -> Option<SecretString> {
    let (key, file) = match (reader.has("pin_file"), reader.has("pin_fd")) {
        (true, false) => ("pin_file", open_private(reader.path("pin_file")?)),
        (false, true) => {
            let number = reader.number("pin_fd", 3..=1_048_575)?;
            // Opening it by name needs no ownership of a descriptor that others of this process may hold.
            ("pin_fd", File::open(format!("/proc/self/fd/{number}")))
        }
        (true, true) => {
            reader.skip(&["pin_file", "pin_fd"]);
            reader.wrong("pin_file", "stands beside pin_fd", "keep one of them");
            return None;
        }
        (false, false) => {
            reader.wrong(
                "pin_file",
                "is missing",
                "name a file of mode 0600 with the token's PIN, or give pin_fd",
            );
            return None;
        }
    };
    let content = file.and_then(|file| read_secret(file, MAX_PIN + 1));
    let content = content
        .map_err(|e| reader.wrong(key, e.to_string(), OWNER_ONLY))
        .ok()?;
    let pin = one_line(&content);
    if pin.is_none() {
        reader.wrong(
            key,
            "holds no PIN",
            "write the PIN into it, in UTF-8 and on one line",
        );
    }
    pin
}

/// A password, from the file that the key names.
pub(super) fn password(reader: &mut Reader<'_>, key: &str) -> Option<SecretString> {
    let file = open_private(reader.path(key)?);
    let content = file.and_then(|file| read_secret(file, MAX_PASSWORD + 1));
    let content = content
        .map_err(|e| reader.wrong(key, e.to_string(), OWNER_ONLY))
        .ok()?;
    let password = one_line(&content);
    if password.is_none() {
        let way_out = "write the password into it, in UTF-8 and on one line";
        reader.wrong(key, "holds no password", way_out);
    }
    password
}

/// The one line of text that a secret is.
fn one_line(content: &[u8]) -> Option<SecretString> {
    let text = std::str::from_utf8(content).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let one = !text.is_empty() && !text.contains(['\n', '\r', '\0']);
    one.then(|| SecretString::from(text))
}

/// Opens a file that only its owner may use.
fn open_private(path: PathBuf) -> io::Result<File> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let file = File::open(&path).map_err(named)?;
    let metadata = file.metadata().map_err(named)?;
    if !metadata.is_file() || !is_private(&metadata) {
        let what = format!(
            "{}: mode {:04o} lets others use it",
            path.display(),
            metadata.mode() & 0o7777
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(file)
}

fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o177 == 0
}

/// Reads at most `longest` octets into memory that is cleared afterwards. The buffer never grows, so that no copy of a
/// secret is left behind.
fn read_secret(file: File, longest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let capacity = usize::try_from(longest)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let mut content = Zeroizing::new(vec![0; capacity]);
    let mut filled = 0;
    let mut file = file.take(longest + 1);
    loop {
        match file.read(content.get_mut(filled..).unwrap_or_default())? {
            0 => break,
            read => filled += read,
        }
    }
    if filled == capacity {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is too long"));
    }
    content.truncate(filled);
    Ok(content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use secrecy::ExposeSecret as _;

    use super::{super::reader::Mistakes, *};

    fn pin_of(folder: &Path, text: &str) -> Result<String, Vec<String>> {
        let mistakes = Mistakes::default();
        let pin = pin(&mut Reader::new(text.parse().unwrap(), folder, &mistakes));
        let mistakes: Vec<_> = mistakes
            .into_vec()
            .into_iter()
            .map(|m| format!("{}: {}", m.key, m.what))
            .collect();
        if mistakes.is_empty() {
            Ok(pin.unwrap().expose_secret().to_owned())
        } else {
            Err(mistakes)
        }
    }

    fn write(folder: &Path, mode: u32, content: &[u8]) {
        let path = folder.join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_pin_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0o600, b"s3cret\n");
        assert_eq!(
            pin_of(folder.path(), "pin_file = 'pin'"),
            Ok("s3cret".into())
        );
        for mode in [0o640, 0o604, 0o700, 0o660] {
            write(folder.path(), mode, b"s3cret\n");
            let mistakes = pin_of(folder.path(), "pin_file = 'pin'")
                .unwrap_err()
                .concat();
            assert!(
                mistakes.contains("lets others use it") && !mistakes.contains("s3cret"),
                "{mistakes}"
            );
        }
    }

    #[test]
    fn a_pin_is_one_short_line() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"\n", b"a\nb\n", b"\xff", &[b'x'; 300]] {
            write(folder.path(), 0o600, content);
            assert!(
                pin_of(folder.path(), "pin_file = 'pin'").is_err(),
                "{content:?}"
            );
        }
    }

    #[test]
    fn one_source_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            pin_of(folder.path(), ""),
            Err(vec!["pin_file: is missing".into()])
        );
        let both = pin_of(folder.path(), "pin_file = 'pin'\npin_fd = 3").unwrap_err();
        assert_eq!(both, ["pin_file: stands beside pin_fd"]);
        assert!(pin_of(folder.path(), "pin_fd = 0").is_err());
    }
}
