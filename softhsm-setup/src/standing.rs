//! Owns reading a standing directory back, for a ceremony that comes later: what its `signer.toml` says now, the root
//! keys that were brought back, and what its institutions show to those who trust them.

mod config;

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use const_oid::ObjectIdentifier;
use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use semops_pki::crl::CertificateRevocationList;
use semops_pki::profile::Oids;

use self::config::{Config, Member};
use crate::directory::{Directory, Hierarchy, at};
use crate::documents::trust::{Credentials, Trust};
use crate::error::SetupError;
use crate::files::{content, read_certificate, read_crl, read_key, read_leaf};
use crate::roots::{Root, Roots};
use crate::scheme::Ground;

/// The variable that names SoftHSM's configuration.
pub(crate) const SOFTHSM2_CONF: &str = "SOFTHSM2_CONF";

/// A standing directory.
pub(crate) struct Standing {
    pub(crate) directory: Directory,
    /// The text of `signer.toml`.
    pub(crate) text: String,
    config: Config,
}

/// One token of an institution.
pub(crate) struct OwnToken<'a> {
    pub(crate) label: &'a str,
    /// The file with its PIN.
    pub(crate) pin_file: PathBuf,
}

/// What an institution shows to those who trust it, as fresh as the directory knows it.
pub(crate) struct Shown {
    pub(crate) institution: InstitutionId,
    signing_ca: Certificate,
    pub(crate) signing_ca_crl: CertificateRevocationList,
    authorization: Certificate,
}

impl Shown {
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            institution: self.institution.as_str(),
            signing_ca: &self.signing_ca,
            signing_ca_crl: &self.signing_ca_crl,
            authorization: &self.authorization,
        }
    }
}

impl Standing {
    /// The directory that `init` made at `path`.
    ///
    /// # Errors
    /// [`SetupError::NotStanding`], or that `signer.toml` is not what it should be.
    pub(crate) fn read(path: &Path) -> Result<Self, SetupError> {
        let directory = Directory::open(path)?;
        let file = directory.config();
        let text = fs::read_to_string(&file).map_err(at(&file))?;
        let config =
            toml::from_str(&text).map_err(|error| content(&file, &error.to_string().trim_end()))?;
        let standing = Self {
            directory,
            text,
            config,
        };
        standing.check_tokens()?;
        Ok(standing)
    }

    /// A directory that was moved names its tokens where they were.
    fn check_tokens(&self) -> Result<(), SetupError> {
        let path = self.directory.softhsm_configuration();
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let tokens = self.directory.tokens();
        let named = text.lines().filter_map(|line| line.split_once('='));
        let mut named = named.filter(|(name, _)| name.trim() == "directories.tokendir");
        if !named.any(|(_, value)| Path::new(value.trim()) == tokens) {
            let what = format!("its directories.tokendir must be {}", tokens.display());
            return Err(content(&path, &what));
        }
        let environment = &self.config.hsm.environment.softhsm2_conf;
        if environment.as_ref().is_some_and(|named| *named != path) {
            let what = format!(
                "[hsm.environment] {SOFTHSM2_CONF} must be {}",
                path.display()
            );
            return Err(content(&self.directory.config(), &what));
        }
        Ok(())
    }

    /// The ids of its institutions.
    pub(crate) fn ids(&self) -> Vec<InstitutionId> {
        let members = self.config.institution.iter();
        members.map(|member| member.id.clone()).collect()
    }

    /// The labels of all tokens.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.config.institution.iter().flat_map(Member::tokens)
    }

    /// One of its institutions.
    pub(crate) fn member(&self, id: &InstitutionId) -> Result<&Member, SetupError> {
        let mut members = self.config.institution.iter();
        members
            .find(|member| member.id == *id)
            .ok_or_else(|| SetupError::Unknown(format!("institution {id}")))
    }

    /// Of a member's device CA, signing CA and authorization key.
    pub(crate) fn certificates(&self, id: &InstitutionId) -> Result<[Certificate; 3], SetupError> {
        let member = self.member(id)?;
        Ok([
            read_certificate(&self.path(&member.device_ca.certificate))?,
            read_certificate(&self.path(&member.signing_ca.certificate))?,
            read_leaf(&self.path(&member.authorization.chain))?,
        ])
    }

    /// Whether the history of the scheme has begun.
    pub(crate) fn names_scheme_changes(&self) -> bool {
        self.config.roots.changes.is_some()
    }

    /// The token of an institution with this label; its first one, if none is named.
    pub(crate) fn token(
        &self,
        institution: &InstitutionId,
        label: Option<&InstitutionId>,
    ) -> Result<OwnToken<'_>, SetupError> {
        let member = self.member(institution)?;
        let further = member.further_token.iter();
        let further = further.map(|further| (&further.token, &further.pin_file));
        let mut tokens = iter::once((&member.token, &member.pin_file)).chain(further);
        let label = label.map_or(member.token.as_str(), InstitutionId::as_str);
        let (label, file) = tokens
            .find(|(known, _)| *known == label)
            .ok_or_else(|| SetupError::Unknown(format!("token {label} of {institution}")))?;
        let file = file.as_ref().map(|file| self.path(file));
        let pin_file =
            file.ok_or_else(|| SetupError::Unknown(format!("pin_file of the token {label}")))?;
        Ok(OwnToken { label, pin_file })
    }

    /// The PKCS#11 module.
    pub(crate) fn module(&self) -> PathBuf {
        self.path(&self.config.hsm.module)
    }

    /// Sessions of the signer on each token.
    pub(crate) fn threads(&self) -> u32 {
        self.config.hsm.threads
    }

    fn path(&self, relative: &Path) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// What its institutions stand on: from `signer.toml`, and from the server's certificate.
    pub(crate) fn ground(&self) -> Result<Ground, SetupError> {
        let config = &self.config;
        let file = self.path(&config.grpc.certificate);
        let server = read_leaf(&file)?;
        let prefix = format!("spiffe://{}/", config.scheme);
        let mut names = server.uri_sans().iter().filter_map(|uri| {
            let (operator, server) = uri.strip_prefix(&prefix)?.split_once("/server/")?;
            Some((operator.parse().ok()?, server.to_owned()))
        });
        let (operator, server) = names
            .next()
            .ok_or_else(|| content(&file, &format!("names no {prefix}<operator>/server/<name>")))?;
        Ok(Ground {
            name: config.scheme.clone(),
            operator,
            server,
            public_base_url: config.public_base_url.clone(),
            grpc: config.grpc.listen,
            module: self.module(),
            oids: self.oids()?,
        })
    }

    fn oids(&self) -> Result<Oids, SetupError> {
        let oids = &self.config.oids;
        let oid = |text: &str| {
            ObjectIdentifier::new(text)
                .map_err(|error| content(&self.directory.config(), &format!("{text}: {error}")))
        };
        Ok(Oids {
            device_eku: oid(&oids.device_eku)?,
            authorization_eku: oid(&oids.authorization_eku)?,
            audit_eku: oids.audit_eku.as_deref().map(oid).transpose()?,
            statement_eku: oids.statement_eku.as_deref().map(oid).transpose()?,
            device_policy: oid(&oids.device_policy)?,
        })
    }

    /// The roots, whose keys must be back in `offline`.
    pub(crate) fn roots(&self) -> Result<Roots, SetupError> {
        let all = [Hierarchy::Device, Hierarchy::Signing, Hierarchy::Tls];
        let keys = all.map(|hierarchy| self.directory.root_key(hierarchy));
        let missing: Vec<_> = keys.into_iter().filter(|key| !key.is_file()).collect();
        if !missing.is_empty() {
            return Err(SetupError::NoRootKeys(missing));
        }
        let root = |hierarchy| self.root(hierarchy, self.root_certificate(hierarchy));
        Ok(Roots {
            device: root(Hierarchy::Device)?,
            signing: root(Hierarchy::Signing)?,
            tls: root(Hierarchy::Tls)?,
            signing_crl: read_crl(&self.path(&self.config.roots.signing.crl))?,
        })
    }

    /// The root of one hierarchy, whose key must be back in `offline`.
    pub(crate) fn root_of(&self, hierarchy: Hierarchy) -> Result<Root, SetupError> {
        let key = self.directory.root_key(hierarchy);
        if !key.is_file() {
            return Err(SetupError::NoRootKeys(vec![key]));
        }
        self.root(hierarchy, self.root_certificate(hierarchy))
    }

    /// The certificate of the root of one hierarchy.
    pub(crate) fn certificate_of_root(
        &self,
        hierarchy: Hierarchy,
    ) -> Result<Certificate, SetupError> {
        read_certificate(&self.path(self.root_certificate(hierarchy)))
    }

    /// Where the CRL of the root of one hierarchy is. `signer.toml` names none of the TLS root, which nobody asks for.
    pub(crate) fn root_crl(&self, hierarchy: Hierarchy) -> PathBuf {
        match hierarchy {
            Hierarchy::Device => self.path(&self.config.roots.device.crl),
            Hierarchy::Signing => self.path(&self.config.roots.signing.crl),
            Hierarchy::Tls => self.directory.root_crl(hierarchy),
        }
    }

    fn root_certificate(&self, hierarchy: Hierarchy) -> &Path {
        match hierarchy {
            Hierarchy::Device => &self.config.roots.device.certificate,
            Hierarchy::Signing => &self.config.roots.signing.certificate,
            Hierarchy::Tls => &self.config.grpc.client_root,
        }
    }

    fn root(&self, hierarchy: Hierarchy, certificate: &Path) -> Result<Root, SetupError> {
        let file = self.directory.root_key(hierarchy);
        let key = read_key(&file)?;
        let path = self.path(certificate);
        let certificate = read_certificate(&path)?;
        if key.public_key() != certificate.public_key() {
            let what = format!(
                "is not the key of {}: put back the right one",
                path.display()
            );
            return Err(content(&file, &what));
        }
        Ok(Root::standing(hierarchy, key, certificate))
    }

    /// The trust document of an institution that the next one follows: the one in force, or a newer one that is written
    /// but not loaded yet.
    pub(crate) fn newest_trust(
        &self,
        id: &InstitutionId,
        in_force: Option<Trust>,
    ) -> Result<Trust, SetupError> {
        let mut newest = in_force;
        let first = format!("{id}-trust.toml");
        let later = format!("{id}-trust-");
        let folder = self.directory.documents();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_later = || name.starts_with(&later) && name.ends_with(".toml");
            if *name != *first && !is_later() {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(at(&path))?;
            let trust = Trust::parse(&text)
                .map_err(|what| content(&path, &format!("no trust document: {what}")))?;
            let newer = newest
                .as_ref()
                .is_none_or(|n| n.version() < trust.version());
            if trust.institution() == id.as_str() && newer {
                newest = Some(trust);
            }
        }
        newest.ok_or_else(|| SetupError::Unknown(format!("trust document of {id}")))
    }

    /// What an institution shows, with the newest CRL of its signing CA that it, or one of these documents, holds.
    pub(crate) fn shown(&self, id: &InstitutionId, known: &[Trust]) -> Result<Shown, SetupError> {
        let member = self.member(id)?;
        let signing_ca = read_certificate(&self.path(&member.signing_ca.certificate))?;
        let first = read_crl(&self.path(&member.signing_ca.crl))?;
        let later = known.iter().flat_map(|trust| trust.crls_of(&signing_ca));
        let newest = later.fold(first, |newest, crl| {
            if newest.number() < crl.number() {
                crl
            } else {
                newest
            }
        });
        Ok(Shown {
            institution: id.clone(),
            signing_ca_crl: newest,
            authorization: read_leaf(&self.path(&member.authorization.chain))?,
            signing_ca,
        })
    }
}
