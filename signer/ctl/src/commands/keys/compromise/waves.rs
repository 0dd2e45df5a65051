//! The devices that a CA has certified, certified anew by another one: so many in a second, until none is left or the person
//! has seen enough. What was done stands with the service: whoever runs it again goes on with the rest.

use std::time::Duration;

use semops_objects::key::KeyId;
use semops_pki::certificate::Certificate;
use semops_proto::v1::{ReissueDeviceRequest, SignedKind};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tonic::Code;

use super::signed::Signed;
use crate::{
    commands::{change::Desk, enroll::parse_chain},
    failure::Failure,
};

/// How far it has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waves {
    /// Of those that the CA has certified and that have not expired: with another certificate, or revoked, before.
    pub(super) before: u64,
    /// Certified anew by this run.
    pub(super) now: u64,
    /// Still to be certified.
    pub(super) left: u64,
    /// Whether the person has ended it.
    pub(super) stopped: bool,
}

/// What came of one device.
enum Certified {
    Anew,
    /// It was revoked, or expired, in the meantime.
    Gone,
}

impl Waves {
    /// Certifies anew what `key` has certified, by one of `others`.
    pub(super) async fn run(
        key: KeyId,
        others: &[KeyId],
        per_second: u16,
        desk: &Desk<'_>,
    ) -> Result<Self, Failure> {
        // From here on it waits for what was begun.
        let mut stop = signal(SignalKind::interrupt())
            .map_err(|error| Failure::usage(format!("signals: {error}"), "try again"))?;
        let (mut waves, devices) = Self::look(key, desk).await?;
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for wave in devices.chunks(usize::from(per_second)) {
            second.tick().await;
            for device in wave {
                // What was begun is waited for.
                match certify(device, others, desk).await? {
                    Certified::Anew => waves.now = waves.now.saturating_add(1),
                    Certified::Gone => waves.before = waves.before.saturating_add(1),
                }
                waves.left = waves.left.saturating_sub(1);
            }
            desk.progress.tell(waves.said());
            if timeout(Duration::ZERO, stop.recv()).await.is_ok() {
                waves.stopped = waves.left > 0;
                break;
            }
        }
        Ok(waves)
    }

    /// How far it has come before, and the devices that are left.
    async fn look(key: KeyId, desk: &Desk<'_>) -> Result<(Self, Vec<String>), Failure> {
        let all = Signed::fetch(key, 0, desk).await?.objects;
        let now = i64::try_from(desk.now()).unwrap_or(i64::MAX);
        let valid = all.into_iter().filter(|object| {
            object.kind() == SignedKind::DeviceCertificate && object.expires_at >= now
        });
        let (left, done): (Vec<_>, Vec<_>) = valid.partition(|object| object.in_force);
        let count = |devices: usize| u64::try_from(devices).unwrap_or(u64::MAX);
        let waves = Self {
            before: count(done.len()),
            left: count(left.len()),
            ..Self::default()
        };
        let devices = left.into_iter().map(|object| object.device_id);
        Ok((waves, devices.collect()))
    }

    /// In a few words.
    pub(super) fn said(&self) -> String {
        let Self {
            before, now, left, ..
        } = self;
        format!("{now} certified anew now, {before} done before, {left} left")
    }

    pub(super) fn json(&self) -> Value {
        json!({"before": self.before, "now": self.now, "left": self.left, "stopped": self.stopped})
    }
}

/// Has one device certified anew; waits where the service says so.
async fn certify(device: &str, others: &[KeyId], desk: &Desk<'_>) -> Result<Certified, Failure> {
    loop {
        let request = ReissueDeviceRequest {
            device_id: device.to_owned(),
        };
        let refusal = match desk
            .client
            .reissue_device(request)
            .await
            .map_err(Failure::from)
        {
            Ok(answer) if answer.device_id == device => {
                check(&parse_chain(&answer.certificate_chain)?, others)?;
                return Ok(Certified::Anew);
            }
            Ok(_) => return Err(Failure::bad_answer("another device than asked for")),
            Err(Failure::Refused(refusal)) => refusal,
            Err(failure) => return Err(failure),
        };
        match (refusal.code(), refusal.reason(), refusal.retry_after()) {
            (Code::ResourceExhausted, _, Some(time)) => sleep(time).await,
            (Code::FailedPrecondition, Some("DEVICE_REVOKED" | "DEVICE_EXPIRED"), _) => {
                return Ok(Certified::Gone);
            }
            _ => return Err(Failure::Refused(refusal)),
        }
    }
}

/// By a CA that the verified history has issue now.
fn check(chain: &[Certificate], others: &[KeyId]) -> Result<(), Failure> {
    let [own, ca] = chain else {
        return Err(Failure::bad_answer("no chain of two certificates"));
    };
    let issues = others.contains(&KeyId::of(ca.public_key()));
    if issues && own.verify_issued_by(ca).is_ok() {
        return Ok(());
    }
    Err(Failure::untrue(
        "the certificate that is shown is not by a CA of the verified history that issues now",
    ))
}
