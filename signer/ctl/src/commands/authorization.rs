//! `authorization`: where an order's co-signing stands.

use semops_proto::{
    client::Client,
    v1::{GetAuthorizationRequest, OrderState},
};
use serde_json::json;

use super::device::name_of;
use crate::{
    failure::Failure,
    output::{Report, utc},
};

const JSON: &str = "JSON: {\"device_id\", \"jti\", \"state\": \"PENDING\" | \"AUTHORIZED\" | \"DENIED\" | \"EXPIRED\" | \
                    \"FAILED\", \"reason\" or null, \"order_jws\", \"authorization_jws\" or null}";

/// Which order.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// UUID of the device that signed the order
    #[arg(long, value_name = "ID")]
    device: String,
    /// The order's jti
    #[arg(long, value_name = "JTI")]
    order_id: String,
}

/// Shows the order's state.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = GetAuthorizationRequest {
        device_id: args.device.clone(),
        jti: args.order_id.clone(),
    };
    let answer = client.get_authorization(request).await?;
    let state = name_of(answer.state().as_str_name(), "ORDER_STATE_");
    let next = match answer.state() {
        OrderState::Pending => Some("call cosign again with the same order"),
        OrderState::Denied | OrderState::Expired | OrderState::Failed => {
            Some("the phone may sign a new order")
        }
        OrderState::Authorized | OrderState::Unspecified => None,
    };
    let report = Report::new(json!({
        "device_id": args.device,
        "jti": args.order_id,
        "state": state,
        "reason": answer.reason,
        "order_jws": answer.order_jws,
        "authorization_jws": answer.authorization_jws,
    }));
    let report = report
        .row("order", &args.order_id)
        .row("state", state)
        .row_if("reason", answer.reason)
        .row("order jws", answer.order_jws)
        .row_if("authorization", answer.authorization_jws);
    Ok(match next {
        Some(step) => report.next(step),
        None => report,
    })
}

/// A NumericDate of a JWS as a date and time of day.
pub(super) fn moment(seconds: u64) -> String {
    utc(i64::try_from(seconds).unwrap_or(i64::MAX))
}
