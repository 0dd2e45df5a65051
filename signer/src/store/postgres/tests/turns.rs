//! Owns what is tested of turns over replicas: one writes to an institution's tokens, whichever replica it is in.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

use super::replicas::two;

/// How long it is looked on while nothing is to come.
const A_WHILE: Duration = Duration::from_millis(200);

/// Also when the one that has it is gone without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_has_one_turn_over_both() {
    let (world, other) = two().await;
    for _ in 0..3 {
        let first = world.store.turn(&world.alfa).await.unwrap();
        drop(other.turn(&world.beta).await.unwrap());
        {
            let mut second = pin!(other.turn(&world.alfa));
            let early = timeout(A_WHILE, second.as_mut()).await;
            assert!(early.is_err());
            drop(first);
            drop(second.await.unwrap());
        }
        // One that is waited for no longer is not kept.
        let held = other.turn(&world.alfa).await.unwrap();
        let gone = timeout(A_WHILE, world.store.turn(&world.alfa)).await;
        assert!(gone.is_err());
        drop(held);
    }
}
