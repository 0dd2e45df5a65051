//! The sealed recovery key: it replaces custodians alone, after its delay, and nobody else can use it or be it.

use semops_objects::change::{
    Approval, ChangeRefusal, Decision, DocumentKind, Judgement, Moment, Operation, Proposal,
    RECOVERY, Standing,
};

use crate::world::{self, DAY, NOW, Signed, World, digest, next_policy, person};

const DELAY: u64 = 3 * DAY;

/// The register with dora active too.
fn next(world: &World) -> String {
    let next = world.register(2, 2);
    next.replacen("\"suspended\"", "\"active\"", 1)
}

fn recovery(world: &World, register: &str, days: u64) -> Proposal {
    let operation = Operation::RecoverCustodians {
        version: 2,
        sha256: digest(register),
    };
    Proposal::new(
        world.standing.base(),
        operation,
        [0; 16],
        NOW,
        NOW + days * DAY,
    )
    .unwrap()
}

/// Taken when it was made.
fn taken(now: u64) -> Moment {
    Moment { taken_at: NOW, now }
}

fn judge(standing: &Standing, proposal: &Proposal, by: &Approval, now: u64) -> Judgement {
    standing
        .judge(proposal, std::slice::from_ref(by), taken(now))
        .unwrap()
}

#[test]
fn it_waits_and_then_replaces_the_custodians() {
    let world = World::new();
    let register = next(&world);
    let proposal = recovery(&world, &register, 10);
    let sealed = Signed::by(RECOVERY).of(&world.keys, &proposal);
    let until = NOW + DELAY;
    for now in [NOW, NOW + DAY, until - 1] {
        let waits = Judgement::Waits { until };
        assert_eq!(judge(&world.standing, &proposal, &sealed, now), waits);
    }
    for now in [until, NOW + 10 * DAY - 1] {
        let Judgement::Approved(change) = judge(&world.standing, &proposal, &sealed, now) else {
            panic!("its delay has passed");
        };
        assert_eq!((change.by(), change.at()), (&[person(RECOVERY)][..], now));
        let after = world
            .standing
            .after(&change, Some(register.as_bytes()))
            .unwrap();
        assert_eq!(after.custodians().active().count(), 4);
        assert_eq!(after.document(DocumentKind::Custodians).version, 2);
        assert_eq!(after.sequence(), 2);
        assert!(world.standing.after(&change, None).is_err());
    }
    let sealed = [sealed];
    let expired = world
        .standing
        .judge(&proposal, &sealed, taken(NOW + 10 * DAY));
    assert_eq!(
        expired,
        Err(ChangeRefusal::Expired {
            exp: NOW + 10 * DAY
        })
    );
}

/// A history with an earlier `executed_at` than the delay allows does not verify.
#[test]
fn the_delay_counts_from_the_signature_and_from_its_taking() {
    let world = World::new();
    let proposal = recovery(&world, &next(&world), 10);
    let late = Signed::by(RECOVERY)
        .at(NOW + DAY)
        .of(&world.keys, &proposal);
    let until = NOW + DAY + DELAY;
    let waits = Judgement::Waits { until };
    assert_eq!(judge(&world.standing, &proposal, &late, NOW + DELAY), waits);
    let done = judge(&world.standing, &proposal, &late, until);
    assert!(matches!(done, Judgement::Approved(_)));
    // An approval from before the proposal would shorten the delay.
    let early = [Signed::by(RECOVERY).at(NOW - 31).of(&world.keys, &proposal)];
    let refused = world
        .standing
        .judge(&proposal, &early, taken(NOW + DELAY))
        .unwrap_err();
    assert_eq!(refused.reason(), "APPROVAL_INVALID");
    // A thief of the key who dates both back gains nothing: it counts from when the service took it.
    let sealed = [Signed::by(RECOVERY).of(&world.keys, &proposal)];
    let (taken_at, now) = (NOW + 5 * DAY, NOW + 5 * DAY + DELAY - 1);
    let at = |now| {
        world
            .standing
            .judge(&proposal, &sealed, Moment { taken_at, now })
    };
    assert_eq!(at(now), Ok(Judgement::Waits { until: now + 1 }));
    assert!(matches!(at(now + 1), Ok(Judgement::Approved(_))));
    // One that could never be executed is refused at once.
    let short = recovery(&world, &next(&world), 3);
    let sealed = Signed::by(RECOVERY).of(&world.keys, &short);
    let too_late = ChangeRefusal::RecoveryTooLate { until: NOW + DELAY };
    assert_eq!(world.judge(&short, &[sealed]), Err(too_late));
}

#[test]
fn nobody_else_recovers_and_it_does_nothing_else() {
    let world = World::new();
    let proposal = recovery(&world, &next(&world), 10);
    let signed = |signed: Signed| signed.of(&world.keys, &proposal);
    let sealed = || signed(Signed::by(RECOVERY));
    for (what, decisions, reason) in [
        (
            "two custodians",
            vec![
                world.approve("anna", &proposal),
                world.approve("boris", &proposal),
            ],
            "ALREADY_DECIDED",
        ),
        (
            "a custodian",
            vec![world.approve("anna", &proposal)],
            "RECOVERY_REFUSED",
        ),
        (
            "a custodian beside it",
            vec![sealed(), world.approve("anna", &proposal)],
            "ALREADY_DECIDED",
        ),
        ("twice", vec![sealed(), sealed()], "ALREADY_DECIDED"),
        (
            "a custodian in its name",
            vec![signed(Signed::by("anna").in_the_name_of(RECOVERY))],
            "NOT_A_CUSTODIAN",
        ),
        (
            "a stranger in its name",
            vec![signed(Signed::by("stranger").in_the_name_of(RECOVERY))],
            "NOT_A_CUSTODIAN",
        ),
        (
            "in another name",
            vec![signed(Signed::by(RECOVERY).in_the_name_of("anna"))],
            "RECOVERY_REFUSED",
        ),
        (
            "for another institution",
            vec![signed(Signed::by(RECOVERY).to("beta"))],
            "OTHER_INSTITUTION",
        ),
        (
            "of another proposal",
            vec![Signed::by(RECOVERY).of(&world.keys, &recovery(&world, "x", 10))],
            "OTHER_PROPOSAL",
        ),
    ] {
        let judged = world
            .standing
            .judge(&proposal, &decisions, taken(NOW + DELAY));
        assert_eq!(judged.unwrap_err().reason(), reason, "{what}");
    }
    let pending = Judgement::Pending {
        approved: vec![],
        rejected: vec![],
        needed: 1,
    };
    assert_eq!(world.judge(&proposal, &[]), Ok(pending));
    let withdrawn = signed(Signed::by(RECOVERY).says(Decision::Reject));
    assert_eq!(
        judge(&world.standing, &proposal, &withdrawn, NOW),
        Judgement::Rejected
    );

    let policy = world.propose(next_policy(), NOW);
    let sealed = Signed::by(RECOVERY).of(&world.keys, &policy);
    assert_eq!(world.refused(&policy, &[sealed]), "RECOVERY_REFUSED");
}

/// A quorum that still exists calls it off by any change.
#[test]
fn a_change_by_the_custodians_moves_its_base() {
    let mut world = World::new();
    let proposal = recovery(&world, &next(&world), 10);
    let sealed = [Signed::by(RECOVERY).of(&world.keys, &proposal)];
    world.execute(next_policy(), NOW + DAY).unwrap();
    let judged = world.standing.judge(&proposal, &sealed, taken(NOW + DELAY));
    assert_eq!(judged, Err(ChangeRefusal::BaseMoved { next: 3 }));
}

#[test]
fn a_register_without_a_recovery_key_has_no_recovery() {
    let mut world = World::new();
    let (top, rest) = (world.register(2, 2), world.register(2, 2));
    let top = top.split_once("recovery").unwrap().0;
    let rest = &rest[rest.find("[[custodian]]").unwrap()..];
    let register = format!("{top}{rest}");
    let change = world
        .approved(world::custodians_change(&register), NOW)
        .unwrap();
    world.standing = world
        .standing
        .after(&change, Some(register.as_bytes()))
        .unwrap();
    let operation = Operation::RecoverCustodians {
        version: 3,
        sha256: [0; 32],
    };
    let proposal = world.propose(operation, NOW);
    assert_eq!(world.judge(&proposal, &[]), Err(ChangeRefusal::NoRecovery));
}

/// What the recovery key brings is a register with a quorum, or nothing.
#[test]
fn it_cannot_weaken_the_quorum() {
    let world = World::new();
    let weak = next(&world).replacen("quorum = 2", "quorum = 1", 1);
    let proposal = recovery(&world, &weak, 10);
    let sealed = Signed::by(RECOVERY).of(&world.keys, &proposal);
    let Judgement::Approved(change) = judge(&world.standing, &proposal, &sealed, NOW + DELAY)
    else {
        panic!("its delay has passed");
    };
    let refused = world
        .standing
        .after(&change, Some(weak.as_bytes()))
        .unwrap_err();
    assert_eq!(refused.reason(), "QUORUM_TOO_SMALL");
}
