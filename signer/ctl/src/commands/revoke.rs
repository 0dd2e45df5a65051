//! `revoke`: ends a device's certificate, for every institution.

use clap::ValueEnum;
use semops_proto::{
    client::Client,
    v1::{RevocationReason, RevokeDeviceRequest},
};

use super::device::{self, describe};
use crate::{failure::Failure, output::Report};

/// Which device, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = device::JSON)]
pub struct Args {
    /// UUID of the device
    #[arg(long, value_name = "ID")]
    device: String,
    /// Why; the first reason that is given stays
    #[arg(long)]
    reason: Reason,
}

/// A CRLReason of RFC 5280 s5.3.1 that the service takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    /// No reason is published
    Unspecified,
    /// The private key may be in other hands
    KeyCompromise,
    /// The subscriber left the institution
    AffiliationChanged,
    /// Another certificate takes this one's place
    Superseded,
    /// The phone is no longer used
    CessationOfOperation,
    /// The issuer withdraws the right to use it
    PrivilegeWithdrawn,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

/// Revokes the device. Again is no error: the first reason and time stay.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = RevokeDeviceRequest {
        device_id: args.device.clone(),
        reason: RevocationReason::from(args.reason).into(),
    };
    let answer = client.revoke_device(request).await?;
    Ok(describe("revoked", answer.device)?
        .next("the CRL follows within seconds: semopsctl crl --authority device-ca --institution ISSUER --out FILE"))
}
