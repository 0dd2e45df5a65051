//! `accept`: lets the caller's institution co-sign a device's orders for one account.

use semops_proto::{client::Client, v1::AcceptDeviceRequest};

use super::device::{self, describe};
use crate::{failure::Failure, output::Report};

/// Which device, for which account.
#[derive(Debug, clap::Args)]
#[command(after_help = device::JSON)]
pub struct Args {
    /// UUID of the device, as the phone shows it
    #[arg(long, value_name = "ID")]
    device: String,
    /// Your pseudonym for the account: a UUID, or 22-64 base64url characters
    #[arg(long, value_name = "REF")]
    account: String,
}

/// Accepts the device. The same account again is the same acceptance.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = AcceptDeviceRequest {
        device_id: args.device.clone(),
        account_reference: args.account.clone(),
    };
    let answer = client.accept_device(request).await?;
    Ok(describe("accepted", answer.device)?
        .next("its orders can be co-signed: semopsctl cosign --order FILE"))
}
