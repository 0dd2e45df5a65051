//! Owns the contract of destructions: begun once and by whoever leads, ended once, and nothing is recorded that was decided
//! while the key was there.

use semops_pki::crl::Reason;

use super::{changes::proposal, *};
use crate::{
    domain::{change::ChangeId, key::KeyState, operation::Term},
    store::{Destroying, DestructionAsk, Proposed, StillValid, Why},
};

impl World {
    async fn destroy(&self, key: KeyId, why: Why, at: Timestamp) -> Destroying {
        let ask = DestructionAsk {
            institution: self.alfa.clone(),
            key,
            why,
            generation: self.generation().await,
        };
        let begun = self.store.begin_destruction(ask, origin(), at);
        begun.await.unwrap()
    }

    async fn destroyed(&self, key: KeyId, at: Timestamp) -> Result<(), StoreError> {
        let ended = self.store.end_destruction(&self.alfa, key, origin(), at);
        ended.await
    }

    async fn term(&self) -> Term {
        let replica = Uuid::from_u128(1);
        self.store.lead(replica).await.unwrap().unwrap()
    }

    async fn state_of(&self, key: KeyId) -> (KeyState, Option<Timestamp>) {
        let keys = self.store.keys(&self.alfa).await.unwrap().keys;
        let found = keys.iter().find(|one| one.id == key).unwrap();
        (found.state, found.destruction_begun_at)
    }

    async fn told_of(&self, key: KeyId) -> Vec<String> {
        let leaves = self.inside.leaves().await.into_iter();
        let of_key = leaves.filter(|leaf| leaf["key"] == key.to_string());
        let words = of_key.map(|leaf| leaf["operation"].as_str().unwrap().to_owned());
        words
            .filter(|word| word.starts_with("key.destroy"))
            .collect()
    }
}

pub(crate) async fn a_destruction_is_begun_once_and_ended_once(world: World) {
    let (key, at) = (key(&world.alfa, Purpose::SigningCa), T0.plus_seconds(9));
    let why = || async { Why::Due(world.term().await) };
    assert!(matches!(
        world.destroyed(key, T0).await,
        Err(StoreError::Violated(_))
    ));
    let before = world.generation().await;
    assert_eq!(
        world.destroy(key, why().await, T0).await,
        Destroying::Begun(None)
    );
    assert_eq!(world.generation().await, before + 1);
    // Whoever comes after one that died goes on.
    assert_eq!(
        world.destroy(key, why().await, at).await,
        Destroying::Begun(None)
    );
    assert_eq!(world.state_of(key).await, (KeyState::Active, Some(T0)));
    for _ in 0..2 {
        world.destroyed(key, at).await.unwrap();
    }
    assert_eq!(world.state_of(key).await, (KeyState::Destroyed, Some(T0)));
    assert_eq!(world.generation().await, before + 2);
    assert_eq!(world.destroy(key, why().await, at).await, Destroying::Done);
    assert_eq!(world.told_of(key).await, ["key.destroying", "key.destroy"]);
}

pub(crate) async fn a_destruction_is_the_leaders_and_of_this_generation(world: World) {
    let own = key(&world.alfa, Purpose::Authorization);
    let betas = key(&world.beta, Purpose::Authorization);
    let term = world.term().await;
    let other = Why::Due(Term(term.0 + 1));
    assert_eq!(world.destroy(own, other, T0).await, Destroying::NotLeader);
    let why = Why::Due(term);
    assert_eq!(
        world.destroy(betas, why.clone(), T0).await,
        Destroying::NotFound
    );
    let ask = DestructionAsk {
        institution: world.alfa.clone(),
        key: own,
        why,
        generation: world.generation().await + 1,
    };
    let stale = world.store.begin_destruction(ask, origin(), T0).await;
    assert_eq!(stale.unwrap(), Destroying::Stale);
    assert_eq!(world.state_of(own).await, (KeyState::Active, None));
    assert!(world.told_of(own).await.is_empty());
}

/// A change that is decided while the key is there is not recorded once its destruction has begun.
pub(crate) async fn nothing_is_recorded_that_was_decided_before(world: World) {
    let own = key(&world.alfa, Purpose::Authorization);
    let decided = proposal(&world, 1, world.generation().await);
    let why = Why::Due(world.term().await);
    assert_eq!(world.destroy(own, why, T0).await, Destroying::Begun(None));
    assert_eq!(world.propose(&decided).await, Proposed::Stale);
}

pub(crate) async fn a_new_key_that_nobody_names_may_go(world: World) {
    let made = world.new_key(7, Purpose::Authorization).await;
    let active = key(&world.alfa, Purpose::Authorization);
    let nothing = || Why::Unused(Vec::new());
    assert_eq!(
        world.destroy(active, nothing(), T0).await,
        Destroying::InUse
    );
    // What is pending was looked through, all of it and nothing else.
    let pending = proposal(&world, 1, world.generation().await);
    assert_eq!(world.propose(&pending).await, Proposed::Recorded);
    let unseen = ChangeId::new([9; 32]);
    for seen in [vec![], vec![unseen], vec![pending.id, unseen]] {
        let why = Why::Unused(seen);
        assert_eq!(world.destroy(made.id(), why, T0).await, Destroying::Stale);
    }
    let why = Why::Unused(vec![pending.id]);
    let begun = world.destroy(made.id(), why, T0).await;
    assert_eq!(begun, Destroying::Begun(Some(Uuid::from_u128(7))));
    world.destroyed(made.id(), T0).await.unwrap();
    assert_eq!(world.state_of(made.id()).await.0, KeyState::Destroyed);
    // It waits for nothing any more.
    assert!(world.store.new_keys(&world.alfa).await.unwrap().is_empty());
}

pub(crate) async fn a_ca_is_asked_what_is_still_valid(world: World) {
    let ca = key(&world.mobilis, Purpose::DeviceCa);
    let valid_after = async |at| world.store.valid_after(ca, at).await.unwrap();
    let none = StillValid {
        count: 0,
        until: None,
    };
    assert_eq!(valid_after(T0).await, none);
    let devices = [world.phone().await, world.phone().await];
    let some = valid_after(T0).await;
    let until = some.until.unwrap();
    assert_eq!(some.count, 2);
    let last = Timestamp::from_micros(until.micros() - 1);
    assert_eq!(valid_after(last).await.count, 2);
    assert_eq!(valid_after(until).await, none);
    let (mobilis, reason) = (&world.mobilis, Reason::KeyCompromise);
    let revoked = world
        .store
        .revoke(mobilis, devices[0], reason, origin(), T0);
    revoked.await.unwrap();
    assert_eq!(valid_after(T0).await.count, 1);
}
