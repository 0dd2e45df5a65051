//! Owns the custodians document: which persons together may change what rules an institution.

use std::collections::HashSet;

use semops_pki::algorithm::{PublicKey, sha256};
use semops_pki::error::KeyError;
use serde::Deserialize;

use super::DocumentKind;
use super::document::DocumentName;
use super::person::{PersonId, Quorum, QuorumTooSmall};
use crate::error::Rule;
use crate::institution::InstitutionId;
use crate::key::KeyId;
use crate::payment::shown_name;

/// The longest custodians document, in octets.
pub const MAX_CUSTODIANS: usize = 256 << 10;

/// The most persons in one.
pub const MAX_PERSONS: usize = 64;

/// The most approval keys of one person.
const MAX_KEYS: usize = 4;

/// How long a recovery may have to wait, in hours.
const RECOVERY_HOURS: std::ops::RangeInclusive<u64> = 24..=720;

/// Whether a custodian's decisions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CustodianState {
    /// They do.
    Active,
    /// They do not, for now.
    Suspended,
}

/// One person of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custodian {
    person: PersonId,
    name: String,
    state: CustodianState,
    approval_keys: Vec<PublicKey>,
}

impl Custodian {
    /// The person's id.
    pub fn person(&self) -> &PersonId {
        &self.person
    }

    /// The person's name as people read it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the person's decisions count.
    pub fn state(&self) -> CustodianState {
        self.state
    }

    /// The keys that sign the person's decisions: one to four.
    pub fn approval_keys(&self) -> &[PublicKey] {
        &self.approval_keys
    }
}

/// What may replace the custodians when too few of them are left: a key that is kept sealed and offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    approval_key: PublicKey,
    delay: u64,
}

impl Recovery {
    /// The key.
    pub fn approval_key(&self) -> &PublicKey {
        &self.approval_key
    }

    /// How long a recovery waits after it was signed, in seconds.
    pub fn delay(&self) -> u64 {
        self.delay
    }
}

/// One version of an institution's register of custodians. There is none that could not reach its own quorum without
/// one of its active persons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custodians {
    institution: InstitutionId,
    version: u64,
    sha256: [u8; 32],
    quorum: Quorum,
    persons: Vec<Custodian>,
    recovery: Option<Recovery>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    institution: InstitutionId,
    version: u64,
    quorum: u8,
    #[serde(default)]
    custodian: Vec<PersonForm>,
    recovery: Option<RecoveryForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonForm {
    person: String,
    name: String,
    state: CustodianState,
    approval_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoveryForm {
    approval_key: String,
    delay_hours: u64,
}

/// Why a document is no register of custodians.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustodiansError {
    /// Its form is wrong.
    #[error("the custodians document is not accepted: {0}")]
    Form(String),
    /// The quorum is none.
    #[error("quorum: {0}")]
    Quorum(#[from] QuorumTooSmall),
    /// Too few persons would remain if one were missing.
    #[error("{active} active custodians for a quorum of {quorum}: at least {} must be active", u16::from(*.quorum) + 1)]
    TooFew {
        /// How many are active.
        active: usize,
        /// The quorum.
        quorum: u8,
    },
    /// More persons than a register holds.
    #[error("more than {MAX_PERSONS} custodians")]
    TooMany,
    /// What is said of a person is wrong.
    #[error("custodian {person:?}: {why}")]
    Person {
        /// The person, as written.
        person: String,
        /// What is wrong.
        why: PersonMistake,
    },
    /// The recovery key or its delay is wrong.
    #[error("recovery: {0}")]
    Recovery(PersonMistake),
}

/// What is wrong with what is said of a person, or of the recovery key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonMistake {
    /// Its id or its name.
    #[error("it {0}")]
    Text(Rule),
    /// The same id twice.
    #[error("it stands there twice")]
    Twice,
    /// The name under which the recovery key approves.
    #[error("this name is kept for the recovery key")]
    Reserved,
    /// No key, or too many.
    #[error("{0} approval keys: give 1 to {MAX_KEYS}")]
    Keys(usize),
    /// A key that is none.
    #[error("approval key {at}: {why}")]
    Key {
        /// Which, from 1.
        at: usize,
        /// What is wrong with it.
        why: KeyError,
    },
    /// A key that stands in the document already.
    #[error("approval key {at} stands in this document already")]
    KeyTwice {
        /// Which, from 1.
        at: usize,
    },
    /// A delay that is too short or too long.
    #[error("delay_hours must be 24 to 720")]
    Delay,
}

impl CustodiansError {
    /// A stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Quorum(_) => "QUORUM_TOO_SMALL",
            Self::TooFew { .. } => "TOO_FEW_CUSTODIANS",
            Self::Form(_) | Self::TooMany | Self::Person { .. } | Self::Recovery(_) => {
                "CUSTODIANS_INVALID"
            }
        }
    }
}

impl Custodians {
    /// Reads and checks a custodians document (TOML, UTF-8, at most 256 KiB).
    pub fn parse(bytes: &[u8]) -> Result<Self, CustodiansError> {
        let form = read(bytes)?;
        let quorum = Quorum::try_from(form.quorum)?;
        if form.custodian.len() > MAX_PERSONS {
            return Err(CustodiansError::TooMany);
        }
        let mut seen = Seen::default();
        let mut persons = Vec::with_capacity(form.custodian.len());
        for form in form.custodian {
            let person = form.person.clone();
            let read = seen.person(form);
            persons.push(read.map_err(|why| CustodiansError::Person { person, why })?);
        }
        let recovery = form.recovery.map(|form| seen.recovery(form)).transpose();
        let register = Self {
            institution: form.institution,
            version: form.version,
            sha256: sha256(bytes),
            quorum,
            persons,
            recovery: recovery.map_err(CustodiansError::Recovery)?,
        };
        let active = register.active().count();
        if active <= usize::from(quorum.get()) {
            let quorum = quorum.get();
            return Err(CustodiansError::TooFew { active, quorum });
        }
        Ok(register)
    }

    /// Whose custodians these are.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// The document's version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The SHA-256 of the document's exact bytes.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The document's name.
    pub fn document(&self) -> DocumentName {
        DocumentName {
            kind: DocumentKind::Custodians,
            version: self.version,
            sha256: self.sha256,
        }
    }

    /// How many distinct persons must approve a change.
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Every person, in the document's order.
    pub fn persons(&self) -> &[Custodian] {
        &self.persons
    }

    /// Those whose decisions count.
    pub fn active(&self) -> impl Iterator<Item = &Custodian> {
        let persons = self.persons.iter();
        persons.filter(|one| one.state == CustodianState::Active)
    }

    /// What may replace the custodians when too few of them are left.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// Whose approval key this is, and the key.
    pub fn holder(&self, kid: KeyId) -> Option<(&Custodian, &PublicKey)> {
        let keys = |one| std::iter::repeat(one).zip(Custodian::approval_keys(one));
        let mut all = self.persons.iter().flat_map(keys);
        all.find(|(_, key)| KeyId::of(key) == kid)
    }
}

fn read(bytes: &[u8]) -> Result<Form, CustodiansError> {
    let wrong = |why: &str| CustodiansError::Form(why.to_owned());
    if bytes.len() > MAX_CUSTODIANS {
        return Err(wrong("it is longer than 256 KiB"));
    }
    let text = str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let form: Form = toml::from_str(text).map_err(|error| wrong(error.message()))?;
    if form.version == 0 {
        return Err(wrong("version = 0: versions begin with 1"));
    }
    Ok(form)
}

/// The persons and keys of a document so far.
#[derive(Default)]
struct Seen {
    persons: HashSet<PersonId>,
    keys: HashSet<KeyId>,
}

impl Seen {
    fn person(&mut self, form: PersonForm) -> Result<Custodian, PersonMistake> {
        let person: PersonId = form.person.parse().map_err(PersonMistake::Text)?;
        if person.is_recovery() {
            return Err(PersonMistake::Reserved);
        }
        if !self.persons.insert(person.clone()) {
            return Err(PersonMistake::Twice);
        }
        if !(1..=MAX_KEYS).contains(&form.approval_keys.len()) {
            return Err(PersonMistake::Keys(form.approval_keys.len()));
        }
        let keys = form.approval_keys.iter().zip(1..);
        let keys: Result<_, _> = keys.map(|(pem, at)| self.key(pem, at)).collect();
        Ok(Custodian {
            person,
            name: shown_name(&form.name).map_err(PersonMistake::Text)?,
            state: form.state,
            approval_keys: keys?,
        })
    }

    fn key(&mut self, pem: &str, at: usize) -> Result<PublicKey, PersonMistake> {
        let key = PublicKey::from_spki_pem(pem).map_err(|why| PersonMistake::Key { at, why })?;
        if self.keys.insert(KeyId::of(&key)) {
            Ok(key)
        } else {
            Err(PersonMistake::KeyTwice { at })
        }
    }

    fn recovery(&mut self, form: RecoveryForm) -> Result<Recovery, PersonMistake> {
        if !RECOVERY_HOURS.contains(&form.delay_hours) {
            return Err(PersonMistake::Delay);
        }
        Ok(Recovery {
            approval_key: self.key(&form.approval_key, 1)?,
            delay: form.delay_hours * 3600,
        })
    }
}
