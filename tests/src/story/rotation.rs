//! The chapter of a rotation: two custodians replace alfa's authorization key while customers pay, and none of them notices.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use semops_objects::{
    AuthorizationJws,
    change::{DocumentKind, Operation, Rotation},
    key::KeyId,
};
use semops_pki::certificate::Certificate;
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tokio::{task::JoinHandle, time::sleep};
use uuid::Uuid;

use super::{
    Callers, Narrator,
    custody::{first_key, said},
};
use crate::{
    custodian::Motion,
    customer,
    deployment::{Deployment, unix_now},
    evidence::Rotated,
    failure::Failure,
    phone::Phone,
    until::until,
};

/// So many customers pay meanwhile.
const CUSTOMERS: usize = 8;
/// Each so often: policy lets a phone order once a second.
const PACE: Duration = Duration::from_millis(1_100);
/// From the proposal on until the new key signs, seconds.
const LEAD: u64 = 5;
/// How long all of it may take.
const MOST: Duration = Duration::from_secs(60);

/// Customers' orders, one after the other.
struct Orders {
    over: Arc<AtomicBool>,
    /// Their authorizations, in the order in which they came.
    authorized: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<Result<(), Failure>>>,
}

/// A key in the token, with its certificate and the CA's.
struct NewKey {
    id: KeyId,
    chain: Vec<Certificate>,
}

/// Two custodians of alfa rotate its key; two of beta see to it that beta believes the new one.
pub(super) async fn rotate(
    deployment: &Deployment,
    callers: &Callers,
    narrator: &Narrator,
) -> Result<Rotated, Failure> {
    let orders = narrator
        .step(
            "8 customers of alfa order, each about once a second",
            async {
                let orders = Orders::begin(callers).await?;
                orders.authorized(CUSTOMERS).await?;
                Ok((orders, format!("{CUSTOMERS} AUTHORIZED so far")))
            },
        )
        .await?;
    let desk = deployment.client("alfa", Role::Custodian).await?;
    let new = narrator
        .step(
            "alfa has a new key made in its token, and certified",
            async {
                let new = create(&desk).await?;
                let said = format!("key {}", short(new.id));
                Ok((new, said))
            },
        )
        .await?;
    narrator
        .step("Dora and Emil of beta have beta believe both keys", async {
            believe(deployment, &new).await
        })
        .await?;
    let begins = approve(deployment, &desk, &new, narrator).await?;
    let authorized = narrator
        .step(
            "the customers order on while one key follows the other",
            async { orders.through(begins, &new).await },
        )
        .await?;
    verify(callers, authorized, new, narrator).await
}

impl NewKey {
    fn leaf(&self) -> Result<&Certificate, Failure> {
        let leaf = self.chain.first();
        leaf.ok_or_else(|| Failure::new("the new key has no certificate"))
    }
}

impl Orders {
    async fn begin(callers: &Callers) -> Result<Self, Failure> {
        let (over, authorized) = (Arc::default(), Arc::default());
        let mut tasks = Vec::new();
        for _ in 0..CUSTOMERS {
            let (issuer, bank) = (&callers.mobilis_enrolment, &callers.alfa_enrolment);
            let phone = Phone::of_customer(issuer, bank).await?;
            let (over, authorized) = (Arc::clone(&over), Arc::clone(&authorized));
            let bank = callers.alfa_payments.clone();
            tasks.push(tokio::spawn(order(phone, bank, over, authorized)));
        }
        Ok(Self {
            over,
            authorized,
            tasks,
        })
    }

    fn so_far(&self) -> Vec<String> {
        let all = self.authorized.lock();
        all.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many; a customer who is refused is the end.
    async fn authorized(&self, count: usize) -> Result<(), Failure> {
        until("the customers' orders", MOST, async || {
            let refused = self.tasks.iter().any(JoinHandle::is_finished);
            Ok((refused || self.so_far().len() >= count).then_some(()))
        })
        .await
    }

    /// Goes on until the new key has signed for a while. Gives one authorization by each key.
    async fn through(self, begins: u64, new: &NewKey) -> Result<([String; 2], String), Failure> {
        until("the time of the new key", MOST, async || {
            let come = u64::try_from(unix_now()?)? >= begins;
            Ok(come.then_some(()))
        })
        .await?;
        self.authorized(self.so_far().len() + 2 * CUSTOMERS).await?;
        let all = self.so_far();
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        let (mut by_new, mut by_old) = (Vec::new(), Vec::new());
        for jws in all {
            let parsed = AuthorizationJws::parse(&jws)?;
            let expected = parsed.authorization().iat >= begins;
            if expected != (KeyId::new(parsed.kid()) == new.id) {
                return Err(Failure::new("a key signed whose time it was not"));
            }
            let by = if expected { &mut by_new } else { &mut by_old };
            by.push(jws);
        }
        let said = format!(
            "{} by the old key, {} by the new, 0 refused",
            by_old.len(),
            by_new.len()
        );
        let none = || Failure::new("a key has signed nothing");
        let last = [by_old.pop(), by_new.pop()].map(|last| last.ok_or_else(none));
        let [old, new] = last;
        Ok(([old?, new?], said))
    }
}

async fn order(
    phone: Phone,
    bank: Client,
    over: Arc<AtomicBool>,
    authorized: Arc<Mutex<Vec<String>>>,
) -> Result<(), Failure> {
    while !over.load(Ordering::Relaxed) {
        let ask = v1::CosignOrderRequest {
            order_jws: phone.sign(&customer::order("0.50", "EUR")?)?,
            ..Default::default()
        };
        let answer = bank.cosign_order(ask).await?;
        {
            let mut all = authorized.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(answer.authorization_jws);
        }
        sleep(PACE).await;
    }
    Ok(())
}

async fn create(desk: &Client) -> Result<NewKey, Failure> {
    let ask = v1::CreateKeyRequest {
        purpose: v1::KeyPurpose::Authorization.into(),
        request_id: Uuid::new_v4().to_string(),
        token: String::new(),
    };
    let key = desk.create_key(ask).await?.key.unwrap_or_default();
    let chain = key
        .certificate_chain
        .iter()
        .map(|der| Certificate::from_der(der));
    Ok(NewKey {
        id: key.key_id.parse()?,
        chain: chain.collect::<Result<_, _>>()?,
    })
}

/// beta's trust document with the new certificate beside the old one, put in force by two persons.
async fn believe(deployment: &Deployment, new: &NewKey) -> Result<((), String), Failure> {
    let pem = new.leaf()?.to_pem();
    let text = deployment.next_version(DocumentKind::Trust, "beta", 2, |text| {
        let list = "authorization_certificates = [";
        let of_alfa = text.find("institution = \"alfa\"").unwrap_or_default();
        let (before, alfa) = text.split_at(of_alfa);
        let more = format!("{list}\n\"\"\"\n{pem}\"\"\",");
        format!("{before}{}", alfa.replacen(list, &more, 1))
    })?;
    let desk = deployment.client("beta", Role::Custodian).await?;
    let motion = deployment.document_motion(DocumentKind::Trust, &text)?;
    let dora = deployment.custodian("beta", "dora-egli")?;
    let emil = deployment.custodian("beta", "emil-fuchs")?;
    desk.propose_change(dora.proposes(&motion)?).await?;
    let approved = desk.approve_change(emil.approves(&motion)?).await?;
    Ok(((), said(approved.change)))
}

/// Anna proposes, Boris approves. Gives the second from which on the new key signs.
async fn approve(
    deployment: &Deployment,
    desk: &Client,
    new: &NewKey,
    narrator: &Narrator,
) -> Result<u64, Failure> {
    let begins = u64::try_from(unix_now()?)?.saturating_add(LEAD);
    let motion = motion(deployment, new, begins)?;
    let anna = deployment.custodian("alfa", "anna-berg")?;
    let boris = deployment.custodian("alfa", "boris-chan")?;
    narrator
        .step("Anna proposes that it follows the old key, in 5 s", async {
            let ask = v1::ProposeChangeRequest {
                certificate: new.leaf()?.der().to_vec(),
                ..anna.proposes(&motion)?
            };
            let proposed = desk.propose_change(ask).await?;
            Ok(((), said(proposed.change)))
        })
        .await?;
    narrator
        .step("Boris approves the rotation", async {
            let approved = desk.approve_change(boris.approves(&motion)?).await?;
            Ok(((), said(approved.change)))
        })
        .await?;
    Ok(begins)
}

/// The new key follows the one of the ceremony, which signs no more from that second on.
fn motion(deployment: &Deployment, new: &NewKey, begins: u64) -> Result<Motion, Failure> {
    let rotation = Rotation {
        from: first_key(deployment)?,
        to: new.id,
        certificate: new.leaf()?.sha256(),
        activate_at: begins,
        retire_at: begins,
    };
    deployment.motion("alfa", Operation::RotateKey(rotation))
}

async fn verify(
    callers: &Callers,
    [by_old, by_new]: [String; 2],
    new: NewKey,
    narrator: &Narrator,
) -> Result<Rotated, Failure> {
    for (step, jws) in [
        ("beta verifies the old key's last authorization", &by_old),
        ("beta verifies one of the new key's", &by_new),
    ] {
        let ask = v1::VerifyAuthorizationRequest {
            authorization_jws: jws.clone(),
        };
        narrator
            .step(step, async {
                let answer = callers.beta_payments.verify_authorization(ask).await?;
                if answer.verdict() != v1::Verdict::Valid {
                    return Err(Failure::new(format!("{answer:?}")));
                }
                let kid = KeyId::new(AuthorizationJws::parse(jws)?.kid());
                Ok(((), format!("VALID, key {}", short(kid))))
            })
            .await?;
    }
    Ok(Rotated {
        chain: new.chain,
        authorization_jws: by_new,
    })
}

/// The beginning of a key's id.
fn short(key: KeyId) -> String {
    key.to_string().chars().take(8).collect()
}
