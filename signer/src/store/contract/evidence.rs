//! Owns the contract of audit events: one for each change, in its transaction.

use std::collections::BTreeMap;

use semops_pki::crl::Reason;

use super::*;
use crate::domain::audit::{Event, Resulted};
use crate::store::Swept;

pub(crate) async fn every_begin_has_one_end(world: World) {
    let device = world.accepted_phone().await;
    let endings = [
        signed("a"),
        Ending::Failed("HSM"),
        Ending::Denied("POLICY"),
        signed("b"),
    ];
    for (ending, seconds) in endings.into_iter().zip([1, 1, 1, 60]) {
        let intent = world.record(world.order(device, T0), T0).await;
        let now = T0.plus_seconds(seconds);
        world.end(intent.id, ending, now).await;
        world.end(intent.id, signed("again"), now).await;
    }
    world.record(world.order(device, T0), T0).await;
    world.record(world.crl(1, 0, T0), T0).await;
    assert_eq!(
        world
            .store
            .sweep(9, origin(), T0.plus_seconds(60))
            .await
            .unwrap(),
        Swept {
            expired: 1,
            failed: 1,
        }
    );
    let mut pairs: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for leaf in world
        .inside
        .leaves()
        .await
        .iter()
        .filter(|leaf| leaf["result"] != "DONE")
    {
        let pair = pairs
            .entry(format!("{} {}", leaf["operation"], leaf["object"]))
            .or_default();
        if leaf["result"] == "BEGUN" {
            pair.0 += 1
        } else {
            pair.1 += 1
        }
    }
    assert_eq!(pairs.len(), 7);
    assert!(pairs.values().all(|pair| *pair == (1, 1)), "{pairs:?}");
}

pub(crate) async fn changes_are_told_once(world: World) {
    let mut enrollment = world.enrollment(T0);
    device_of(&mut enrollment).serial = vec![0xAB; 16];
    let device = world.certify(enrollment, T0).await;
    world.accept(&world.alfa, device).await;
    world.accept(&world.alfa, device).await;
    for _ in 0..2 {
        world
            .store
            .release(&world.alfa, device, origin(), T0)
            .await
            .unwrap();
        world
            .store
            .revoke(&world.mobilis, device, Reason::KeyCompromise, origin(), T0)
            .await
            .unwrap();
    }
    world.load(DocumentKind::Policy, 1, "policy").await;
    let told: Vec<_> = world
        .inside
        .leaves()
        .await
        .iter()
        .map(|leaf| {
            let text = |member| leaf[member].as_str().unwrap_or("").to_owned();
            assert_eq!(
                (&leaf["v"], &leaf["time"]),
                (&1.into(), &T0.micros().into())
            );
            (
                text("institution"),
                text("operation"),
                text("object"),
                text("result"),
                text("reason"),
            )
        })
        .collect();
    let serial = "AB".repeat(16);
    let told: Vec<_> = told
        .iter()
        .map(|(a, b, c, d, e)| [a.as_str(), b, c, d, e])
        .collect();
    assert_eq!(
        told[..5],
        [
            ["mobilis", "device-certificate", &serial, "BEGUN", ""],
            ["mobilis", "device-certificate", &serial, "AUTHORIZED", ""],
            ["alfa", "accept", "", "DONE", ""],
            ["alfa", "release", "", "DONE", ""],
            ["mobilis", "revoke", &serial, "DONE", "keyCompromise"],
        ]
    );
    let rest: Vec<_> = told[5..].iter().map(|event| (event[1], event[3])).collect();
    let done = ["change.propose", "change.execute", "policy"].map(|what| (what, "DONE"));
    assert_eq!(rest, done);
    assert!(
        told[7][2].starts_with("1.") && told[7][2].len() == 45,
        "{}",
        told[7][2]
    );
}

pub(crate) async fn an_event_that_cannot_be_written_undoes_everything(world: World) {
    let device = world.accepted_phone().await;
    let other = world.phone().await;
    let pending = world.record(world.order(device, T0), T0).await;
    let mut new = world.order(device, T0);
    let jti = order_of(&mut new).jti;
    let before = world.inside.leaves().await.len();

    world.inside.refuse_events(true).await;
    let store = &world.store;
    assert!(store.begin(vec![new.clone()], T0).await.is_err());
    assert!(
        world
            .try_end(pending.id, signed("authorization"), T0)
            .await
            .is_err()
    );
    assert!(store.sweep(9, origin(), pending.expires_at).await.is_err());
    assert!(
        store
            .accept(&world.alfa, other, reference("x"), 0, origin(), T0)
            .await
            .is_err()
    );
    assert!(
        store
            .release(&world.alfa, device, origin(), T0)
            .await
            .is_err()
    );
    assert!(
        store
            .revoke(&world.mobilis, device, Reason::Superseded, origin(), T0)
            .await
            .is_err()
    );
    let document = Document {
        institution: world.alfa.clone(),
        kind: DocumentKind::Trust,
        version: 1,
        bytes: vec![1],
    };
    let change = world.enacting(&document).await;
    assert!(store.propose(change, origin(), T0).await.is_err());
    world.inside.refuse_events(false).await;

    assert_eq!(world.inside.leaves().await.len(), before);
    assert_eq!(
        store.order(&world.alfa, device, jti).await.unwrap(),
        (0, None)
    );
    assert!(
        store
            .device(&world.alfa, other)
            .await
            .unwrap()
            .acceptance
            .is_none()
    );
    let view = store.device(&world.alfa, device).await.unwrap();
    assert!(view.acceptance.is_some() && view.device.unwrap().revoked.is_none());
    world.record(new, T0).await;
    assert!(
        world
            .end(pending.id, signed("authorization"), T0)
            .await
            .artifact
            .is_some()
    );
}

pub(crate) async fn events_keep_their_order(world: World) {
    let event = |object: u32| Event {
        origin: origin(),
        institution: world.alfa.clone(),
        operation: "authorization",
        object: Some(object.to_string()),
        device: None,
        policy: None,
        key: None,
        result: Resulted::Refused,
        reason: Some("AMOUNT_OVER_POLICY".to_owned()),
    };
    world
        .store
        .audit((0..20).map(event).collect(), T0)
        .await
        .unwrap();
    world
        .store
        .audit((20..30).map(event).collect(), T0)
        .await
        .unwrap();
    let leaves = world.inside.leaves().await;
    let objects: Vec<_> = leaves
        .iter()
        .map(|leaf| leaf["object"].as_str().unwrap().parse::<u32>().unwrap())
        .collect();
    assert_eq!(objects, (0..30).collect::<Vec<_>>());
}
