//! In an emergency one custodian is enough to stop a key, and never to start it again.

use e2e::{customer::Customer, deployment::Deployment, failure::Failure};
use semops_objects::change::KeyOperation;
use semops_proto::{client::Client, v1::ChangeState};

use super::desk::{of_key, orders, refused, stands};

const STOPPED: Option<&str> = Some("KEY_NOT_ACTIVE");

/// Custodians of alfa at two services, whose banks and customer see what comes of it.
pub(super) async fn one_suspends_and_two_resume(
    deployment: &Deployment,
    desks: &[Client; 2],
    banks: &[Client; 2],
    customer: &Customer,
) -> Result<(), Failure> {
    let [anna, boris, chloe] = deployment.custodians("alfa")?.try_into().unwrap();
    let stopped = async || {
        for bank in banks {
            let refused = orders(bank, customer, "1.00").await?;
            assert_eq!(refused.as_deref(), STOPPED);
        }
        Ok::<_, Failure>(())
    };
    let suspend = of_key(deployment, KeyOperation::Suspend)?;
    let alone = desks[0].propose_change(chloe.proposes(&suspend)?).await?;
    assert_eq!(stands(alone.change), (ChangeState::Executed, 1));
    stopped().await?;
    // What is suspended cannot be suspended again, and goes on with the quorum alone.
    let again = of_key(deployment, KeyOperation::Suspend)?;
    refused(
        desks[1].propose_change(anna.proposes(&again)?).await,
        "KEY_STATE",
    )?;
    let resume = of_key(deployment, KeyOperation::Resume)?;
    let proposed = desks[1].propose_change(chloe.proposes(&resume)?).await?;
    assert_eq!(stands(proposed.change), (ChangeState::Pending, 1));
    let repeated = desks[0].approve_change(chloe.approves(&resume)?).await?;
    assert_eq!(stands(repeated.change), (ChangeState::Pending, 1));
    stopped().await?;
    let approved = desks[0].approve_change(boris.approves(&resume)?).await?;
    assert_eq!(stands(approved.change), (ChangeState::Executed, 2));
    for bank in banks {
        assert_eq!(orders(bank, customer, "1.00").await?, None);
    }
    Ok(())
}
