//! The scheme's own history: what stands by its files, and what is tried against it.

mod attacks;
mod documents;
mod model;
mod world;

use semops_objects::change::{
    Base, ChangeFile, ChangeRefusal, Decision, NotInForce, Operation, SchemeOperation,
    SchemeStanding, SchemeVersion,
};
use semops_objects::institution::InstitutionId;

use crate::world::{DAY, NOW, ONES, SCHEME, alfa, next_policy, propose};
use world::Founders;

#[test]
fn an_operation_has_one_spelling() {
    let one = SchemeVersion {
        version: 1,
        sha256: [1; 32],
    };
    let members = format!(r#""version":1,"sha256":"{ONES}""#);
    let ceremony = SchemeOperation::Ceremony {
        custodians: one,
        roots: one,
    };
    let ceremony_text =
        format!(r#"{{"name":"scheme-ceremony","custodians":{{{members}}},"roots":{{{members}}}}}"#);
    let roots = format!(r#"{{"name":"scheme-roots",{members}}}"#);
    let custodians = format!(r#"{{"name":"scheme-custodians",{members}}}"#);
    let next = Base {
        sequence: 2,
        previous: Some(propose(first(), Operation::Scheme(ceremony), NOW).id()),
        ..first()
    };
    for (base, operation, text) in [
        (first(), ceremony, ceremony_text),
        (next.clone(), SchemeOperation::Roots(one), roots),
        (next, SchemeOperation::Custodians(one), custodians),
    ] {
        let proposal = propose(base, Operation::Scheme(operation), NOW);
        let written = str::from_utf8(proposal.bytes()).unwrap();
        assert!(
            written.contains(&format!("\"operation\":{text},")),
            "{written}"
        );
        assert!(written.contains("\"institution\":\"scheme\","), "{written}");
        assert_eq!(proposal.operation().name(), operation.name());
    }
}

fn first() -> Base {
    Base::of_ceremony(SCHEME, InstitutionId::of_scheme())
}

/// What rules the scheme can be said of no institution, and what rules an institution not of the scheme.
#[test]
fn the_schemes_operations_are_the_schemes_alone() {
    let one = SchemeVersion {
        version: 2,
        sha256: [1; 32],
    };
    let previous = Some(propose(Base::of_ceremony(SCHEME, alfa()), ceremony(), NOW).id());
    let on = |institution| Base {
        sequence: 2,
        previous,
        ..Base::of_ceremony(SCHEME, institution)
    };
    let made = |institution: InstitutionId, operation| {
        let made = semops_objects::change::Proposal::new(
            on(institution),
            operation,
            [7; 16],
            NOW,
            NOW + DAY,
        );
        made.map(drop).map_err(|error| error.field().to_owned())
    };
    let roots = || Operation::Scheme(SchemeOperation::Roots(one));
    let mixed = Err("proposal.institution".to_owned());
    assert_eq!(made(alfa(), roots()), mixed);
    assert_eq!(made(InstitutionId::of_scheme(), next_policy()), mixed);
    assert_eq!(made(InstitutionId::of_scheme(), roots()), Ok(()));
    assert_eq!(made(alfa(), next_policy()), Ok(()));
}

fn ceremony() -> Operation {
    crate::world::ceremony_operation(&crate::world::World::new().register(1, 2))
}

#[test]
fn roots_and_custodians_change_by_quorum() {
    let founders = Founders::new();
    let ceremony = founders.ceremony();
    let standing = founders.standing(std::slice::from_ref(&ceremony)).unwrap();
    assert_eq!(
        (standing.scheme(), standing.sequence()),
        ("semops.example", 1)
    );
    assert_eq!(standing.changes(), [ceremony.proposal.id()]);
    let count = |of: &SchemeStanding| (of.roots().device().len(), of.roots().signing().len());
    assert_eq!(count(&standing), (1, 1));

    let roots = founders.roots(&standing, ["device", "device-2"].as_slice());
    let second = founders.approved(&standing, roots, ["xena", "yuri"].as_slice());
    let standing = founders
        .standing(&[ceremony.clone(), second.clone()])
        .unwrap();
    assert_eq!(count(&standing), (2, 1));
    assert_eq!(standing.roots().named().version, 2);
    assert_eq!(standing.custodians().version(), 1);

    // Zoe leaves and walt comes: from then on it is he who counts.
    let register = founders.register(2, ["xena", "yuri", "walt"].as_slice());
    let third = founders.approved(&standing, register, ["yuri", "zoe"].as_slice());
    let files = [ceremony, second, third];
    let standing = founders.standing(&files).unwrap();
    assert_eq!(standing.custodians().version(), 2);
    let next = founders.roots(&standing, ["device-2"].as_slice());
    let with = |by: &[&str]| {
        let last = founders.approved(&standing, next.clone(), by);
        founders.standing(&[&files[..], &[last]].concat())
    };
    let refused = with(["xena", "zoe"].as_slice()).unwrap_err();
    assert_eq!(refused.place, 4);
    assert!(matches!(
        refused.why,
        NotInForce::Refused(ChangeRefusal::NotACustodian(_))
    ));
    let standing = with(["xena", "walt"].as_slice()).unwrap();
    assert_eq!((count(&standing), standing.sequence()), ((1, 1), 4));
}

#[test]
fn it_is_in_force_when_the_last_person_has_decided() {
    let founders = Founders::new();
    let ceremony = founders.ceremony();
    let standing = founders.standing(std::slice::from_ref(&ceremony)).unwrap();
    let proposal = founders.roots(&standing, ["device-2"].as_slice());
    let approvals = [("xena", NOW + 5), ("yuri", NOW + 500)];
    let approvals = approvals
        .map(|(name, at)| founders.decision(&proposal, name, Decision::Approve, at))
        .to_vec();
    let file = founders.file(proposal, approvals);
    let of = |now| SchemeStanding::of(SCHEME, &[ceremony.clone(), file.clone()], now);
    assert_eq!(of(NOW + 470).unwrap().sequence(), 2);
    let early = of(NOW + 469).unwrap_err();
    assert_eq!((early.place, early.why), (2, NotInForce::Ahead(NOW + 500)));
    // A history is not over when its proposals are.
    assert_eq!(of(NOW + 9_999 * DAY).unwrap().sequence(), 2);
}

#[test]
fn who_has_not_decided_is_known() {
    let founders = Founders::new();
    let standing = founders.standing(&[founders.ceremony()]).unwrap();
    let proposal = founders.roots(&standing, ["device-2"].as_slice());
    let decided = [founders.decision(&proposal, "yuri", Decision::Reject, NOW)];
    let missing: Vec<_> = standing
        .undecided(&decided)
        .map(|one| one.as_str())
        .collect();
    assert_eq!(missing, ["xena", "zoe"]);
}

#[test]
fn without_files_nothing_stands() {
    let none: [ChangeFile; 0] = [];
    let error = SchemeStanding::of(SCHEME, &none, NOW).unwrap_err();
    assert_eq!(
        (error.place, error.why),
        (1, NotInForce::Refused(ChangeRefusal::NoCeremony))
    );
}
