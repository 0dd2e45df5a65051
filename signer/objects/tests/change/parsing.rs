//! Proposals have one spelling.

use semops_objects::change::{
    Addition, Base, CeremonyKey, ChangeId, DocumentKind, KeyOperation, MAX_PROPOSAL, Operation,
    Proposal, Rotation,
};
use semops_objects::key::{KeyId, Purpose};
use semops_pki::algorithm::sha256;

use crate::world::{
    self, AUTHORIZATION, DAY, DEVICE_CA, NOW, ONES, World, alfa, member, named, next_policy,
};

const NONCE: &str = "BwcHBwcHBwcHBwcHBwcHBw";

fn base() -> Base {
    Base {
        sequence: 7,
        previous: Some(ChangeId::new([1; 32])),
        ..Base::of_ceremony("semops.example", alfa())
    }
}

fn text(operation: &str) -> String {
    format!(
        r#"{{"v":1,"scheme":"semops.example","institution":"alfa","sequence":7,"previous":"{ONES}","operation":{operation},"nonce":"{NONCE}","iat":1800000000,"exp":1800086400}}"#
    )
}

fn written(operation: Operation) -> String {
    let proposal = Proposal::new(base(), operation, [7; 16], NOW, NOW + DAY).unwrap();
    assert_eq!(Proposal::parse(proposal.bytes()).as_ref(), Ok(&proposal));
    assert_eq!(proposal.id(), ChangeId::new(sha256(proposal.bytes())));
    String::from_utf8(proposal.bytes().to_vec()).unwrap()
}

fn key(operation: KeyOperation) -> Operation {
    let key = DEVICE_CA;
    Operation::Key { operation, key }
}

/// One of each operation, as it is written.
fn each() -> Vec<(Operation, String)> {
    let of_key = |name: &str| format!(r#"{{"name":"{name}","key":"{ONES}"}}"#);
    let to = KeyId::new([4; 32]);
    vec![
        (
            Operation::Document(named(DocumentKind::Policy, 1)),
            format!(r#"{{"name":"document","kind":"policy","version":1,"sha256":"{ONES}"}}"#),
        ),
        (key(KeyOperation::Suspend), of_key("suspend-key")),
        (key(KeyOperation::Resume), of_key("resume-key")),
        (key(KeyOperation::Deactivate), of_key("deactivate-key")),
        (
            key(KeyOperation::MarkCompromised),
            of_key("mark-compromised"),
        ),
        (
            key(KeyOperation::CallOffDestruction),
            of_key("call-off-destruction"),
        ),
        (
            key(KeyOperation::ScheduleDestruction { at: 1_900_000_000 }),
            format!(r#"{{"name":"schedule-destruction","key":"{ONES}","at":1900000000}}"#),
        ),
        (
            Operation::RotateKey(Rotation {
                from: DEVICE_CA,
                to,
                certificate: [1; 32],
                activate_at: 5,
                retire_at: 6,
            }),
            format!(
                r#"{{"name":"rotate-key","from":"{ONES}","to":"{to}","certificate":"{ONES}","activate_at":5,"retire_at":6}}"#
            ),
        ),
        (
            Operation::AddKey(Addition {
                purpose: Purpose::Authorization,
                key: to,
                certificate: [1; 32],
                activate_at: 5,
            }),
            format!(
                r#"{{"name":"add-key","purpose":"authorization","key":"{to}","certificate":"{ONES}","activate_at":5}}"#
            ),
        ),
        (
            Operation::CallOffRotation { to: DEVICE_CA },
            format!(r#"{{"name":"call-off-rotation","to":"{ONES}"}}"#),
        ),
        (
            Operation::RecoverCustodians {
                version: 2,
                sha256: [1; 32],
            },
            format!(r#"{{"name":"recover-custodians","version":2,"sha256":"{ONES}"}}"#),
        ),
    ]
}

#[test]
fn each_operation_has_one_spelling() {
    for (operation, expected) in each() {
        assert_eq!(written(operation.clone()), text(&expected));
        let read = Proposal::parse(text(&expected).as_bytes()).unwrap();
        assert_eq!(
            (read.operation(), read.operation().name()),
            (&operation, operation.name())
        );
    }
}

#[test]
fn a_ceremony_names_everything_that_stands_at_the_beginning() {
    let world = World::new();
    let ceremony = world::ceremony(&world.register(1, 2));
    let written = str::from_utf8(ceremony.bytes()).unwrap();
    assert!(written.starts_with(r#"{"v":1,"scheme":"semops.example","institution":"alfa","sequence":1,"operation":{"name":"ceremony","documents":[{"kind":"custodians","version":1,"#));
    let last = format!(r#""keys":[{{"key":"{DEVICE_CA}","purpose":"device-ca"}},"#);
    assert!(written.contains(&last), "{written}");
    assert_eq!((ceremony.sequence(), ceremony.previous()), (1, None));

    let Operation::Ceremony { documents, keys } = ceremony.operation().clone() else {
        panic!("{ceremony:?}");
    };
    let made = |documents, keys| {
        let operation = Operation::Ceremony { documents, keys };
        let base = Base::of_ceremony("semops.example", alfa());
        Proposal::new(base, operation, [0; 16], NOW, NOW + 60)
    };
    assert!(made(documents, keys.clone()).is_ok());
    assert!(made(documents, vec![]).is_ok());
    let mut others = documents;
    others.swap(0, 1);
    assert!(made(others, keys.clone()).is_err());
    others = documents;
    others[3] = others[2];
    assert!(made(others, keys.clone()).is_err());
    for (from, to) in [(0, 2), (1, 2)] {
        let mut unsorted = keys.clone();
        unsorted.swap(from, to);
        assert!(made(documents, unsorted).is_err());
    }
    let mut twice = keys.clone();
    twice.insert(1, keys[0]);
    assert!(made(documents, twice).is_err());
    let mut two_purposes = keys.clone();
    two_purposes[0] = CeremonyKey {
        key: AUTHORIZATION,
        purpose: Purpose::DeviceCa,
    };
    assert!(made(documents, two_purposes).is_err());
}

/// Every member left out, given twice, renamed, and moved: at every depth.
#[test]
fn members_are_all_there_once_in_their_order() {
    for (_, operation) in each() {
        let good = text(&operation);
        let top = [
            "v",
            "scheme",
            "institution",
            "sequence",
            "previous",
            "nonce",
            "iat",
            "exp",
        ];
        let inside: Vec<_> = operation.split('"').collect();
        let inside = [
            "name",
            "kind",
            "version",
            "sha256",
            "key",
            "at",
            "from",
            "to",
            "certificate",
        ]
        .into_iter()
        .chain(["activate_at", "retire_at"])
        .filter(|name| {
            inside
                .windows(2)
                .any(|two| two[0] == *name && two[1].starts_with(':'))
        });
        for name in top.into_iter().chain(inside) {
            let member = member(&good, name);
            let refused = |what: &str, text: String| {
                assert_ne!(text, good, "{what} {name}");
                assert!(
                    Proposal::parse(text.as_bytes()).is_err(),
                    "{what} {name}: {text}"
                );
            };
            refused(
                "without",
                good.replacen(&member, "", 1)
                    .replacen("{,", "{", 1)
                    .replacen(",,", ",", 1)
                    .replacen(",}", "}", 1),
            );
            refused(
                "twice",
                good.replacen(&member, &format!("{member},{member}"), 1),
            );
            refused(
                "null",
                good.replacen(&member, &format!("\"{name}\":null"), 1),
            );
            refused(
                "renamed",
                good.replacen(&format!("\"{name}\":"), &format!("\"{name}s\":"), 1),
            );
            let moved = good.replacen(&format!("{member},"), "", 1);
            if moved != good {
                let end = format!(",{member}}}");
                let to = if top.contains(&name) {
                    moved.len() - 1
                } else {
                    moved.find('}').unwrap()
                };
                refused(
                    "moved",
                    format!("{}{end}{}", &moved[..to], &moved[to + 1..]),
                );
            }
        }
    }
}

#[test]
fn other_spellings_of_the_same_are_refused() {
    let good = text(&each()[0].1);
    assert!(Proposal::parse(good.as_bytes()).is_ok());
    for (from, to) in [
        ("{\"v\"", "{ \"v\""),
        ("}", "}\n"),
        ("\"alfa\"", "\"\\u0061lfa\""),
        ("\"nonce\"", "\"nonc\\u0065\""),
        (ONES, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF"),
        (ONES, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
        (NONCE, "BwcHBwcHBwcHBwcHBwcHBx"),
        ("1800000000", "1800000000.0"),
        ("1800000000", "18e8"),
        ("1800000000", "-1"),
        ("\"v\":1", "\"v\":2"),
        ("\"v\":1", "\"v\":\"1\""),
        ("\"sequence\":7", "\"sequence\":0"),
        ("\"sequence\":7", "\"sequence\":1"),
        ("\"version\":1", "\"version\":0"),
        ("\"version\":1", "\"version\":9007199254740992"),
        ("\"policy\"", "\"Policy\""),
        ("\"policy\"", "\"certificate\""),
        ("\"document\"", "\"documents\""),
        ("semops.example", "Semops.example"),
        ("semops.example", ""),
        ("\"alfa\"", "\"al/fa\""),
        (",\"exp\"", ",\"more\":1,\"exp\""),
        (",\"version\"", ",\"more\":1,\"version\""),
    ] {
        let other = good.replacen(from, to, 1);
        assert_ne!(other, good);
        assert!(Proposal::parse(other.as_bytes()).is_err(), "{other}");
    }
    let long = good.replacen("semops.example", &"a".repeat(MAX_PROPOSAL), 1);
    assert!(Proposal::parse(long.as_bytes()).is_err());
    assert!(Proposal::parse(&[good.as_bytes(), b"\xff"].concat()).is_err());
}

#[test]
fn a_proposal_has_its_time() {
    let made =
        |operation, seconds| Proposal::new(base(), operation, [0; 16], NOW, NOW + seconds).is_ok();
    let recovery = || Operation::RecoverCustodians {
        version: 2,
        sha256: [0; 32],
    };
    for (seconds, good) in [(0, false), (59, false), (60, true), (14 * DAY, true)] {
        assert_eq!(made(next_policy(), seconds), good);
        assert_eq!(made(recovery(), seconds), good);
    }
    assert!(!made(next_policy(), 14 * DAY + 1));
    assert!(made(recovery(), 44 * DAY));
    assert!(!made(recovery(), 44 * DAY + 1));
    assert!(Proposal::new(base(), next_policy(), [0; 16], NOW, NOW - 60).is_err());
}

#[test]
fn a_rotation_goes_forward_to_another_key() {
    let rotation = |to, activate_at, retire_at| {
        let operation = Operation::RotateKey(Rotation {
            from: DEVICE_CA,
            to,
            certificate: [0; 32],
            activate_at,
            retire_at,
        });
        Proposal::new(base(), operation, [0; 16], NOW, NOW + DAY).is_ok()
    };
    assert!(rotation(AUTHORIZATION, NOW, NOW));
    assert!(!rotation(DEVICE_CA, NOW, NOW));
    assert!(!rotation(AUTHORIZATION, NOW + 1, NOW));
}
