//! `device`: a device as its issuer or its acceptor sees it. Also how the other commands show one.

use semops_proto::{
    client::Client,
    v1::{Device, GetDeviceRequest, IssuedDevice},
};
use serde_json::{Value, json};

use super::enroll::parse_chain;
use crate::{
    failure::Failure,
    output::{Report, utc},
};

pub(super) const JSON: &str = "JSON: {\"device_id\", \"status\": \"ACTIVE\" | \"REVOKED\" | \"EXPIRED\", \"assurance\", \
    \"issued\": null or {\"subscriber_reference\", \"serial_number\", \"not_before\", \"not_after\", \"revoked_at\", \
    \"revocation_reason\", \"chain\" (PEM)}, \"acceptance\": null or {\"account_reference\", \"accepted_at\"}}; times are \
    Unix seconds";

/// Which device.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// UUID of the device
    #[arg(long, value_name = "ID")]
    device: String,
}

/// Shows the device.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = GetDeviceRequest {
        device_id: args.device.clone(),
    };
    let answer = client.get_device(request).await?;
    describe("device", answer.device)
}

/// The device for programs.
pub(super) fn members(device: &Device) -> Result<Value, Failure> {
    Ok(json!({
        "device_id": device.device_id,
        "status": name_of(device.status().as_str_name(), "DEVICE_STATUS_"),
        "assurance": name_of(device.assurance().as_str_name(), "ASSURANCE_"),
        "issued": device.issued.as_ref().map(issued_json).transpose()?,
        "acceptance": device.acceptance.as_ref().map(|acceptance| json!({
            "account_reference": acceptance.account_reference,
            "accepted_at": acceptance.accepted_at,
        })),
    }))
}

/// A report of a device; `label` says what was done to it.
pub(super) fn describe(label: &'static str, device: Option<Device>) -> Result<Report, Failure> {
    let device = device.ok_or_else(|| Failure::bad_answer("the device is missing"))?;
    let status = name_of(device.status().as_str_name(), "DEVICE_STATUS_");
    let assurance = name_of(device.assurance().as_str_name(), "ASSURANCE_");
    let issued = device.issued.as_ref();
    let acceptance = device.acceptance.as_ref();
    let report = Report::new(members(&device)?)
        .row(label, &device.device_id)
        .row("status", status)
        .row("assurance", assurance);
    let report = issued.into_iter().fold(report, issued_rows);
    Ok(report.row_if(
        "account",
        acceptance.map(|acceptance| {
            let since = utc(acceptance.accepted_at);
            format!("{}, accepted {since}", acceptance.account_reference)
        }),
    ))
}

fn issued_rows(report: Report, issued: &IssuedDevice) -> Report {
    let (from, to) = (utc(issued.not_before), utc(issued.not_after));
    let revoked = issued
        .revoked_at
        .map(|at| format!("{}, {}", utc(at), reason_of(issued)));
    report
        .row("subscriber", &issued.subscriber_reference)
        .row("serial", &issued.serial_number)
        .row("valid", format!("{from} to {to}"))
        .row_if("revoked", revoked)
}

fn issued_json(issued: &IssuedDevice) -> Result<Value, Failure> {
    let chain: String = parse_chain(&issued.certificate_chain)?
        .iter()
        .map(|cert| cert.to_pem())
        .collect();
    Ok(json!({
        "subscriber_reference": issued.subscriber_reference,
        "serial_number": issued.serial_number,
        "not_before": issued.not_before,
        "not_after": issued.not_after,
        "revoked_at": issued.revoked_at,
        "revocation_reason": issued.revoked_at.map(|_| reason_of(issued)),
        "chain": chain,
    }))
}

fn reason_of(issued: &IssuedDevice) -> &'static str {
    name_of(
        issued.revocation_reason().as_str_name(),
        "REVOCATION_REASON_",
    )
}

/// An enum value's name without the prefix that protobuf wants.
pub(super) fn name_of(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use semops_proto::v1::{Acceptance, Assurance, DeviceStatus, RevocationReason};

    use super::*;
    use crate::output::Form;

    const LINES: Form = Form::Lines { columns: 80 };

    #[test]
    fn an_acceptor_sees_its_own_part() {
        let device = Device {
            device_id: "0190".to_owned(),
            status: DeviceStatus::Active.into(),
            assurance: Assurance::SoftwareKeyUnattested.into(),
            issued: None,
            acceptance: Some(Acceptance {
                account_reference: "acc".to_owned(),
                accepted_at: 0,
            }),
        };
        let report = describe("accepted", Some(device)).unwrap();
        assert_eq!(
            report.render(LINES),
            "accepted   0190\n\
             status     ACTIVE\n\
             assurance  SOFTWARE_KEY_UNATTESTED\n\
             account    acc, accepted 1970-01-01T00:00:00Z\n"
        );
        let json: Value = serde_json::from_str(&report.render(Form::Json)).unwrap();
        assert_eq!(json["status"], "ACTIVE");
        assert_eq!(json["issued"], Value::Null);
        assert_eq!(json["acceptance"]["account_reference"], "acc");
    }

    #[test]
    fn an_issuer_sees_why_it_was_revoked() {
        let issued = IssuedDevice {
            serial_number: "0A".to_owned(),
            revoked_at: Some(1),
            revocation_reason: Some(RevocationReason::KeyCompromise.into()),
            ..IssuedDevice::default()
        };
        let device = Device {
            status: DeviceStatus::Revoked.into(),
            issued: Some(issued),
            ..Device::default()
        };
        let text = describe("revoked", Some(device)).unwrap().render(LINES);
        assert!(
            text.contains("1970-01-01T00:00:01Z, KEY_COMPROMISE"),
            "{text}"
        );
    }

    #[test]
    fn no_device_is_a_bad_answer() {
        assert!(matches!(
            describe("device", None),
            Err(Failure::BadAnswer { .. })
        ));
    }
}
