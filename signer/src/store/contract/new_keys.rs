//! Owns the contract of new keys: asked for once, made once, one thing signed of each, and never more than two that wait.

use semops_pki::local_key::LocalKey;

use super::{changes::proposal, *};
use crate::{
    domain::{
        key::KeyState,
        new_key::{ASKED_SECONDS, MadeKey, NewKey},
        operation::CertificateRecord,
        outcome::State,
    },
    store::{Asked, ChangeEnding, Execution, KeyAsk, KeyProjection, NewChange, Proposed, Refusal},
};

impl World {
    async fn ask(&self, request: u128, purpose: Purpose, at: Timestamp) -> Asked {
        let ask = KeyAsk {
            institution: self.alfa.clone(),
            request: Uuid::from_u128(request),
            purpose,
            generation: self.generation().await,
        };
        self.store.ask_for_key(ask, origin(), at).await.unwrap()
    }

    /// The key that was made for a request.
    async fn made(&self, request: u128, at: Timestamp) -> MadeKey {
        let public = LocalKey::generate().unwrap().public_key().clone();
        let request = Uuid::from_u128(request);
        let made = self
            .store
            .key_made(&self.alfa, request, public, origin(), at);
        made.await.unwrap()
    }

    pub(super) async fn new_key(&self, request: u128, purpose: Purpose) -> MadeKey {
        assert!(matches!(
            self.ask(request, purpose, T0).await,
            Asked::Asked(_)
        ));
        self.made(request, T0).await
    }

    async fn waiting(&self) -> Vec<NewKey> {
        self.store.new_keys(&self.alfa).await.unwrap()
    }

    /// What is to be signed of a new key.
    fn of_new_key(&self, new: &MadeKey, at: Timestamp) -> Operation {
        let serial = self.octets()[..16].to_vec();
        let record = CertificateRecord {
            key: new.id(),
            serial,
        };
        let (key, subject) = match new.purpose.certified_by() {
            None => (new.id(), Subject::CertificationRequest(new.id())),
            Some(by) if new.purpose == Purpose::Authorization => (
                key(&self.alfa, by),
                Subject::AuthorizationCertificate(record),
            ),
            Some(by) => (key(&self.alfa, by), Subject::KeyCertificate(record)),
        };
        Operation {
            institution: self.alfa.clone(),
            origin: origin(),
            generation: 0,
            content: *new.id().as_bytes(),
            key,
            to_be_signed: format!("of {} {}", new.id(), self.number()).into_bytes(),
            expires_at: at.plus_seconds(60),
            sign_by: at.plus_seconds(60),
            subject,
            instead_of: None,
        }
    }

    /// A change takes the key up.
    async fn take_up(&self, new: &MadeKey, sequence: u64) {
        let projection = KeyProjection {
            id: new.id(),
            purpose: new.purpose,
            state: KeyState::Active,
            active_from: Some(T0.plus_seconds(1_000)),
            active_until: None,
        };
        let execution = Execution {
            keys: vec![projection],
            ..Execution::default()
        };
        let change = NewChange {
            enclosed: Vec::new(),
            ending: Some(ChangeEnding::Executed(execution)),
            ..proposal(self, sequence, self.generation().await)
        };
        assert_eq!(self.propose(&change).await, Proposed::Recorded);
    }
}

fn unmade(asked: &Asked) -> bool {
    matches!(asked, Asked::Asked(key) if key.made.is_none() && key.signed.is_none())
}

pub(crate) async fn a_key_is_asked_for_before_it_is_made(world: World) {
    let first = world.ask(1, Purpose::Authorization, T0).await;
    assert!(unmade(&first), "{first:?}");
    assert!(unmade(&world.ask(1, Purpose::Authorization, T0).await));
    assert_eq!(world.ask(1, Purpose::DeviceCa, T0).await, Asked::Otherwise);
    let stale = KeyAsk {
        institution: world.alfa.clone(),
        request: Uuid::from_u128(2),
        purpose: Purpose::Authorization,
        generation: 7,
    };
    let stale = world.store.ask_for_key(stale, origin(), T0).await.unwrap();
    assert_eq!(stale, Asked::Stale);
    let (unasked, public) = (Uuid::from_u128(3), LocalKey::generate().unwrap());
    let public = public.public_key().clone();
    for institution in [&world.alfa, &world.beta] {
        let request = if institution == &world.beta {
            Uuid::from_u128(1)
        } else {
            unasked
        };
        let made = world
            .store
            .key_made(institution, request, public.clone(), origin(), T0);
        assert!(matches!(made.await, Err(StoreError::Violated(_))));
    }
    assert!(world.waiting().await.is_empty());
}

pub(crate) async fn the_key_that_is_recorded_first_is_that_of_the_request(world: World) {
    let made = world.new_key(1, Purpose::SigningCa).await;
    assert_eq!(
        (&made.institution, made.purpose, made.at),
        (&world.alfa, Purpose::SigningCa, T0)
    );
    // Another process made one at the same time.
    assert_eq!(world.made(1, T0.plus_seconds(1)).await, made);
    let Asked::Asked(again) = world.ask(1, Purpose::SigningCa, T0.plus_seconds(2)).await else {
        panic!("it stands");
    };
    assert_eq!(again.made.as_ref(), Some(&made));
    assert_eq!(world.waiting().await, [*again]);
    assert!(world.store.new_keys(&world.beta).await.unwrap().is_empty());
    // It is one of the institution's keys, and nothing can be begun with it but its own request.
    let keys = world.store.keys(&world.alfa).await.unwrap().keys;
    let registered = keys.iter().find(|key| key.id == made.id()).unwrap();
    assert_eq!(
        (registered.signatures, registered.registered_at),
        (0, Some(T0))
    );
    let crl = Operation {
        institution: world.alfa.clone(),
        key: made.id(),
        ..world.crl(1, 0, T0)
    };
    let begun = world.begin(crl, T0).await;
    assert!(
        matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
        "{begun:?}"
    );
    let told = world.inside.leaves().await;
    let words: Vec<_> = told
        .iter()
        .map(|leaf| leaf["operation"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["key.ask", "key.create"]);
    assert_eq!(told[1]["key"], made.id().to_string());
    assert!(
        told.iter()
            .all(|leaf| leaf["object"] == Uuid::from_u128(1).to_string())
    );
}

pub(crate) async fn so_many_keys_of_a_purpose_may_wait(world: World) {
    let first = world.new_key(1, Purpose::Authorization).await;
    // What was asked for and is not made counts for a while.
    assert!(unmade(&world.ask(2, Purpose::Authorization, T0).await));
    let asked = |request, at| world.ask(request, Purpose::Authorization, at);
    assert_eq!(asked(3, T0).await, Asked::TooMany);
    assert!(
        unmade(&world.ask(3, Purpose::DeviceCa, T0).await),
        "another purpose"
    );
    let later = T0.plus_seconds(ASKED_SECONDS);
    assert_eq!(
        asked(4, Timestamp::from_micros(later.micros() - 1)).await,
        Asked::TooMany
    );
    assert!(unmade(&asked(4, later).await));
    world.made(4, later).await;
    // The one that was forgotten comes back too late; those that are made are answered for ever.
    assert_eq!(asked(2, later).await, Asked::TooMany);
    assert!(matches!(asked(1, later).await, Asked::Asked(key) if key.made == Some(first.clone())));
    // One that a change took up makes room.
    world.take_up(&first, 1).await;
    assert!(unmade(&asked(2, later).await));
    let waiting: Vec<_> = world.waiting().await;
    assert_eq!(
        waiting
            .iter()
            .map(|key| key.request.as_u128())
            .collect::<Vec<_>>(),
        [4]
    );
}

pub(crate) async fn one_thing_is_signed_of_a_new_key(world: World) {
    let mut signatures = std::collections::BTreeMap::<KeyId, u64>::new();
    for (request, purpose) in (1..).zip(Purpose::ALL) {
        let new = world.new_key(request, purpose).await;
        let operation = world.of_new_key(&new, T0);
        let intent = world.record(operation.clone(), T0).await;
        assert_eq!(intent.id.key, operation.key);
        // Whoever comes beside resumes the recorded bytes, whatever it would have signed.
        let begun = world.begin(world.of_new_key(&new, T0), T0).await;
        let Begun::Resumed(resumed) = begun else {
            panic!("{begun:?}")
        };
        assert_eq!(resumed.to_be_signed, operation.to_be_signed);
        // One that failed may come again.
        let failed = world.end(intent.id, Ending::Failed("OVERDUE"), T0).await;
        assert_eq!(failed.state, State::Failed);
        let second = world.record(world.of_new_key(&new, T0), T0).await;
        assert_ne!(second.to_be_signed, operation.to_be_signed);
        let text = format!("signed of {request}");
        let ended = world.end(second.id, signed(&text), T0).await;
        assert_eq!(ended.state, State::Authorized);
        match world.begin(world.of_new_key(&new, T0), T0).await {
            Begun::Done(outcome) => assert_eq!(outcome, ended),
            other => panic!("{other:?}"),
        }
        let keys = world.waiting().await;
        let key = keys
            .iter()
            .find(|key| key.made.as_ref() == Some(&new))
            .unwrap();
        assert_eq!(key.signed.as_deref(), Some(text.as_bytes()));
        let keys = world.store.keys(&world.alfa).await.unwrap().keys;
        let by = keys.iter().find(|key| key.id == operation.key).unwrap();
        let signed = signatures.entry(operation.key).or_default();
        *signed += 1;
        assert_eq!(by.signatures, *signed);
    }
}

/// A usage is not swapped for another at the last moment: by the wrong CA, as the wrong kind, or by the key itself.
pub(crate) async fn a_key_of_one_purpose_is_certified_for_no_other(world: World) {
    let mut new = Vec::new();
    for (request, purpose) in (1..).zip(Purpose::ALL) {
        new.push(world.new_key(request, purpose).await);
    }
    let cas = [Purpose::DeviceCa, Purpose::SigningCa].map(|purpose| key(&world.alfa, purpose));
    for made in &new {
        let right = world.of_new_key(made, T0);
        let record = || CertificateRecord {
            key: made.id(),
            serial: world.octets()[..16].to_vec(),
        };
        for subject in [
            Subject::AuthorizationCertificate(record()),
            Subject::KeyCertificate(record()),
            Subject::CertificationRequest(made.id()),
        ] {
            for key in cas.into_iter().chain([made.id(), new[3].id()]) {
                if subject.kind() == right.subject.kind() && key == right.key {
                    continue;
                }
                // Whose key signs a request is not looked at: it is recorded as that of the new key itself.
                if matches!(subject, Subject::CertificationRequest(_)) && key != made.id() {
                    continue;
                }
                let operation = Operation {
                    key,
                    subject: subject.clone(),
                    ..right.clone()
                };
                let begun = world.begin(operation, T0).await;
                assert!(
                    matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
                    "{:?} of {:?}: {begun:?}",
                    subject.kind(),
                    made.purpose
                );
            }
        }
        world.record(right, T0).await;
    }
}

/// Keys for OCSP, audit and statements live as the others, and sign nothing.
pub(crate) async fn keys_that_nothing_uses_yet_sign_nothing(world: World) {
    let device = world.accepted_phone().await;
    let mut keys = Vec::new();
    let purposes = [Purpose::Ocsp, Purpose::Audit, Purpose::Statement];
    for (place, purpose) in (1..).zip(purposes) {
        let made = world.new_key(place, purpose).await;
        world.take_up(&made, u64::try_from(place).unwrap()).await;
        keys.push(made.id());
    }
    let at = T0.plus_seconds(1_000);
    let generation = world.generation().await;
    for key in keys {
        for operation in [
            world.order(device, at),
            world.enrollment(at),
            world.crl(1, 0, at),
        ] {
            let operation = Operation {
                institution: world.alfa.clone(),
                generation,
                key,
                ..operation
            };
            let begun = world.begin(operation, at).await;
            assert!(
                matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
                "{begun:?}"
            );
        }
    }
}

pub(crate) async fn what_is_signed_of_a_new_key_keeps_to_its_purpose(world: World) {
    let authorization = world.new_key(1, Purpose::Authorization).await;
    let ca = world.new_key(2, Purpose::SigningCa).await;
    let refused = async |operation: Operation| {
        let begun = world.begin(operation, T0).await;
        assert!(
            matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
            "{begun:?}"
        );
    };
    let certificate = world.of_new_key(&authorization, T0);
    // By the new CA, by the device CA, by another institution's, of a key that nobody asked for.
    for key in [
        ca.id(),
        key(&world.alfa, Purpose::DeviceCa),
        key(&world.beta, Purpose::SigningCa),
    ] {
        let operation = Operation {
            key,
            ..certificate.clone()
        };
        refused(operation).await;
    }
    let stranger = key(&world.alfa, Purpose::Authorization);
    let of_stranger = CertificateRecord {
        key: stranger,
        serial: vec![1],
    };
    refused(Operation {
        subject: Subject::AuthorizationCertificate(of_stranger),
        ..certificate.clone()
    })
    .await;
    // An active key asks for nothing, and an authorization key is no CA's.
    for key in [key(&world.alfa, Purpose::DeviceCa), authorization.id()] {
        let operation = Operation {
            key,
            subject: Subject::CertificationRequest(key),
            ..certificate.clone()
        };
        refused(operation).await;
    }
    // A signing CA that may not sign certifies nothing; nor does the key that was to be certified, once it is taken up.
    world
        .inside
        .suspend(key(&world.alfa, Purpose::SigningCa))
        .await;
    refused(certificate).await;
    let request = world.of_new_key(&ca, T0);
    world.take_up(&ca, 1).await;
    refused(Operation {
        generation: world.generation().await,
        ..request
    })
    .await;
}

pub(crate) async fn keys_that_are_asked_for_at_once_are_no_more_than_may_wait(world: World) {
    let world = Arc::new(world);
    let asks = (0..8).map(|request| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.ask(request, Purpose::Authorization, T0).await })
    });
    let mut taken = 0;
    for ask in asks.collect::<Vec<_>>() {
        match ask.await.unwrap() {
            Asked::Asked(_) => taken += 1,
            Asked::TooMany => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, 2);
}
