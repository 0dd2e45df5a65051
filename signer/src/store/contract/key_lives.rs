//! Owns the contract of what changes do to keys: when each may sign, and for whom.

use super::{changes::proposal, *};
use crate::{
    domain::key::KeyState,
    store::{ChangeEnding, Execution, KeyProjection, NewChange, Proposed, Refusal},
};

/// alfa's authorization key, active without a bound.
fn active(world: &World) -> KeyProjection {
    KeyProjection {
        id: key(&world.alfa, Purpose::Authorization),
        purpose: Purpose::Authorization,
        state: KeyState::Active,
        active_from: None,
        active_until: None,
    }
}

/// A change of alfa's keys, executed at once.
async fn of_keys(world: &World, sequence: u64, keys: Vec<KeyProjection>) -> NewChange {
    let execution = Execution {
        keys,
        ..Execution::default()
    };
    NewChange {
        enclosed: Vec::new(),
        ending: Some(ChangeEnding::Executed(execution)),
        ..proposal(world, sequence, world.generation().await)
    }
}

pub(crate) async fn a_key_signs_while_a_change_lets_it(world: World) {
    let device = world.accepted_phone().await;
    let (from, until) = (T0.plus_seconds(10), T0.plus_seconds(20));
    let bounded = KeyProjection {
        active_from: Some(from),
        active_until: Some(until),
        ..active(&world)
    };
    let change = of_keys(&world, 1, vec![bounded]).await;
    assert_eq!(world.propose(&change).await, Proposed::Recorded);
    let order = async |at: Timestamp| {
        let mut order = world.order(device, at);
        order.generation = world.generation().await;
        order_of(&mut order).amount = euros(1);
        order
    };
    let micro = |at: Timestamp, by| Timestamp::from_micros(at.micros() + by);
    for (now, allowed) in [
        (micro(from, -1), false),
        (from, true),
        (micro(until, -1), true),
        (until, false),
    ] {
        let begun = world.begin(order(now).await, now).await;
        assert_eq!(matches!(begun, Begun::Recorded(_)), allowed, "{begun:?}");
        let refused = matches!(begun, Begun::Refused(Refusal::KeyNotActive));
        assert_eq!(refused, !allowed);
    }
    // What is under way is signed with the key named in it while that is active, and else ends.
    let resumed = order(from).await;
    world.record(resumed.clone(), from).await;
    assert!(matches!(
        world.begin(resumed.clone(), micro(until, -1)).await,
        Begun::Resumed(_)
    ));
    match world.begin(resumed, until).await {
        Begun::Done(outcome) => assert_eq!(outcome.reason.as_deref(), Some("KEY_NOT_ACTIVE")),
        other => panic!("{other:?}"),
    }
    for (sequence, state) in [
        (2, KeyState::Suspended),
        (3, KeyState::Active),
        (4, KeyState::Deactivated),
    ] {
        let life = KeyProjection {
            state,
            ..active(&world)
        };
        world
            .propose(&of_keys(&world, sequence, vec![life]).await)
            .await;
        let begun = world.begin(order(T0).await, T0).await;
        let active = state == KeyState::Active;
        assert_eq!(matches!(begun, Begun::Recorded(_)), active, "{begun:?}");
    }
    let leaves = world.inside.leaves().await;
    let told = leaves
        .iter()
        .filter(|leaf| leaf["operation"] == "key.state");
    let told: Vec<_> = told.map(|leaf| leaf["object"].as_str().unwrap()).collect();
    assert_eq!(told, ["active", "suspended", "active", "deactivated"]);
}

pub(crate) async fn a_retired_ca_lists_and_issues_nothing(world: World) {
    let retired = KeyProjection {
        id: key(&world.mobilis, Purpose::DeviceCa),
        purpose: Purpose::DeviceCa,
        state: KeyState::Active,
        active_from: None,
        active_until: Some(T0),
    };
    // Suspended it lists nothing, until the moment at which it is retired all the same.
    for (sequence, state, active_until, lists) in [
        (1, KeyState::Active, Some(T0), true),
        (2, KeyState::Deactivated, Some(T0), true),
        (3, KeyState::Suspended, Some(T0.plus_seconds(1)), false),
        (4, KeyState::Suspended, Some(T0), true),
        (5, KeyState::Active, Some(T0), true),
    ] {
        let life = KeyProjection {
            state,
            active_until,
            ..retired
        };
        let change = NewChange {
            institution: world.mobilis.clone(),
            ..of_keys(&world, sequence, vec![life]).await
        };
        assert_eq!(world.propose(&change).await, Proposed::Recorded);
        let generation = world.generation().await;
        let enrollment = Operation {
            generation,
            ..world.enrollment(T0)
        };
        let begun = world.begin(enrollment, T0).await;
        assert!(
            matches!(begun, Begun::Refused(Refusal::KeyNotActive)),
            "{begun:?}"
        );
        let crl = Operation {
            generation,
            ..world.crl(sequence, 0, T0)
        };
        let begun = world.begin(crl, T0).await;
        assert_eq!(matches!(begun, Begun::Recorded(_)), lists, "{begun:?}");
    }
}

pub(crate) async fn a_change_rules_its_own_keys_alone(world: World) {
    let new = KeyProjection {
        id: KeyId::new(world.octets()),
        state: KeyState::PreActivation,
        ..active(&world)
    };
    let change = of_keys(&world, 1, vec![new]).await;
    assert_eq!(world.propose(&change).await, Proposed::Recorded);
    let keys = world.store.keys(&world.alfa).await.unwrap().keys;
    assert!(
        keys.iter()
            .any(|one| one.id == new.id && one.signatures == 0)
    );
    let of_beta = KeyProjection {
        id: key(&world.beta, Purpose::Authorization),
        ..active(&world)
    };
    let for_another_purpose = KeyProjection {
        purpose: Purpose::DeviceCa,
        ..active(&world)
    };
    for stranger in [of_beta, for_another_purpose] {
        let change = of_keys(&world, 2, vec![active(&world), stranger]).await;
        let refused = world.store.propose(change.clone(), origin(), T0).await;
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
        assert_eq!(world.view(&change).await.change, None);
    }
    assert_eq!(world.generation().await, 1);
}
