//! Owns the policy document: its form, its limits, and the checks that make it one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use semops_objects::{
    institution::InstitutionId,
    money::{Amount, Currency},
    payment::{Channel, MAX_LIFETIME},
};
use semops_pki::algorithm::sha256;
use serde::Deserialize;

use super::rates::{RateLimitsForm, rate_limits};
use crate::domain::{key::Purpose, limit::RateLimits};

/// The most that can be said of a key's lifetime, in objects: more than any key will sign.
const LONGEST_LIFETIME: u64 = 1_000_000_000_000_000;

/// One version of an institution's policy. `signer policy --help` shows the form of its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) institution: InstitutionId,
    version: u64,
    sha256: [u8; 32],
    pub(super) acceptance_seconds: u64,
    pub(super) channels: BTreeSet<Channel>,
    pub(super) payees: BTreeSet<InstitutionId>,
    pub(super) device_issuers: BTreeSet<InstitutionId>,
    pub(super) devices_per_subscriber: u64,
    pub(super) orders_per_day: u64,
    /// Per currency: the most for one order and for one device's day, minor units.
    pub(super) amounts: BTreeMap<Currency, Amounts>,
    key_lifetime: KeyLifetimes,
    rate_limits: RateLimits,
}

/// The limits of one currency, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) per_order: u64,
    pub(super) per_day: u64,
}

/// The most objects that a key may ever sign, where that is limited. A signing CA issues a certificate for each rotation, and
/// needs no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeyLifetimes {
    authorization: Option<u64>,
    device_ca: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    institution: InstitutionId,
    version: u64,
    acceptance_seconds: u64,
    channels: BTreeSet<Channel>,
    payees: BTreeSet<InstitutionId>,
    device_issuers: BTreeSet<InstitutionId>,
    devices_per_subscriber: u64,
    amount_per_order: BTreeMap<String, String>,
    device_limits: DeviceLimitsForm,
    #[serde(default)]
    key_lifetime: KeyLifetimes,
    rate_limits: Option<RateLimitsForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceLimitsForm {
    orders_per_day: u64,
    amount_per_day: BTreeMap<String, String>,
}

/// Everything that is wrong with a policy document.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyMistakes(Vec<String>);

impl fmt::Display for PolicyMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy is not accepted:")?;
        self.0
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl Policy {
    /// Reads and checks a policy document (TOML).
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyMistakes> {
        let form: Form =
            toml::from_slice(bytes).map_err(|e| PolicyMistakes(vec![e.to_string()]))?;
        let mut mistakes = Vec::new();
        check_ranges(&form, &mut mistakes);
        let amounts = amounts(&form, &mut mistakes);
        let rate_limits = rate_limits(form.rate_limits.as_ref(), &mut mistakes);
        if !mistakes.is_empty() {
            return Err(PolicyMistakes(mistakes));
        }
        Ok(Self {
            institution: form.institution,
            version: form.version,
            sha256: sha256(bytes),
            acceptance_seconds: form.acceptance_seconds,
            channels: form.channels,
            payees: form.payees,
            device_issuers: form.device_issuers,
            devices_per_subscriber: form.devices_per_subscriber,
            orders_per_day: form.device_limits.orders_per_day,
            amounts,
            key_lifetime: form.key_lifetime,
            rate_limits,
        })
    }

    /// Whom it rules.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The SHA-256 of its exact bytes: its name.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// How long an authorization may be accepted, seconds.
    pub fn acceptance_seconds(&self) -> u64 {
        self.acceptance_seconds
    }

    /// The most objects that a key of this purpose may ever sign; nothing if that is not limited.
    pub fn key_lifetime(&self, purpose: Purpose) -> Option<u64> {
        match purpose {
            Purpose::Authorization => self.key_lifetime.authorization,
            Purpose::DeviceCa => self.key_lifetime.device_ca,
            Purpose::SigningCa | Purpose::Ocsp | Purpose::Audit | Purpose::Statement => None,
        }
    }

    /// How many requests may be made, and by whom.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.rate_limits
    }
}

fn check_ranges(form: &Form, mistakes: &mut Vec<String>) {
    let mut range = |name: &str, value: u64, most: u64| {
        if !(1..=most).contains(&value) {
            mistakes.push(format!("{name} = {value}: from 1 to {most}"));
        }
    };
    range("acceptance_seconds", form.acceptance_seconds, MAX_LIFETIME);
    range("devices_per_subscriber", form.devices_per_subscriber, 1_000);
    range(
        "device_limits.orders_per_day",
        form.device_limits.orders_per_day,
        1_000_000,
    );
    range("version", form.version, u64::MAX);
    let lifetimes = form.key_lifetime;
    for (name, most) in [
        ("key_lifetime.authorization", lifetimes.authorization),
        ("key_lifetime.device-ca", lifetimes.device_ca),
    ] {
        range(name, most.unwrap_or(LONGEST_LIFETIME), LONGEST_LIFETIME);
    }
}

fn amounts(form: &Form, mistakes: &mut Vec<String>) -> BTreeMap<Currency, Amounts> {
    let mut amounts = BTreeMap::new();
    let per_day = &form.device_limits.amount_per_day;
    for code in per_day
        .keys()
        .filter(|code| !form.amount_per_order.contains_key(*code))
    {
        mistakes.push(format!(
            "device_limits.amount_per_day.{code}: amount_per_order has no {code}"
        ));
    }
    for (code, value) in &form.amount_per_order {
        let order = money("amount_per_order", value, code, mistakes);
        let day = match per_day.get(code) {
            Some(value) => money("device_limits.amount_per_day", value, code, mistakes),
            None => {
                mistakes.push(format!(
                    "device_limits.amount_per_day has no {code}: an order needs both limits"
                ));
                None
            }
        };
        if let (Some(order), Some(day)) = (order, day) {
            amounts.insert(
                order.currency(),
                Amounts {
                    per_order: order.minor(),
                    per_day: day.minor(),
                },
            );
        }
    }
    amounts
}

fn money(table: &str, value: &str, code: &str, mistakes: &mut Vec<String>) -> Option<Amount> {
    Amount::parse(value, code)
        .map_err(|rule| mistakes.push(format!("{table}.{code} = {value:?}: {rule}")))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::specimen::POLICY as GOOD;

    #[test]
    fn a_policy_is_named_by_its_exact_bytes() {
        let policy = Policy::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(policy.sha256(), sha256(GOOD.as_bytes()));
        assert_ne!(
            Policy::parse(format!("{GOOD}\n").as_bytes())
                .unwrap()
                .sha256(),
            policy.sha256()
        );
    }

    #[test]
    fn all_mistakes_at_once() {
        let bad = GOOD
            .replace("acceptance_seconds = 60", "acceptance_seconds = 601")
            .replace("\"500.00\"", "\"500\"")
            .replace("orders_per_day = 10", "orders_per_day = 0");
        let text = Policy::parse(bad.as_bytes()).unwrap_err().to_string();
        for part in [
            "acceptance_seconds = 601",
            "amount_per_order.CNY",
            "device_limits.orders_per_day = 0",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_lifetime_of_keys_is_limited_where_it_is_named() {
        let of = |table: &str| Policy::parse(format!("{GOOD}\n[key_lifetime]\n{table}").as_bytes());
        let lifetimes =
            |table| Purpose::ALL.map(|purpose| of(table).unwrap().key_lifetime(purpose));
        assert_eq!(lifetimes(""), [None; 6]);
        let only = |of, most| Purpose::ALL.map(|purpose| (purpose == of).then_some(most));
        assert_eq!(
            lifetimes("authorization = 7"),
            only(Purpose::Authorization, 7)
        );
        assert_eq!(lifetimes("device-ca = 8"), only(Purpose::DeviceCa, 8));
        for bad in [
            "authorization = 0",
            "device-ca = 1000000000000001",
            "signing-ca = 5",
            "device_ca = 5",
            "authorization = \"5\"",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_key_or_a_missing_limit_is_refused() {
        for (from, to) in [
            ("version = 1", "version = 1\nsurprise = true"),
            ("CNY = \"1000.00\"", ""),
            ("CNY = \"500.00\"", ""),
            ("\"p2p\"", "\"telepathy\""),
            ("version = 1", "version = 0"),
        ] {
            assert!(
                Policy::parse(GOOD.replace(from, to).as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
    }
}
