//! Owns the contract of turns: one at a time writes to the tokens of an institution.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

use super::*;

/// How long it is looked on while nothing is to come.
const A_WHILE: Duration = Duration::from_millis(200);

pub(crate) async fn an_institution_has_one_turn_at_a_time(world: World) {
    let turn = |institution| world.store.turn(institution);
    let first = turn(&world.alfa).await.unwrap();
    // Nobody waits for another institution's.
    drop(turn(&world.beta).await.unwrap());
    let mut second = pin!(turn(&world.alfa));
    assert!(timeout(A_WHILE, second.as_mut()).await.is_err());
    drop(first);
    let second = second.await.unwrap();
    // Who does not wait until it comes is in nobody's way.
    assert!(timeout(A_WHILE, turn(&world.alfa)).await.is_err());
    drop(second);
    drop(turn(&world.alfa).await.unwrap());
}
