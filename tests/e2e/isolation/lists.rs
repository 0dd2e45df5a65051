//! What institutions list of their own: devices, keys, documents. Nothing of another's stands in it.

use std::collections::BTreeSet;

use e2e::{customer::Customer, deployment::Deployment, failure::Failure, recheck::recheck};
use semops_proto::v1::{self, DeviceRelation, DocumentKind};
use softhsm_setup::scheme::Role;
use tonic::Code;

use super::{House, INSTITUTIONS, same};
use crate::{device_lists, documents};

#[tokio::test]
async fn a_list_of_devices_holds_the_institutions_own_alone() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let mut phones = Vec::new();
    for house in &houses {
        for _ in 0..3 {
            phones.push((house.name, Customer::enrolled_by(&house.enrolment).await?));
        }
    }
    // One of mobilis' phones serves alfa, another both banks.
    let of_mobilis = || phones.iter().filter(|(issuer, _)| *issuer == "mobilis");
    let mut accepted = BTreeSet::new();
    for (bank, count) in [(0, 2), (1, 1)] {
        for (_, phone) in of_mobilis().take(count) {
            phone.accepted_by(&houses[bank].enrolment).await?;
            accepted.insert((houses[bank].name, phone.device_id()));
        }
    }
    let mut tokens = Vec::new();
    for house in &houses {
        for relation in [DeviceRelation::Issued, DeviceRelation::Accepted] {
            let ask = device_lists::of(relation);
            let own: BTreeSet<String> = match relation {
                DeviceRelation::Issued => phones
                    .iter()
                    .filter(|(issuer, _)| *issuer == house.name)
                    .map(|(_, phone)| phone.device_id())
                    .collect(),
                _ => accepted
                    .iter()
                    .filter(|(bank, _)| *bank == house.name)
                    .map(|(_, id)| id.clone())
                    .collect(),
            };
            let shown = device_lists::all(&house.enrolment, ask.clone()).await?;
            let ids: BTreeSet<String> = shown.iter().map(|one| one.device_id.clone()).collect();
            assert_eq!(ids, own, "{} {relation:?}", house.name);
            for device in &shown {
                let chain = device
                    .issued
                    .as_ref()
                    .map(|issued| &issued.certificate_chain);
                assert_eq!(chain.is_some(), relation == DeviceRelation::Issued);
            }
            let first = v1::ListDevicesRequest {
                page_size: 1,
                ..ask
            };
            let page = house.enrolment.list_devices(first.clone()).await?;
            tokens.push((
                house.name,
                v1::ListDevicesRequest {
                    page_token: page.next_page_token,
                    ..first
                },
            ));
        }
    }
    // With another's token an institution goes on in its own list.
    for (owner, ask) in tokens.iter().filter(|(_, ask)| !ask.page_token.is_empty()) {
        for house in houses.iter().filter(|house| house.name != *owner) {
            let page = house.enrolment.list_devices(ask.clone()).await?;
            let own = device_lists::all(
                &house.enrolment,
                v1::ListDevicesRequest {
                    page_token: String::new(),
                    ..ask.clone()
                },
            )
            .await?;
            assert!(page.devices.iter().all(|device| own.contains(device)));
        }
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_foreign_key_looks_like_none_and_documents_are_the_institutions_own()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mut owned = Vec::new();
    for name in INSTITUTIONS {
        let custodian = deployment.client(name, Role::Custodian).await?;
        let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
        assert_eq!(keys.len(), 3, "{name}");
        for kind in [
            DocumentKind::Policy,
            DocumentKind::Trust,
            DocumentKind::Callers,
        ] {
            let shown = documents::document(&custodian, kind, 0).await?;
            let text = String::from_utf8(shown.content)?;
            let table: toml::Table = text.parse()?;
            assert_eq!(table["institution"].as_str(), Some(name), "{kind:?}");
        }
        owned.push((name, custodian, keys));
    }
    for (name, custodian, _) in &owned {
        for (_, _, keys) in owned.iter().filter(|(owner, ..)| owner != name) {
            for key in keys {
                let get =
                    async |key_id: String| custodian.get_key(v1::GetKeyRequest { key_id }).await;
                let foreign = get(key.key_id.clone()).await;
                let unknown = get("A".repeat(43)).await;
                same(foreign, unknown, Code::NotFound, "KEY_NOT_FOUND")?;
            }
        }
    }
    // A version that another institution has is none of this one's.
    deployment.load_next("policy", "alfa", 2, |text| text)?;
    let at_beta = documents::document(&owned[1].1, DocumentKind::Policy, 2).await;
    let unknown = documents::document(&owned[1].1, DocumentKind::Policy, 3).await;
    same(at_beta, unknown, Code::NotFound, "DOCUMENT_NOT_FOUND")?;
    recheck(&mut deployment).await.map(drop)
}
