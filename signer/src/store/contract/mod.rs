//! Owns the contract of every store as tests: one suite, run against whatever `make` gives. Moments are the tests' own;
//! what is to be signed and what was signed are arbitrary bytes, for no store reads either.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use semops_objects::{
    institution::InstitutionId,
    money::{Amount, Currency},
};
use semops_pki::algorithm::sha256;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        actor::{Actor, Origin},
        device::{DeviceId, Reference},
        document::{Document, DocumentKind},
        key::{KeyId, Purpose},
        operation::{
            CrlRecord, DeviceRecord, IntentId, MoneyLimits, Operation, OrderRecord, Subject, Term,
        },
        outcome::{Ending, Outcome},
    },
    ids::RequestId,
    store::{Accepted, Begun, Completion, Intent, KeyRegistration, Refusal, Store, StoreError},
};

pub(super) mod changes;
pub(super) mod crls;
pub(super) mod destructions;
pub(super) mod devices;
pub(super) mod documents;
pub(super) mod endings;
pub(super) mod enrollments;
pub(super) mod erasure;
pub(super) mod evidence;
pub(super) mod executions;
pub(super) mod failovers;
pub(super) mod groups;
pub(super) mod history_model;
pub(super) mod key_lives;
pub(super) mod keys;
pub(super) mod lists;
pub(super) mod money;
pub(super) mod new_keys;
pub(super) mod orders;
pub(super) mod reissues;
pub(super) mod reopening;
pub(super) mod restore;
pub(super) mod retention;
pub(super) mod signed;
pub(super) mod turns;
pub(super) mod wear;

mod world;

pub(super) use world::World;

/// Declares the suite's tests for the stores that `$make` gives.
macro_rules! contract {
    ($make:expr) => {
        contract! { $make;
            orders::what_is_new_is_recorded, orders::the_same_content_is_resumed_then_done,
            orders::other_content_is_a_conflict, orders::a_stale_decision_is_refused,
            orders::a_device_must_be_accepted, orders::a_revoked_device_begins_nothing,
            orders::a_key_must_be_active_and_for_the_purpose, orders::a_resumed_intent_is_denied_when_no_longer_allowed,
            orders::the_recorded_key_counts_for_a_resumed_intent, orders::an_order_is_found_after_release,
            orders::institutions_have_orders_of_their_own,
            money::the_amount_per_day_holds, money::the_orders_per_day_count_all_currencies,
            money::currencies_are_summed_apart, money::the_window_ends_after_exactly_a_day,
            money::ends_without_a_signature_give_back, money::release_and_acceptance_forget_nothing,
            money::sums_beyond_a_column_are_exact, money::orders_of_one_group_count_each_other,
            money::a_clock_set_back_forgets_nothing, money::institutions_and_devices_have_limits_of_their_own,
            endings::a_signature_in_time_is_stored, endings::at_its_expiry_an_order_expires,
            endings::other_kinds_fail_at_their_expiry, endings::an_end_is_final,
            endings::what_was_never_begun_cannot_end, endings::the_sweep_ends_what_is_overdue,
            endings::the_sweep_keeps_to_its_limit,
            enrollments::a_device_exists_once_its_certificate_is_signed, enrollments::a_request_has_one_certificate,
            enrollments::a_request_that_failed_may_come_again, enrollments::a_public_key_is_reserved_everywhere,
            enrollments::a_public_key_is_freed_without_a_certificate, enrollments::a_subscriber_has_so_many_devices,
            enrollments::revoked_and_expired_devices_give_their_place_back, enrollments::a_serial_is_never_used_twice,
            devices::acceptance_is_per_institution_and_reference, devices::unknown_and_revoked_are_not_acceptable,
            devices::release_says_whether_it_stood, devices::the_issuer_alone_revokes_and_once,
            devices::a_stale_acceptance_is_refused, devices::a_recall_is_one_picture,
            crls::numbers_rise_and_are_taken_once, crls::the_newest_signed_crl_is_published,
            crls::revocations_are_numbered_per_issuing_key, crls::entries_stay_until_their_certificate_expired, crls::who_steps_down_makes_room_for_another,
            restore::orders_are_held_and_nothing_else, restore::a_hold_is_extended_and_never_shortened,
            restore::what_was_published_is_taken_over, restore::taking_over_again_changes_nothing,
            retention::what_is_removed_refuses_its_jti_for_ever, retention::what_is_pending_or_young_stays,
            retention::money_limits_count_what_is_young, retention::signatures_are_counted_on,
            retention::the_newest_crl_stays_and_no_number_comes_back, retention::a_pseudonym_goes_and_its_device_stays,
            retention::what_is_left_of_the_audit_begins_where_its_digest_ends, erasure::what_is_not_told_is_not_removed,
            erasure::what_is_needed_is_not_erased, erasure::erasure_leaves_what_refuses_and_what_is_told,
            documents::the_newest_of_each_is_read,
            documents::each_version_is_kept_as_it_was_loaded, documents::versions_are_listed_newest_first,
            documents::the_store_answers_a_ping,
            changes::a_proposal_is_recorded_once, changes::a_proposal_on_another_base_is_stale,
            changes::so_many_may_be_pending, changes::a_person_decides_once, changes::what_has_ended_takes_no_decision,
            changes::what_nobody_decides_expires, changes::changes_are_listed_newest_first,
            executions::an_execution_is_one_step, executions::what_was_approved_may_be_executed_later,
            executions::of_executions_at_once_one_stands, executions::of_decisions_at_once_each_is_seen,
            executions::a_history_begins_with_what_stands, executions::histories_are_read_whole,
            key_lives::a_key_signs_while_a_change_lets_it, key_lives::a_retired_ca_lists_and_issues_nothing,
            key_lives::a_change_rules_its_own_keys_alone, executions::without_its_events_nothing_is_executed,
            executions::a_place_in_the_history_is_taken_once,
            keys::keys_never_change, keys::a_key_waits_for_a_change, keys::keys_are_listed_by_institution, keys::stored_signatures_are_counted,
            keys::a_signature_that_is_not_stored_is_not_counted,
            wear::what_is_pending_counts_as_what_is_signed, wear::a_group_counts_itself,
            wear::a_worn_out_ca_issues_nothing_and_lists,
            turns::an_institution_has_one_turn_at_a_time,
            reissues::a_certificate_takes_the_place_of_another, reissues::what_is_under_way_is_resumed_and_what_failed_may_come_again,
            reissues::a_revoked_device_gets_no_other_certificate, reissues::of_many_at_once_one_takes_the_place,
            signed::what_a_key_signed_is_listed_once, signed::what_may_still_come_comes_last,
            signed::a_certificate_is_in_force_until_it_is_revoked,
            new_keys::a_key_is_asked_for_before_it_is_made, new_keys::the_key_that_is_recorded_first_is_that_of_the_request,
            new_keys::so_many_keys_of_a_purpose_may_wait, new_keys::one_thing_is_signed_of_a_new_key,
            new_keys::what_is_signed_of_a_new_key_keeps_to_its_purpose,
            new_keys::a_key_of_one_purpose_is_certified_for_no_other, new_keys::keys_that_nothing_uses_yet_sign_nothing,
            new_keys::keys_that_are_asked_for_at_once_are_no_more_than_may_wait,
            destructions::a_destruction_is_begun_once_and_ended_once, destructions::a_destruction_is_the_leaders_and_of_this_generation,
            destructions::nothing_is_recorded_that_was_decided_before, destructions::a_new_key_that_nobody_names_may_go,
            destructions::a_ca_is_asked_what_is_still_valid,
            lists::issued_devices_are_listed, lists::accepted_devices_are_listed, lists::filters_hold_together,
            lists::a_page_ends_after_so_many_rows,
            evidence::every_begin_has_one_end, evidence::changes_are_told_once,
            evidence::an_event_that_cannot_be_written_undoes_everything, evidence::events_keep_their_order,
            failovers::another_key_takes_the_row, failovers::what_is_over_is_not_taken,
            failovers::money_stays_reserved, failovers::only_the_named_key_gives_its_row, failovers::a_late_signature_is_not_stored,
            groups::sixteen_at_once_record_one, groups::of_two_ends_one_stands,
            groups::one_bad_element_fails_alone, groups::a_caller_that_goes_cancels_nothing,
            groups::what_waits_is_written_before_the_end, groups::begins_are_refused_when_too_many_wait, groups::a_full_share_stops_no_other_institution,
            groups::ends_are_never_refused,
        }
    };
    ($make:expr; $($file:ident::$test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::store::contract::$file::$test(crate::store::contract::World::start($make).await).await;
            }
        )*
    };
}
pub(super) use contract;

/// When everything begins.
pub(super) const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A store under test, with what the suite needs that the trait does not give.
pub(crate) struct Made {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inside: Arc<dyn Inside>,
    /// What must live as long as the store.
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

/// The other side of a store: what an auditor and a custodian will see and do, and what a disk may do.
#[async_trait]
pub(crate) trait Inside: Send + Sync {
    /// All audit events with their numbers, in order.
    async fn audit(&self) -> Vec<(i64, Vec<u8>)>;
    /// The number that a statement gives.
    async fn number(&self, sql: &'static str) -> i64;
    /// Whether the constraints refuse what a statement would write.
    async fn refuses(&self, sql: &'static str) -> bool;
    /// All audit events, in order.
    async fn leaves(&self) -> Vec<serde_json::Value> {
        let events = self.audit().await.into_iter();
        events
            .map(|(_, leaf)| serde_json::from_slice(&leaf).unwrap())
            .collect()
    }
    /// Puts every registered key into use, as the first change of a history does.
    async fn activate(&self);
    /// Suspends a key.
    async fn suspend(&self, key: KeyId);
    /// From now on events cannot be written, or can again.
    async fn refuse_events(&self, refuse: bool);
    /// From now on writers wait, until the answer is dropped.
    async fn hold(&self) -> Box<dyn Any + Send>;
}

/// The key of an institution for a purpose.
pub(super) fn key(institution: &InstitutionId, purpose: Purpose) -> KeyId {
    KeyId::new(sha256(
        format!("{institution} {}", purpose.name()).as_bytes(),
    ))
}

pub(super) fn euros(minor: u64) -> Amount {
    amount(minor, "EUR")
}

pub(super) fn amount(minor: u64, currency: &str) -> Amount {
    Amount::from_minor(minor, currency.parse::<Currency>().unwrap()).unwrap()
}

pub(super) fn origin() -> Origin {
    Origin {
        actor: Actor::Schedule,
        request: RequestId::new(),
    }
}

pub(super) fn reference(name: &str) -> Reference {
    format!("{name:-<22}").parse().unwrap()
}

pub(super) fn signed(bytes: &str) -> Ending {
    Ending::Signed(bytes.as_bytes().to_vec())
}

/// The intent that was recorded.
pub(super) fn recorded(begun: Begun) -> Intent {
    match begun {
        Begun::Recorded(intent) => intent,
        other => panic!("not recorded: {other:?}"),
    }
}

pub(super) fn order_of(operation: &mut Operation) -> &mut OrderRecord {
    match &mut operation.subject {
        Subject::Authorization(order) => order,
        other => panic!("no order: {other:?}"),
    }
}

pub(super) fn device_of(operation: &mut Operation) -> &mut DeviceRecord {
    match &mut operation.subject {
        Subject::DeviceCertificate(device) => device,
        other => panic!("no device: {other:?}"),
    }
}
