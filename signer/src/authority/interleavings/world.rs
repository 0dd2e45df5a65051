//! Owns the service under test: real use cases and a real store, the keys and the clock in the test's hands.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use semops_objects::{
    AuthorizationJws,
    institution::InstitutionId,
    money::Amount,
    order::{Order, OrderJws},
};
use semops_pki::{crl::CertificateRevocationList, local_key::LocalKey};

use super::{
    Model, ORDERS, Step,
    scheme::{InstitutionKeysOf, authority},
};
use crate::authority::*;
use crate::{
    clock::Timestamp,
    domain::{actor::Actor, device::DeviceId, key::Purpose, outcome::Outcome},
    hsm::LocalToken,
    ids::RequestId,
    signing::BankReferences,
    specimen::{self, NOW, sign_order},
    store::sqlite::{self},
};

/// The service on one file, with keys in memory.
pub(super) struct World {
    directory: tempfile::TempDir,
    hands: &'static AtomicI64,
    token: Arc<LocalToken>,
    keys: BTreeMap<InstitutionId, InstitutionKeysOf>,
    authority: Arc<Authority>,
    phone: LocalKey,
    device: DeviceId,
    kid: [u8; 32],
    orders: Vec<Order>,
    model: Model,
}

impl World {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("signer.db");
        sqlite::migrate(&file).unwrap();
        let hands: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(NOW.micros())));
        let keys: BTreeMap<InstitutionId, _> = ["alfa", "mobilis"]
            .into_iter()
            .map(|id| (id.parse().unwrap(), InstitutionKeysOf::new(id)))
            .collect();
        let held = keys.iter().flat_map(|(id, keys)| keys.held(id));
        let all = held.map(|(record, key)| (record.id, key));
        let token = Arc::new(LocalToken::new(all));
        let authority = authority(&file, hands, &keys, &token).await;
        for keys in keys.values() {
            keys.begin(&authority).await;
        }
        authority.refresh().await.unwrap();
        let phone = LocalKey::generate().unwrap();
        let request = phone.certification_request("phone").unwrap();
        let subscriber = "AbCdEfGhIjKlMnOpQrStUv".parse().unwrap();
        let enrolled = authority
            .enroll(&context(&authority, "mobilis"), &request, subscriber)
            .await
            .unwrap();
        let kid = semops_pki::algorithm::sha256(&enrolled.chain[0]);
        let orders = (0..ORDERS).map(|_| Order {
            amount: Amount::parse("400.00", "CNY").unwrap(),
            ..specimen::order()
        });
        let orders = orders.collect();
        let (device, model) = (enrolled.device, Model::default());
        Self {
            directory,
            hands,
            token,
            keys,
            authority,
            phone,
            device,
            kid,
            orders,
            model,
        }
    }

    pub(super) fn now(&self) -> i64 {
        Timestamp::from_micros(self.hands.load(Ordering::SeqCst)).seconds()
    }

    /// The order as the phone signs it at its first use; each call signs anew, so each retry has another signature.
    fn signed(&mut self, order: usize) -> OrderJws {
        if !self.model.recorded.contains_key(&order) {
            let now = u64::try_from(self.now()).unwrap();
            (self.orders[order].iat, self.orders[order].exp) = (now, now + 60);
        }
        sign_order(&self.orders[order], &self.kid, &self.phone)
    }

    fn signed_at(&self) -> Vec<i64> {
        self.orders
            .iter()
            .map(|order| i64::try_from(order.iat).unwrap())
            .collect()
    }

    async fn cosign(&mut self, order: usize, reference: u8, times: usize, works: bool) {
        let jws = self.signed(order);
        self.token.set_broken(!works);
        let references = BankReferences {
            end_to_end_id: (reference > 0).then(|| format!("E2E-{reference}").parse().unwrap()),
            uetr: None,
        };
        let ask = Cosign {
            order: jws,
            references,
        };
        let calls = (0..times).map(|_| {
            let (authority, ask) = (Arc::clone(&self.authority), ask.clone());
            tokio::spawn(async move { authority.cosign(&context(&authority, "alfa"), ask).await })
        });
        let calls: Vec<_> = calls.collect();
        let (signed_at, now) = (self.signed_at()[order], self.now());
        let expected = self.model.cosign(order, signed_at, reference, works, now);
        for call in calls {
            self.compare(order, &expected, call.await.unwrap());
        }
        self.token.set_broken(false);
    }

    fn compare(
        &mut self,
        order: usize,
        expected: &Result<(), Reason>,
        answer: Result<Cosigned, Error>,
    ) {
        let answer = answer.map_err(|error| reason(&error));
        assert_eq!(
            answer.as_ref().map(|_| ()).map_err(|r| *r),
            *expected,
            "order {order}"
        );
        if let Ok(cosigned) = answer {
            let bytes = (cosigned.order_jws, cosigned.authorization_jws);
            let stored = self
                .model
                .recorded
                .get_mut(&order)
                .unwrap()
                .bytes
                .get_or_insert_with(|| bytes.clone());
            assert_eq!(*stored, bytes, "an answer changed");
        }
    }

    pub(super) async fn play(&mut self, step: Step) {
        match step {
            Step::Cosign {
                order,
                reference,
                token_works,
            } => self.cosign(order, reference, 1, token_works).await,
            Step::Twice { order } => self.cosign(order, 0, 2, true).await,
            Step::Accept => {
                let account = "ZyXwVuTsRqPoNmLkJiHgFe".parse().unwrap();
                let accepted = self
                    .authority
                    .accept(&context(&self.authority, "alfa"), self.device, account)
                    .await;
                assert_eq!(accepted.is_ok(), !self.model.revoked);
                self.model.accepted |= !self.model.revoked;
            }
            Step::Release => {
                self.authority
                    .release(&context(&self.authority, "alfa"), self.device)
                    .await
                    .unwrap();
                self.model.accepted = false;
            }
            Step::Revoke => {
                let reason = semops_pki::crl::Reason::KeyCompromise;
                let ctx = context(&self.authority, "mobilis");
                self.authority
                    .revoke(&ctx, self.device, reason)
                    .await
                    .unwrap();
                self.model.revoked = true;
            }
            Step::Pass { seconds } => {
                self.hands.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
            }
            Step::Sweep => {
                self.authority.sweep().await.unwrap();
                let (signed_at, now) = (self.signed_at(), self.now());
                self.model.sweep(&signed_at, now);
            }
            Step::Restart => {
                let file = self.directory.path().join("signer.db");
                self.authority = authority(&file, self.hands, &self.keys, &self.token).await;
            }
        }
    }

    /// Makes the issuer's CRLs that are due, and gives the newest of the phone's CA with whether it lists the phone.
    pub(super) async fn publish(&self) -> (CertificateRevocationList, bool) {
        let issuer: InstitutionId = "mobilis".parse().unwrap();
        for ca in self.authority.listing_cas(&issuer).unwrap() {
            self.authority.publish_crl(&issuer, ca).await.unwrap();
        }
        let ca = Ca::Issuing(&issuer, Purpose::DeviceCa);
        let der = self.authority.crl(ca).await.unwrap().der;
        let crl = CertificateRevocationList::from_der(&der).unwrap();
        let shown = self
            .authority
            .device(&context(&self.authority, "mobilis"), self.device)
            .await
            .unwrap();
        let serial = shown.issued.unwrap().serial;
        let listed = crl.entry(&serial).is_some();
        (crl, listed)
    }

    /// What the store holds is what the model holds, and every stored signature verifies.
    pub(super) async fn check(&self) {
        for (index, order) in self.orders.iter().enumerate() {
            let ctx = context(&self.authority, "alfa");
            let stored: Option<Outcome> = self
                .authority
                .authorization(&ctx, self.device, order.jti)
                .await
                .ok();
            let recorded = self.model.recorded.get(&index);
            assert_eq!(
                stored.as_ref().map(|o| o.state),
                recorded.map(|r| r.state),
                "order {index}"
            );
            if let Some(artifact) = stored.and_then(|outcome| outcome.artifact) {
                let authorization =
                    AuthorizationJws::parse(str::from_utf8(&artifact).unwrap()).unwrap();
                let key = self.keys[&"alfa".parse::<InstitutionId>().unwrap()]
                    .authorization
                    .key
                    .public_key()
                    .clone();
                assert!(authorization.verify(&key).is_ok());
                let bytes = recorded.and_then(|r| r.bytes.as_ref()).unwrap();
                assert_eq!(bytes.1.as_bytes(), artifact);
                assert_eq!(
                    authorization.authorization().order_sha256,
                    OrderJws::parse(&bytes.0).unwrap().sha256()
                );
            }
        }
    }
}

fn context(authority: &Authority, institution: &str) -> Context {
    Context {
        institution: institution.parse().unwrap(),
        origin: Origin {
            actor: Actor::Caller(
                format!("spiffe://semops.example/{institution}/payments/backend")
                    .parse()
                    .unwrap(),
            ),
            request: RequestId::new(),
        },
        snapshot: authority.snapshot(),
        deadline: Instant::now() + Duration::from_secs(30),
        admitted_by: AdmittedBy::Quota,
    }
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::Invalid { reason, .. } | Error::Unavailable { reason, .. } => *reason,
        Error::Forbidden(reason) | Error::Conflict(reason) | Error::Precondition(reason) => *reason,
        other => panic!("{other}"),
    }
}
