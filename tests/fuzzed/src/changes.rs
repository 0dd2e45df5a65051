//! What must hold of what changes are made of: proposal, approval, custodians document and change file.

use std::collections::BTreeSet;

use semops_objects::InstitutionId;
use semops_objects::change::{
    APPROVAL_TYP, Approval, Base, CeremonyKey, ChangeFile, ChangeId, Custodians, Decision,
    DocumentKind, DocumentName, KeyOperation, MAX_APPROVAL, MAX_CUSTODIANS, MAX_PERSONS,
    MAX_PROPOSAL, MAX_RECOVERY_VALIDITY, MIN_VALIDITY, Operation, Proposal,
};
use semops_objects::jws;
use semops_objects::key::{KeyId, Purpose};
use semops_pki::algorithm::{PublicKey, sha256};
use semops_pki::local_key::LocalKey;
use serde_json::Value;

use crate::Verdict::{self, Accepted, Refused};
use crate::material::{public, with_one_bit_changed};
use crate::objects::{no_bit_may_change, same_json, signed, three_ways};

/// When the changes of [`sample`] are made, in Unix seconds.
pub const TIME: u64 = 1_800_000_000;

/// What seeds and tests start from: an institution whose three custodians are the one key's holder and two others.
pub mod sample {
    use super::*;

    /// Whose it is.
    ///
    /// # Panics
    /// Never: it is an id.
    pub fn institution() -> InstitutionId {
        "alfa".parse().unwrap()
    }

    /// A register in which the one key is anna's.
    pub fn custodians(others: [&PublicKey; 2]) -> String {
        let [boris, chloe] = others;
        let persons = [("anna", public()), ("boris", boris), ("chloe", chloe)];
        let persons = persons.map(|(person, key)| {
            let pem = key.to_spki_pem();
            format!(
                "\n[[custodian]]\nperson = \"{person}\"\nname = \"{person} Å\"\nstate = \"active\"\napproval_keys = [\"\"\"\n{pem}\"\"\"]\n"
            )
        });
        format!(
            "institution = \"alfa\"\nversion = 1\nquorum = 2\n{}",
            persons.concat()
        )
    }

    /// What some history is the base of.
    pub fn base() -> Base {
        Base {
            sequence: 7,
            previous: Some(ChangeId::new([1; 32])),
            ..Base::of_ceremony("semops.example", institution())
        }
    }

    /// A proposal, good for a day.
    ///
    /// # Panics
    /// It is none.
    pub fn proposal(base: Base, operation: Operation) -> Proposal {
        Proposal::new(base, operation, [7; 16], TIME, TIME + 86_400).unwrap()
    }

    /// A proposal to suspend a key of the ceremony, which one person may approve.
    ///
    /// # Panics
    /// It is none.
    pub fn suspension(base: Base) -> Proposal {
        let (operation, key) = (KeyOperation::Suspend, KeyId::new([3; 32]));
        proposal(base, Operation::Key { operation, key })
    }

    /// The ceremony with this register.
    ///
    /// # Panics
    /// It is none.
    pub fn ceremony(custodians: &str) -> Proposal {
        let kind = DocumentKind::Custodians;
        let (_, custodians) = DocumentName::of(kind, custodians.as_bytes()).unwrap();
        let named = |kind| DocumentName {
            kind,
            version: 1,
            sha256: [9; 32],
        };
        let documents = [
            custodians,
            named(DocumentKind::Policy),
            named(DocumentKind::Trust),
            named(DocumentKind::Callers),
        ];
        let keys = Purpose::ALL.into_iter().zip(1..).map(|(purpose, at)| {
            let key = KeyId::new([at; 32]);
            CeremonyKey { key, purpose }
        });
        let keys = keys.collect();
        let base = Base::of_ceremony("semops.example", institution());
        proposal(base, Operation::Ceremony { documents, keys })
    }

    /// This person's approval of a proposal.
    ///
    /// # Panics
    /// It is none.
    pub fn approved(person: &str, key: &LocalKey, proposal: &Proposal) -> Approval {
        let kid = KeyId::of(key.public_key());
        let (person, id) = (person.parse().unwrap(), proposal.id());
        let input =
            Approval::signing_input(kid, &person, &institution(), id, Decision::Approve, TIME);
        let signature = key.sign_raw(input.as_bytes()).unwrap();
        Approval::parse(&jws::compact(&input, &signature)).unwrap()
    }

    /// The header of an approval by the one key.
    pub fn approval_header() -> String {
        let kid = KeyId::of(public());
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{APPROVAL_TYP}"}}"#)
    }

    /// anna's approval of a proposal, as what is signed.
    pub fn approval(of: ChangeId) -> String {
        format!(
            r#"{{"iat":{TIME},"iss":"anna","aud":"alfa","proposal_sha256":"{of}","decision":"approve"}}"#
        )
    }
}

/// A proposal.
pub fn proposal(bytes: &[u8]) -> Verdict {
    let Ok(proposal) = Proposal::parse(bytes) else {
        return Refused;
    };
    assert!(bytes.len() <= MAX_PROPOSAL);
    assert_eq!(proposal.bytes(), bytes);
    assert_eq!(proposal.id(), ChangeId::new(sha256(bytes)));
    let (iat, exp) = (proposal.iat(), proposal.exp());
    assert!((MIN_VALIDITY..=MAX_RECOVERY_VALIDITY).contains(&(exp - iat)));
    // What it says is what it is made of: nothing in its bytes is left over.
    let (base, operation) = (proposal.base().clone(), proposal.operation().clone());
    let again = Proposal::new(base, operation, *proposal.nonce(), iat, exp);
    assert_eq!(again.as_ref(), Ok(&proposal));
    let read: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(read["institution"], proposal.institution().as_str());
    assert_eq!(read["sequence"], proposal.sequence());
    assert_eq!(read["operation"]["name"], proposal.operation().name());
    let previous = proposal.previous().map(|id| Value::from(id.to_string()));
    assert_eq!(read.get("previous"), previous.as_ref());
    assert_eq!(proposal.operation().is_ceremony(), proposal.sequence() == 1);
    let of_scheme = matches!(proposal.operation(), Operation::Scheme(_));
    assert_eq!(of_scheme, proposal.institution().is_scheme());
    if let Ok(other) = Proposal::parse(&with_one_bit_changed(bytes)) {
        let parts = |one: &Proposal| {
            (
                one.base().clone(),
                one.operation().clone(),
                *one.nonce(),
                one.iat(),
                one.exp(),
            )
        };
        assert_ne!(parts(&other), parts(&proposal));
    }
    Accepted
}

/// An approval as text, as the payload of a good header, and as the header of a good payload.
pub fn approval(bytes: &[u8]) -> Verdict {
    let payload = sample::approval(ChangeId::new([1; 32]));
    let header = sample::approval_header();
    three_ways(bytes, header.as_bytes(), payload.as_bytes(), one_approval)
}

fn one_approval(text: &str) -> Verdict {
    let Ok(received) = Approval::parse(text) else {
        return Refused;
    };
    assert!(text.len() <= MAX_APPROVAL);
    assert_eq!(received.compact(), text);
    let input = Approval::signing_input(
        received.kid(),
        received.person(),
        received.institution(),
        received.proposal(),
        received.decision(),
        received.iat(),
    );
    let again = Approval::parse(&signed(&input)).unwrap();
    assert!(again.verify(public()).is_ok());
    assert_eq!(
        (again.person(), again.proposal(), again.decision()),
        (received.person(), received.proposal(), received.decision())
    );
    same_json(text.rsplit_once('.').unwrap().0, &input);
    if received.verify(public()).is_ok() {
        no_bit_may_change(text, |text| {
            Approval::parse(text).is_ok_and(|approval| approval.verify(public()).is_ok())
        });
    }
    Accepted
}

/// A custodians document.
pub fn custodians(bytes: &[u8]) -> Verdict {
    let register = match Custodians::parse(bytes) {
        Ok(register) => register,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.reason().is_empty());
            return Refused;
        }
    };
    assert!(bytes.len() <= MAX_CUSTODIANS && register.persons().len() <= MAX_PERSONS);
    let quorum = usize::from(register.quorum().get());
    assert!(quorum >= 2 && register.active().count() > quorum);
    let persons: BTreeSet<_> = register.persons().iter().map(|one| one.person()).collect();
    assert_eq!(persons.len(), register.persons().len());
    let mut keys = BTreeSet::new();
    for custodian in register.persons() {
        assert!((1..=4).contains(&custodian.approval_keys().len()));
        for key in custodian.approval_keys() {
            assert!(keys.insert(KeyId::of(key)));
            let (holder, found) = register.holder(KeyId::of(key)).unwrap();
            assert_eq!((holder.person(), found), (custodian.person(), key));
        }
    }
    let recovery = register.recovery().map(|one| KeyId::of(one.approval_key()));
    assert!(recovery.is_none_or(|key| keys.insert(key) && register.holder(key).is_none()));
    let (institution, name) = DocumentName::of(DocumentKind::Custodians, bytes).unwrap();
    assert_eq!(
        (&institution, name),
        (register.institution(), register.document())
    );
    // White space says nothing, and yet it is another document.
    let longer = Custodians::parse(&[bytes, b"\n"].concat());
    assert!(longer.is_ok_and(|other| other.sha256() != register.sha256()));
    assert!(Custodians::parse(&[b"surprise = 1\n", bytes].concat()).is_err());
    Accepted
}

/// A change file.
pub fn change_file(bytes: &[u8]) -> Verdict {
    let Ok(file) = ChangeFile::parse(bytes) else {
        return Refused;
    };
    assert!(file.approvals.len() <= MAX_PERSONS);
    let written = file.to_json();
    assert_eq!(ChangeFile::parse(written.as_bytes()).as_ref(), Ok(&file));
    // Another reader finds the same members in both.
    let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
    assert_eq!(read(bytes), read(written.as_bytes()));
    assert_eq!(proposal(file.proposal.bytes()), Accepted);
    if file.proposal.check_attachments(&file.attachments).is_ok() {
        let kinds: BTreeSet<_> = file.attachments.iter().map(|one| one.kind).collect();
        let named: BTreeSet<_> = file
            .proposal
            .operation()
            .attachments()
            .into_iter()
            .collect();
        assert_eq!((kinds.len(), &kinds), (file.attachments.len(), &named));
    }
    Accepted
}
