//! `enroll`: a device certificate for the key of a PKCS#10 request.

use std::path::PathBuf;

use semops_pki::{
    certificate::Certificate,
    request::{self, CertificationRequest},
};
use semops_proto::{client::Client, v1::EnrollDeviceRequest};
use serde_json::json;

use crate::{
    failure::Failure,
    files,
    output::{Report, path_json, utc},
};

const JSON: &str = "JSON: {\"device_id\", \"serial_number\", \"not_after\" (Unix seconds), \"chain\" (PEM), \
                    \"saved_to\" (path or null)}";

/// What to certify, and for whom.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// PKCS#10 certification request with a P-256 key, PEM or DER
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// Your pseudonym for the subscriber: a UUID, or 22-64 base64url characters
    #[arg(long, value_name = "REF")]
    subscriber: String,
    /// Save the chain here as PEM: the device's certificate, then its CA's
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Enrols the phone. The same request for the same subscriber gives the same chain again.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let certification_request = request::der_of(&files::read(&args.csr)?).map_err(|error| {
        let message = format!("{}: {error}", args.csr.display());
        Failure::usage(
            message,
            "`openssl req -new` and `semopsctl phone new` make such requests",
        )
    })?;
    let request = EnrollDeviceRequest {
        certification_request: certification_request.clone(),
        subscriber_reference: args.subscriber.clone(),
    };
    let answer = client.enroll_device(request).await?;
    let chain = parse_chain(&answer.certificate_chain)?;
    let device = chain
        .first()
        .ok_or_else(|| Failure::bad_answer("the certificate chain is empty"))?;
    check(device, &answer.device_id, &certification_request)?;
    let pem: String = chain.iter().map(Certificate::to_pem).collect();
    if let Some(path) = &args.out {
        files::write(path, pem.as_bytes())?;
    }
    let serial = hexadecimal(device.serial());
    let id = &answer.device_id;
    let report = Report::new(json!({
        "device_id": id,
        "serial_number": serial,
        "not_after": device.not_after(),
        "chain": pem,
        "saved_to": path_json(args.out.as_deref()),
    }));
    Ok(report
        .row("enrolled", id)
        .row("serial", serial)
        .row("valid until", utc(device.not_after()))
        .row_if("chain", args.out.as_ref().map(|path| path.display().to_string()))
        .next("put the chain on the phone (phone order expects it as chain.pem beside its key)")
        .next(format!(
            "the payer's institution accepts it: semopsctl --profile ITS-PROFILE accept --device {id} --account REF"
        )))
}

/// The certificate must be that of the key that asked for it, and of the device that the service names.
fn check(device: &Certificate, id: &str, request: &[u8]) -> Result<(), Failure> {
    let request = CertificationRequest::parse(request)
        .map_err(|error| Failure::bad_answer(format!("the request was taken: {error}")))?;
    if device.public_key() != request.public_key() {
        return Err(Failure::untrue("the certificate is that of another key"));
    }
    if device.subject_common_name() != Some(id) {
        return Err(Failure::untrue("the certificate is that of another device"));
    }
    Ok(())
}

/// The certificates of a chain in an answer.
pub(super) fn parse_chain(chain: &[impl AsRef<[u8]>]) -> Result<Vec<Certificate>, Failure> {
    chain
        .iter()
        .map(|der| Certificate::from_der(der.as_ref()))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::bad_answer(format!("a certificate in the chain: {error}")))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
