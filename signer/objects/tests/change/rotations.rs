//! From one key to the next: the overlap, the calling off, the certificate.

use const_oid::ObjectIdentifier;
use semops_objects::change::{
    Addition, Attachment, AttachmentKind, KEYS_OF_A_PURPOSE, KeyOperation, Operation, Rotation,
};
use semops_objects::key::{KeyId, KeyState, Purpose};
use semops_pki::certificate::Certificate;
use semops_pki::issuer::Content;
use semops_pki::local_key::LocalKey;
use semops_pki::profile::Oids;
use semops_pki::signed::assemble;

use crate::world::{AUTHORIZATION, DAY, DEVICE_CA, NOW, World};

/// A key that does not stand at the beginning.
pub(crate) const NEXT: KeyId = KeyId::new([4; 32]);

pub(crate) fn rotation(from: KeyId, to: KeyId, activate_at: u64, retire_at: u64) -> Operation {
    let certificate = [5; 32];
    Operation::RotateKey(Rotation {
        from,
        to,
        certificate,
        activate_at,
        retire_at,
    })
}

fn state(world: &World, key: KeyId, at: u64) -> KeyState {
    world.standing.key(key).unwrap().state(at)
}

/// A certificate of some key.
fn certificate() -> Certificate {
    let key = LocalKey::generate().unwrap();
    let content = Content {
        organization: "alfa",
        public_key: key.public_key(),
        serial: [1; 16],
        not_before: 1_700_000_000,
        not_after: 1_900_000_000,
    };
    let under = |arc: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.32473.{arc}"));
    let oids = Oids {
        device_eku: under("1"),
        authorization_eku: under("2"),
        audit_eku: Some(under("4")),
        statement_eku: Some(under("5")),
        device_policy: under("3"),
    };
    let tbs = semops_pki::issuer::root(&content, "root", &oids).unwrap();
    Certificate::from_der(&assemble(tbs.bytes(), &key.sign(tbs.bytes()).unwrap())).unwrap()
}

/// The new key signs from its time on, the old one until its own.
#[test]
fn a_rotation_overlaps() {
    use KeyState as S;
    let mut world = World::new();
    let (activate, retire) = (NOW + DAY, NOW + 2 * DAY);
    world
        .execute(rotation(AUTHORIZATION, NEXT, activate, retire), NOW)
        .unwrap();
    for (at, old, new, signs) in [
        (NOW, S::Active, S::PreActivation, vec![AUTHORIZATION]),
        (
            activate - 1,
            S::Active,
            S::PreActivation,
            vec![AUTHORIZATION],
        ),
        (activate, S::Active, S::Active, vec![NEXT, AUTHORIZATION]),
        (retire - 1, S::Active, S::Active, vec![NEXT, AUTHORIZATION]),
        (retire, S::Deactivated, S::Active, vec![NEXT]),
    ] {
        assert_eq!(
            [AUTHORIZATION, NEXT].map(|key| state(&world, key, at)),
            [old, new]
        );
        assert_eq!(world.standing.active_at(Purpose::Authorization, at), signs);
        assert_eq!(world.standing.active_at(Purpose::DeviceCa, at), [DEVICE_CA]);
    }
    let life = world.standing.key(NEXT).unwrap();
    assert_eq!(
        (life.purpose(), life.activates_at()),
        (Purpose::Authorization, Some(activate))
    );
    assert_eq!(life.certificate(), Some(&[5; 32]));
    assert_eq!(
        world.standing.key(AUTHORIZATION).unwrap().retires_at(),
        Some(retire)
    );
}

/// Called off, everything is as before, but that the new key has been seen: it can be rotated to again or be destroyed.
#[test]
fn a_rotation_is_called_off_until_the_new_key_signs() {
    let mut world = World::new();
    let (activate, retire) = (NOW + DAY, NOW + 2 * DAY);
    world
        .execute(rotation(AUTHORIZATION, NEXT, activate, retire), NOW)
        .unwrap();
    let refused = |world: &World, operation, now| {
        let refusal = world.approved(operation, now).unwrap_err();
        assert_eq!(refusal.reason(), "KEY_STATE");
    };
    let call_off = || Operation::CallOffRotation { to: NEXT };
    refused(&world, call_off(), activate);
    let second = rotation(AUTHORIZATION, KeyId::new([6; 32]), NOW, NOW);
    refused(&world, second, NOW);
    refused(&world, rotation(NEXT, KeyId::new([6; 32]), NOW, NOW), NOW);
    refused(
        &world,
        Operation::CallOffRotation { to: AUTHORIZATION },
        NOW,
    );

    world.execute(call_off(), activate - 1).unwrap();
    refused(&world, call_off(), NOW);
    for at in [NOW, activate, retire, retire + 100 * DAY] {
        assert_eq!(state(&world, NEXT, at), KeyState::PreActivation);
        assert_eq!(
            world.standing.active_at(Purpose::Authorization, at),
            [AUTHORIZATION]
        );
    }
    refused(&world, rotation(DEVICE_CA, NEXT, NOW, NOW), NOW);
    world
        .execute(rotation(AUTHORIZATION, NEXT, NOW, NOW), NOW)
        .unwrap();
    assert_eq!(
        world.standing.active_at(Purpose::Authorization, NOW),
        [NEXT]
    );
}

/// A plan whose time passed before it was approved begins with its execution: no key was active before somebody said so.
#[test]
fn a_late_rotation_begins_at_its_execution() {
    let mut world = World::new();
    let later = NOW + 3 * DAY;
    world
        .execute(rotation(AUTHORIZATION, NEXT, NOW, NOW + DAY), later)
        .unwrap();
    assert_eq!(state(&world, NEXT, later - 1), KeyState::PreActivation);
    assert_eq!(state(&world, AUTHORIZATION, later - 1), KeyState::Active);
    assert_eq!(state(&world, NEXT, later), KeyState::Active);
    assert_eq!(state(&world, AUTHORIZATION, later), KeyState::Deactivated);
}

/// From a key that is suspended, compromised or deactivated there is a way to the next.
#[test]
fn a_rotation_leaves_a_key_that_may_not_sign() {
    for (operation, then) in [
        (KeyOperation::Suspend, KeyState::Deactivated),
        (KeyOperation::Deactivate, KeyState::Deactivated),
        (KeyOperation::MarkCompromised, KeyState::Compromised),
    ] {
        let mut world = World::new();
        let key = AUTHORIZATION;
        world
            .execute(Operation::Key { operation, key }, NOW)
            .unwrap();
        assert_eq!(world.standing.active_at(Purpose::Authorization, NOW), []);
        world
            .execute(rotation(AUTHORIZATION, NEXT, NOW, NOW), NOW)
            .unwrap();
        assert_eq!(
            world.standing.active_at(Purpose::Authorization, NOW),
            [NEXT]
        );
        assert_eq!(state(&world, AUTHORIZATION, NOW), then);
    }
}

/// Calling a rotation off undoes that rotation, and not an earlier one from the same key.
#[test]
fn a_key_that_was_replaced_does_not_come_back() {
    let (mut world, other) = (World::new(), KeyId::new([6; 32]));
    world
        .execute(rotation(AUTHORIZATION, NEXT, NOW, NOW), NOW)
        .unwrap();
    let late = rotation(AUTHORIZATION, other, NOW + DAY, NOW + DAY);
    world.execute(late, NOW).unwrap();
    world
        .execute(Operation::CallOffRotation { to: other }, NOW)
        .unwrap();
    assert_eq!(state(&world, AUTHORIZATION, NOW), KeyState::Deactivated);
    assert_eq!(
        world.standing.active_at(Purpose::Authorization, NOW),
        [NEXT]
    );
}

#[test]
fn a_rotation_comes_with_the_certificate_of_its_key() {
    let world = World::new();
    let pem = |content: &str| Attachment {
        kind: AttachmentKind::Certificate,
        content: content.to_owned(),
    };
    let certificate = certificate();
    let named = |to, certificate| {
        let (activate_at, retire_at) = (NOW, NOW);
        let from = AUTHORIZATION;
        let rotation = Rotation {
            from,
            to,
            certificate,
            activate_at,
            retire_at,
        };
        world.propose(Operation::RotateKey(rotation), NOW)
    };
    let to = KeyId::of(certificate.public_key());
    let good = named(to, certificate.sha256());
    assert_eq!(
        good.check_attachments(&[pem(&certificate.to_pem())]),
        Ok(())
    );
    for (proposal, content) in [
        (&good, "x".to_owned()),
        (&good, certificate.to_pem() + &certificate.to_pem()),
        (&named(NEXT, certificate.sha256()), certificate.to_pem()),
        (&named(to, [0; 32]), certificate.to_pem()),
    ] {
        let refused = proposal.check_attachments(&[pem(&content)]).unwrap_err();
        assert_eq!(refused.reason(), "CERTIFICATE_INVALID");
    }
    assert_eq!(
        good.check_attachments(&[]).unwrap_err().reason(),
        "ATTACHMENT_MISMATCH"
    );
}

pub(crate) fn addition(key: KeyId, activate_at: u64) -> Operation {
    addition_for(Purpose::Authorization, key, activate_at)
}

pub(crate) fn addition_for(purpose: Purpose, key: KeyId, activate_at: u64) -> Operation {
    Operation::AddKey(Addition {
        purpose,
        key,
        certificate: [5; 32],
        activate_at,
    })
}

/// A key beside the others replaces none, and may be called off until it signs.
#[test]
fn a_key_is_added_beside_the_others() {
    use KeyState as S;
    let mut world = World::new();
    let activate = NOW + DAY;
    world.execute(addition(NEXT, activate), NOW).unwrap();
    for (at, new, signs) in [
        (NOW, S::PreActivation, vec![AUTHORIZATION]),
        (activate - 1, S::PreActivation, vec![AUTHORIZATION]),
        (activate, S::Active, vec![NEXT, AUTHORIZATION]),
        (activate + 900 * DAY, S::Active, vec![NEXT, AUTHORIZATION]),
    ] {
        let states = [AUTHORIZATION, NEXT].map(|key| state(&world, key, at));
        assert_eq!(states, [S::Active, new]);
        assert_eq!(world.standing.active_at(Purpose::Authorization, at), signs);
    }
    let life = |world: &World, key| world.standing.key(key).unwrap().clone();
    assert_eq!(life(&world, NEXT).certificate(), Some(&[5; 32]));
    assert_eq!(life(&world, AUTHORIZATION).retires_at(), None);
    let refused = world.approved(addition(NEXT, activate), NOW).unwrap_err();
    assert_eq!(refused.reason(), "KEY_STATE");

    let call_off = || Operation::CallOffRotation { to: NEXT };
    assert!(world.approved(call_off(), activate).is_err());
    let before = life(&world, AUTHORIZATION);
    world.execute(call_off(), activate - 1).unwrap();
    assert_eq!(state(&world, NEXT, activate), S::PreActivation);
    assert_eq!(life(&world, AUTHORIZATION), before);
    // What was called off may be added again, or rotated to; the key beside it may then be rotated.
    world.execute(addition(NEXT, NOW), NOW).unwrap();
    assert_eq!(state(&world, NEXT, NOW), S::Active);
    let later = KeyId::new([6; 32]);
    world.execute(rotation(NEXT, later, NOW, NOW), NOW).unwrap();
    let both = [AUTHORIZATION, later];
    let mut active = world.standing.active_at(Purpose::Authorization, NOW);
    active.sort_unstable();
    assert_eq!(active, both);
}

#[test]
fn no_more_keys_are_added_than_there_may_be_tokens() {
    let mut world = World::new();
    let key = |octet: usize| KeyId::new([u8::try_from(octet + 10).unwrap(); 32]);
    for one in 1..KEYS_OF_A_PURPOSE {
        world.execute(addition(key(one), NOW + DAY), NOW).unwrap();
    }
    let refused = |world: &World| world.approved(addition(key(9), NOW), NOW).unwrap_err();
    assert_eq!(refused(&world).reason(), "KEY_STATE");
    assert!(refused(&world).to_string().contains("4 authorization keys"));
    // One that is called off, or that may sign no more, makes room.
    let call_off = Operation::CallOffRotation { to: key(1) };
    world.execute(call_off, NOW).unwrap();
    world.execute(addition(key(8), NOW + DAY), NOW).unwrap();
    assert_eq!(refused(&world).reason(), "KEY_STATE");
    let deactivate = Operation::Key {
        operation: KeyOperation::Deactivate,
        key: AUTHORIZATION,
    };
    world.execute(deactivate, NOW).unwrap();
    world.execute(addition(key(9), NOW), NOW).unwrap();
}
