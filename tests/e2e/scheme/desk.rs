//! The desk of the scheme's custodians: `semopsctl scheme` in the directory, with the keys that the ceremony left there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs::{self, Watched},
    terminal::Said,
};
use semops_objects::{InstitutionId, change::PersonId};
use semops_pki::{
    certificate::Certificate,
    issuer::{Content, Issuer, root},
    local_key::LocalKey,
    signed::assemble,
};
use softhsm_setup::directory::{Directory, Hierarchy};

const DAY: i64 = 86_400;

pub(super) struct Desk {
    directory: Directory,
    scheme: String,
    oids: semops_pki::profile::Oids,
}

impl Desk {
    pub(super) fn new(deployment: &Deployment) -> Result<Self, Failure> {
        let scheme = deployment.scheme();
        Ok(Self {
            directory: deployment.directory().clone(),
            scheme: scheme.name().to_owned(),
            oids: *scheme.oids(),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.path(name))?)
    }

    /// The ceremony's file, as the configuration names it.
    pub(super) fn ceremony(&self) -> &'static str {
        "documents/scheme-ceremony.json"
    }

    /// The device root of the ceremony, PEM.
    pub(super) fn first(&self) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.directory.root(Hierarchy::Device))?)
    }

    /// Another root, PEM; it and its CRL are in files that begin with its name.
    pub(super) fn root(&self, name: &str) -> Result<String, Failure> {
        let key = LocalKey::generate()?;
        let now = unix_now()?;
        let content = Content {
            organization: "operator",
            public_key: key.public_key(),
            serial: [7; 16],
            not_before: now - DAY,
            not_after: now + 3_650 * DAY,
        };
        let tbs = root(&content, &format!("{name} root"), &self.oids)?;
        let der = assemble(tbs.bytes(), &key.sign(tbs.bytes())?);
        let root = Certificate::from_der(&der)?;
        let tbs = Issuer::new(root.clone())?.crl(1, now - DAY, now + DAY, &[])?;
        let crl = assemble(tbs.bytes(), &key.sign(tbs.bytes())?);
        fs::write(self.path(&format!("{name}-crl.der")), crl)?;
        fs::write(self.path(&format!("{name}.pem")), root.to_pem())?;
        Ok(root.to_pem())
    }

    /// Writes the next roots document.
    pub(super) fn roots(&self, version: u64, device: &[&str]) -> Result<(), Failure> {
        let signing = fs::read_to_string(self.directory.root(Hierarchy::Signing))?;
        let list = |roots: &[&str]| {
            let pems = roots.iter().map(|pem| format!("'''\n{pem}'''"));
            pems.collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "scheme = \"{}\"\nversion = {version}\ndevice_roots = [{}]\nsigning_roots = [{}]\n",
            self.scheme,
            list(device),
            list(&[&signing])
        );
        Ok(fs::write(
            self.path(&format!("documents/roots-{version}.toml")),
            text,
        )?)
    }

    /// The approval key of a custodian of the scheme.
    pub(super) fn key(&self, person: &str) -> Result<PathBuf, Failure> {
        let person: PersonId = person.parse().map_err(Failure::during(person))?;
        let id = InstitutionId::of_scheme();
        Ok(self.directory.approval_key(&id, &person))
    }

    pub(super) fn asks(&self, words: &[&str]) -> Result<Said, Failure> {
        let mut command = Command::new(&programs::ours(Watched::No)?.semopsctl);
        let output = command
            .arg("scheme")
            .args(words)
            .current_dir(self.directory.path())
            .output()?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    pub(super) fn propose(
        &self,
        what: &str,
        document: &str,
        out: &str,
        person: &str,
    ) -> Result<Said, Failure> {
        let key = shown(&self.key(person)?);
        let words = ["propose", what, document, "--changes", self.ceremony()];
        let rest = ["--out", out, "--approval-key", &key, "--yes"];
        self.asks(&[&words[..], &rest].concat())
    }

    pub(super) fn decides(&self, verb: &str, file: &str, person: &str) -> Result<Said, Failure> {
        self.signs(verb, file, &self.key(person)?)
    }

    /// With any key.
    pub(super) fn signs(&self, verb: &str, file: &str, key: &Path) -> Result<Said, Failure> {
        let key = shown(key);
        let words = [verb, file, "--changes", self.ceremony()];
        let rest = ["--approval-key", &key, "--yes"];
        self.asks(&[&words[..], &rest].concat())
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
