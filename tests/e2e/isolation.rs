//! Every institution against another's objects: what is foreign looks as if it did not exist, and nothing that others
//! do reaches it.

mod acceptors;
mod lists;
mod public;

use std::fmt::Debug;

use e2e::{
    customer::{Customer, order_from},
    deployment::Deployment,
    failure::Failure,
    phone::pseudonym,
    recheck::recheck,
    refusal,
};
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};
use uuid::Uuid;

pub(super) const INSTITUTIONS: [&str; 3] = ["alfa", "beta", "mobilis"];

/// An institution's two systems.
struct House {
    name: &'static str,
    enrolment: Client,
    payments: Client,
}

impl House {
    async fn of(deployment: &Deployment, name: &'static str) -> Result<Self, Failure> {
        Ok(Self {
            name,
            enrolment: deployment.client(name, Role::Enrolment).await?,
            payments: deployment.client(name, Role::Payments).await?,
        })
    }

    async fn all(deployment: &Deployment) -> Result<Vec<Self>, Failure> {
        let mut houses = Vec::new();
        for name in INSTITUTIONS {
            houses.push(Self::of(deployment, name).await?);
        }
        Ok(houses)
    }
}

/// Both calls are refused, and from outside one cannot be told from the other but by its request id.
fn same<T: Debug>(
    foreign: Result<T, Status>,
    unknown: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Result<(), Failure> {
    let (foreign, unknown) = (foreign.unwrap_err(), unknown.unwrap_err());
    assert_eq!(foreign.message(), unknown.message());
    assert_eq!(foreign.details().len(), unknown.details().len());
    for status in [foreign, unknown] {
        refusal::demand(Err::<(), _>(status), code, reason)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_device_looks_like_none() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    for owner in &houses {
        let customer = Customer::enrolled_by(&owner.enrolment).await?;
        let revoked = Customer::enrolled_by(&owner.enrolment).await?;
        revoked
            .revoked_by(&owner.enrolment, v1::RevocationReason::KeyCompromise)
            .await?;
        if owner.name != "mobilis" {
            customer.accepted_by(&owner.enrolment).await?;
        }
        let before = device(&owner.enrolment, &customer.device_id()).await?;
        for other in houses.iter().filter(|other| other.name != owner.name) {
            let nobodys = Uuid::new_v4().to_string();
            for id in [customer.device_id(), revoked.device_id()] {
                foreign_device(other, &id, &nobodys)
                    .await
                    .map_err(|failure| {
                        failure.in_step(&format!("{} and {}", other.name, owner.name))
                    })?;
            }
            let accepted = customer.accepted_by(&other.enrolment).await;
            if owner.name == "mobilis" && other.name != "mobilis" {
                // mobilis stands in the banks' policies. It is the one that may be told apart, by who accepts it.
                assert_eq!(accepted?.status(), v1::DeviceStatus::Active);
                release(other, &customer.device_id()).await?;
            } else {
                let unknown = accept(other, &nobodys).await;
                same(
                    accepted,
                    unknown,
                    Code::FailedPrecondition,
                    "DEVICE_NOT_ACCEPTABLE",
                )?;
            }
            let of_revoked = accept(other, &revoked.device_id()).await;
            let unknown = accept(other, &nobodys).await;
            same(
                of_revoked,
                unknown,
                Code::FailedPrecondition,
                "DEVICE_NOT_ACCEPTABLE",
            )?;
        }
        assert_eq!(
            device(&owner.enrolment, &customer.device_id()).await?,
            before,
            "{}",
            owner.name
        );
    }
    recheck(&mut deployment).await.map(drop)
}

/// What an institution that neither issued nor accepted a device gets of it.
async fn foreign_device(other: &House, id: &str, nobodys: &str) -> Result<(), Failure> {
    for client in [&other.enrolment, &other.payments] {
        let (foreign, unknown) = (device(client, id).await, device(client, nobodys).await);
        same(foreign, unknown, Code::NotFound, "DEVICE_NOT_FOUND")?;
    }
    let revoke = async |id: &str| {
        let ask = v1::RevokeDeviceRequest {
            device_id: id.to_owned(),
            reason: 1,
        };
        other.enrolment.revoke_device(ask).await
    };
    same(
        revoke(id).await,
        revoke(nobodys).await,
        Code::NotFound,
        "DEVICE_NOT_FOUND",
    )?;
    // Not accepted here is what release promises, of whichever device.
    assert_eq!(release(other, id).await?, release(other, nobodys).await?);
    Ok(())
}

#[tokio::test]
async fn a_foreign_order_looks_like_none() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let [alfa, beta, mobilis] = houses.as_slice() else {
        panic!("three")
    };
    let customer = Customer::enrolled_by(&mobilis.enrolment).await?;
    for bank in [alfa, beta] {
        customer.accepted_by(&bank.enrolment).await?;
    }
    for (payer, others) in [(alfa, [beta, mobilis]), (beta, [alfa, mobilis])] {
        let order = order_from(payer.name, "12.99", "EUR")?;
        let cosigned = payer.payments.cosign_order(customer.asks(&order)?).await?;
        for other in others {
            let get = async |device_id: String, jti: Uuid| {
                let ask = v1::GetAuthorizationRequest {
                    device_id,
                    jti: jti.to_string(),
                };
                other.payments.get_authorization(ask).await
            };
            let foreign = get(customer.device_id(), order.jti).await;
            let unknown = get(customer.device_id(), Uuid::now_v7()).await;
            same(foreign, unknown, Code::NotFound, "ORDER_NOT_FOUND")?;
            let foreign = get(customer.device_id(), order.jti).await;
            let nobodys = get(Uuid::new_v4().to_string(), order.jti).await;
            same(foreign, nobodys, Code::NotFound, "ORDER_NOT_FOUND")?;
        }
        // Done, or new, or under another signature: an order is co-signed by the institution in its `aud` alone.
        let fresh = order_from(payer.name, "12.98", "EUR")?;
        for ask in [customer.asks(&order)?, customer.asks(&fresh)?] {
            for other in others {
                // mobilis never accepted the phone. Nobody learns whether there is such a phone at all.
                let foreign = other.payments.cosign_order(ask.clone()).await;
                let unknown = other
                    .payments
                    .cosign_order(strangers_order(payer.name)?)
                    .await;
                same(foreign, unknown, Code::PermissionDenied, "ORDER_AUDIENCE")?;
            }
        }
        let ask = v1::GetAuthorizationRequest {
            device_id: customer.device_id(),
            jti: order.jti.to_string(),
        };
        let found = payer.payments.get_authorization(ask).await?;
        assert_eq!(
            found.authorization_jws,
            Some(cosigned.authorization_jws),
            "{}",
            payer.name
        );
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 2);
    Ok(())
}

#[tokio::test]
async fn a_device_tells_a_bank_nothing_before_it_is_accepted() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let [alfa, mobilis] = ["alfa", "mobilis"].map(|name| House::of(&deployment, name));
    let (alfa, mobilis) = (alfa.await?, mobilis.await?);
    let (active, revoked) = (
        Customer::enrolled_by(&mobilis.enrolment).await?,
        Customer::enrolled_by(&mobilis.enrolment).await?,
    );
    revoked
        .revoked_by(&mobilis.enrolment, v1::RevocationReason::KeyCompromise)
        .await?;
    for customer in [&active, &revoked] {
        // An order that is good but for the acceptance.
        let order = order_from("alfa", "1.00", "EUR")?;
        let foreign = alfa.payments.cosign_order(customer.asks(&order)?).await;
        let unknown = alfa.payments.cosign_order(strangers_order("alfa")?).await;
        same(
            foreign,
            unknown,
            Code::FailedPrecondition,
            "DEVICE_NOT_ACCEPTED",
        )?;
        // Who does not hold the phone, but has seen its certificate, learns nothing by a forged order either.
        let mut forged = customer.asks(&order)?;
        let signature = forged.order_jws.rfind('.').unwrap() + 1;
        let other = if forged.order_jws[signature..].starts_with('A') {
            "B"
        } else {
            "A"
        };
        forged.order_jws.replace_range(signature..=signature, other);
        let foreign = alfa.payments.cosign_order(forged).await;
        let unknown = alfa.payments.cosign_order(strangers_order("alfa")?).await;
        same(
            foreign,
            unknown,
            Code::FailedPrecondition,
            "DEVICE_NOT_ACCEPTED",
        )?;
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 0);
    Ok(())
}

/// An order as good as any, signed by a phone that nobody enrolled.
fn strangers_order(to: &str) -> Result<v1::CosignOrderRequest, Failure> {
    let phone = e2e::phone::Phone::new()?;
    let input = order_from(to, "12.98", "EUR")?.signing_input(&[7; 32]);
    let order_jws = semops_objects::jws::compact(&input, &phone.sign_raw(input.as_bytes())?);
    Ok(v1::CosignOrderRequest {
        order_jws,
        ..Default::default()
    })
}

async fn device(client: &Client, id: &str) -> Result<v1::Device, Status> {
    let ask = v1::GetDeviceRequest {
        device_id: id.to_owned(),
    };
    Ok(client.get_device(ask).await?.device.unwrap_or_default())
}

async fn accept(house: &House, id: &str) -> Result<v1::Device, Status> {
    let ask = v1::AcceptDeviceRequest {
        device_id: id.to_owned(),
        account_reference: pseudonym(),
    };
    Ok(house
        .enrolment
        .accept_device(ask)
        .await?
        .device
        .unwrap_or_default())
}

async fn release(house: &House, id: &str) -> Result<v1::ReleaseDeviceResponse, Status> {
    let ask = v1::ReleaseDeviceRequest {
        device_id: id.to_owned(),
    };
    house.enrolment.release_device(ask).await
}
