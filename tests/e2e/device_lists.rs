//! ListDevices: what it shows under every filter, page by page.

mod pages;

use e2e::{
    clock::Hands, customer::Customer, deployment::Deployment, failure::Failure, phone::pseudonym,
    recheck::recheck,
};
use semops_proto::{
    client::Client,
    v1::{self, DeviceRelation, DeviceStatus, ListDevicesRequest, RevocationReason},
};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Status;

pub(crate) fn of(relation: DeviceRelation) -> ListDevicesRequest {
    ListDevicesRequest {
        relation: relation.into(),
        ..Default::default()
    }
}

fn issued() -> ListDevicesRequest {
    of(DeviceRelation::Issued)
}

fn accepted() -> ListDevicesRequest {
    of(DeviceRelation::Accepted)
}

/// Every device of the list, page by page.
pub(crate) async fn all(
    client: &Client,
    mut ask: ListDevicesRequest,
) -> Result<Vec<v1::Device>, Status> {
    let mut devices = Vec::new();
    loop {
        let page = client.list_devices(ask.clone()).await?;
        devices.extend(page.devices);
        ask.page_token = page.next_page_token;
        if ask.page_token.is_empty() {
            return Ok(devices);
        }
    }
}

fn ids(devices: &[v1::Device]) -> Vec<String> {
    devices
        .iter()
        .map(|device| device.device_id.clone())
        .collect()
}

fn sorted<const N: usize>(customers: [&Customer; N]) -> Vec<String> {
    let mut ids = customers.map(Customer::device_id);
    ids.sort();
    ids.into()
}

#[tokio::test]
async fn a_list_shows_what_get_device_shows_under_every_filter() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    assert_eq!(all(&mobilis, issued()).await?, []);
    let one = Customer::enrolled_by(&mobilis).await?;
    let revoked = Customer::enrolled_by(&mobilis).await?;
    let not_accepted = Customer::enrolled_by(&mobilis).await?;
    let own = Customer::enrolled_by(&alfa).await?;
    for customer in [&one, &revoked, &own] {
        customer.accepted_by(&alfa).await?;
    }
    revoked
        .revoked_by(&mobilis, RevocationReason::Superseded)
        .await?;

    let at_mobilis = sorted([&one, &revoked, &not_accepted]);
    let at_alfa = sorted([&one, &revoked, &own]);
    for (institution, ask, expected) in [
        ("mobilis", issued(), &at_mobilis),
        ("alfa", accepted(), &at_alfa),
    ] {
        for role in [Role::Enrolment, Role::Payments] {
            let client = deployment.client(institution, role).await?;
            let devices = all(&client, ask.clone()).await?;
            assert_eq!(ids(&devices), *expected, "{institution}");
            for device in devices {
                let device_id = device.device_id.clone();
                let alone = client
                    .get_device(v1::GetDeviceRequest { device_id })
                    .await?;
                assert_eq!(alone.device.as_ref(), Some(&device));
            }
        }
    }

    let status = |ask, status: DeviceStatus| ListDevicesRequest {
        status: status.into(),
        ..ask
    };
    let to = |subscriber: &str| ListDevicesRequest {
        subscriber_reference: subscriber.into(),
        ..issued()
    };
    let for_account = |account: &str| ListDevicesRequest {
        account_reference: account.into(),
        ..accepted()
    };
    let (active, ended) = (DeviceStatus::Active, DeviceStatus::Revoked);
    for (client, ask, expected) in [
        (
            &mobilis,
            status(issued(), active),
            sorted([&one, &not_accepted]),
        ),
        (&mobilis, status(issued(), ended), sorted([&revoked])),
        (&mobilis, status(issued(), DeviceStatus::Expired), vec![]),
        (&mobilis, to(&one.subscriber), sorted([&one])),
        (&mobilis, status(to(&one.subscriber), ended), vec![]),
        (&mobilis, to(&pseudonym()), vec![]),
        (&mobilis, accepted(), vec![]),
        (&alfa, issued(), sorted([&own])),
        (&alfa, status(accepted(), active), sorted([&one, &own])),
        (&alfa, for_account(&one.account), sorted([&one])),
        (
            &alfa,
            status(for_account(&revoked.account), ended),
            sorted([&revoked]),
        ),
        // The issuer's pseudonym is not the acceptor's.
        (&alfa, for_account(&one.subscriber), vec![]),
    ] {
        for page_size in [0, 1, 500] {
            let ask = ListDevicesRequest {
                page_size,
                ..ask.clone()
            };
            assert_eq!(ids(&all(client, ask.clone()).await?), expected, "{ask:?}");
        }
    }
    // Whose devices were looked for stands in no log (domain.md: never references).
    let log = deployment.log();
    for reference in [&one.subscriber, &one.account, &revoked.account] {
        assert!(!log.contains(reference), "{reference}");
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn devices_whose_time_has_passed_are_found_as_expired() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.configure("validity_days = 397", "validity_days = 1")?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    let past = Customer::enrolled_by(&mobilis).await?;
    let revoked = Customer::enrolled_by(&mobilis).await?;
    past.accepted_by(&alfa).await?;
    revoked
        .revoked_by(&mobilis, RevocationReason::Superseded)
        .await?;
    let listed = async |client: &Client, ask: ListDevicesRequest, status: DeviceStatus| {
        let devices = all(
            client,
            ListDevicesRequest {
                status: status.into(),
                ..ask
            },
        )
        .await?;
        assert!(devices.iter().all(|device| device.status() == status));
        Ok::<_, Status>(ids(&devices))
    };
    assert!(
        listed(&mobilis, issued(), DeviceStatus::Expired)
            .await?
            .is_empty()
    );
    hands.set(2 * 86_400)?;
    let fresh = Customer::enrolled_by(&mobilis).await?;
    for (status, expected) in [
        (DeviceStatus::Expired, sorted([&past])),
        (DeviceStatus::Active, sorted([&fresh])),
        // Revoked stays revoked.
        (DeviceStatus::Revoked, sorted([&revoked])),
    ] {
        assert_eq!(listed(&mobilis, issued(), status).await?, expected);
    }
    // Its acceptor is told so too, until it lets go of it.
    assert_eq!(
        listed(&alfa, accepted(), DeviceStatus::Expired).await?,
        sorted([&past])
    );
    hands.set(0)?;
    assert_eq!(
        listed(&mobilis, issued(), DeviceStatus::Active).await?,
        sorted([&past, &fresh])
    );
    recheck(&mut deployment).await.map(drop)
}
