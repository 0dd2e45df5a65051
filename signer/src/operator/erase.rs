//! Owns what an operator has erased: each device in its turn, then the record's files.

use semops_objects::institution::InstitutionId;
use semops_pki::certificate::rfc3339;

use super::{OperatorError, say};
use crate::{
    authority,
    clock::Clock,
    domain::{
        actor::{Actor, Origin},
        device::DeviceId,
    },
    ids::RequestId,
    store::{Erased, Store},
};

/// What is to be done, in its order.
pub(super) const STEPS: &str = "Each institution has what it has by itself: the issuer the subscriber's pseudonym, whoever accepts the device its \
account's pseudonym and the orders. For all of it: release the device at each institution that accepts it (the account's \
pseudonym goes with that), revoke it at its issuer unless it has expired, wait until its last order is 24 hours old, then \
erase it for each of these institutions. What refuses the jti of each order stays, and so do the device, which bears no \
name, and the audit events. A file of the embedded store is written anew at the end; requests wait as long.";

/// Erases what `institution` has of the devices; says on standard output what was erased.
///
/// # Errors
/// [`OperatorError::Needed`] for the first device that is still needed; those before it are erased.
pub(super) async fn run(
    store: &dyn Store,
    institution: InstitutionId,
    devices: Vec<DeviceId>,
) -> Result<(), OperatorError> {
    let mut erased = Ok(());
    for device in devices {
        erased = one(store, &institution, device).await;
        if erased.is_err() {
            break;
        }
    }
    // What went before a refusal is gone from the files too.
    store.scrub().await?;
    erased
}

async fn one(
    store: &dyn Store,
    institution: &InstitutionId,
    device: DeviceId,
) -> Result<(), OperatorError> {
    let origin = Origin {
        actor: Actor::Operator(rustix::process::getuid().as_raw()),
        request: RequestId::new(),
    };
    match authority::erase(store, institution, device, origin, Clock::system()).await? {
        Erased::Done {
            orders, subscriber, ..
        } => {
            let subscriber = if subscriber {
                "and the subscriber's pseudonym"
            } else {
                "and no pseudonym"
            };
            let text =
                format!("device {device} of {institution}: {orders} orders {subscriber} erased\n");
            say(text.as_bytes())
        }
        refused => Err(OperatorError::Needed {
            institution: institution.clone(),
            device,
            why: why(refused),
        }),
    }
}

/// What is in the way, and what is to be done first.
fn why(refused: Erased) -> String {
    match refused {
        Erased::Done { .. } => String::new(),
        Erased::NotFound => "it neither issued nor accepted it: compare both ids".to_owned(),
        Erased::Active => {
            "its certificate is neither revoked nor expired: `semopsctl revoke` first".to_owned()
        }
        Erased::Accepted => "it accepts it: `semopsctl release` first".to_owned(),
        Erased::Pending => {
            "an order of it has not ended: wait until its exp has passed".to_owned()
        }
        Erased::Counted(until) => {
            let until = rfc3339(until.plus_seconds(1).seconds());
            format!("its orders count for the limits of 24 hours: wait until {until}")
        }
        Erased::NotYet => {
            "programs of an older schema may serve, and do not look for what stays of an order: once none runs any more, \
             `signer --config FILE migrate --contract` first"
                .to_owned()
        }
    }
}
