//! Owns the world of the suite: a store with two banks, an operator and their keys, and what is done in it again and again.

use super::*;
use crate::{
    domain::change::{ChangeId, Enclosed},
    store::{ChangeEnding, Execution, NewChange, Proposed},
};

/// Two banks, an operator and their keys, in a store.
pub(in crate::store) struct World {
    pub(in crate::store) store: Arc<dyn Store>,
    pub(in crate::store) inside: Arc<dyn Inside>,
    pub(in crate::store) alfa: InstitutionId,
    pub(in crate::store) beta: InstitutionId,
    pub(in crate::store) mobilis: InstitutionId,
    next: AtomicU64,
    _keep: Box<dyn Any + Send + Sync>,
}

impl World {
    pub(in crate::store) async fn start(made: Made) -> Self {
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
        world.store.register_keys(keys, T0).await.unwrap();
        world.inside.activate().await;
        world
    }

    /// A number that no other has.
    pub(in crate::store) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Octets that nothing else has.
    pub(in crate::store) fn octets(&self) -> [u8; 32] {
        sha256(&self.number().to_be_bytes())
    }

    pub(in crate::store) async fn generation(&self) -> u64 {
        self.store.generation().await.unwrap()
    }

    /// An order of EUR 10.00 at alfa, begun at `at`, with a minute to go and limits of EUR 50.00 and 5 orders a day.
    pub(in crate::store) fn order(&self, device: DeviceId, at: Timestamp) -> Operation {
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
            instead_of: None,
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
                key_lifetime: None,
            }),
        }
    }

    /// An order at another bank.
    pub(in crate::store) fn order_at(
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
    pub(in crate::store) fn enrollment(&self, at: Timestamp) -> Operation {
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
            instead_of: None,
            subject: Subject::DeviceCertificate(DeviceRecord {
                device: DeviceId::from_random(bits),
                request: self.octets(),
                subscriber: reference(&format!("subscriber-{}", self.number())),
                devices_per_subscriber: 2,
                public_key: self.octets(),
                serial: self.octets()[..16].to_vec(),
                not_after: at.plus_seconds(365 * 86_400),
                policy: [2; 32],
                key_lifetime: None,
            }),
        }
    }

    /// A CRL of mobilis' device CA.
    pub(in crate::store) fn crl(&self, number: u64, revocations: u64, at: Timestamp) -> Operation {
        Operation {
            institution: self.mobilis.clone(),
            origin: origin(),
            generation: 0,
            content: self.octets(),
            key: key(&self.mobilis, Purpose::DeviceCa),
            to_be_signed: format!("crl {number}").into_bytes(),
            expires_at: at.plus_seconds(60),
            sign_by: at.plus_seconds(60),
            instead_of: None,
            subject: Subject::Crl(CrlRecord {
                term: Term(0),
                number,
                revocations,
                next_update: at.plus_seconds(86_400),
            }),
        }
    }

    pub(in crate::store) async fn begin(&self, operation: Operation, now: Timestamp) -> Begun {
        self.store
            .begin(vec![operation], now)
            .await
            .unwrap()
            .remove(0)
    }

    pub(in crate::store) async fn record(&self, operation: Operation, now: Timestamp) -> Intent {
        recorded(self.begin(operation, now).await)
    }

    pub(in crate::store) async fn end(
        &self,
        intent: IntentId,
        ending: Ending,
        now: Timestamp,
    ) -> Outcome {
        self.try_end(intent, ending, now).await.unwrap()
    }

    pub(in crate::store) async fn try_end(
        &self,
        intent: IntentId,
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
    pub(in crate::store) async fn certify(&self, operation: Operation, now: Timestamp) -> DeviceId {
        let id = operation.subject.device().unwrap();
        let intent = self.record(operation, now).await;
        self.end(intent.id, signed(&id.to_string()), now).await;
        id
    }

    /// A phone that mobilis certified.
    pub(in crate::store) async fn phone(&self) -> DeviceId {
        self.certify(self.enrollment(T0), T0).await
    }

    /// A phone that alfa has accepted.
    pub(in crate::store) async fn accepted_phone(&self) -> DeviceId {
        let device = self.phone().await;
        self.accept(&self.alfa, device).await;
        device
    }

    pub(in crate::store) async fn accept(&self, institution: &InstitutionId, device: DeviceId) {
        let generation = self.generation().await;
        let account = reference("account");
        let accepted = self
            .store
            .accept(institution, device, account, generation, origin(), T0)
            .await
            .unwrap();
        assert!(matches!(accepted, Accepted::Accepted(_)), "{accepted:?}");
    }

    /// A change that puts a document into force next, and says no more.
    pub(in crate::store) async fn enacting(&self, document: &Document) -> NewChange {
        let histories = self.store.histories().await.unwrap();
        let own = histories.changes.iter();
        let own = own.filter(|change| change.institution == document.institution);
        let bytes = format!("change {}", self.number()).into_bytes();
        let documents = vec![(document.kind, document.version)];
        NewChange {
            institution: document.institution.clone(),
            id: ChangeId::new(sha256(&bytes)),
            sequence: own
                .count()
                .try_into()
                .map(|before: u64| before + 1)
                .unwrap(),
            bytes,
            expires_at: T0.plus_seconds(86_400),
            enclosed: vec![(Enclosed::Document(document.kind), document.bytes.clone())],
            decisions: Vec::new(),
            ending: Some(ChangeEnding::Executed(Execution {
                documents,
                ..Execution::default()
            })),
            generation: histories.generation,
        }
    }

    /// Puts a document into force.
    pub(in crate::store) async fn enact(&self, document: &Document, now: Timestamp) {
        let change = self.enacting(document).await;
        let proposed = self.store.propose(change, origin(), now).await;
        assert_eq!(proposed.unwrap(), Proposed::Recorded);
    }

    /// Puts a document of alfa into force.
    pub(in crate::store) async fn load(&self, kind: DocumentKind, version: u64, bytes: &str) {
        let document = Document {
            institution: self.alfa.clone(),
            kind,
            version,
            bytes: bytes.into(),
        };
        self.enact(&document, T0).await;
    }

    /// The results of the audit events about `object`, in order.
    pub(in crate::store) async fn results(&self, object: &str) -> Vec<String> {
        let leaves = self.inside.leaves().await;
        let about = leaves.iter().filter(|leaf| leaf["object"] == object);
        about
            .map(|leaf| leaf["result"].as_str().unwrap().to_owned())
            .collect()
    }
}
