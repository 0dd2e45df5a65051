//! Owns the ceremony of what was set up before there were custodians: institutions begin their history with the documents that
//! are in force, the scheme with its roots. `signer.toml` then names the ceremonies; they come into the record last.

use std::fs;
use std::path::{Path, PathBuf};

use semops_objects::change::{CeremonyKey, DocumentKind};
use semops_objects::institution::InstitutionId;
use semops_objects::key::{KeyId, Purpose};
use semops_pki::certificate::Certificate;
use serde::Deserialize;
use toml::Spanned;

use crate::add::{check_owner, lock};
use crate::ceremony::{Ceremony, Edge, Progress};
use crate::custodians::{self, First, NAMED};
use crate::directory::{Directory, Hierarchy, at};
use crate::documents;
use crate::error::SetupError;
use crate::files::{content, replace};
use crate::founding;
use crate::made::Access;
use crate::record::{InForce, Record};
use crate::scheme::{Custody, Register};
use crate::standing::Standing;

/// Has whomever `text` names rule what stands in the directory at `path`: makes their keys, their ceremonies, which they all
/// approve, and the lines of `signer.toml` that name these, and loads them.
///
/// # Errors
/// [`SetupError`]; the directory is then as it was, unless it is [`SetupError::NotLoaded`].
pub fn take_custody(
    path: &Path,
    text: &str,
    edge: &Edge,
    progress: &mut Progress<'_>,
) -> Result<Custody, SetupError> {
    let directory = Directory::open(path)?;
    check_owner(directory.path())?;
    let _locked = lock(&directory)?;
    let standing = Standing::read(path)?;
    let custody = Custody::parse(text, &standing.ids())?;
    let signer = edge.signer.as_deref();
    let signer = signer.ok_or_else(|| SetupError::NoSigner(PathBuf::from("signer")))?;
    let record = Record::new(signer, directory.config())?;
    let ground = standing.ground()?;
    let mut ceremony = Ceremony::new(&ground, &directory, edge, progress)?;
    let taking = Taking {
        standing: &standing,
        custody: &custody,
        record: &record,
    };
    match taking.make(&mut ceremony) {
        Ok(()) => taking.load(&mut ceremony).map(|()| custody),
        Err(error) => Err(ceremony.fail(error)),
    }
}

struct Taking<'a> {
    standing: &'a Standing,
    custody: &'a Custody,
    record: &'a Record,
}

impl Taking<'_> {
    /// Everything but the record.
    fn make(&self, ceremony: &mut Ceremony<'_>) -> Result<(), SetupError> {
        let in_force = self.record.in_force()?;
        let ids = self.custody.institutions().iter().map(|(id, _)| id);
        for id in ids {
            self.check_none(id, &in_force)?;
        }
        if self.custody.scheme().is_some() && self.standing.names_scheme_changes() {
            return Err(SetupError::HasHistory(InstitutionId::of_scheme()));
        }
        let folder = ceremony.directory.custodians_folder();
        if !folder.is_dir() {
            ceremony.folder(&folder)?;
        }
        for (id, register) in self.custody.institutions() {
            self.begin(ceremony, id, register, &in_force)?;
        }
        if let Some(register) = self.custody.scheme() {
            let root = |hierarchy| self.standing.certificate_of_root(hierarchy);
            let (device, signing) = (root(Hierarchy::Device)?, root(Hierarchy::Signing)?);
            founding::write(ceremony, register, &device, &signing)?;
        }
        self.configure(ceremony)
    }

    /// Nobody begins twice.
    fn check_none(&self, id: &InstitutionId, in_force: &[InForce]) -> Result<(), SetupError> {
        let mut documents = in_force.iter();
        let recorded = documents.any(|one| one.is(DocumentKind::Custodians, id));
        if recorded || self.standing.member(id)?.names_ceremony() {
            return Err(SetupError::HasHistory(id.clone()));
        }
        Ok(())
    }

    /// The ceremony of an institution, with the documents that the record has in force.
    fn begin(
        &self,
        ceremony: &mut Ceremony<'_>,
        id: &InstitutionId,
        register: &Register,
        in_force: &[InForce],
    ) -> Result<(), SetupError> {
        let keys = self.keys(id)?;
        let approval_keys = custodians::make(ceremony, id, register)?;
        let written = documents::custodians(id, 1, register.quorum(), &approval_keys);
        let path = ceremony.directory.custodians(id);
        ceremony.write(&path, Access::All, written.as_bytes())?;
        let first = |kind| self.first(id, kind, &written, in_force);
        let [custodians, policy, trust, callers] = NAMED.map(first);
        let documents = [custodians?, policy?, trust?, callers?];
        custodians::write(ceremony, id, &documents, keys, &approval_keys)?;
        ceremony.say(&format!(
            "{id}: its ceremony, with the documents in force, is {}",
            ceremony.directory.ceremony(id).display()
        ))
    }

    fn first(
        &self,
        id: &InstitutionId,
        kind: DocumentKind,
        register: &str,
        in_force: &[InForce],
    ) -> Result<First, SetupError> {
        if kind == DocumentKind::Custodians {
            let text = register.to_owned();
            return Ok(First {
                kind,
                version: 1,
                text,
            });
        }
        let mut documents = in_force.iter();
        let found = documents.find(|document| document.is(kind, id));
        let found = found
            .ok_or_else(|| SetupError::Unknown(format!("{} of {id} in force", kind.name())))?;
        Ok(First {
            kind,
            version: found.version(),
            text: self.record.document(kind, id)?,
        })
    }

    fn keys(&self, id: &InstitutionId) -> Result<Vec<CeremonyKey>, SetupError> {
        let [device_ca, signing_ca, authorization] = self.standing.certificates(id)?;
        let key = |(purpose, certificate): (Purpose, Certificate)| CeremonyKey {
            key: KeyId::of(certificate.public_key()),
            purpose,
        };
        let certified = [
            (Purpose::DeviceCa, device_ca),
            (Purpose::SigningCa, signing_ca),
            (Purpose::Authorization, authorization),
        ];
        Ok(certified.map(key).into())
    }

    /// Has the signer check the configuration that will be, and puts it in the place of the one that is.
    fn configure(&self, ceremony: &mut Ceremony<'_>) -> Result<(), SetupError> {
        let directory = ceremony.directory;
        let config = directory.config();
        let text = edited(&self.standing.text, self.custody);
        let text = text.map_err(|what| content(&config, &what))?;
        let unfinished = directory.unfinished_config();
        ceremony.write(&unfinished, Access::All, text.as_bytes())?;
        Record::new(self.record.signer(), unfinished.clone())?.check_config()?;
        ceremony.say("configuration: the signer accepts it")?;
        ceremony.remove(&unfinished)?;
        if fs::read(&config).map_err(at(&config))? != self.standing.text.as_bytes() {
            let what = "somebody changed it meanwhile: begin again";
            return Err(content(&config, &what));
        }
        replace(&config, text.as_bytes())
    }

    /// A history that has begun cannot be taken back: from here on everything stays.
    fn load(&self, ceremony: &mut Ceremony<'_>) -> Result<(), SetupError> {
        let mut left = self.custody.institutions().iter().map(|(id, _)| id);
        while let Some(id) = left.next() {
            let path = ceremony.directory.ceremony(id);
            if let Err(source) = self.record.begin(id, &path) {
                let rest = left.map(|id| ceremony.directory.ceremony(id));
                return Err(SetupError::NotLoaded {
                    source: Box::new(source),
                    left: [path].into_iter().chain(rest).collect(),
                });
            }
            let _ = ceremony.say(&format!("{id}: its ceremony is in the record"));
        }
        Ok(())
    }
}

/// Where the tables of institutions say whose they are.
#[derive(Deserialize)]
struct Places {
    institution: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    id: Spanned<InstitutionId>,
    ceremony: Option<PathBuf>,
}

const BY_HAND: &str =
    "cannot be edited here: write each [[institution]] and [roots] as a table of its own";

/// The configuration that names the ceremonies too. All else of it stays as it is, comments too.
fn edited(text: &str, custody: &Custody) -> Result<String, String> {
    let places: Places = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut edits = Vec::new();
    for (id, _) in custody.institutions() {
        let mut places = places.institution.iter();
        let place = places
            .find(|place| place.id.get_ref() == id)
            .ok_or(BY_HAND)?;
        let line = format!("ceremony = \"documents/{id}-ceremony.json\"\n");
        edits.push((line_after(text, place.id.span().end)?, line));
    }
    if custody.scheme().is_some() {
        let id = InstitutionId::of_scheme();
        let line = format!("changes = [\"documents/{id}-ceremony.json\"]\n");
        edits.push(roots_line(text, line).ok_or(BY_HAND)?);
    }
    edits.sort_by_key(|(place, _)| *place);
    let mut edited = text.to_owned();
    for (place, line) in edits.iter().rev() {
        edited.insert_str(*place, line);
    }
    let read: Result<Places, _> = toml::from_str(&edited);
    let named = |places: Places| {
        custody.institutions().iter().all(|(id, _)| {
            let mut places = places.institution.iter();
            places.any(|place| place.id.get_ref() == id && place.ceremony.is_some())
        })
    };
    let named = read.is_ok_and(named);
    named.then_some(edited).ok_or_else(|| BY_HAND.to_owned())
}

/// Where the line after this place begins.
fn line_after(text: &str, place: usize) -> Result<usize, String> {
    let rest = text.get(place..).unwrap_or_default();
    let end = rest.find('\n').ok_or(BY_HAND)?;
    Ok(place.saturating_add(end).saturating_add(1))
}

/// In the table `[roots]`, which may be there by the tables in it alone.
fn roots_line(text: &str, line: String) -> Option<(usize, String)> {
    let mut place = 0_usize;
    for one in text.split_inclusive('\n') {
        let after = place.saturating_add(one.len());
        let header = one.split('#').next().unwrap_or_default().trim();
        if header == "[roots]" {
            return Some((after, line));
        }
        if header.starts_with("[roots.") {
            return Some((place, format!("[roots]\n{line}\n")));
        }
        place = after;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn custody() -> Custody {
        let three = "custodians = [\"a\", \"b\", \"c\"]\n";
        let text = format!("[scheme]\n{three}[[institution]]\nid = \"beta\"\n{three}");
        Custody::parse(&text, &["beta".parse().unwrap()]).unwrap()
    }

    #[test]
    fn the_configuration_keeps_every_line() {
        let tables = "[roots.device]\ncrl = \"x\"\n[[institution]]\nid = \"alfa\"\n[[institution]] # b\nid = \"beta\" # it\ntoken = \"t\"\n";
        for before in [tables.to_owned(), format!("[roots] # all\n{tables}")] {
            let after = edited(&before, &custody()).unwrap();
            let mut lines = after.lines();
            assert!(before.lines().all(|line| lines.any(|other| other == line)));
            let read: toml::Table = after.parse().unwrap();
            assert_eq!(read["roots"]["changes"].as_array().unwrap().len(), 1);
            let ceremony = |at: usize| read["institution"][at].get("ceremony").cloned();
            assert_eq!(ceremony(0), None);
            let named = ceremony(1).unwrap();
            assert_eq!(named.as_str(), Some("documents/beta-ceremony.json"));
        }
        for odd in [
            "roots = { device = 1 }\n[[institution]]\nid = \"beta\"\n",
            "institution = [{ id = \"beta\" }]\n[roots]\n",
            "[roots]\n",
        ] {
            assert!(edited(odd, &custody()).is_err(), "{odd}");
        }
    }
}
