//! What a key has signed since a time: fetched page by page, and saved for programs and for people.

use std::{collections::BTreeSet, path::Path, str::FromStr};

use semops_objects::key::KeyId;
use semops_pki::algorithm::sha256;
use semops_proto::v1::{ListSignedRequest, SignedKind, SignedObject};
use serde_json::{Value, json};

use crate::{
    commands::{
        change::{Desk, propose::moment::span_of},
        device::name_of,
    },
    failure::Failure,
    files,
};

/// The most objects of a page.
const PAGE: u32 = 500;

const HEAD: &str = "kind,id,audit_object,device_id,signed_at,expires_at,sha256,in_force\n";

/// Since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Unix seconds.
    At(u64),
    /// So many seconds ago.
    Ago(u64),
}

impl Since {
    /// Unix seconds.
    pub(super) fn seconds(self, now: u64) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.saturating_sub(seconds),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.parse::<der::DateTime>().ok();
        let at = at.map(|time| Self::At(time.unix_duration().as_secs()));
        at.or_else(|| span_of(text).map(Self::Ago)).ok_or_else(|| {
            "a time such as 2026-12-01T00:00:00Z, or so long ago, such as 90m, 72h or 30d"
                .to_owned()
        })
    }
}

/// What a key has signed.
#[derive(Debug)]
pub(in crate::commands) struct Signed {
    pub(in crate::commands) objects: Vec<SignedObject>,
    pub(in crate::commands) complete: bool,
    under_way: u64,
    not_kept: u64,
}

/// A file, and the SHA-256 of what is in it.
pub(super) struct SavedFile {
    pub(super) path: String,
    pub(super) sha256: String,
}

pub(super) struct Saved {
    pub(super) jsonl: SavedFile,
    pub(super) csv: SavedFile,
}

impl Signed {
    /// All pages, in their order; no object stands there twice.
    pub(in crate::commands) async fn fetch(
        key: KeyId,
        since: u64,
        desk: &Desk<'_>,
    ) -> Result<Self, Failure> {
        let mut known = BTreeSet::new();
        let mut objects: Vec<SignedObject> = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListSignedRequest {
                key_id: key.to_string(),
                since: i64::try_from(since).unwrap_or(i64::MAX),
                page_size: PAGE,
                page_token: page_token.clone(),
            };
            let page = desk.client.list_signed(request).await?;
            for object in page.objects {
                check(&object)?;
                if !known.insert(object.sha256.clone()) {
                    return Err(Failure::bad_answer("an object stands in the list twice"));
                }
                objects.push(object);
            }
            desk.progress
                .tell(format!("{} objects so far", objects.len()));
            if page.next_page_token.is_empty() {
                return Ok(Self {
                    objects,
                    complete: page.complete,
                    under_way: page.under_way,
                    not_kept: page.not_kept,
                });
            }
            if page.next_page_token == page_token {
                return Err(Failure::bad_answer("a page leads to itself"));
            }
            page_token = page.next_page_token;
        }
    }

    /// Writes them to the folder, in place of an earlier list.
    pub(super) fn save(&self, folder: &Path) -> Result<Saved, Failure> {
        let [jsonl, csv] = self
            .texts()
            .map(|(name, text)| save(&folder.join(name), text));
        Ok(Saved {
            jsonl: jsonl?,
            csv: csv?,
        })
    }

    /// The files, by their names: a line for each object, for programs and for people.
    pub(in crate::commands) fn texts(&self) -> [(&'static str, String); 2] {
        let lines = self.objects.iter().map(|one| format!("{}\n", member(one)));
        let table = self.objects.iter().map(line);
        [
            ("signed.jsonl", lines.collect()),
            ("signed.csv", HEAD.to_owned() + &table.collect::<String>()),
        ]
    }

    /// In a few words.
    pub(super) fn said(&self) -> String {
        let mut said = format!("{} objects", self.objects.len());
        if self.under_way > 0 {
            said += &format!(", {} under way", self.under_way);
        }
        if self.not_kept > 0 {
            said += &format!(", {} of any time not kept any longer", self.not_kept);
        }
        said
    }
}

impl Saved {
    pub(super) fn json(&self, list: &Signed) -> Value {
        json!({
            "objects": list.objects.len(),
            "complete": list.complete,
            "under_way": list.under_way,
            "not_kept": list.not_kept,
            "jsonl": self.jsonl.path,
            "jsonl_sha256": self.jsonl.sha256,
            "csv": self.csv.path,
            "csv_sha256": self.csv.sha256,
        })
    }
}

fn save(path: &Path, text: String) -> Result<SavedFile, Failure> {
    files::replace(path, text.as_bytes())?;
    Ok(SavedFile {
        path: path.display().to_string(),
        sha256: hex(&sha256(text.as_bytes())),
    })
}

/// What goes into a file says nothing but names and numbers.
fn check(object: &SignedObject) -> Result<(), Failure> {
    let names = [&object.id, &object.audit_object, &object.device_id];
    let plain = |text: &&String| {
        text.bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    let known = object.kind() != SignedKind::Unspecified && object.sha256.len() == 32;
    if known && names.iter().all(plain) {
        return Ok(());
    }
    Err(Failure::bad_answer("an object of no known kind or name"))
}

fn member(object: &SignedObject) -> Value {
    json!({
        "kind": kind(object),
        "id": object.id,
        "audit_object": object.audit_object,
        "device_id": (!object.device_id.is_empty()).then_some(&object.device_id),
        "signed_at": object.signed_at,
        "expires_at": object.expires_at,
        "sha256": hex(&object.sha256),
        "in_force": object.in_force,
    })
}

fn line(object: &SignedObject) -> String {
    format!(
        "{},{},{},{},{},{},{},{}\n",
        kind(object),
        object.id,
        object.audit_object,
        object.device_id,
        object.signed_at,
        object.expires_at,
        hex(&object.sha256),
        object.in_force
    )
}

fn kind(object: &SignedObject) -> &'static str {
    name_of(object.kind().as_str_name(), "SIGNED_KIND_")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn object(id: &str) -> SignedObject {
        SignedObject {
            kind: SignedKind::Crl.into(),
            id: id.to_owned(),
            audit_object: id.to_owned(),
            signed_at: 1,
            expires_at: 2,
            sha256: vec![0xab; 32],
            ..SignedObject::default()
        }
    }

    #[test]
    fn times_are_such_or_ago() {
        assert_eq!("1970-01-01T00:01:00Z".parse(), Ok(Since::At(60)));
        assert_eq!("2h".parse::<Since>().unwrap().seconds(10_000), 2_800);
        assert_eq!("2h".parse::<Since>().unwrap().seconds(10), 0);
        for wrong in ["", "yesterday", "+2h", "2", "-2h"] {
            assert!(wrong.parse::<Since>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_hold_one_line_for_each_object_and_their_digests_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let list = Signed {
            objects: vec![object("7"), object("8")],
            complete: true,
            under_way: 0,
            not_kept: 3,
        };
        let saved = list.save(folder.path()).unwrap();
        let csv = std::fs::read_to_string(folder.path().join("signed.csv")).unwrap();
        let digest = "ab".repeat(32);
        assert_eq!(
            csv,
            format!("{HEAD}CRL,7,7,,1,2,{digest},false\nCRL,8,8,,1,2,{digest},false\n")
        );
        assert_eq!(saved.csv.sha256, hex(&sha256(csv.as_bytes())));
        let lines = std::fs::read_to_string(folder.path().join("signed.jsonl")).unwrap();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let ids: Vec<_> = lines
            .iter()
            .map(|line| line["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["7", "8"]);
        assert_eq!(list.said(), "2 objects, 3 of any time not kept any longer");
    }

    #[test]
    fn what_would_be_more_than_a_name_is_refused() {
        assert!(check(&object("0A-f_9")).is_ok());
        for wrong in ["=1+1", "a,b", "a\nb", "\u{1b}[2J"] {
            assert!(check(&object(wrong)).is_err(), "{wrong}");
        }
        let unknown = SignedObject {
            kind: 99,
            ..object("7")
        };
        assert!(check(&unknown).is_err());
    }
}
