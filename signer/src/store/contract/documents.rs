//! Owns the contract of documents, keys and the ping.

use super::*;

pub(crate) async fn versions_follow_each_other(world: World) {
    use DocumentKind::{Policy, Trust};
    assert_eq!(
        world.load(Policy, 2, "b").await,
        Loaded::WrongVersion { expected: 1 }
    );
    assert_eq!(world.load(Policy, 1, "a").await, Loaded::Effective(1));
    assert_eq!(world.load(Policy, 1, "a").await, Loaded::Unchanged);
    assert_eq!(
        world.load(Policy, 1, "b").await,
        Loaded::WrongVersion { expected: 2 }
    );
    assert_eq!(
        world.load(Policy, 3, "b").await,
        Loaded::WrongVersion { expected: 2 }
    );
    assert_eq!(world.generation().await, 1);
    assert_eq!(world.load(Trust, 1, "t").await, Loaded::Effective(2));
    assert_eq!(world.load(Policy, 2, "b").await, Loaded::Effective(3));
    // Bytes that were effective once are a new version when they come back.
    assert_eq!(world.load(Policy, 3, "a").await, Loaded::Effective(4));
    assert_eq!(world.generation().await, 4);
}

pub(crate) async fn the_newest_of_each_is_read(world: World) {
    assert!(world.store.documents().await.unwrap().documents.is_empty());
    let mut newest = Vec::new();
    for institution in [&world.alfa, &world.beta] {
        for kind in DocumentKind::ALL {
            for version in 1..=2 {
                let bytes = format!("{institution} {} {version}", kind.name()).into_bytes();
                let document = Document {
                    institution: institution.clone(),
                    kind,
                    version,
                    bytes,
                };
                let loaded = world
                    .store
                    .load(document.clone(), origin(), T0)
                    .await
                    .unwrap();
                assert!(matches!(loaded, Loaded::Effective(_)));
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
            .all(|document| found.documents.contains(document))
    );
}

pub(crate) async fn keys_never_change(world: World) {
    let id = key(&world.alfa, Purpose::Authorization);
    let registration = |institution: &InstitutionId, purpose| {
        vec![KeyRegistration {
            id,
            institution: institution.clone(),
            purpose,
        }]
    };
    world
        .store
        .register_keys(registration(&world.alfa, Purpose::Authorization))
        .await
        .unwrap();
    for other in [
        registration(&world.beta, Purpose::Authorization),
        registration(&world.alfa, Purpose::DeviceCa),
    ] {
        assert!(matches!(
            world.store.register_keys(other).await,
            Err(StoreError::Corrupt(_))
        ));
    }
    // Registering again does not bring a suspended key back.
    world.inside.suspend(id).await;
    world
        .store
        .register_keys(registration(&world.alfa, Purpose::Authorization))
        .await
        .unwrap();
    let device = world.accepted_phone().await;
    let begun = world.begin(world.order(device, T0), T0).await;
    assert!(matches!(
        begun,
        Begun::Refused(crate::store::Refusal::KeyNotActive)
    ));
}

pub(crate) async fn the_store_answers_a_ping(world: World) {
    world.store.ping().await.unwrap();
    assert_eq!(world.generation().await, 0);
}
