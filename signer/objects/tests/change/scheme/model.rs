//! A scheme's history against a naive model: any changes, any decisions of anybody.

use std::sync::LazyLock;

use proptest::prelude::*;
use semops_objects::change::{ChangeFile, Decision, NotInForce};

use super::world::{Draft, Founders, PERSONS};
use crate::world::NOW;

static FOUNDERS: LazyLock<Founders> = LazyLock::new(Founders::new);

/// What each of the three says to a change, if anything.
type Said = [Option<Decision>; 3];

/// Whether the change is of the roots, and what is said to it.
fn change() -> impl Strategy<Value = (bool, Said)> {
    let said = || {
        prop_oneof![
            4 => Just(Some(Decision::Approve)),
            1 => Just(Some(Decision::Reject)),
            1 => Just(None),
        ]
    };
    (any::<bool>(), [said(), said(), said()])
}

fn count(said: &Said, decision: Decision) -> usize {
    said.iter().filter(|one| **one == Some(decision)).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_far_as_two_approve(changes in prop::collection::vec(change(), 0..5)) {
        let founders = &*FOUNDERS;
        let mut files = vec![founders.ceremony()];
        // What stands after those so far which are in force, and where the first is that is not.
        let mut standing = founders.standing(&files).unwrap();
        let mut expected = None;
        let (mut roots, mut registers) = (1, 1);
        for (of_roots, said) in &changes {
            let draft: Draft = if *of_roots {
                founders.roots(&standing, &["device", "device-2"])
            } else {
                founders.register(registers + 1, &PERSONS)(&standing)
            };
            let decisions = PERSONS.iter().zip(said).filter_map(|(name, said)| {
                said.map(|said| founders.decision(&draft, name, said, NOW))
            });
            let approvals = decisions.collect();
            files.push(founders.file(draft, approvals));
            let (approved, rejected) = (count(said, Decision::Approve), count(said, Decision::Reject));
            if approved < 2 {
                expected = Some(if rejected > 1 {
                    NotInForce::Rejected
                } else {
                    NotInForce::Undecided { approved, needed: 2 }
                });
                break;
            }
            if *of_roots { roots += 1 } else { registers += 1 }
            standing = founders.standing(&files).unwrap();
            prop_assert_eq!(standing.sequence(), u64::try_from(files.len()).unwrap());
        }
        prop_assert_eq!(standing.roots().named().version, roots);
        prop_assert_eq!(standing.custodians().version(), registers);
        let ids: Vec<_> = files.iter().map(|file| file.proposal.id()).collect();
        prop_assert!(ids.starts_with(standing.changes()));
        let whole = founders.standing(&files).map(|whole| whole.changes().to_vec());
        match expected {
            None => prop_assert_eq!(whole, Ok(ids)),
            Some(why) => {
                let error = whole.unwrap_err();
                prop_assert_eq!((error.place, error.why), (u64::try_from(files.len()).unwrap(), why));
            }
        }
        prop_assert!(files.iter().all(|file| ChangeFile::parse(file.to_json().as_bytes()).is_ok()));
    }
}
