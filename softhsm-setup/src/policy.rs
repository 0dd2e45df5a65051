//! Owns the first policy document of an institution: reading it from the scheme and writing it as the signer loads it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use semops_objects::institution::InstitutionId;
use semops_objects::money::Amount;
use serde::Serialize;

use crate::rate_limits::RateLimits;
use crate::reader::{Mistakes, Reader};

const CHANNELS: [&str; 3] = ["virtual_pos", "real_pos", "p2p"];

/// A policy: amounts by currency code, each a decimal string of exactly the currency's decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    acceptance_seconds: u32,
    channels: Vec<String>,
    payees: Vec<InstitutionId>,
    device_issuers: Vec<InstitutionId>,
    devices_per_subscriber: u32,
    amount_per_order: BTreeMap<String, String>,
    device_limits: DeviceLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limits: Option<RateLimits>,
}

/// Money limits of one device in any 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct DeviceLimits {
    orders_per_day: u32,
    amount_per_day: BTreeMap<String, String>,
}

impl Policy {
    pub(crate) fn read(mut table: Reader, mistakes: &mut Mistakes) -> Option<Self> {
        let acceptance_seconds = table.integer("acceptance_seconds", mistakes, 1, 600);
        let channels = table.parse_list("channels", mistakes, channel);
        let payees = table.parse_list("payees", mistakes, InstitutionId::from_str);
        let device_issuers = table.parse_list("device_issuers", mistakes, InstitutionId::from_str);
        let devices_per_subscriber = table.integer("devices_per_subscriber", mistakes, 1, 1000);
        let amount_per_order = amounts(&mut table, "amount_per_order", mistakes);
        let device_limits = table
            .table("device_limits", mistakes)
            .and_then(|limits| DeviceLimits::read(limits, mistakes));
        let rate_limits = if table.has("rate_limits") {
            let rates = table.table("rate_limits", mistakes);
            rates.map(|rates| RateLimits::read(rates, mistakes))
        } else {
            None
        };
        if let (Some(order), Some(limits)) = (&amount_per_order, &device_limits) {
            let order: BTreeSet<_> = order.keys().collect();
            let day: BTreeSet<_> = limits.amount_per_day.keys().collect();
            if order != day {
                let path = table.at("device_limits.amount_per_day");
                mistakes.note(&path, "must name the same currencies as amount_per_order");
            }
        }
        table.finish(mistakes);
        Some(Self {
            acceptance_seconds: acceptance_seconds?,
            channels: channels?,
            payees: payees?,
            device_issuers: device_issuers?,
            devices_per_subscriber: devices_per_subscriber?,
            amount_per_order: amount_per_order?,
            device_limits: device_limits?,
            rate_limits,
        })
    }
}

impl DeviceLimits {
    fn read(mut table: Reader, mistakes: &mut Mistakes) -> Option<Self> {
        let orders_per_day = table.integer("orders_per_day", mistakes, 1, 1_000_000);
        let amount_per_day = amounts(&mut table, "amount_per_day", mistakes);
        table.finish(mistakes);
        Some(Self {
            orders_per_day: orders_per_day?,
            amount_per_day: amount_per_day?,
        })
    }
}

fn channel(text: &str) -> Result<String, &'static str> {
    if CHANNELS.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err("must be virtual_pos, real_pos or p2p")
    }
}

fn amounts(
    table: &mut Reader,
    name: &str,
    mistakes: &mut Mistakes,
) -> Option<BTreeMap<String, String>> {
    let amounts = table.table(name, mistakes)?;
    let parse = |currency: &str, value: &str| {
        Amount::parse(value, currency).map(|_| (currency.to_owned(), value.to_owned()))
    };
    Some(amounts.parse_each(mistakes, parse).into_iter().collect())
}
