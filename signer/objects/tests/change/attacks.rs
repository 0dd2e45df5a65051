//! What somebody may try who wants a change that not enough persons want.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::change::{
    Approval, Base, ChangeRefusal, Custodians, Decision, DocumentKind, DocumentName, Judgement,
    Moment, Operation, Proposal, Standing,
};
use semops_objects::jws;
use semops_objects::key::KeyId;

use crate::world::{
    self, ACTIVE, DAY, NOW, SCHEME, Signed, World, digest, next_policy, person, propose,
};

/// anna approves as she should; what comes beside her does not make two of her.
fn refused_beside_anna(world: &World, proposal: &Proposal, attacks: &[(&str, Approval, &str)]) {
    for (what, second, reason) in attacks {
        let first = world.approve("anna", proposal);
        let decisions = [first.clone(), second.clone()];
        assert_eq!(world.refused(proposal, &decisions), *reason, "{what}");
        let decisions = [second.clone(), first];
        assert_eq!(
            world.refused(proposal, &decisions),
            *reason,
            "{what}, first"
        );
    }
    let both = ["anna", "boris"].map(|name| world.approve(name, proposal));
    assert!(matches!(
        world.judge(proposal, &both),
        Ok(Judgement::Approved(_))
    ));
}

#[test]
fn nobody_counts_who_should_not() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    let attack = |signed: Signed| signed.of(&world.keys, &proposal);
    let by = |key: &str, person: &str| Signed::by(key).in_the_name_of(person);
    let of_boris = KeyId::of(world.key("boris").public_key());
    let attacks = [
        (
            "suspended",
            world.approve("dora", &proposal),
            "CUSTODIAN_SUSPENDED",
        ),
        (
            "a stranger",
            world.approve("stranger", &proposal),
            "NOT_A_CUSTODIAN",
        ),
        (
            "a stranger as boris",
            attack(by("stranger", "boris")),
            "NOT_A_CUSTODIAN",
        ),
        (
            "a stranger as boris, naming his key",
            attack(by("stranger", "boris").naming(of_boris)),
            "APPROVAL_INVALID",
        ),
        (
            "anna as boris",
            attack(by("anna-2", "boris")),
            "APPROVAL_INVALID",
        ),
        (
            "anna as boris, naming his key",
            attack(by("anna", "boris").naming(of_boris)),
            "APPROVAL_INVALID",
        ),
        (
            "boris as anna",
            attack(by("boris", "anna")),
            "APPROVAL_INVALID",
        ),
        (
            "the recovery key",
            attack(Signed::by("recovery")),
            "RECOVERY_REFUSED",
        ),
        (
            "the recovery key as boris",
            attack(by("recovery", "boris")),
            "NOT_A_CUSTODIAN",
        ),
    ];
    refused_beside_anna(&world, &proposal, &attacks);
}

#[test]
fn nothing_counts_twice_or_for_something_else() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    let other = propose(world.standing.base(), next_policy(), NOW + 1);
    let attack = |signed: Signed| signed.of(&world.keys, &proposal);
    let boris = || Signed::by("boris");
    let attacks = [
        (
            "the same again",
            world.approve("anna", &proposal),
            "ALREADY_DECIDED",
        ),
        (
            "with her second key",
            world.approve("anna-2", &proposal),
            "ALREADY_DECIDED",
        ),
        (
            "the contrary",
            world.reject("anna", &proposal),
            "ALREADY_DECIDED",
        ),
        (
            "of another proposal",
            world.approve("boris", &other),
            "OTHER_PROPOSAL",
        ),
        (
            "for another institution",
            attack(boris().to("beta")),
            "OTHER_INSTITUTION",
        ),
        (
            "before the proposal",
            attack(boris().at(NOW - 31)),
            "APPROVAL_INVALID",
        ),
        (
            "ahead of the clock",
            attack(boris().at(NOW + 31)),
            "APPROVAL_INVALID",
        ),
        (
            "after its end",
            attack(boris().at(NOW + DAY)),
            "APPROVAL_INVALID",
        ),
    ];
    refused_beside_anna(&world, &proposal, &attacks);
    // Clocks may differ by half a minute.
    for iat in [NOW - 30, NOW + 30] {
        let both = [world.approve("anna", &proposal), attack(boris().at(iat))];
        assert!(matches!(
            world.judge(&proposal, &both),
            Ok(Judgement::Approved(_))
        ));
    }
}

#[test]
fn a_proposer_alone_is_one() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    let approvals = [world.approve("anna", &proposal)];
    let pending = Judgement::Pending {
        approved: vec![person("anna")],
        rejected: vec![],
        needed: 2,
    };
    assert_eq!(world.judge(&proposal, &approvals), Ok(pending));
}

/// What a proposal is made for, and on.
#[test]
fn another_place_another_time_another_base() {
    let world = World::new();
    let base = || world.standing.base();
    let made = |base: Base| propose(base, next_policy(), NOW);
    let of_beta = Base {
        institution: "beta".parse().unwrap(),
        ..base()
    };
    let scheme = "other.example".to_owned();
    let previous = Some(semops_objects::change::ChangeId::new([9; 32]));
    let sequence = base().sequence + 1;
    let old = Proposal::new(base(), next_policy(), [7; 16], NOW - DAY, NOW).unwrap();
    let third = DocumentName {
        version: 3,
        ..world::named(DocumentKind::Policy, 2)
    };
    let register = world.register(1, 2);
    for (proposal, reason) in [
        (made(of_beta), "OTHER_INSTITUTION"),
        (made(Base { scheme, ..base() }), "OTHER_SCHEME"),
        (made(Base { sequence, ..base() }), "BASE_MOVED"),
        (made(Base { previous, ..base() }), "BASE_MOVED"),
        (world::ceremony(&register), "BASE_MOVED"),
        (old, "CHANGE_EXPIRED"),
        (
            world.propose(next_policy(), NOW + 31),
            "CHANGE_NOT_YET_VALID",
        ),
        (
            world.propose(Operation::Document(third), NOW),
            "DOCUMENT_MISMATCH",
        ),
    ] {
        let decisions: Vec<_> = ACTIVE.map(|name| world.approve(name, &proposal)).to_vec();
        assert_eq!(world.refused(&proposal, &decisions), reason);
        // Without a decision too: what could not be executed is never pending.
        assert_eq!(world.refused(&proposal, &[]), reason);
    }
    assert!(
        world
            .judge(&world.propose(next_policy(), NOW + 30), &[])
            .is_ok()
    );
}

/// What was approved once cannot be executed twice, nor on anything else.
#[test]
fn an_executed_proposal_is_not_executed_again() {
    let mut world = World::new();
    let change = world.approved(next_policy(), NOW).unwrap();
    world.standing = world.standing.after(&change, None).unwrap();
    let moved = Err(ChangeRefusal::BaseMoved { next: 3 });
    assert_eq!(world.standing.after(&change, None), moved);
    let approvals = ["anna", "boris"].map(|name| world.approve(name, change.proposal()));
    let judged = world
        .standing
        .judge(change.proposal(), &approvals, Moment::of_taking(NOW));
    assert_eq!(judged, Err(ChangeRefusal::BaseMoved { next: 3 }));
}

/// RFC 8725 s3.1, s3.11: neither the algorithm nor the kind of an object is taken from the message.
#[test]
fn headers_that_say_something_else() {
    let world = World::new();
    let proposal = world.propose(next_policy(), NOW);
    let good = world.approve("boris", &proposal);
    let (_, payload) = good.compact().split_once('.').unwrap();
    let (payload, _) = payload.split_once('.').unwrap();
    let kid = good.kid();
    let typ = "semops-approval-v1+jwt";
    for (header, accepted) in [
        (
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{typ}"}}"#),
            true,
        ),
        (
            format!(r#"{{"typ":"{typ}","alg":"ES256","kid":"{kid}"}}"#),
            true,
        ),
        (
            format!(r#"{{"alg":"none","kid":"{kid}","typ":"{typ}"}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{typ}"}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"ES384","kid":"{kid}","typ":"{typ}"}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"semops-order-v1+jwt"}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}"#),
            false,
        ),
        (format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), false),
        (format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), false),
        (
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{typ}","crit":["b64"]}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"{typ}","jwk":{{}}}}"#),
            false,
        ),
        (
            format!(r#"{{"alg":"ES256","alg":"ES256","kid":"{kid}","typ":"{typ}"}}"#),
            false,
        ),
    ] {
        let input = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(&header));
        let signature = world.key("boris").sign_raw(input.as_bytes()).unwrap();
        let read = Approval::parse(&jws::compact(&input, &signature));
        assert_eq!(read.is_ok(), accepted, "{header}");
        if let Ok(approval) = read {
            assert!(approval.verify(world.key("boris").public_key()).is_ok());
        }
    }
    let unsigned = good.compact().rsplit_once('.').unwrap().0;
    assert!(Approval::parse(&format!("{unsigned}.")).is_err());
}

/// A register that would let fewer decide is none, whoever approves it.
#[test]
fn registers_that_weaken_the_quorum() {
    let world = World::new();
    let reason = |text: &str| Custodians::parse(text.as_bytes()).unwrap_err().reason();
    let text = world.register(2, 2);
    let with = |from: &str, to: &str| text.replacen(from, to, 1);
    for quorum in ["0", "1"] {
        let weak = with("quorum = 2", &format!("quorum = {quorum}"));
        assert_eq!(reason(&weak), "QUORUM_TOO_SMALL");
    }
    assert_eq!(
        reason(&with("quorum = 2", "quorum = 3")),
        "TOO_FEW_CUSTODIANS"
    );
    assert_eq!(
        reason(&with("state = \"active\"", "state = \"suspended\"")),
        "TOO_FEW_CUSTODIANS"
    );
    for weak in [
        with("quorum = 2", "quorum = 1"),
        with("quorum = 2", "quorum = 3"),
    ] {
        let operation = world::custodians_change(&weak);
        let change = world.approved(operation, NOW).unwrap();
        let refused = world.standing.after(&change, Some(weak.as_bytes()));
        let reason = refused.unwrap_err().reason();
        assert!(["QUORUM_TOO_SMALL", "TOO_FEW_CUSTODIANS"].contains(&reason));
    }
}

/// The bytes of a register are those that were approved, of this institution and of that version.
#[test]
fn another_register_than_the_approved_one() {
    let world = World::new();
    let text = world.register(2, 2);
    let change = world
        .approved(world::custodians_change(&text), NOW)
        .unwrap();
    let after = |bytes: Option<&str>| {
        let refused = world.standing.after(&change, bytes.map(str::as_bytes));
        refused.unwrap_err().reason()
    };
    assert_eq!(after(None), "ATTACHMENT_MISMATCH");
    assert_eq!(after(Some(&format!("{text}\n"))), "DOCUMENT_MISMATCH");
    assert_eq!(after(Some("")), "DOCUMENT_MISMATCH");
    assert!(world.standing.after(&change, Some(text.as_bytes())).is_ok());

    let of_beta = text.replacen("alfa", "beta", 1);
    let change = world
        .approved(world::custodians_change(&of_beta), NOW)
        .unwrap();
    let refused = world.standing.after(&change, Some(of_beta.as_bytes()));
    assert_eq!(refused.unwrap_err().reason(), "OTHER_INSTITUTION");
    let third = world.register(3, 2);
    let name = DocumentName {
        kind: DocumentKind::Custodians,
        version: 2,
        sha256: digest(&third),
    };
    let change = world.approved(Operation::Document(name), NOW).unwrap();
    let refused = world.standing.after(&change, Some(third.as_bytes()));
    assert_eq!(refused.unwrap_err().reason(), "DOCUMENT_MISMATCH");
}

#[test]
fn ceremonies_that_are_none() {
    let world = World::new();
    let register = world.register(1, 2);
    let ceremony = world::ceremony(&register);
    let all = || ACTIVE.map(|name| world.approve(name, &ceremony)).to_vec();
    let begin = |scheme: &str, approvals: &[Approval], register: &str, at| {
        let begun = Standing::begin(scheme, &ceremony, approvals, register.as_bytes(), at);
        begun.map_err(|refusal| refusal.reason())
    };
    assert!(begin(SCHEME, &all(), &register, NOW).is_ok());
    let mut rejecting = all();
    rejecting[2] = Signed::by("chloe")
        .says(Decision::Reject)
        .of(&world.keys, &ceremony);
    let mut suspended = all();
    suspended.push(world.approve("dora", &ceremony));
    for (approvals, reason) in [
        (&all()[..2], "CEREMONY_INCOMPLETE"),
        (&[][..], "CEREMONY_INCOMPLETE"),
        (&rejecting[..], "CEREMONY_INCOMPLETE"),
        (&suspended[..], "CUSTODIAN_SUSPENDED"),
    ] {
        assert_eq!(begin(SCHEME, approvals, &register, NOW), Err(reason));
    }
    let other = world
        .register(1, 2)
        .replacen("quorum = 2", "quorum = 2 ", 1);
    assert_eq!(begin(SCHEME, &all(), &other, NOW), Err("DOCUMENT_MISMATCH"));
    assert_eq!(begin("x", &all(), &register, NOW), Err("OTHER_SCHEME"));
    assert_eq!(
        begin(SCHEME, &all(), &register, NOW + DAY),
        Err("CHANGE_EXPIRED")
    );
    let no_ceremony = world.propose(next_policy(), NOW);
    let approvals = ACTIVE.map(|name| world.approve(name, &no_ceremony));
    let begun = Standing::begin(SCHEME, &no_ceremony, &approvals, register.as_bytes(), NOW);
    assert_eq!(begun, Err(ChangeRefusal::NoCeremony));
}
