//! The evidence that an institution keeps when it leaves: what was approved, what each key signed, which certificates and
//! CRLs say so, verified before any of it is saved.

use std::collections::BTreeSet;

use semops_objects::{
    change::{ChangeFile, DocumentKind, Standing},
    key::KeyId,
};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::v1::{self, Authority, GetCrlRequest, SignedKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        entry::{self, Entry},
        export,
    },
    folder::Files,
};
use crate::{
    commands::{change::Desk, enroll::parse_chain, keys::compromise::signed::Signed},
    custody::{Untrue, history::History, service},
    failure::Failure,
};

/// The file of a key's certificate and those above it, without the root.
pub(super) const CHAIN: &str = "chain.pem";

/// What was collected.
pub(super) enum Collected {
    /// All of it.
    Whole(Files),
    /// Something is not settled yet, and what.
    NotYet(String),
}

/// The offline roots that the trust document in force names.
struct Roots {
    device: Certificate,
    signing: Certificate,
}

/// What a key is evidenced by.
struct Key<'a> {
    id: KeyId,
    shown: &'a v1::Key,
    chain: Vec<Certificate>,
    signed: Signed,
}

/// Everything, as it stands with the service now.
pub(super) async fn collect(
    history: &History,
    shown: &[v1::Key],
    desk: &Desk<'_>,
) -> Result<Collected, Failure> {
    let standing = history.standing();
    let mut files = Files::new();
    changes(&mut files, history, desk).await?;
    documents(&mut files, standing, desk).await?;
    register(&mut files, standing, desk).await?;
    let roots = roots(&mut files, standing, desk).await?;
    for (id, _) in standing.keys() {
        let found = shown.iter().find(|key| key.key_id == id.to_string());
        let found = found.ok_or_else(|| Untrue::new(format!("it does not show key {id}")))?;
        let key = Key {
            id,
            shown: found,
            chain: parse_chain(&found.certificate_chain)?,
            signed: Signed::fetch(id, 0, desk).await?,
        };
        if let Err(why) = key.add(&mut files, standing, &roots, desk).await? {
            return Ok(Collected::NotYet(why));
        }
    }
    Ok(Collected::Whole(files))
}

/// Each change with its approvals and documents: `semopsctl custodian verify` takes them in this order.
async fn changes(files: &mut Files, history: &History, desk: &Desk<'_>) -> Result<(), Failure> {
    for executed in history.executed() {
        let told = &executed.told;
        let (_, attachments) = service::shown(told.id(), desk.client).await?;
        told.proposal
            .check_attachments(&attachments)
            .map_err(|refusal| Untrue::new(refusal.to_string()))?;
        let name = format!("changes/{:06}.json", told.proposal.sequence());
        let file = ChangeFile {
            proposal: told.proposal.clone(),
            approvals: told.approvals.clone(),
            attachments,
        };
        files.insert(name, file.to_json().into_bytes());
    }
    Ok(())
}

async fn documents(files: &mut Files, standing: &Standing, desk: &Desk<'_>) -> Result<(), Failure> {
    for kind in DocumentKind::ALL {
        let name = standing.document(kind);
        let text = service::document(name, desk.client).await?;
        let file = format!("documents/{}-{}.toml", kind.name(), name.version);
        files.insert(file, text.into_bytes());
    }
    Ok(())
}

async fn register(files: &mut Files, standing: &Standing, desk: &Desk<'_>) -> Result<(), Failure> {
    let entries = export::entries(standing, desk.client, desk.now()).await?;
    files.insert("register.csv".to_owned(), entry::csv(&entries).into_bytes());
    let all: Vec<Value> = entries.iter().map(Entry::json).collect();
    let register = json!({
        "institution": standing.institution().as_str(),
        "sequence": standing.sequence(),
        "last_change": standing.last().to_string(),
        "saved_at": desk.now(),
        "entries": all,
    });
    let text = format!("{register}\n");
    files.insert("register.json".to_owned(), text.into_bytes());
    Ok(())
}

/// The roots with their CRLs.
async fn roots(files: &mut Files, standing: &Standing, desk: &Desk<'_>) -> Result<Roots, Failure> {
    #[derive(Deserialize)]
    struct Trust {
        device_root: String,
        signing_root: String,
    }
    let name = standing.document(DocumentKind::Trust);
    let text = service::document(name, desk.client).await?;
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::from(Untrue::new(format!("the trust document: {why}")))
    };
    let trust: Trust = toml::from_str(&text).map_err(|error| unreadable(&error))?;
    let read = |pem: &str| Certificate::from_pem(pem).map_err(|error| unreadable(&error));
    let roots = Roots {
        device: read(&trust.device_root)?,
        signing: read(&trust.signing_root)?,
    };
    for (stem, root, authority) in [
        ("device-root", &roots.device, Authority::DeviceRoot),
        ("signing-root", &roots.signing, Authority::SigningRoot),
    ] {
        let crl = crl(
            GetCrlRequest {
                authority: authority.into(),
                ..GetCrlRequest::default()
            },
            root,
            desk,
        )
        .await?;
        let pem = root.to_pem().into_bytes();
        files.insert(format!("roots/{stem}.pem"), pem);
        files.insert(format!("roots/{stem}-crl.der"), crl.der().to_vec());
    }
    Ok(roots)
}

/// The newest CRL of a CA, by that CA.
async fn crl(
    request: GetCrlRequest,
    ca: &Certificate,
    desk: &Desk<'_>,
) -> Result<CertificateRevocationList, Failure> {
    let sent = desk.client.get_crl(request).await?.crl;
    let crl = CertificateRevocationList::from_der(&sent)
        .map_err(|error| Failure::bad_answer(format!("a CRL: {error}")))?;
    crl.verify_issued_by(ca)
        .map_err(|error| Failure::untrue(format!("a CRL: {error}")))?;
    Ok(crl)
}

impl Key<'_> {
    /// What there is of it; or why that is not complete yet.
    async fn add(
        &self,
        files: &mut Files,
        standing: &Standing,
        roots: &Roots,
        desk: &Desk<'_>,
    ) -> Result<Result<(), String>, Failure> {
        let folder = format!("keys/{}", self.id);
        if !self.signed.complete {
            return Ok(Err(format!(
                "something that key {} began is under way: again in a minute",
                self.id
            )));
        }
        for (name, text) in self.signed.texts() {
            files.insert(format!("{folder}/{name}"), text.into_bytes());
        }
        let Some(own) = self.chain.first() else {
            return Ok(Ok(()));
        };
        self.verify(roots)?;
        let pem: String = self.chain.iter().map(Certificate::to_pem).collect();
        files.insert(format!("{folder}/{CHAIN}"), pem.into_bytes());
        let Some(authority) = self.authority().filter(|_| self.was_used(standing)) else {
            return Ok(Ok(()));
        };
        let request = GetCrlRequest {
            institution: standing.institution().to_string(),
            authority: authority.into(),
            key_id: self.id.to_string(),
        };
        let crl = crl(request, own, desk).await?;
        let missing = self.missing(&crl);
        if missing > 0 {
            return Ok(Err(format!(
                "the newest CRL of {} does not list {missing} revocations yet: again in a few seconds",
                self.id
            )));
        }
        files.insert(format!("{folder}/crl.der"), crl.der().to_vec());
        Ok(Ok(()))
    }

    /// Its certificate is its own, and leads to a root that the institution trusts.
    fn verify(&self, roots: &Roots) -> Result<(), Failure> {
        let untrue = |why: &dyn std::fmt::Display| {
            Failure::untrue(format!("the certificates of key {}: {why}", self.id))
        };
        let own = self.chain.first().map(Certificate::public_key);
        if own.map(KeyId::of) != Some(self.id) {
            return Err(untrue(&"the first is another key's"));
        }
        for (one, issuer) in self.chain.iter().zip(self.chain.iter().skip(1)) {
            one.verify_issued_by(issuer).map_err(|why| untrue(&why))?;
        }
        let Some(last) = self.chain.last() else {
            return Ok(());
        };
        let by_device_root = last.verify_issued_by(&roots.device);
        by_device_root
            .or_else(|_| last.verify_issued_by(&roots.signing))
            .map_err(|why| untrue(&why))
    }

    fn authority(&self) -> Option<Authority> {
        match self.shown.purpose() {
            v1::KeyPurpose::DeviceCa => Some(Authority::DeviceCa),
            v1::KeyPurpose::SigningCa => Some(Authority::SigningCa),
            _ => None,
        }
    }

    /// Whether it ever issued: a CA whose first use was called off has no CRL.
    fn was_used(&self, standing: &Standing) -> bool {
        let life = standing.key(self.id);
        life.is_some_and(|life| life.certificate().is_none() || life.activates_at().is_some())
    }

    /// How many certificates of devices it issued that are revoked and missing in the CRL, of those that belong there.
    fn missing(&self, crl: &CertificateRevocationList) -> usize {
        let upper = |octets: &[u8]| -> String {
            octets.iter().map(|octet| format!("{octet:02X}")).collect()
        };
        let listed: BTreeSet<String> = crl.entries().map(|(serial, _)| upper(serial)).collect();
        let revoked = self.signed.objects.iter().filter(|object| {
            object.kind() == SignedKind::DeviceCertificate
                && !object.in_force
                && object.expires_at > crl.this_update()
        });
        revoked
            .filter(|object| !listed.contains(&object.id))
            .count()
    }
}
