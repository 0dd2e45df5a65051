//! The burst: a phone orders faster than policy allows, is told when to come back, and comes back then.

use std::time::Duration;

use semops_proto::v1;
use tokio::time::sleep;

use super::{Callers, Narrator, acts};
use crate::{failure::Failure, phone::Phone, refusal};

/// More than any policy of the story lets through.
const MOST: usize = 100;

/// The phone orders until it is refused; its bank waits as long as it is told, and calls again.
pub(super) async fn burst(
    callers: &Callers,
    phone: &Phone,
    narrator: &Narrator,
) -> Result<(), Failure> {
    let (refused, wait) = narrator
        .step("the phone orders again and again", async {
            order_until_refused(callers, phone).await
        })
        .await?;
    narrator
        .step("alfa waits just as long and calls again", async {
            sleep(wait).await;
            callers.alfa_payments.cosign_order(refused).await?;
            Ok(((), "AUTHORIZED".to_owned()))
        })
        .await
}

type Refused = (v1::CosignOrderRequest, Duration);

async fn order_until_refused(
    callers: &Callers,
    phone: &Phone,
) -> Result<(Refused, String), Failure> {
    for authorized in 0..MOST {
        let (order, _) = acts::read_offer()?;
        let ask = v1::CosignOrderRequest {
            order_jws: phone.sign(&order)?,
            ..Default::default()
        };
        let Err(status) = callers.alfa_payments.cosign_order(ask.clone()).await else {
            continue;
        };
        let (scope, wait) = refusal::rate_limit(&status)?;
        let own = format!("device:{}", phone.device_id()?);
        if scope != own {
            return Err(Failure::new(format!("limited by {scope}, must be {own}")));
        }
        let seconds = wait.as_secs_f64();
        let said = format!(
            "{authorized} AUTHORIZED, then refused: RATE_LIMITED, device, for {seconds:.2} s"
        );
        return Ok(((ask, wait), said));
    }
    Err(Failure::new(format!("{MOST} orders, and no limit")))
}
