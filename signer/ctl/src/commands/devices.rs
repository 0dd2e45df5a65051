//! `devices`: the devices that the caller's institution issued, or accepted, page after page.

use clap::{ArgGroup, ValueEnum};
use semops_proto::{
    client::Client,
    v1::{Device, DeviceRelation, DeviceStatus, ListDevicesRequest},
};
use serde_json::{Value, json};

use super::device::{members, name_of};
use crate::{
    failure::Failure,
    output::{
        Report,
        table::{Column, Table},
        text::date,
    },
    progress::Progress,
};

const JSON: &str = "JSON: {\"devices\": [each as `device --json` shows it], \"complete\": false if --limit ended the list}";

/// The most devices of a page.
const PAGE: u32 = 500;

/// Which devices. All filters that are given must hold.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
#[command(group(ArgGroup::new("relation").required(true).args(["issued", "accepted"])))]
pub struct Args {
    /// Devices that your institution issued
    #[arg(long)]
    issued: bool,
    /// Devices whose orders your institution co-signs
    #[arg(long)]
    accepted: bool,
    /// Only devices in this state
    #[arg(long)]
    status: Option<Status>,
    /// Only devices of this subscriber (your pseudonym); with --issued
    #[arg(long, value_name = "REF", conflicts_with = "accepted")]
    subscriber: Option<String>,
    /// Only devices accepted for this account (your pseudonym); with --accepted
    #[arg(long, value_name = "REF", conflicts_with = "issued")]
    account: Option<String>,
    /// The most devices to list
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    limit: u32,
    /// List every device, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    /// Certified, neither revoked nor expired
    Active,
    /// Revoked by its issuer
    Revoked,
    /// Past the end of its certificate
    Expired,
}

impl From<Status> for DeviceStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Revoked => Self::Revoked,
            Status::Expired => Self::Expired,
        }
    }
}

/// Lists the devices, in the order of their ids.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client, progress: &Progress) -> Result<Report, Failure> {
    let mut devices = Vec::new();
    let mut page_token = String::new();
    loop {
        let left = args.left(devices.len());
        let request = args.request(left.min(PAGE), &page_token);
        let page = client.list_devices(request).await?;
        if u32::try_from(page.devices.len()).is_ok_and(|sent| sent > left.min(PAGE)) {
            return Err(Failure::bad_answer(
                "a page holds more devices than asked for",
            ));
        }
        devices.extend(page.devices);
        progress.tell(format!("{} devices so far", devices.len()));
        let complete = page.next_page_token.is_empty();
        if complete || args.left(devices.len()) == 0 {
            return report(args.relation(), &devices, complete);
        }
        if page.next_page_token == page_token {
            return Err(Failure::bad_answer("a page leads to itself"));
        }
        page_token = page.next_page_token;
    }
}

impl Args {
    fn relation(&self) -> DeviceRelation {
        if self.issued {
            DeviceRelation::Issued
        } else {
            DeviceRelation::Accepted
        }
    }

    /// How many more are wanted.
    fn left(&self, found: usize) -> u32 {
        if self.all {
            return PAGE;
        }
        self.limit
            .saturating_sub(u32::try_from(found).unwrap_or(u32::MAX))
    }

    fn request(&self, page_size: u32, page_token: &str) -> ListDevicesRequest {
        let status = self.status.map(DeviceStatus::from).unwrap_or_default();
        ListDevicesRequest {
            relation: self.relation().into(),
            status: status.into(),
            subscriber_reference: self.subscriber.clone().unwrap_or_default(),
            account_reference: self.account.clone().unwrap_or_default(),
            page_size,
            page_token: page_token.to_owned(),
        }
    }
}

fn report(relation: DeviceRelation, devices: &[Device], complete: bool) -> Result<Report, Failure> {
    let all: Vec<Value> = devices.iter().map(members).collect::<Result<_, _>>()?;
    let (whose, since) = match relation {
        DeviceRelation::Issued => ("SUBSCRIBER", "VALID UNTIL"),
        DeviceRelation::Accepted | DeviceRelation::Unspecified => ("ACCOUNT", "ACCEPTED"),
    };
    let columns = [
        Column::whole("DEVICE"),
        Column::whole("STATUS"),
        Column::long(whose),
        Column::whole(since),
    ];
    let mut table = Table::new(columns);
    for device in devices {
        table = table.row(cells(relation, device)?);
    }
    let report = Report::new(json!({"devices": all, "complete": complete}));
    let report = if devices.is_empty() {
        report
    } else {
        report.table(table)
    };
    let report = report.row("devices", devices.len().to_string());
    Ok(if complete {
        report
    } else {
        report.next("the list goes on: --limit N for more, --all for every one")
    })
}

fn cells(relation: DeviceRelation, device: &Device) -> Result<[String; 4], Failure> {
    let missing = |what| Failure::bad_answer(format!("device {}: {what}", device.device_id));
    let (whose, since) = match relation {
        DeviceRelation::Issued => {
            let issued = device.issued.as_ref();
            let issued = issued.ok_or_else(|| missing("what only its issuer sees is missing"))?;
            (&issued.subscriber_reference, issued.not_after)
        }
        DeviceRelation::Accepted | DeviceRelation::Unspecified => {
            let acceptance = device.acceptance.as_ref();
            let acceptance = acceptance.ok_or_else(|| missing("its acceptance is missing"))?;
            (&acceptance.account_reference, acceptance.accepted_at)
        }
    };
    Ok([
        device.device_id.clone(),
        name_of(device.status().as_str_name(), "DEVICE_STATUS_").to_owned(),
        whose.clone(),
        date(since),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use semops_proto::v1::{Acceptance, IssuedDevice};

    use super::*;
    use crate::output::Form;

    fn device() -> Device {
        Device {
            device_id: "0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b".to_owned(),
            status: DeviceStatus::Active.into(),
            acceptance: Some(Acceptance {
                account_reference: "7d8e9f00-1122-4334-8556-677889900aab".to_owned(),
                accepted_at: 0,
            }),
            ..Device::default()
        }
    }

    #[test]
    fn an_acceptor_reads_accounts() {
        let report = report(DeviceRelation::Accepted, &[device()], false).unwrap();
        let shown = report.render(Form::Lines { columns: 80 });
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "DEVICE                                STATUS  ACCOUNT                 ACCEPTED",
                "0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b  ACTIVE  7d8e9f00-11…7889900aab  1970-01-01",
            ]
        );
        assert_eq!(lines[2..4], ["", "devices  1"]);
        assert!(lines[4].starts_with("next     the list goes on"));
        let json: Value = serde_json::from_str(&report.render(Form::Json)).unwrap();
        assert_eq!(json["complete"], false);
        assert_eq!(json["devices"][0]["acceptance"]["accepted_at"], 0);
    }

    #[test]
    fn none_is_said_and_an_issuers_part_is_demanded() {
        let none = report(DeviceRelation::Issued, &[], true).unwrap();
        assert_eq!(none.render(Form::Lines { columns: 80 }), "devices  0\n");
        let refused = report(DeviceRelation::Issued, &[device()], true);
        assert!(matches!(refused, Err(Failure::BadAnswer { .. })));
        let mut issued = device();
        issued.issued = Some(IssuedDevice {
            subscriber_reference: "s".to_owned(),
            not_after: 86_400,
            ..IssuedDevice::default()
        });
        let report = report(DeviceRelation::Issued, &[issued], true).unwrap();
        let shown = report.render(Form::Lines { columns: 80 });
        assert!(
            shown.contains("  ACTIVE  s           1970-01-02\n"),
            "{shown}"
        );
    }
}
