//! The life of keys: what is possible in which state, and what is true after any order of operations.

use proptest::prelude::*;
use semops_objects::change::{
    DESTRUCTION_WINDOW, ImpossibleKeyChange, KeyLife, KeyOperation, Operation, Standing,
};
use semops_objects::key::{KeyId, KeyState, Purpose};

use crate::rotations::{NEXT, addition_for, rotation};
use crate::world::{AUTHORIZATION, DAY, NOW, World};

fn of_ceremony() -> KeyLife {
    KeyLife::of_ceremony(Purpose::Authorization)
}

fn after(life: &KeyLife, operations: &[KeyOperation]) -> KeyLife {
    let step = |life: KeyLife, operation: &KeyOperation| life.after(*operation, NOW).unwrap();
    operations.iter().fold(life.clone(), step)
}

/// A key with its rotation ahead, and one whose rotation was called off.
fn unused() -> [KeyLife; 2] {
    let mut world = World::new();
    let planned = rotation(AUTHORIZATION, NEXT, NOW + DAY, NOW + 2 * DAY);
    world.execute(planned, NOW).unwrap();
    let ahead = world.standing.key(NEXT).unwrap().clone();
    world
        .execute(Operation::CallOffRotation { to: NEXT }, NOW)
        .unwrap();
    [ahead, world.standing.key(NEXT).unwrap().clone()]
}

/// Each pair of state and operation: the state that follows, or none.
#[test]
fn every_state_and_operation() {
    use KeyOperation as O;
    use KeyState as S;
    let schedule = O::ScheduleDestruction {
        at: NOW + DESTRUCTION_WINDOW,
    };
    let [ahead, called_off] = unused();
    let live = |operations: &[O]| after(&of_ceremony(), operations);
    let gone = live(&[O::Deactivate, O::ScheduleDestruction { at: NOW + 7 * DAY }]);
    let operations = [
        O::Suspend,
        O::Resume,
        O::Deactivate,
        O::MarkCompromised,
        schedule,
        O::CallOffDestruction,
    ];
    let (compromised, deactivated) = (Some(S::Compromised), Some(S::Deactivated));
    for (what, life, now, expected) in [
        (
            "ahead",
            ahead,
            NOW,
            [None, None, None, compromised, None, None],
        ),
        (
            "called off",
            called_off.clone(),
            NOW,
            [None, None, None, compromised, Some(S::PreActivation), None],
        ),
        (
            "called off, to be destroyed",
            after(&called_off, &[schedule]),
            NOW,
            [None, None, None, compromised, None, Some(S::PreActivation)],
        ),
        (
            "active",
            live(&[]),
            NOW,
            [
                Some(S::Suspended),
                None,
                deactivated,
                compromised,
                None,
                None,
            ],
        ),
        (
            "suspended",
            live(&[O::Suspend]),
            NOW,
            [None, Some(S::Active), deactivated, compromised, None, None],
        ),
        (
            "deactivated",
            live(&[O::Deactivate]),
            NOW,
            [None, None, None, compromised, deactivated, None],
        ),
        (
            "deactivated, to be destroyed",
            live(&[O::Deactivate, schedule]),
            NOW,
            [None, None, None, compromised, None, deactivated],
        ),
        (
            "compromised",
            live(&[O::MarkCompromised]),
            NOW,
            [None, None, None, None, compromised, None],
        ),
        (
            "compromised, to be destroyed",
            live(&[O::MarkCompromised, schedule]),
            NOW,
            [None, None, None, None, None, compromised],
        ),
        ("destroyed", gone, NOW + 7 * DAY, [None; 6]),
    ] {
        for (operation, expected) in operations.into_iter().zip(expected) {
            let operation = match operation {
                O::ScheduleDestruction { .. } => O::ScheduleDestruction {
                    at: now + DESTRUCTION_WINDOW,
                },
                other => other,
            };
            let then = life.after(operation, now);
            let then = then.map(|life| life.state(now));
            assert_eq!(
                then.as_ref().ok(),
                expected.as_ref(),
                "{what}: {operation:?}: {then:?}"
            );
        }
    }
}

#[test]
fn refusals_name_state_and_operation() {
    let life = of_ceremony();
    let refused = |life: &KeyLife, operation| life.after(operation, NOW).unwrap_err();
    let error = refused(&life, KeyOperation::Resume);
    let state = KeyState::Active;
    assert_eq!(
        error,
        ImpossibleKeyChange::State {
            state,
            operation: "resume-key"
        }
    );
    let gone = after(&life, &[KeyOperation::Deactivate]);
    let at = NOW + DESTRUCTION_WINDOW;
    let soon = KeyOperation::ScheduleDestruction { at: at - 1 };
    assert_eq!(
        refused(&gone, soon),
        ImpossibleKeyChange::TooSoon { earliest: at }
    );
    let planned = after(&gone, &[KeyOperation::ScheduleDestruction { at }]);
    let again = KeyOperation::ScheduleDestruction { at: at + 1 };
    assert_eq!(
        refused(&planned, again),
        ImpossibleKeyChange::Scheduled { at }
    );
    let operation = "call-off-destruction";
    let nothing = ImpossibleKeyChange::NothingPlanned { operation };
    assert_eq!(refused(&gone, KeyOperation::CallOffDestruction), nothing);
    assert_eq!(planned.destruction_at(), Some(at));
    assert_eq!(planned.state(at - 1), KeyState::Deactivated);
    assert_eq!(planned.state(at), KeyState::Destroyed);
}

/// What a change may make of a state.
fn by_a_change(before: KeyState, then: KeyState) -> bool {
    use KeyState as S;
    match before {
        S::PreActivation => matches!(then, S::PreActivation | S::Active | S::Compromised),
        S::Active | S::Suspended => !matches!(then, S::PreActivation | S::Destroyed),
        S::Deactivated => matches!(then, S::Deactivated | S::Compromised),
        S::Compromised => then == S::Compromised,
        S::Destroyed => then == S::Destroyed,
    }
}

/// What time alone may make of a state.
fn by_time(before: KeyState, then: KeyState) -> bool {
    use KeyState as S;
    before == then
        || match before {
            S::PreActivation => matches!(then, S::Active | S::Destroyed),
            S::Active | S::Suspended => then == S::Deactivated,
            S::Deactivated | S::Compromised => then == S::Destroyed,
            S::Destroyed => false,
        }
}

const KEYS: [KeyId; 4] = [
    AUTHORIZATION,
    NEXT,
    KeyId::new([6; 32]),
    KeyId::new([7; 32]),
];

fn operations() -> impl Strategy<Value = Operation> {
    let key = || prop::sample::select(KEYS.to_vec());
    let time = || (0..20_u64).prop_map(|days| NOW + days * DAY);
    let timeless = prop::sample::select(vec![
        KeyOperation::Suspend,
        KeyOperation::Resume,
        KeyOperation::Deactivate,
        KeyOperation::MarkCompromised,
        KeyOperation::CallOffDestruction,
    ]);
    let schedule = time().prop_map(|at| KeyOperation::ScheduleDestruction { at: at + 7 * DAY });
    let one = prop_oneof![3 => timeless, 1 => schedule];
    prop_oneof![
        4 => (one, key()).prop_map(|(operation, key)| Operation::Key { operation, key }),
        3 => (key(), key(), time(), 0..3_u64)
            .prop_filter("to another key", |(from, to, ..)| from != to)
            .prop_map(|(from, to, at, days)| rotation(from, to, at, at + days * DAY)),
        2 => (prop::sample::select(Purpose::ALL.to_vec()), key(), time())
            .prop_map(|(purpose, key, at)| addition_for(purpose, key, at)),
        1 => key().prop_map(|to| Operation::CallOffRotation { to }),
    ]
}

/// The states of all keys on each day from `now` on, after everything that can have been planned.
fn holds_from_now_on(standing: &Standing, now: u64) -> Result<(), TestCaseError> {
    for (id, life) in standing.keys() {
        let days = (0..40).map(|day| life.state(now + day * DAY));
        let days: Vec<_> = days.collect();
        prop_assert!(
            days.windows(2).all(|two| by_time(two[0], two[1])),
            "{id}: {days:?}"
        );
    }
    for purpose in Purpose::ALL {
        for day in 0..40 {
            let at = now + day * DAY;
            let active = standing.active_at(purpose, at);
            let expected = standing.keys().filter(|(_, life)| {
                life.purpose() == purpose && life.state(at) == KeyState::Active
            });
            prop_assert_eq!(active.len(), expected.count());
            let begun = |id: &KeyId| standing.key(*id).unwrap().activates_at();
            prop_assert!(
                active
                    .windows(2)
                    .all(|two| begun(&two[0]) >= begun(&two[1]))
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_of_operations(
        steps in prop::collection::vec((operations(), 0..3_u64), 1..24),
    ) {
        let mut world = World::new();
        let mut now = NOW;
        for (operation, days) in steps {
            now += days * DAY;
            let before: Vec<_> = KEYS.map(|key| {
                world.standing.key(key).map(|life| life.state(now))
            }).to_vec();
            let stood = world.standing.clone();
            match world.execute(operation, now) {
                Ok(()) => prop_assert_eq!(world.standing.sequence(), stood.sequence() + 1),
                Err(refusal) => {
                    prop_assert!(["KEY_STATE", "KEY_NOT_FOUND"].contains(&refusal.reason()));
                    prop_assert_eq!(&world.standing, &stood);
                }
            }
            for (key, before) in KEYS.into_iter().zip(before) {
                let then = world.standing.key(key).map(|life| life.state(now));
                match (before, then) {
                    (Some(before), Some(then)) => {
                        prop_assert!(by_a_change(before, then), "{before} {then}");
                    }
                    (Some(_), None) => prop_assert!(false, "a key is forgotten"),
                    (None, _) => {}
                }
            }
            for (key, life) in stood.keys() {
                let then = world.standing.key(key).map(KeyLife::purpose);
                prop_assert_eq!(then, Some(life.purpose()), "a key has another purpose");
            }
            holds_from_now_on(&world.standing, now)?;
        }
    }
}
