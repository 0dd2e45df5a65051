//! What is tried against a scheme's history: each is refused where it stands, with its reason.

use semops_objects::change::{
    Approval, Base, ChangeFile, ChangeRefusal, Decision, Moment, NotInForce, Operation, Proposal,
    SchemeHistoryError, SchemeOperation, SchemeStanding,
};
use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;

use super::world::{CUSTODIANS, Draft, Founders, PERSONS, ROOTS, attached, draft, named};
use crate::world::{DAY, Entry, NOW, SCHEME, Signed, document, propose};

/// A scheme with a second root.
struct Scheme {
    founders: Founders,
    files: [ChangeFile; 2],
    standing: SchemeStanding,
}

fn scheme() -> Scheme {
    let founders = Founders::new();
    let first = founders.ceremony();
    let standing = founders.standing(std::slice::from_ref(&first)).unwrap();
    let roots = founders.roots(&standing, &["device", "device-2"]);
    let second = founders.approved(&standing, roots, &["xena", "zoe"]);
    let files = [first, second];
    let standing = founders.standing(&files).unwrap();
    Scheme {
        founders,
        files,
        standing,
    }
}

fn reason(error: &SchemeHistoryError) -> &'static str {
    match &error.why {
        NotInForce::Refused(refusal) => refusal.reason(),
        NotInForce::Undecided { .. } => "UNDECIDED",
        NotInForce::Rejected => "REJECTED",
        NotInForce::Ahead(_) => "AHEAD",
    }
}

impl Scheme {
    fn next(&self) -> Draft {
        self.founders.roots(&self.standing, &["device-2"])
    }

    /// Why a third change is not in force.
    fn third(&self, file: ChangeFile) -> &'static str {
        let files = [&self.files[..], &[file]].concat();
        let error = self.founders.standing(&files).unwrap_err();
        assert_eq!(error.place, 3, "{error}");
        reason(&error)
    }

    fn by(&self, approvals: impl IntoIterator<Item = Approval>) -> &'static str {
        let approvals = approvals.into_iter().collect();
        self.third(self.founders.file(self.next(), approvals))
    }

    fn approve(&self, name: &str) -> Approval {
        let next = self.next();
        self.founders.decision(&next, name, Decision::Approve, NOW)
    }

    fn reject(&self, name: &str) -> Approval {
        let next = self.next();
        self.founders.decision(&next, name, Decision::Reject, NOW)
    }

    fn signed(&self, signed: &Signed) -> Approval {
        signed.of(&self.founders.keys, &self.next())
    }
}

#[test]
fn too_few_are_too_few() {
    let scheme = scheme();
    assert_eq!(scheme.by([]), "UNDECIDED");
    assert_eq!(scheme.by([scheme.approve("xena")]), "UNDECIDED");
    let twice = [scheme.approve("xena"), scheme.approve("xena")];
    assert_eq!(scheme.by(twice), "ALREADY_DECIDED");
    let rejected = [
        scheme.approve("xena"),
        scheme.reject("yuri"),
        scheme.reject("zoe"),
    ];
    assert_eq!(scheme.by(rejected), "REJECTED");
    let both = [scheme.approve("xena"), scheme.reject("xena")];
    assert_eq!(scheme.by(both), "ALREADY_DECIDED");
}

#[test]
fn who_is_no_custodian_of_the_scheme_does_not_count() {
    let scheme = scheme();
    // Anna and boris are custodians of alfa.
    let institutions = ["anna", "boris"].map(|name| scheme.approve(name));
    assert_eq!(scheme.by(institutions), "NOT_A_CUSTODIAN");
    let one = [scheme.approve("xena"), scheme.approve("walt")];
    assert_eq!(scheme.by(one), "NOT_A_CUSTODIAN");
    let named = Signed::by("xena").to("scheme").in_the_name_of("yuri");
    let named = [scheme.approve("zoe"), scheme.signed(&named)];
    assert_eq!(scheme.by(named), "APPROVAL_INVALID");
    let of_alfa = Signed::by("xena").to("alfa");
    let of_alfa = [scheme.approve("zoe"), scheme.signed(&of_alfa)];
    assert_eq!(scheme.by(of_alfa), "OTHER_INSTITUTION");
}

#[test]
fn what_was_decided_before_its_time_or_after_it_does_not_count() {
    let scheme = scheme();
    for at in [NOW - 31, NOW + DAY, NOW + 2 * DAY] {
        let late = Signed::by("zoe").to("scheme").at(at);
        let next = scheme.next();
        let approvals = vec![scheme.approve("xena"), scheme.signed(&late)];
        let file = scheme.founders.file(next, approvals);
        let files = [&scheme.files[..], &[file]].concat();
        let error = SchemeStanding::of(SCHEME, &files, NOW + 9 * DAY).unwrap_err();
        let expected = if at < NOW {
            "APPROVAL_INVALID"
        } else {
            "CHANGE_EXPIRED"
        };
        assert_eq!((error.place, reason(&error)), (3, expected), "{at}");
    }
}

#[test]
fn a_history_is_whole_and_in_its_order() {
    let scheme = scheme();
    let Scheme {
        founders,
        files: [first, second],
        standing,
    } = &scheme;
    let third = founders.approved(standing, scheme.next(), &["yuri", "zoe"]);
    let of = |files: &[&ChangeFile]| {
        let files: Vec<_> = files.iter().map(|file| (*file).clone()).collect();
        founders.standing(&files)
    };
    assert_eq!(of(&[first, second, &third]).unwrap().sequence(), 3);
    for (files, place, word) in [
        (&[first, &third][..], 2, "BASE_MOVED"),
        (&[first, &third, second], 2, "BASE_MOVED"),
        (&[first, second, second], 3, "BASE_MOVED"),
        (&[second, &third], 1, "CEREMONY_INCOMPLETE"),
        (&[first, first], 2, "BASE_MOVED"),
    ] {
        let error = of(files).unwrap_err();
        assert_eq!((error.place, reason(&error)), (place, word));
    }
    // Another change in the second's place, by others of the same register.
    let fork = founders.standing(std::slice::from_ref(first)).unwrap();
    let roots = founders.roots(&fork, &["device-3"]);
    let other = founders.approved(&fork, roots, &["xena", "yuri"]);
    let error = of(&[first, &other, &third]).unwrap_err();
    assert_eq!((error.place, reason(&error)), (3, "BASE_MOVED"));
}

#[test]
fn what_comes_along_is_what_was_approved() {
    let scheme = scheme();
    let by = ["xena", "yuri"];
    let (founders, next) = (&scheme.founders, scheme.next());
    let with = |attachments| {
        let draft = Draft {
            attachments,
            ..next.clone()
        };
        scheme.third(founders.signed(draft, &by))
    };
    let other = founders.document(3, &["device-3"], &["signing"]);
    let roots = |text: &str| attached(ROOTS, text.to_owned());
    let good = next.attachments[0].clone();
    assert_eq!(with(vec![roots(&other)]), "DOCUMENT_MISMATCH");
    assert_eq!(with(vec![]), "ATTACHMENT_MISMATCH");
    assert_eq!(
        with(vec![good.clone(), good.clone()]),
        "ATTACHMENT_MISMATCH"
    );
    let register = attached(CUSTODIANS, founders.custodians(2, &PERSONS));
    assert_eq!(with(vec![good, register]), "ATTACHMENT_MISMATCH");

    let of = |version, text: &str| {
        let operation = SchemeOperation::Roots(named(version, text));
        let draft = draft(&scheme.standing, operation, roots(text));
        scheme.third(founders.signed(draft, &by))
    };
    assert_eq!(of(4, &other), "DOCUMENT_MISMATCH");
    assert_eq!(of(3, &other.replacen("= 3", "= 4", 1)), "DOCUMENT_MISMATCH");
    let elsewhere = other.replacen(SCHEME, "other.example", 1);
    assert_eq!(of(3, &elsewhere), "OTHER_SCHEME");
    assert_eq!(of(3, "version = 3"), "DOCUMENT_INVALID");
}

#[test]
fn no_register_gives_the_scheme_to_one_person() {
    let scheme = scheme();
    let founders = &scheme.founders;
    let of = |version, text: &str| {
        let operation = SchemeOperation::Custodians(named(version, text));
        let register = attached(CUSTODIANS, text.to_owned());
        let draft = draft(&scheme.standing, operation, register);
        scheme.third(founders.signed(draft, &["xena", "yuri"]))
    };
    let good = founders.custodians(2, &PERSONS);
    let one = good.replacen("quorum = 2", "quorum = 1", 1);
    assert_eq!(of(2, &one), "QUORUM_TOO_SMALL");
    let two = founders.custodians(2, &["xena", "yuri"]);
    assert_eq!(of(2, &two), "TOO_FEW_CUSTODIANS");
    assert_eq!(
        of(3, &founders.custodians(3, &PERSONS)),
        "DOCUMENT_MISMATCH"
    );
    let alfas = good.replacen("\"scheme\"", "\"alfa\"", 1);
    assert_eq!(of(2, &alfas), "OTHER_INSTITUTION");
    let key = founders.keys.get("walt").unwrap().public_key();
    let recovery = format!(
        "{good}[recovery]\ndelay_hours = 24\napproval_key = \"\"\"{}\"\"\"\n",
        key.to_spki_pem()
    );
    assert_eq!(of(2, &recovery), "DOCUMENT_INVALID");
}

#[test]
fn a_ceremony_is_everybodys_and_of_this_scheme() {
    let founders = Founders::new();
    let roots = founders.document(1, &["device"], &["signing"]);
    let begun = |register: String, by: &[&str]| {
        let file = founders.begun(register, roots.clone(), by);
        let error = founders.standing(&[file]).unwrap_err();
        assert_eq!(error.place, 1);
        reason(&error)
    };
    let register = founders.custodians(1, &PERSONS);
    assert_eq!(
        begun(register.clone(), &["xena", "yuri"]),
        "CEREMONY_INCOMPLETE"
    );
    let one = register.replacen("quorum = 2", "quorum = 1", 1);
    assert_eq!(begun(one, &PERSONS), "QUORUM_TOO_SMALL");
    let ceremony = founders.ceremony();
    let other =
        SchemeStanding::of("other.example", std::slice::from_ref(&ceremony), NOW).unwrap_err();
    assert_eq!(reason(&other), "OTHER_SCHEME");
    let expired = ceremony.approvals.iter().map(|one| {
        let signed = Signed::by(one.person().as_str()).to("scheme");
        signed.at(NOW + DAY).of(&founders.keys, &ceremony.proposal)
    });
    let late = ChangeFile {
        approvals: expired.collect(),
        ..ceremony
    };
    let error = SchemeStanding::of(SCHEME, &[late], NOW + 2 * DAY).unwrap_err();
    assert_eq!(reason(&error), "CHANGE_EXPIRED");
}

/// Alfa's custodians rule alfa, under an id that is not the scheme's; what they approve is replayed for the scheme, and the
/// other way round.
#[test]
fn an_institutions_changes_are_none_of_the_schemes() {
    let scheme = scheme();
    let world = crate::world::World::new();
    let alfas = world.propose(crate::world::next_policy(), NOW);
    let approvals = ["anna", "boris"].map(|name| world.approve(name, &alfas));
    let file = |proposal: Proposal, approvals: Vec<Approval>| ChangeFile {
        proposal,
        approvals,
        attachments: Vec::new(),
    };
    let replayed = file(alfas, approvals.to_vec());
    assert_eq!(scheme.third(replayed), "OTHER_INSTITUTION");
    let ceremony = crate::world::ceremony(&world.register(1, 2));
    let begun = scheme.founders.standing(&[file(ceremony, Vec::new())]);
    assert_eq!(reason(&begun.unwrap_err()), "CEREMONY_INCOMPLETE");
    let next = scheme.next();
    let approvals = ["xena", "yuri"].map(|name| scheme.approve(name));
    assert_eq!(world.refused(&next, &approvals), "OTHER_INSTITUTION");
    let refused = world.standing.judge(&next, &[], Moment::of_taking(NOW));
    assert_eq!(
        refused,
        Err(ChangeRefusal::OtherInstitution(InstitutionId::of_scheme()))
    );

    // A register of the same persons as the scheme's is no ceremony of the scheme if it is alfa's.
    let entries: Vec<_> = PERSONS
        .map(|person| (person, [&scheme.founders.keys[person]]))
        .into();
    let entries: Vec<_> = entries
        .iter()
        .map(|(person, keys)| Entry {
            person,
            state: "active",
            keys,
        })
        .collect();
    let register = document(1, 2, &entries, "");
    let roots = scheme.founders.document(1, &["device"], &["signing"]);
    let begun = scheme.founders.begun(register.clone(), roots, &PERSONS);
    let refused = scheme.founders.standing(&[begun]).unwrap_err();
    assert_eq!(reason(&refused), "OTHER_INSTITUTION");
}

/// An approval of one proposal is none of the same proposal made again.
#[test]
fn approvals_are_of_one_proposal() {
    let scheme = scheme();
    let next = scheme.next();
    let again = Proposal::new(
        Base::clone(next.base()),
        Operation::clone(next.operation()),
        [8; 16],
        NOW,
        NOW + DAY,
    );
    let again = again.unwrap();
    let approvals = ["xena", "yuri"].map(|name| scheme.approve(name)).to_vec();
    let file = ChangeFile {
        proposal: again,
        approvals,
        attachments: next.attachments.clone(),
    };
    assert_eq!(scheme.third(file), "OTHER_PROPOSAL");
    assert_eq!(
        propose(next.base().clone(), next.operation().clone(), NOW),
        next.proposal
    );
}

/// What the next document leaves out is gone, even when nothing takes its place.
#[test]
fn a_root_that_is_left_out_counts_no_longer() {
    let scheme = scheme();
    let Scheme {
        founders, standing, ..
    } = &scheme;
    let next = standing
        .after(
            &founders.approved(standing, scheme.next(), &["yuri", "zoe"]),
            NOW,
        )
        .unwrap();
    let of = |standing: &SchemeStanding| {
        let roots = standing.roots().device();
        let pems: Vec<String> = roots.iter().map(Certificate::to_pem).collect();
        pems
    };
    let pems = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| founders.root(name).to_owned())
            .collect()
    };
    assert_eq!(of(standing), pems(&["device", "device-2"]));
    assert_eq!(of(&next), pems(&["device-2"]));
}
