//! The pages of a list: their tokens, and that they fit together while devices come and go.

use std::collections::BTreeSet;

use e2e::{
    customer::{Customer, enrolment},
    deployment::Deployment,
    failure::Failure,
    phone::{Phone, pseudonym},
    recheck::recheck,
    refusal::demand_field,
};
use semops_proto::{
    client::Client,
    v1::{self, DeviceRelation, DeviceStatus, ListDevicesRequest},
};
use softhsm_setup::scheme::Role;
use tokio::task::JoinSet;
use tonic::Status;

use super::{accepted, all, ids, issued};

/// Phones that are enrolled at a time.
const AT_A_TIME: usize = 32;

#[tokio::test]
async fn a_token_is_good_for_its_own_filters_alone() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    for _ in 0..3 {
        Customer::enrolled_by(&mobilis).await?;
    }
    let first = ListDevicesRequest {
        page_size: 1,
        ..issued()
    };
    let page = mobilis.list_devices(first.clone()).await?;
    let page_token = page.next_page_token;
    assert_eq!(page.devices.len(), 1);
    // Another size is no other filter.
    let next = ListDevicesRequest {
        page_token: page_token.clone(),
        ..issued()
    };
    assert_eq!(mobilis.list_devices(next.clone()).await?.devices.len(), 2);
    assert_eq!(
        mobilis.list_devices(next.clone()).await?.next_page_token,
        ""
    );

    let mut broken = page_token.clone();
    broken.pop();
    let flipped = if page_token.starts_with('A') {
        "B"
    } else {
        "A"
    };
    let flipped = format!("{flipped}{}", &page_token[1..]);
    for token in [
        broken,
        flipped,
        format!("{page_token}A"),
        "1".into(),
        "x".repeat(10_000),
    ] {
        let ask = ListDevicesRequest {
            page_token: token,
            ..issued()
        };
        demand_field(
            mobilis.list_devices(ask).await,
            "INVALID_FIELD",
            "page_token",
        )?;
    }
    let other_filters = [
        ListDevicesRequest {
            relation: DeviceRelation::Accepted.into(),
            ..next.clone()
        },
        ListDevicesRequest {
            status: DeviceStatus::Active.into(),
            ..next.clone()
        },
        ListDevicesRequest {
            subscriber_reference: pseudonym(),
            ..next.clone()
        },
    ];
    for ask in other_filters {
        demand_field(
            mobilis.list_devices(ask).await,
            "INVALID_FIELD",
            "page_token",
        )?;
    }
    each_wrong_field_is_blamed(&mobilis).await?;
    recheck(&mut deployment).await.map(drop)
}

async fn each_wrong_field_is_blamed(client: &Client) -> Result<(), Failure> {
    for (ask, field) in [
        (
            ListDevicesRequest {
                page_size: 501,
                ..issued()
            },
            "page_size",
        ),
        (
            ListDevicesRequest {
                relation: 0,
                ..issued()
            },
            "relation",
        ),
        (
            ListDevicesRequest {
                status: 9,
                ..issued()
            },
            "status",
        ),
        (
            ListDevicesRequest {
                account_reference: pseudonym(),
                ..issued()
            },
            "account_reference",
        ),
        (
            ListDevicesRequest {
                subscriber_reference: pseudonym(),
                ..accepted()
            },
            "subscriber_reference",
        ),
        (
            ListDevicesRequest {
                subscriber_reference: "0391234567".into(),
                ..issued()
            },
            "subscriber_reference",
        ),
    ] {
        demand_field(client.list_devices(ask).await, "INVALID_FIELD", field)?;
    }
    Ok(())
}

#[tokio::test]
async fn pages_of_500_come_whole_and_fit_together_while_devices_come_and_go() -> Result<(), Failure>
{
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    let standing = enrolled_and_accepted(&mobilis, &alfa, 502).await?;

    // Devices with their certificates, more than gRPC's usual message would hold of larger ones.
    let ask = ListDevicesRequest {
        page_size: 500,
        ..issued()
    };
    let page = mobilis.list_devices(ask.clone()).await?;
    assert_eq!(page.devices.len(), 500);
    for device in &page.devices {
        let chain = &device.issued.as_ref().unwrap().certificate_chain;
        assert_eq!(chain.len(), 2);
    }
    assert_eq!(all(&mobilis, ask).await?.len(), 502);

    let mut ask = ListDevicesRequest {
        page_size: 60,
        ..accepted()
    };
    let (mut shown, mut left, mut came) = (Vec::new(), BTreeSet::new(), 0);
    loop {
        let page = alfa.list_devices(ask.clone()).await?;
        shown.extend(ids(&page.devices));
        ask.page_token = page.next_page_token;
        if ask.page_token.is_empty() {
            break;
        }
        came += enrolled_and_accepted(&mobilis, &alfa, 3).await?.len();
        // One that was shown already, and one that may be yet to come.
        for device_id in [
            shown.last().cloned(),
            standing.iter().nth(came * 11).cloned(),
        ] {
            let device_id = device_id.unwrap();
            left.insert(device_id.clone());
            alfa.release_device(v1::ReleaseDeviceRequest { device_id })
                .await?;
        }
    }
    assert!(came > 0 && !left.is_empty());
    assert!(
        shown.is_sorted_by(|one, next| one < next),
        "in order, and none twice"
    );
    let shown: BTreeSet<String> = shown.into_iter().collect();
    let missing: Vec<_> = standing
        .difference(&shown)
        .filter(|id| !left.contains(*id))
        .collect();
    assert!(missing.is_empty(), "{missing:?} stood throughout");
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.certificates, 502 + came);
    Ok(())
}

/// The ids of so many new phones.
async fn enrolled_and_accepted(
    issuer: &Client,
    bank: &Client,
    count: usize,
) -> Result<BTreeSet<String>, Failure> {
    let (mut phones, mut ids) = (JoinSet::new(), BTreeSet::new());
    for number in 0..count {
        let (issuer, bank) = (issuer.clone(), bank.clone());
        let ask = enrolment(&Phone::new()?, &pseudonym())?;
        phones.spawn(async move {
            let device_id = issuer.enroll_device(ask).await?.device_id;
            let ask = v1::AcceptDeviceRequest {
                device_id: device_id.clone(),
                account_reference: pseudonym(),
            };
            bank.accept_device(ask).await?;
            Ok::<_, Status>(device_id)
        });
        if number >= AT_A_TIME
            && let Some(phone) = phones.join_next().await
        {
            ids.insert(phone??);
        }
    }
    while let Some(phone) = phones.join_next().await {
        ids.insert(phone??);
    }
    Ok(ids)
}
