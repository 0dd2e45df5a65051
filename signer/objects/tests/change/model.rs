//! Judging against a naive model, over registers, decisions and their orders.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use semops_objects::change::{
    Approval, ChangeRefusal, Custodians, Decision, Judgement, Moment, PersonId, Proposal, Standing,
};
use semops_pki::local_key::LocalKey;

use crate::world::{
    Entry, NOW, SCHEME, Signed, ceremony, digest, document, next_policy, person, propose,
};

const PERSONS: [&str; 7] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6"];
const SECOND: [&str; 7] = ["p0-2", "p1-2", "p2-2", "p3-2", "p4-2", "p5-2", "p6-2"];

/// Two keys for each person, and a stranger's.
static KEYS: LazyLock<BTreeMap<&str, LocalKey>> = LazyLock::new(|| {
    let names = PERSONS.into_iter().chain(SECOND).chain(["stranger"]);
    names
        .map(|name| (name, LocalKey::generate().unwrap()))
        .collect()
});

/// Who stands in a register: how many, who of them is suspended, and the quorum.
#[derive(Clone, Debug)]
struct Register {
    suspended: Vec<bool>,
    quorum: u8,
}

impl Register {
    fn active(&self) -> usize {
        self.suspended
            .iter()
            .filter(|suspended| !**suspended)
            .count()
    }

    fn is_active(&self, at: usize) -> bool {
        self.suspended.get(at) == Some(&false)
    }

    fn text(&self) -> String {
        let key = |name: &str| KEYS.get(name).unwrap();
        let keys: Vec<_> = PERSONS
            .iter()
            .zip(SECOND)
            .map(|(one, two)| [key(one), key(two)])
            .collect();
        let entry = |(at, keys)| Entry {
            person: PERSONS[at],
            state: if self.is_active(at) {
                "active"
            } else {
                "suspended"
            },
            keys,
        };
        let all = keys.iter().map(<[_; 2]>::as_slice).enumerate();
        let entries: Vec<_> = all.take(self.suspended.len()).map(entry).collect();
        document(1, self.quorum, &entries, "")
    }
}

/// What is wrong with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    Stranger,
    OtherName,
    OtherProposal,
    OtherInstitution,
    Early,
    Late,
    OtherKey,
}

#[derive(Clone, Debug)]
struct Made {
    person: usize,
    second_key: bool,
    approves: bool,
    flaw: Flaw,
}

impl Made {
    fn by(&self) -> &'static str {
        let names = if self.second_key { SECOND } else { PERSONS };
        names[self.person]
    }

    fn approval(&self, proposal: &Proposal, other: &Proposal) -> Approval {
        let decision = if self.approves {
            Decision::Approve
        } else {
            Decision::Reject
        };
        let signed = Signed::by(self.by()).says(decision);
        let next = PERSONS[(self.person + 1) % PERSONS.len()];
        let signed = match self.flaw {
            Flaw::None | Flaw::OtherProposal => signed,
            Flaw::Stranger => Signed::by("stranger").in_the_name_of(PERSONS[self.person]),
            Flaw::OtherName => signed.in_the_name_of(next),
            Flaw::OtherInstitution => signed.to("beta"),
            Flaw::Early => signed.at(NOW - 31),
            Flaw::Late => signed.at(NOW + 31),
            Flaw::OtherKey => signed.naming(semops_objects::key::KeyId::of(
                KEYS.get(next).unwrap().public_key(),
            )),
        };
        let about = if self.flaw == Flaw::OtherProposal {
            other
        } else {
            proposal
        };
        signed.of(&KEYS, about)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Refused,
    Pending(usize, usize),
    Approved(Vec<PersonId>),
    Rejected,
}

/// What the rules say, as naively as can be.
fn model(register: &Register, made: &[Made]) -> Expected {
    let mut who: Vec<usize> = made.iter().map(|one| one.person).collect();
    who.sort_unstable();
    let twice = who.windows(2).any(|two| two[0] == two[1]);
    let counts = |one: &Made| one.flaw == Flaw::None && register.is_active(one.person);
    if twice || !made.iter().all(counts) {
        return Expected::Refused;
    }
    let approve = made.iter().filter(|one| one.approves).count();
    let reject = made.len() - approve;
    let quorum = usize::from(register.quorum);
    if approve >= quorum {
        let by = who
            .iter()
            .filter(|at| made.iter().any(|one| one.person == **at && one.approves));
        Expected::Approved(by.map(|at| person(PERSONS[*at])).collect())
    } else if register.active() - reject < quorum {
        Expected::Rejected
    } else {
        Expected::Pending(approve, reject)
    }
}

fn judged(judgement: Result<Judgement, ChangeRefusal>) -> Expected {
    match judgement {
        Err(_) => Expected::Refused,
        Ok(Judgement::Approved(change)) => Expected::Approved(change.by().to_vec()),
        Ok(Judgement::Rejected) => Expected::Rejected,
        Ok(Judgement::Pending {
            approved, rejected, ..
        }) => Expected::Pending(approved.len(), rejected.len()),
        Ok(Judgement::Waits { .. }) => panic!("no recovery was asked for"),
    }
}

fn registers() -> impl Strategy<Value = Register> {
    let suspended = prop::collection::vec(prop::bool::weighted(0.2), 3..=PERSONS.len());
    (suspended, 2..=5_u8).prop_map(|(suspended, quorum)| Register { suspended, quorum })
}

fn decisions() -> impl Strategy<Value = Vec<(Index, bool, bool, Flaw)>> {
    let flaw = prop_oneof![
        40 => Just(Flaw::None),
        1 => Just(Flaw::Stranger),
        1 => Just(Flaw::OtherName),
        1 => Just(Flaw::OtherProposal),
        1 => Just(Flaw::OtherInstitution),
        1 => Just(Flaw::Early),
        1 => Just(Flaw::Late),
        1 => Just(Flaw::OtherKey),
    ];
    let one = (
        any::<Index>(),
        any::<bool>(),
        prop::bool::weighted(0.7),
        flaw,
    );
    prop::collection::vec(one, 0..=6)
}

/// Distinct persons as a rule, so that most cases get as far as counting.
fn made(register: &Register, drawn: &[(Index, bool, bool, Flaw)], distinct: bool) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (index, second_key, approves, flaw) in drawn {
        let person = index.index(register.suspended.len());
        let new = made.iter().all(|one| one.person != person);
        if new && register.is_active(person) || !distinct {
            let (second_key, approves, flaw) = (*second_key, *approves, *flaw);
            made.push(Made {
                person,
                second_key,
                approves,
                flaw,
            });
        }
    }
    made
}

fn begun(register: &Register) -> Standing {
    let text = register.text();
    let ceremony = ceremony(&text);
    let active = (0..register.suspended.len()).filter(|at| register.is_active(*at));
    let approvals: Vec<_> = active
        .map(|at| Signed::by(PERSONS[at]).of(&KEYS, &ceremony))
        .collect();
    Standing::begin(SCHEME, &ceremony, &approvals, text.as_bytes(), NOW).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn judging_is_what_the_model_says_in_every_order(
        register in registers(),
        drawn in decisions(),
        distinct in prop::bool::weighted(0.8),
        order in any::<u64>(),
    ) {
        let parsed = Custodians::parse(register.text().as_bytes());
        let enough = register.active() > usize::from(register.quorum);
        prop_assert_eq!(parsed.is_ok(), enough);
        if enough {
            let standing = begun(&register);
            let proposal = propose(standing.base(), next_policy(), NOW);
            let other = propose(standing.base(), next_policy(), NOW + 1);
            let made = made(&register, &drawn, distinct);
            let approvals: Vec<_> =
                made.iter().map(|one| one.approval(&proposal, &other)).collect();
            let expected = model(&register, &made);
            prop_assert_eq!(&judged(standing.judge(&proposal, &approvals, Moment::of_taking(NOW))), &expected);
            let mut shuffled = approvals.clone();
            shuffled.sort_by_cached_key(|one| digest(&format!("{order}{}", one.compact())));
            prop_assert_eq!(&judged(standing.judge(&proposal, &shuffled, Moment::of_taking(NOW))), &expected);
            shuffled.reverse();
            prop_assert_eq!(&judged(standing.judge(&proposal, &shuffled, Moment::of_taking(NOW))), &expected);
        }
    }
}

#[test]
fn the_model_sees_every_kind_of_judgement() {
    let register = Register {
        suspended: vec![false; 3],
        quorum: 2,
    };
    let one = |person, approves| Made {
        person,
        second_key: false,
        approves,
        flaw: Flaw::None,
    };
    assert_eq!(model(&register, &[one(0, true)]), Expected::Pending(1, 0));
    assert_eq!(
        model(&register, &[one(0, false), one(2, false)]),
        Expected::Rejected
    );
    assert_eq!(
        model(&register, &[one(0, true), one(0, true)]),
        Expected::Refused
    );
    let by = vec![person("p0"), person("p2")];
    assert_eq!(
        model(&register, &[one(2, true), one(0, true)]),
        Expected::Approved(by)
    );
    let late = Made {
        flaw: Flaw::Late,
        ..one(1, true)
    };
    assert_eq!(model(&register, &[one(0, true), late]), Expected::Refused);
}
