//! Owns the contract of documents and the ping.

use super::*;
use crate::domain::document::{DocumentVersion, StoredDocument};

fn stored(document: &Document, loaded_at: Timestamp) -> StoredDocument {
    StoredDocument {
        document: document.clone(),
        loaded_at,
    }
}

pub(crate) async fn the_newest_of_each_is_read(world: World) {
    assert!(world.store.documents().await.unwrap().documents.is_empty());
    let mut newest = Vec::new();
    for institution in [&world.alfa, &world.beta] {
        for kind in [
            DocumentKind::Policy,
            DocumentKind::Trust,
            DocumentKind::Callers,
        ] {
            for version in 1..=2 {
                let bytes = format!("{institution} {} {version}", kind.name()).into_bytes();
                let document = Document {
                    institution: institution.clone(),
                    kind,
                    version,
                    bytes,
                };
                world.enact(&document, T0).await;
                if version == 2 {
                    newest.push(document);
                }
            }
        }
    }
    let found = world.store.documents().await.unwrap();
    assert_eq!(found.generation, 12);
    assert_eq!(found.documents.len(), newest.len());
    assert!(
        newest
            .iter()
            .all(|document| found.documents.contains(&stored(document, T0)))
    );
}

pub(crate) async fn each_version_is_kept_as_it_was_loaded(world: World) {
    use DocumentKind::{Callers, Policy, Trust};
    let mut loaded = Vec::new();
    for (institution, kind, version) in [
        (&world.alfa, Policy, 1),
        (&world.beta, Policy, 1),
        (&world.alfa, Trust, 1),
        (&world.alfa, Policy, 2),
    ] {
        let document = Document {
            institution: institution.clone(),
            kind,
            version,
            bytes: format!("{institution} {} {version}\r\n\0", kind.name()).into(),
        };
        let now = T0.plus_seconds(i64::try_from(loaded.len()).unwrap());
        world.enact(&document, now).await;
        loaded.push(stored(&document, now));
    }
    let shown = async |institution, kind, version| {
        let view = world.store.document(institution, kind, version).await;
        let view = view.unwrap();
        assert_eq!(view.generation, 4);
        view.document
    };
    for one in &loaded {
        let Document {
            institution,
            kind,
            version,
            ..
        } = &one.document;
        let found = shown(institution, *kind, Some(*version)).await;
        assert_eq!(found.as_ref(), Some(one));
    }
    let in_force = shown(&world.alfa, Policy, None).await;
    assert_eq!(in_force.as_ref(), loaded.last());
    for version in [0, 3, u64::MAX] {
        assert_eq!(shown(&world.alfa, Policy, Some(version)).await, None);
    }
    assert_eq!(shown(&world.beta, Policy, Some(2)).await, None);
    assert_eq!(shown(&world.alfa, Callers, None).await, None);
}

pub(crate) async fn versions_are_listed_newest_first(world: World) {
    use DocumentKind::{Callers, Policy};
    for version in 1..=7 {
        world
            .load(Policy, version, &format!("policy {version}"))
            .await;
    }
    world.load(Callers, 1, "callers").await;
    let listed = async |below, at_most| {
        let view = world
            .store
            .versions(&world.alfa, Policy, below, at_most)
            .await;
        let view = view.unwrap();
        assert_eq!(view.generation, 8);
        for one in &view.versions {
            let bytes = format!("policy {}", one.version);
            let (kind, sha256) = (Policy, sha256(bytes.as_bytes()));
            let expected = DocumentVersion {
                kind,
                version: one.version,
                sha256,
                loaded_at: T0,
            };
            assert_eq!(*one, expected);
        }
        view.versions
            .iter()
            .map(|one| one.version)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 100).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(listed(Some(u64::MAX), 3).await, [7, 6, 5]);
    assert_eq!(listed(Some(5), 3).await, [4, 3, 2]);
    assert_eq!(listed(Some(2), 3).await, [1]);
    assert!(listed(Some(1), 3).await.is_empty());
    let of_beta = world.store.versions(&world.beta, Policy, None, 9).await;
    assert!(of_beta.unwrap().versions.is_empty());
}

pub(crate) async fn the_store_answers_a_ping(world: World) {
    world.store.ping().await.unwrap();
    assert_eq!(world.generation().await, 0);
}
