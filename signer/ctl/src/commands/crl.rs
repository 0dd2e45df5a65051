//! `crl`: the newest CRL of a CA, or of an offline root.

use std::path::PathBuf;

use clap::ValueEnum;
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{self, GetCrlRequest},
};
use serde_json::json;

use crate::{
    failure::Failure,
    files,
    output::{Report, utc},
};

const JSON: &str =
    "JSON: {\"crl_number\", \"this_update\", \"next_update\" (Unix seconds), \"saved_to\" (path)}";

/// Which CRL, and where to put it.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// Which CA
    #[arg(long)]
    authority: Authority,
    /// Institution of the CA; left out for a root
    #[arg(
        long,
        value_name = "ID",
        required_if_eq_any([("authority", "device-ca"), ("authority", "signing-ca")])
    )]
    institution: Option<String>,
    /// Id of the CA's key, of one that issues no more or not yet; left out for the one that issues now
    #[arg(
        long,
        value_name = "KEY",
        requires = "institution",
        allow_hyphen_values = true
    )]
    key: Option<String>,
    /// Save the CRL here, in DER
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Authority {
    /// The device CA of an institution
    DeviceCa,
    /// The signing CA of an institution
    SigningCa,
    /// The offline root of the device CAs
    DeviceRoot,
    /// The offline root of the signing CAs
    SigningRoot,
}

impl From<Authority> for v1::Authority {
    fn from(authority: Authority) -> Self {
        match authority {
            Authority::DeviceCa => Self::DeviceCa,
            Authority::SigningCa => Self::SigningCa,
            Authority::DeviceRoot => Self::DeviceRoot,
            Authority::SigningRoot => Self::SigningRoot,
        }
    }
}

/// Fetches the CRL and saves it.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = GetCrlRequest {
        institution: args.institution.clone().unwrap_or_default(),
        authority: v1::Authority::from(args.authority).into(),
        key_id: args.key.clone().unwrap_or_default(),
    };
    let answer = client.get_crl(request).await?;
    let crl = CertificateRevocationList::from_der(&answer.crl)
        .map_err(|error| Failure::bad_answer(format!("the CRL: {error}")))?;
    if crl.number() != answer.crl_number {
        return Err(Failure::untrue(format!(
            "the CRL has the number {}, but the service names it {}",
            crl.number(),
            answer.crl_number
        )));
    }
    files::write(&args.out, &answer.crl)?;
    let path = args.out.display().to_string();
    let report = Report::new(json!({
        "crl_number": answer.crl_number,
        "this_update": crl.this_update(),
        "next_update": crl.next_update(),
        "saved_to": path,
    }));
    Ok(report
        .row("crl number", answer.crl_number.to_string())
        .row("this update", utc(crl.this_update()))
        .row("next update", utc(crl.next_update()))
        .row("saved to", &path)
        .next(format!(
            "read it: openssl crl -inform DER -in {path} -noout -text"
        )))
}
