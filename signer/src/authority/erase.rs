//! Owns the erasure of what identifies people, at an operator's demand.

use semops_objects::institution::InstitutionId;

use crate::{
    clock::Clock,
    domain::{actor::Origin, device::DeviceId},
    store::{Erased, Store, StoreError},
};

/// The most orders in one transaction.
const GROUP: u32 = 250;

/// Erases all that `institution` has of `device`. Answers what was erased in all, or why nothing is.
///
/// # Errors
/// What the store says; what was erased before stays so, and doing it again goes on.
pub async fn erase(
    store: &dyn Store,
    institution: &InstitutionId,
    device: DeviceId,
    origin: Origin,
    clock: Clock,
) -> Result<Erased, StoreError> {
    let mut erased = 0_u64;
    loop {
        let done = store.erase(institution, device, GROUP, origin.clone(), clock.now());
        match done.await? {
            Erased::Done {
                orders, more: true, ..
            } => erased = erased.saturating_add(orders),
            Erased::Done {
                orders,
                subscriber,
                more: false,
            } => {
                return Ok(Erased::Done {
                    orders: erased.saturating_add(orders),
                    subscriber,
                    more: false,
                });
            }
            refused => return Ok(refused),
        }
    }
}
