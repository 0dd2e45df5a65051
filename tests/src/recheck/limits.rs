//! Limits, recomputed from the orders themselves and the policy that approved each: what stands must fit at every moment.

use std::collections::BTreeMap;

use semops_objects::Amount;
use semops_pki::algorithm::sha256;
use serde::Deserialize;

use super::{
    Findings, MICROS, Rule,
    orders::device_name,
    record::{Device, Operation, Order, Record},
    reissues,
};

/// (now - 86,400 s, now].
const WINDOW: i64 = 86_400 * MICROS;

/// What stands where a pseudonym was erased.
const ERASED: &str = "00000000-0000-0000-0000-000000000000";

/// An order that was signed or may still be, with its operation.
type Standing<'a> = (&'a Operation, &'a Order);

/// What of a policy limits.
#[derive(Deserialize)]
struct Policy {
    devices_per_subscriber: usize,
    amount_per_order: BTreeMap<String, String>,
    device_limits: DeviceLimits,
}

#[derive(Deserialize)]
struct DeviceLimits {
    orders_per_day: usize,
    amount_per_day: BTreeMap<String, String>,
}

pub(super) fn check(record: &Record, findings: &mut Findings) {
    let policies = policies(record, findings);
    let policy_of =
        |operation: &Operation| policies.get(operation.policy.as_deref().unwrap_or_default());
    // By (institution, device), what was signed or is reserved, in the order of its beginning.
    let mut standing: BTreeMap<(&str, &[u8]), Vec<Standing<'_>>> = BTreeMap::new();
    for order in &record.orders {
        let operation = record.operations.get(&order.operation);
        if let Some(operation) =
            operation.filter(|o| ["PENDING", "AUTHORIZED"].contains(&o.state.as_str()))
        {
            let of_device = standing
                .entry((&order.institution, &order.device))
                .or_default();
            of_device.push((operation, order));
        }
    }
    for orders in standing.values_mut() {
        orders.sort_by_key(|(operation, _)| (operation.begun_at, operation.id));
        for (index, (operation, order)) in orders.iter().enumerate() {
            let before = orders.get(..=index).unwrap_or_default();
            match policy_of(operation) {
                Some(policy) => money(policy, operation, order, before, findings),
                None => findings.add(
                    Rule::Limits,
                    format!("{operation} names no policy that was in force"),
                ),
            }
        }
    }
    subscribers(record, &policies, findings);
}

fn money(
    policy: &Policy,
    operation: &Operation,
    order: &Order,
    before: &[Standing<'_>],
    findings: &mut Findings,
) {
    let since = operation.begun_at.saturating_sub(WINDOW);
    let day = before
        .iter()
        .filter(|(earlier, _)| earlier.begun_at > since);
    let (mut count, mut sum) = (0_usize, 0_i128);
    for (_, earlier) in day {
        count += 1;
        if earlier.currency == order.currency {
            sum += i128::from(earlier.minor);
        }
    }
    let most = |amounts: &BTreeMap<String, String>| {
        let value = amounts.get(&order.currency)?;
        Amount::parse(value, &order.currency)
            .ok()
            .map(|amount| i128::from(amount.minor()))
    };
    let fits = Some(i128::from(order.minor)) <= most(&policy.amount_per_order)
        && Some(sum) <= most(&policy.device_limits.amount_per_day)
        && count <= policy.device_limits.orders_per_day;
    findings.must(Rule::Limits, fits, || {
        let device = device_name(&order.device);
        format!(
            "{operation}: order {count} of the day, {} {sum} in all, by device {device}",
            order.currency
        )
    });
}

fn policies(record: &Record, findings: &mut Findings) -> BTreeMap<Vec<u8>, Policy> {
    let mut policies = BTreeMap::new();
    for document in record
        .documents
        .iter()
        .filter(|document| document.kind == "policy")
    {
        let text = str::from_utf8(&document.bytes).unwrap_or_default();
        match toml::from_str(text) {
            Ok(policy) => {
                policies.insert(sha256(&document.bytes).to_vec(), policy);
            }
            Err(error) => findings.add(
                Rule::Limits,
                format!("a policy of {}: {error}", document.institution),
            ),
        }
    }
    policies
}

/// At each certification: the subscriber's devices that were certified by then and not revoked before.
fn subscribers(record: &Record, policies: &BTreeMap<Vec<u8>, Policy>, findings: &mut Findings) {
    let mut devices: BTreeMap<(&str, &str), Vec<&Device>> = BTreeMap::new();
    // Of whom a pseudonym is erased nobody can say any more whose devices were counted together.
    let named = |device: &&Device| device.subscriber != ERASED;
    for device in record.devices.iter().filter(named) {
        let subscriber = (device.issuer.as_str(), device.subscriber.as_str());
        devices.entry(subscriber).or_default().push(device);
    }
    let of_a_subscriber = devices
        .values()
        .flat_map(|devices| devices.iter().map(move |device| (*device, devices)));
    for (device, devices) in of_a_subscriber {
        let enrolment = reissues::enrolment(record, device);
        let Some(operation) = enrolment.filter(|o| o.signed().is_some()) else {
            continue;
        };
        let then = operation.begun_at;
        let counted = devices.iter().filter(|other| {
            let certified = reissues::enrolment(record, other);
            let by_then = certified.is_some_and(|o| {
                o.signed().is_some() && (o.begun_at, o.id) <= (then, operation.id)
            });
            let revoked = record
                .revocations
                .iter()
                .any(|r| r.device.as_ref() == Some(&other.id) && r.revoked_at <= then);
            by_then && !revoked && other.not_after >= then
        });
        let count = counted.count();
        let policy = policies.get(operation.policy.as_deref().unwrap_or_default());
        let fits = policy.is_some_and(|policy| count <= policy.devices_per_subscriber);
        findings.must(Rule::Limits, fits, || {
            format!("{device} is number {count} of its subscriber")
        });
    }
}
