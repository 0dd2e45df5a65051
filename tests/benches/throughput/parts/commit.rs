//! The record alone: begin and complete of one operation after another from many tasks, written in groups.

use std::{path::Path, sync::Arc, time::Instant};

use e2e::failure::Failure;
use rusqlite::Connection;
use semops_objects::{Amount, InstitutionId};
use signer::{
    clock::Clock,
    config::Config,
    domain::{
        actor::{Actor, Origin},
        device::DeviceId,
        key::KeyId,
        operation::{DeviceRecord, MoneyLimits, Operation, OrderRecord, Subject},
        outcome::Ending,
    },
    ids::RequestId,
    metrics::Metrics,
    store::{Begun, Completion, Store, group::Group, sqlite::SqliteStore},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{CALLERS, Kind, Rate, Task};
use crate::cpu;

/// What every operation has alike.
#[derive(Clone)]
struct Template {
    task: Task,
    institution: InstitutionId,
    key: KeyId,
    origin: Origin,
    generation: u64,
    devices: Arc<Vec<DeviceId>>,
}

/// Begin and complete in the copy of a store.
pub(super) async fn commit(config: &Config, task: &Task, path: &Path) -> Result<Rate, Failure> {
    let template = template(config, task, path)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, std::num::NonZeroUsize::MIN)?);
    let template = Template {
        generation: store.generation().await?,
        ..template
    };
    let (group, writer) = Group::start(store, Clock::system(), Metrics::none());
    let (started, before) = (Instant::now(), cpu::of_this_process()?);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (template, group) = (template.clone(), group.clone());
        callers.spawn(async move { write(&template, &group, caller, started).await });
    }
    let mut count = 0;
    while let Some(caller) = callers.join_next().await {
        count += caller??;
    }
    let rate = Rate::new(count, started.elapsed(), cpu::of_this_process()? - before);
    drop(group);
    writer.await?;
    Ok(rate)
}

async fn write(
    template: &Template,
    group: &Group,
    caller: usize,
    started: Instant,
) -> Result<usize, Failure> {
    let mut count = 0;
    while started.elapsed() < template.task.time {
        let operation = template.operation(caller + count * CALLERS)?;
        let intent = match group.begin(operation).await? {
            Begun::Recorded(intent) => intent.id(),
            other => return Err(Failure::new(format!("not recorded: {other:?}"))),
        };
        let mut artifact = vec![b'y'; template.task.answer];
        // No certificate is stored twice.
        artifact.extend(Uuid::new_v4().as_bytes());
        let completion = Completion {
            intent,
            origin: template.origin.clone(),
            ending: Ending::Signed(artifact),
        };
        group.complete(completion).await?;
        count += 1;
    }
    Ok(count)
}

impl Template {
    fn operation(&self, number: usize) -> Result<Operation, Failure> {
        let now = Clock::system().now();
        let later = now.plus_seconds(60);
        let random = || *Uuid::new_v4().as_bytes();
        let mut content = [0; 32];
        let (half, _) = content.split_at_mut(16);
        half.copy_from_slice(&random());
        let subject = match self.task.kind {
            Kind::CosignOrder => Subject::Authorization(OrderRecord {
                device: self.device(number)?,
                jti: Uuid::new_v4(),
                order_jws: "x".repeat(self.task.request),
                policy: content,
                amount: Amount::parse("1.00", "EUR").map_err(Failure::during("amount"))?,
                limits: MoneyLimits {
                    amount_per_day: u64::MAX,
                    orders_per_day: u64::MAX,
                },
                key_lifetime: None,
            }),
            Kind::EnrollDevice => Subject::DeviceCertificate(DeviceRecord {
                device: DeviceId::from_random(random()),
                request: content,
                subscriber: e2e::phone::pseudonym()
                    .parse()
                    .map_err(Failure::during("pseudonym"))?,
                devices_per_subscriber: 5,
                public_key: content,
                serial: random().to_vec(),
                not_after: later,
                policy: content,
                key_lifetime: None,
            }),
        };
        Ok(Operation {
            institution: self.institution.clone(),
            origin: self.origin.clone(),
            generation: self.generation,
            content,
            key: self.key,
            to_be_signed: vec![b'x'; self.task.answer],
            expires_at: later,
            sign_by: later,
            instead_of: None,
            subject,
        })
    }

    fn device(&self, number: usize) -> Result<DeviceId, Failure> {
        let devices = &self.devices;
        let device = devices.get(number % devices.len().max(1)).copied();
        device.ok_or_else(|| Failure::new("no device is accepted"))
    }
}

/// From the rows that the load left.
fn template(config: &Config, task: &Task, path: &Path) -> Result<Template, Failure> {
    let (institution, purpose, caller) = match task.kind {
        Kind::CosignOrder => ("alfa", "authorization", "payments/backend"),
        Kind::EnrollDevice => ("mobilis", "device-ca", "enrolment/ra"),
    };
    let connection = Connection::open(path)?;
    let key: [u8; 32] = connection.query_row(
        "SELECT id FROM key WHERE institution = ?1 AND purpose = ?2",
        (institution, purpose),
        |row| row.get(0),
    )?;
    let mut accepted =
        connection.prepare("SELECT device FROM acceptance WHERE institution = ?1")?;
    let devices = accepted
        .query_map([institution], |row| row.get(0).map(DeviceId::from_random))?
        .collect::<Result<Vec<_>, _>>()?;
    let caller = format!("spiffe://{}/{institution}/{caller}", config.scheme);
    Ok(Template {
        task: task.clone(),
        institution: institution.parse().map_err(Failure::during(institution))?,
        key: KeyId::new(key),
        origin: Origin {
            actor: Actor::Caller(caller.parse()?),
            request: RequestId::new(),
        },
        generation: 0,
        devices: Arc::new(devices),
    })
}
