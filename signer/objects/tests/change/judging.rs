//! What decisions make of a proposal, and what stands after those that were executed.

use semops_objects::change::{
    Attachment, AttachmentKind, ChangeRefusal, Custodians, DocumentKind, DocumentName, Judgement,
    KeyOperation, Operation, Quorum,
};
use semops_objects::key::{KeyId, KeyState, Purpose};

use crate::rotations::{NEXT, addition, rotation};
use crate::world::{
    self, ACTIVE, AUTHORIZATION, DAY, DEVICE_CA, NOW, SIGNING_CA, World, custodians_change, digest,
    named, next_policy, person,
};

fn persons(ids: &[&str]) -> Vec<semops_objects::change::PersonId> {
    ids.iter().copied().map(person).collect()
}

#[test]
fn the_ceremony_puts_everything_in_force() {
    let world = World::new();
    let standing = &world.standing;
    assert_eq!((standing.scheme(), standing.sequence()), (world::SCHEME, 1));
    assert_eq!(standing.institution(), &world::alfa());
    let versions = DocumentKind::ALL.map(|kind| standing.document(kind).version);
    assert_eq!(versions, [1, 4, 1, 1]);
    assert_eq!(standing.custodians().version(), 1);
    let keys: Vec<_> = standing
        .keys()
        .map(|(id, life)| (id, life.purpose(), life.state(0)))
        .collect();
    let active = |id, purpose| (id, purpose, KeyState::Active);
    assert_eq!(
        keys,
        [
            active(DEVICE_CA, Purpose::DeviceCa),
            active(SIGNING_CA, Purpose::SigningCa),
            active(AUTHORIZATION, Purpose::Authorization)
        ]
    );
    let base = standing.base();
    assert_eq!((base.sequence, base.previous), (2, Some(standing.last())));
}

#[test]
fn two_of_three_approve_and_two_of_three_reject() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    let [anna, boris, chloe] = ACTIVE.map(|name| world.approve(name, &proposal));
    let [not_anna, not_boris, _] = ACTIVE.map(|name| world.reject(name, &proposal));
    let pending = |approved: &[&str], rejected: &[&str]| Judgement::Pending {
        approved: persons(approved),
        rejected: persons(rejected),
        needed: 2,
    };
    let judge = |decisions: &[_]| world.judge(&proposal, decisions).unwrap();
    assert_eq!(judge(&[]), pending(&[], &[]));
    assert_eq!(
        judge(std::slice::from_ref(&not_anna)),
        pending(&[], &["anna"])
    );
    let one_each = [chloe.clone(), not_anna.clone()];
    assert_eq!(judge(&one_each), pending(&["chloe"], &["anna"]));
    assert_eq!(
        judge(&[not_anna.clone(), not_boris.clone()]),
        Judgement::Rejected
    );
    assert_eq!(
        judge(&[not_anna.clone(), chloe.clone(), not_boris]),
        Judgement::Rejected
    );
    for (decisions, by) in [
        (
            vec![chloe.clone(), anna.clone()],
            ["anna", "chloe"].as_slice(),
        ),
        (
            vec![chloe.clone(), not_anna, boris.clone()],
            &["boris", "chloe"],
        ),
        (vec![chloe, boris, anna], &["anna", "boris", "chloe"]),
    ] {
        let Judgement::Approved(change) = judge(&decisions) else {
            panic!("{decisions:?}");
        };
        assert_eq!((change.by(), change.at()), (&persons(by)[..], NOW));
        assert_eq!(change.proposal(), &proposal);
    }
}

/// Nothing that gives a key something to sign, takes one away for good or calls that off is one person's.
#[test]
fn whatever_is_done_to_keys_beside_a_suspension_needs_the_quorum() {
    let of_key = |operation| Operation::Key {
        operation,
        key: AUTHORIZATION,
    };
    let all = [
        of_key(KeyOperation::Resume),
        of_key(KeyOperation::Deactivate),
        of_key(KeyOperation::MarkCompromised),
        of_key(KeyOperation::ScheduleDestruction { at: NOW + 8 * DAY }),
        of_key(KeyOperation::CallOffDestruction),
        rotation(AUTHORIZATION, NEXT, NOW, NOW),
        addition(NEXT, NOW),
        Operation::CallOffRotation { to: NEXT },
        next_policy(),
    ];
    for quorum in [2, 3] {
        let needed = Quorum::try_from(quorum).unwrap();
        for operation in &all {
            assert_eq!(operation.threshold(needed), quorum, "{operation:?}");
        }
        assert_eq!(of_key(KeyOperation::Suspend).threshold(needed), 1);
    }
}

/// One suspends in an emergency; every other operation on a key needs the quorum.
#[test]
fn only_a_suspension_needs_one() {
    let mut world = World::new();
    let operation = |operation| Operation::Key {
        operation,
        key: AUTHORIZATION,
    };
    let alone = |world: &World, what| {
        let proposal = world.propose(operation(what), NOW);
        world.judge(&proposal, &[world.approve("chloe", &proposal)])
    };
    for what in [KeyOperation::Deactivate, KeyOperation::MarkCompromised] {
        assert!(matches!(
            alone(&world, what),
            Ok(Judgement::Pending { needed: 2, .. })
        ));
    }
    let Ok(Judgement::Approved(change)) = alone(&world, KeyOperation::Suspend) else {
        panic!("one is enough");
    };
    assert_eq!(change.by(), persons(&["chloe"]));
    world.standing = world.standing.after(&change, None).unwrap();
    let state = |world: &World| world.standing.key(AUTHORIZATION).unwrap().state(NOW);
    assert_eq!(state(&world), KeyState::Suspended);
    assert_eq!(world.standing.active_at(Purpose::Authorization, NOW), []);
    assert!(matches!(
        alone(&world, KeyOperation::Resume),
        Ok(Judgement::Pending { needed: 2, .. })
    ));
    world.execute(operation(KeyOperation::Resume), NOW).unwrap();
    assert_eq!(state(&world), KeyState::Active);

    let proposal = world.propose(operation(KeyOperation::Suspend), NOW);
    let rejections = ACTIVE.map(|name| world.reject(name, &proposal));
    let judge = |decisions: &[_]| world.judge(&proposal, decisions).unwrap();
    assert!(matches!(judge(&rejections[..2]), Judgement::Pending { .. }));
    assert_eq!(judge(&rejections), Judgement::Rejected);
}

#[test]
fn each_change_is_the_base_of_the_next() {
    let mut world = World::new();
    for version in 2..5 {
        let before = world.standing.clone();
        let operation = Operation::Document(named(DocumentKind::Policy, version));
        world.execute(operation, NOW).unwrap();
        assert_eq!(world.standing.sequence(), version);
        assert_ne!(world.standing.last(), before.last());
        let policy = *world.standing.document(DocumentKind::Policy);
        assert_eq!(policy, named(DocumentKind::Policy, version));
        for kind in [
            DocumentKind::Trust,
            DocumentKind::Callers,
            DocumentKind::Custodians,
        ] {
            assert_eq!(world.standing.document(kind), before.document(kind));
        }
        assert!(world.standing.keys().eq(before.keys()));
    }
}

/// A person who left the register decides no more; who stands in the new one does at once.
#[test]
fn the_register_in_force_decides() {
    let mut world = World::new();
    let next = world.register(2, 2).replacen("\"active\"", "\"leaves\"", 1);
    let next = next.replacen("\"suspended\"", "\"active\"", 1);
    let next = next.replacen("\"leaves\"", "\"suspended\"", 1);
    let change = world.approved(custodians_change(&next), NOW).unwrap();
    world.standing = world
        .standing
        .after(&change, Some(next.as_bytes()))
        .unwrap();
    assert_eq!(
        world.standing.custodians(),
        &Custodians::parse(next.as_bytes()).unwrap()
    );
    let custodians = world.standing.document(DocumentKind::Custodians);
    assert_eq!((custodians.version, custodians.sha256), (2, digest(&next)));

    let proposal = world.propose(next_policy(), NOW);
    let anna = world.approve("anna", &proposal);
    assert_eq!(world.refused(&proposal, &[anna]), "CUSTODIAN_SUSPENDED");
    let both = ["boris", "dora"].map(|name| world.approve(name, &proposal));
    assert!(matches!(
        world.judge(&proposal, &both),
        Ok(Judgement::Approved(_))
    ));
}

/// What could not be executed is refused before anybody decides about it.
#[test]
fn keys_that_do_not_stand_or_are_in_another_state() {
    let world = World::new();
    let stranger = KeyId::new([9; 32]);
    let operation = |operation, key| world.propose(Operation::Key { operation, key }, NOW);
    let judge = |proposal| world.judge(&proposal, &[]);
    assert_eq!(
        judge(operation(KeyOperation::Suspend, stranger)),
        Err(ChangeRefusal::KeyNotFound(stranger))
    );
    let refusal = judge(operation(KeyOperation::Resume, DEVICE_CA)).unwrap_err();
    assert_eq!(refusal.reason(), "KEY_STATE");
    assert_eq!(
        refusal.to_string(),
        format!("key {DEVICE_CA}: resume-key is not possible in state active")
    );
    assert!(judge(operation(KeyOperation::Suspend, DEVICE_CA)).is_ok());
}

#[test]
fn attachments_are_what_the_proposal_names() {
    let world = World::new();
    let of = |kind, content: &str| Attachment {
        kind: AttachmentKind::Document(kind),
        content: content.to_owned(),
    };
    let text = "institution = \"alfa\"\nversion = 2\n";
    let (_, name) = DocumentName::of(DocumentKind::Policy, text.as_bytes()).unwrap();
    let proposal = world.propose(Operation::Document(name), NOW);
    let check = |attachments: &[Attachment]| {
        let checked = proposal.check_attachments(attachments);
        checked.map_err(|refusal| refusal.reason())
    };
    let policy = of(DocumentKind::Policy, text);
    assert_eq!(check(std::slice::from_ref(&policy)), Ok(()));
    assert_eq!(check(&[]), Err("ATTACHMENT_MISMATCH"));
    assert_eq!(
        check(&[policy.clone(), policy.clone()]),
        Err("ATTACHMENT_MISMATCH")
    );
    let trust = of(DocumentKind::Trust, text);
    assert_eq!(check(&[policy, trust]), Err("ATTACHMENT_MISMATCH"));
    let other = of(
        DocumentKind::Policy,
        "institution = \"alfa\"\nversion = 2 \n",
    );
    assert_eq!(check(&[other]), Err("DOCUMENT_MISMATCH"));

    let key = Operation::Key {
        operation: KeyOperation::Suspend,
        key: DEVICE_CA,
    };
    let proposal = world.propose(key, NOW);
    assert_eq!(proposal.check_attachments(&[]), Ok(()));
    assert!(
        proposal
            .check_attachments(&[of(DocumentKind::Policy, text)])
            .is_err()
    );
}

/// Those of a ceremony: four documents, each of the institution and of its version.
#[test]
fn a_ceremony_comes_with_its_documents() {
    let world = World::new();
    let register = world.register(1, 2);
    let kinds = [
        DocumentKind::Policy,
        DocumentKind::Trust,
        DocumentKind::Callers,
    ];
    let text =
        |kind: DocumentKind| format!("institution = \"alfa\"\nversion = 3 # {}", kind.name());
    let name = |kind| DocumentName::of(kind, text(kind).as_bytes()).unwrap().1;
    let [policy, trust, callers] = kinds.map(name);
    let Operation::Ceremony { documents, keys } = world::ceremony_operation(&register) else {
        panic!("a ceremony");
    };
    let documents = [documents[0], policy, trust, callers];
    let base = semops_objects::change::Base::of_ceremony(world::SCHEME, world::alfa());
    let ceremony = world::propose(base, Operation::Ceremony { documents, keys }, NOW + DAY);
    let mut attachments: Vec<_> = kinds
        .into_iter()
        .map(|kind| Attachment {
            kind: AttachmentKind::Document(kind),
            content: text(kind),
        })
        .collect();
    let missing = ChangeRefusal::AttachmentMissing(world::CUSTODIANS);
    assert_eq!(ceremony.check_attachments(&attachments), Err(missing));
    attachments.push(Attachment {
        kind: world::CUSTODIANS,
        content: register,
    });
    assert_eq!(ceremony.check_attachments(&attachments), Ok(()));
    attachments.swap(0, 3);
    assert_eq!(ceremony.check_attachments(&attachments), Ok(()));
    attachments[1].content.push(' ');
    assert_eq!(
        ceremony.check_attachments(&attachments),
        Err(ChangeRefusal::DocumentDigest {
            kind: DocumentKind::Trust
        })
    );
}
