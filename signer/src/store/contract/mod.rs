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
        operation::{CrlRecord, DeviceRecord, MoneyLimits, Operation, OrderRecord, Subject},
        outcome::{Ending, Outcome},
    },
    ids::RequestId,
    store::{Accepted, Begun, Completion, Intent, KeyRegistration, Loaded, Store, StoreError},
};

pub(super) mod crls;
pub(super) mod devices;
pub(super) mod documents;
pub(super) mod endings;
pub(super) mod enrollments;
pub(super) mod evidence;
pub(super) mod groups;
pub(super) mod money;
pub(super) mod orders;

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
            crls::revocations_are_numbered_per_issuing_key, crls::entries_stay_until_their_certificate_expired,
            documents::versions_follow_each_other, documents::the_newest_of_each_is_read,
            documents::keys_never_change, documents::the_store_answers_a_ping,
            evidence::every_begin_has_one_end, evidence::changes_are_told_once,
            evidence::an_event_that_cannot_be_written_undoes_everything, evidence::events_keep_their_order,
            groups::sixteen_at_once_record_one, groups::of_two_ends_one_stands,
            groups::one_bad_element_fails_alone, groups::a_caller_that_goes_cancels_nothing,
            groups::what_waits_is_written_before_the_end, groups::begins_are_refused_when_too_many_wait,
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
    /// All audit events, in order.
    async fn leaves(&self) -> Vec<serde_json::Value>;
    /// Suspends a key.
    async fn suspend(&self, key: KeyId);
    /// From now on events cannot be written, or can again.
    async fn refuse_events(&self, refuse: bool);
    /// From now on writers wait, until the answer is dropped.
    async fn hold(&self) -> Box<dyn Any + Send>;
}

/// Two banks, an operator and their keys, in a store.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) inside: Arc<dyn Inside>,
    pub(super) alfa: InstitutionId,
    pub(super) beta: InstitutionId,
    pub(super) mobilis: InstitutionId,
    next: AtomicU64,
    _keep: Box<dyn Any + Send + Sync>,
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

impl World {
    pub(super) async fn start(made: Made) -> Self {
        let institution = |id: &str| id.parse::<InstitutionId>().unwrap();
        let world = Self {
            store: made.store,
            inside: made.inside,
            alfa: institution("alfa"),
            beta: institution("beta"),
            mobilis: institution("mobilis"),
            next: AtomicU64::new(1),
            _keep: made.keep,
        };
        let mut keys = Vec::new();
        for institution in [&world.alfa, &world.beta, &world.mobilis] {
            for purpose in [
                Purpose::Authorization,
                Purpose::DeviceCa,
                Purpose::SigningCa,
            ] {
                keys.push(KeyRegistration {
                    id: key(institution, purpose),
                    institution: institution.clone(),
                    purpose,
                });
            }
        }
        world.store.register_keys(keys).await.unwrap();
        world
    }

    /// A number that no other has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Octets that nothing else has.
    pub(super) fn octets(&self) -> [u8; 32] {
        sha256(&self.number().to_be_bytes())
    }

    pub(super) async fn generation(&self) -> u64 {
        self.store.generation().await.unwrap()
    }

    /// An order of EUR 10.00 at alfa, begun at `at`, with a minute to go and limits of EUR 50.00 and 5 orders a day.
    pub(super) fn order(&self, device: DeviceId, at: Timestamp) -> Operation {
        let jti = Uuid::from_u128(u128::from(self.number()));
        Operation {
            institution: self.alfa.clone(),
            origin: origin(),
            generation: 0,
            content: self.octets(),
            key: key(&self.alfa, Purpose::Authorization),
            to_be_signed: format!("authorization of {jti}").into_bytes(),
            expires_at: at.plus_seconds(60),
            sign_by: at.plus_seconds(30),
            subject: Subject::Authorization(OrderRecord {
                device,
                jti,
                order_jws: format!("order.{jti}"),
                policy: [1; 32],
                amount: euros(1000),
                limits: MoneyLimits {
                    amount_per_day: 5000,
                    orders_per_day: 5,
                },
            }),
        }
    }

    /// An order at another bank.
    pub(super) fn order_at(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
        at: Timestamp,
    ) -> Operation {
        let key = key(institution, Purpose::Authorization);
        Operation {
            institution: institution.clone(),
            key,
            ..self.order(device, at)
        }
    }

    /// An enrolment by mobilis of a new phone of a new subscriber, begun at `at`; the certificate lasts a year.
    pub(super) fn enrollment(&self, at: Timestamp) -> Operation {
        let seed = self.octets();
        let mut bits = [0; 16];
        bits.copy_from_slice(&seed[..16]);
        Operation {
            institution: self.mobilis.clone(),
            origin: origin(),
            generation: 0,
            content: self.octets(),
            key: key(&self.mobilis, Purpose::DeviceCa),
            to_be_signed: seed.to_vec(),
            expires_at: at.plus_seconds(60),
            sign_by: at.plus_seconds(60),
            subject: Subject::DeviceCertificate(DeviceRecord {
                device: DeviceId::from_random(bits),
                request: self.octets(),
                subscriber: reference(&format!("subscriber-{}", self.number())),
                devices_per_subscriber: 2,
                public_key: self.octets(),
                serial: self.octets()[..16].to_vec(),
                not_after: at.plus_seconds(365 * 86_400),
                policy: [2; 32],
            }),
        }
    }

    /// A CRL of mobilis' device CA.
    pub(super) fn crl(&self, number: u64, revocations: u64, at: Timestamp) -> Operation {
        Operation {
            institution: self.mobilis.clone(),
            origin: origin(),
            generation: 0,
            content: self.octets(),
            key: key(&self.mobilis, Purpose::DeviceCa),
            to_be_signed: format!("crl {number}").into_bytes(),
            expires_at: at.plus_seconds(60),
            sign_by: at.plus_seconds(60),
            subject: Subject::Crl(CrlRecord {
                number,
                revocations,
                next_update: at.plus_seconds(86_400),
            }),
        }
    }

    pub(super) async fn begin(&self, operation: Operation, now: Timestamp) -> Begun {
        self.store
            .begin(vec![operation], now)
            .await
            .unwrap()
            .remove(0)
    }

    pub(super) async fn record(&self, operation: Operation, now: Timestamp) -> Intent {
        recorded(self.begin(operation, now).await)
    }

    pub(super) async fn end(&self, intent: i64, ending: Ending, now: Timestamp) -> Outcome {
        self.try_end(intent, ending, now).await.unwrap()
    }

    pub(super) async fn try_end(
        &self,
        intent: i64,
        ending: Ending,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let completion = Completion {
            intent,
            origin: origin(),
            ending,
        };
        Ok(self.store.complete(vec![completion], now).await?.remove(0))
    }

    /// Enrols as `operation` says; its certificate is the text of the device id.
    pub(super) async fn certify(&self, operation: Operation, now: Timestamp) -> DeviceId {
        let id = operation.subject.device().unwrap();
        let intent = self.record(operation, now).await;
        self.end(intent.id, signed(&id.to_string()), now).await;
        id
    }

    /// A phone that mobilis certified.
    pub(super) async fn phone(&self) -> DeviceId {
        self.certify(self.enrollment(T0), T0).await
    }

    /// A phone that alfa has accepted.
    pub(super) async fn accepted_phone(&self) -> DeviceId {
        let device = self.phone().await;
        self.accept(&self.alfa, device).await;
        device
    }

    pub(super) async fn accept(&self, institution: &InstitutionId, device: DeviceId) {
        let generation = self.generation().await;
        let account = reference("account");
        let accepted = self
            .store
            .accept(institution, device, account, generation, origin(), T0)
            .await
            .unwrap();
        assert!(matches!(accepted, Accepted::Accepted(_)), "{accepted:?}");
    }

    pub(super) async fn load(&self, kind: DocumentKind, version: u64, bytes: &str) -> Loaded {
        let document = Document {
            institution: self.alfa.clone(),
            kind,
            version,
            bytes: bytes.into(),
        };
        self.store.load(document, origin(), T0).await.unwrap()
    }

    /// The results of the audit events about `object`, in order.
    pub(super) async fn results(&self, object: &str) -> Vec<String> {
        let leaves = self.inside.leaves().await;
        let about = leaves.iter().filter(|leaf| leaf["object"] == object);
        about
            .map(|leaf| leaf["result"].as_str().unwrap().to_owned())
            .collect()
    }
}
