//! `release`: ends the acceptance of a device by the caller's institution.

use semops_proto::{client::Client, v1::ReleaseDeviceRequest};
use serde_json::json;

use crate::{failure::Failure, output::Report};

/// Which device.
#[derive(Debug, clap::Args)]
#[command(after_help = "JSON: {\"device_id\", \"accepted\": false}")]
pub struct Args {
    /// UUID of the device
    #[arg(long, value_name = "ID")]
    device: String,
}

/// Releases the device. Again is no error.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = ReleaseDeviceRequest {
        device_id: args.device.clone(),
    };
    client.release_device(request).await?;
    let report = Report::new(json!({"device_id": args.device, "accepted": false}));
    Ok(report.row("released", &args.device).next(
        "its earlier authorizations stay readable; accept it again for this or another account",
    ))
}
