//! Owns what every store decides alike about what is not kept any longer: what may be erased, how the digest of removed
//! events goes on, and the events that tell of it.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::institution::InstitutionId;
use semops_pki::algorithm::sha256;

use crate::{
    clock::Timestamp,
    domain::{
        actor::Origin,
        audit::{Event, Resulted, Told},
        device::DeviceId,
        operation::MONEY_WINDOW_SECONDS,
        outcome::{Outcome, State},
        reason::Reason,
        retention::Kept,
    },
    store::{Earlier, StoreError, decision::done},
};

/// What came of `erase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// It is erased.
    Done {
        /// So many orders now.
        orders: u64,
        /// The subscriber's pseudonym now.
        subscriber: bool,
        /// There is more: ask again.
        more: bool,
    },
    /// The institution has nothing of such a device.
    NotFound,
    /// Its certificate is neither revoked nor expired.
    Active,
    /// The institution accepts it.
    Accepted,
    /// One of its orders has not ended.
    Pending,
    /// Its orders count for the money limits until this moment.
    Counted(Timestamp),
    /// A program may serve that does not look for what stays.
    NotYet,
}

/// What an institution has of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    /// If it issued it: whether its subscriber's pseudonym stands, and whether it can still sign orders at `now`.
    pub(super) issued: Option<Issued>,
    /// Whether it accepts it.
    pub(super) accepted: bool,
    /// Its orders, and how many of these have not ended.
    pub(super) orders: u64,
    pub(super) pending: u64,
    /// When money was last reserved for one.
    pub(super) reserved_at: Option<Timestamp>,
    /// Whether something stays of orders that were removed.
    pub(super) removed: bool,
}

/// A device of the institution's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    pub(super) named: bool,
    pub(super) certified: bool,
    pub(super) revoked: bool,
    pub(super) not_after: Timestamp,
}

impl Holding {
    /// Why nothing of it is erased at `now`.
    pub(super) fn refusal(&self, now: Timestamp) -> Option<Erased> {
        let counted_until = |at: Timestamp| at.plus_seconds(MONEY_WINDOW_SECONDS);
        let live = |issued: &Issued| issued.certified && !issued.revoked && issued.not_after >= now;
        let known = self.issued.is_some() || self.accepted || self.orders > 0 || self.removed;
        if !known {
            return Some(Erased::NotFound);
        }
        if self.issued.as_ref().is_some_and(live) {
            return Some(Erased::Active);
        }
        if self.accepted {
            return Some(Erased::Accepted);
        }
        if self.pending > 0 {
            return Some(Erased::Pending);
        }
        self.reserved_at
            .map(counted_until)
            .filter(|until| *until > now)
            .map(Erased::Counted)
    }
}

/// What stays of an order that was removed, as what was recorded under its key. Of one without an authorization it is all
/// that is ever answered.
pub(super) fn buried(
    content: [u8; 32],
    state: State,
    device: DeviceId,
    reason: Option<String>,
) -> Earlier {
    let pruned = || Reason::OutcomePruned.name().to_owned();
    Earlier {
        content,
        intent: None,
        outcome: Outcome {
            state,
            device: Some(device),
            order_jws: None,
            artifact: None,
            reason: Some(reason.unwrap_or_else(pruned)),
        },
    }
}

/// That so many rows were removed of each institution.
pub(super) fn pruned(
    kept: Kept,
    rows: &BTreeMap<InstitutionId, u64>,
    origin: &Origin,
) -> Vec<Event> {
    let name = kept.name();
    let event = |(institution, rows)| removed(institution, format!("{name}.{rows}"), origin);
    rows.iter().map(event).collect()
}

/// That so many orders of a device, and perhaps its subscriber's pseudonym, were erased.
pub(super) fn erased(
    institution: &InstitutionId,
    device: DeviceId,
    orders: u64,
    origin: Origin,
) -> Event {
    Event {
        object: Some(format!("{}.{orders}", Kept::Orders.name())),
        ..done(institution, "erase", device, origin)
    }
}

fn removed(institution: &InstitutionId, object: String, origin: &Origin) -> Event {
    Event {
        origin: origin.clone(),
        institution: institution.clone(),
        operation: "retention",
        object: Some(object),
        device: None,
        policy: None,
        key: None,
        result: Resulted::Done,
        reason: None,
    }
}

/// The audit events that are not kept any longer: each number up to `through`, and the digest over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) through: i64,
    pub(super) leaves: u64,
    pub(super) sha256: [u8; 32],
}

impl Prefix {
    /// Goes on with the next leaves as long as they are of before `before`. Answers whose these were, none if there was none.
    pub(super) fn extend(
        &mut self,
        leaves: impl IntoIterator<Item = (i64, Vec<u8>)>,
        before: Timestamp,
    ) -> Result<BTreeSet<InstitutionId>, StoreError> {
        let mut institutions = BTreeSet::new();
        for (seq, leaf) in leaves {
            let unreadable =
                || StoreError::Corrupt(format!("audit event {seq} is not in the leaf's form"));
            let told = Told::of(&leaf).ok_or_else(unreadable)?;
            if told.at >= before {
                break;
            }
            institutions.insert(told.institution);
            self.through = seq;
            self.leaves = self.leaves.saturating_add(1);
            self.sha256 = sha256(&[self.sha256.as_slice(), &leaf].concat());
        }
        Ok(institutions)
    }

    /// That all of it is removed, for each of these. The object is `events.<through>.<base64url of the digest>`.
    pub(super) fn events(
        &self,
        institutions: &BTreeSet<InstitutionId>,
        origin: &Origin,
    ) -> Vec<Event> {
        let (name, digest) = (Kept::Events.name(), URL_SAFE_NO_PAD.encode(self.sha256));
        let object = format!("{name}.{}.{digest}", self.through);
        let event = |institution| removed(institution, object.clone(), origin);
        institutions.iter().map(event).collect()
    }
}
