//! Changes of what rules an institution: its custodians' approval keys lie where the ceremony left them, and the operator
//! brings in what they have approved, beside a running server or not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use semops_objects::{
    InstitutionId,
    change::{
        Addition, Approval, Attachment, AttachmentKind, Base, ChangeFile, ChangeId, Decision,
        DocumentKind, DocumentName, Operation, PersonId, Proposal,
    },
    key::{KeyId, Purpose},
};
use semops_pki::{algorithm::sha256, certificate::Certificate, local_key::LocalKey};
use toml::{Table, Value};
use uuid::Uuid;

use crate::{
    custodian::{Custodian, Motion},
    deployment::{Deployment, unix_now},
    failure::Failure,
};

/// How long a proposal of these stands, seconds.
const STANDS: u64 = 3_600;

impl Deployment {
    /// A custodian of an institution, who began with it.
    ///
    /// # Errors
    /// The ceremony made no key for such a person.
    pub fn custodian(&self, institution: &str, person: &str) -> Result<Custodian, Failure> {
        let institution = id(institution)?;
        let person: PersonId = person.parse().map_err(Failure::during(person))?;
        let file = self.directory.approval_key(&institution, &person);
        let pem = fs::read_to_string(&file).map_err(Failure::during(file.display()))?;
        Ok(Custodian {
            institution,
            person,
            key: LocalKey::from_pkcs8_pem(&pem)?,
        })
    }

    /// All custodians who began with an institution, by their ids.
    ///
    /// # Errors
    /// There is no such institution.
    pub fn custodians(&self, institution: &str) -> Result<Vec<Custodian>, Failure> {
        let folder = self.directory.approval_keys(&id(institution)?);
        let mut persons = Vec::new();
        for file in fs::read_dir(&folder).map_err(Failure::during(folder.display()))? {
            let path = file?.path();
            let stem = path.file_stem().unwrap_or_default();
            persons.push(stem.to_string_lossy().into_owned());
        }
        persons.sort();
        let custodian = |person: &String| self.custodian(institution, person);
        persons.iter().map(custodian).collect()
    }

    /// What the next change of an institution follows, as the record has it.
    ///
    /// # Errors
    /// The institution has no history.
    pub fn base(&self, institution: &str) -> Result<Base, Failure> {
        let listed = self.run(&["change", "list", institution])?;
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let changes = listed.lines().map(words);
        let executed = |words: &Vec<String>| words.get(2).is_some_and(|state| state == "EXECUTED");
        let last = changes.into_iter().find(executed);
        let [sequence, id, ..] = last.as_deref().unwrap_or_default() else {
            let none = format!("{institution} has no history");
            return Err(Failure::new(none));
        };
        let (sequence, last): (u64, ChangeId) = (sequence.parse()?, id.parse()?);
        Ok(Base {
            scheme: self.scheme.name().to_owned(),
            institution: self::id(institution)?,
            sequence: sequence + 1,
            previous: Some(last),
        })
    }

    /// A proposal of an institution's next change, made now.
    ///
    /// # Errors
    /// The institution has no history.
    pub fn motion(&self, institution: &str, operation: Operation) -> Result<Motion, Failure> {
        let now = u64::try_from(unix_now()?)?;
        let nonce = Uuid::new_v4().into_bytes();
        let base = self.base(institution)?;
        Ok(Motion {
            proposal: Proposal::new(base, operation, nonce, now, now + STANDS)?,
            attachments: Vec::new(),
        })
    }

    /// The same of a key that signs for a purpose from now on, with its certificate.
    ///
    /// # Errors
    /// The institution has no history.
    pub fn addition(
        &self,
        institution: &str,
        purpose: Purpose,
        certificate: &Certificate,
    ) -> Result<Motion, Failure> {
        let addition = Addition {
            purpose,
            key: KeyId::of(certificate.public_key()),
            certificate: certificate.sha256(),
            activate_at: u64::try_from(unix_now()?)?,
        };
        let mut motion = self.motion(institution, Operation::AddKey(addition))?;
        motion.attachments.push(Attachment {
            kind: AttachmentKind::Certificate,
            content: certificate.to_pem(),
        });
        Ok(motion)
    }

    /// The same of a document, of which its own text says whose and which version it is.
    ///
    /// # Errors
    /// The institution has no history.
    pub fn document_motion(&self, kind: DocumentKind, text: &str) -> Result<Motion, Failure> {
        let head: Table = text.parse()?;
        let institution = head.get("institution").and_then(Value::as_str);
        let version = head.get("version").and_then(Value::as_integer);
        let name = DocumentName {
            kind,
            version: u64::try_from(version.unwrap_or_default())?,
            sha256: sha256(text.as_bytes()),
        };
        let operation = Operation::Document(name);
        let mut motion = self.motion(institution.unwrap_or_default(), operation)?;
        motion.attachments.push(Attachment {
            kind: AttachmentKind::Document(kind),
            content: text.to_owned(),
        });
        Ok(motion)
    }

    /// Writes the file of a change that these custodians approve; it is not brought in yet.
    ///
    /// # Errors
    /// A key cannot sign.
    pub fn change_file(
        &self,
        motion: &Motion,
        custodians: &[Custodian],
    ) -> Result<PathBuf, Failure> {
        let mut approvals = Vec::new();
        for custodian in custodians {
            let approval = custodian.decides(&motion.proposal, Decision::Approve)?;
            approvals.push(Approval::parse(&approval)?);
        }
        let name = format!("documents/change-{}.json", motion.proposal.id());
        let path = self.directory.path().join(name);
        let file = ChangeFile {
            proposal: motion.proposal.clone(),
            approvals,
            attachments: motion.attachments.clone(),
        };
        fs::write(&path, file.to_json())?;
        Ok(path)
    }

    /// Has as many custodians as must approve a change, and the operator bring it in. Gives what the operator reads.
    ///
    /// # Errors
    /// It is refused.
    pub fn bring(&self, motion: &Motion) -> Result<String, Failure> {
        let institution = motion.proposal.institution().as_str();
        let mut custodians = self.custodians(institution)?;
        custodians.truncate(2);
        let file = self.change_file(motion, &custodians)?;
        self.run(&["change", "load", &file.to_string_lossy()])
    }

    /// Has custodians put a document in force.
    ///
    /// # Errors
    /// It is refused.
    pub fn load(&self, kind: &str, document: &Path) -> Result<(), Failure> {
        let kind = kind.parse().map_err(Failure::during(kind))?;
        let motion = self.document_motion(kind, &fs::read_to_string(document)?)?;
        self.bring(&motion).map(drop)
    }

    /// The next version of a document: that of the first, edited by `edit`, and made version `version`.
    ///
    /// # Errors
    /// It is refused.
    pub fn load_next(
        &self,
        kind: &str,
        institution: &str,
        version: u64,
        edit: impl FnOnce(String) -> String,
    ) -> Result<(), Failure> {
        let kind = kind.parse().map_err(Failure::during(kind))?;
        let text = self.next_version(kind, institution, version, edit)?;
        self.bring(&self.document_motion(kind, &text)?).map(drop)
    }

    /// The text of that, in a file beside the first.
    ///
    /// # Errors
    /// There is no such document.
    pub fn next_version(
        &self,
        kind: DocumentKind,
        institution: &str,
        version: u64,
        edit: impl FnOnce(String) -> String,
    ) -> Result<String, Failure> {
        let first = self.directory.first_document(&id(institution)?, kind);
        let text = edit(fs::read_to_string(first)?);
        let numbered = text.replacen("version = 1", &format!("version = {version}"), 1);
        let kind = kind.name();
        let next = format!("documents/{institution}-{kind}-{version}.toml");
        fs::write(self.directory.path().join(next), &numbered)?;
        Ok(numbered)
    }
}

fn id(institution: &str) -> Result<InstitutionId, Failure> {
    institution.parse().map_err(Failure::during(institution))
}
