//! A deployment in which alfa has two tokens, each with an active authorization key.

use std::{cell::Cell, ops::ControlFlow, time::Duration};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::{Deployment, replica::Replica, unix_now},
    failure::Failure,
    faults::{Fault, Faults},
    numbers::Numbers,
    programs::{self, Watched},
    stored,
    until::until,
};
use semops_objects::{
    AuthorizationJws, Order,
    change::DocumentKind,
    key::{KeyId, Purpose},
    trust::TrustDocument,
};
use semops_pki::certificate::Certificate;
use semops_proto::{client::Client, v1};
use softhsm_setup::{
    Edge, add_token,
    scheme::{Role, Scheme},
};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// The key in the token `alfa`, among the two.
pub(crate) const FIRST: usize = 0;
/// The key in the token `alfa-2`.
pub(crate) const SECOND: usize = 1;

/// The deployment, over the fault module; with a replica or without.
pub(crate) struct TwoTokens {
    pub(crate) deployment: Deployment,
    replica: Option<Replica>,
    pub(crate) faults: Faults,
    pub(crate) keys: [KeyId; 2],
    /// beta's, with the certificates of both keys.
    pub(crate) trust: TrustDocument,
    customer: Customer,
    asked: Cell<usize>,
}

impl TwoTokens {
    /// A second token, a key made in it, and the change by which it signs beside the first one.
    pub(crate) async fn begin(cluster: Option<&Cluster>) -> Result<Self, Failure> {
        let scheme = Scheme::EXAMPLE
            .replace("acceptance_seconds = 60", "acceptance_seconds = 600")
            .replace("orders_per_day = 50", "orders_per_day = 1000000");
        let deployment = Deployment::prepare(&scheme, &mut |_| {})?;
        add(&deployment, "alfa", "alfa-2")?;
        let faults = Faults::under(&deployment)?;
        let (deployment, replica) = match cluster {
            None => (started(deployment).await?, None),
            Some(cluster) => {
                let (deployment, replica) = deployment.doubled(cluster).await?;
                (deployment, Some(replica))
            }
        };
        let custodian = deployment.client("alfa", Role::Custodian).await?;
        let first = active(&custodian).await?;
        let second = certificate(&custodian, "alfa-2").await?;
        let trust = publish(&deployment, &second)?;
        let key = execute(&deployment, &second)?;
        let customer = Customer::of_alfa(&deployment).await?;
        Ok(Self {
            deployment,
            replica,
            faults,
            keys: [first, key],
            trust,
            customer,
            asked: Cell::new(0),
        })
    }

    /// alfa's backend at both services; twice at the one if there is no other.
    pub(crate) async fn banks(&self) -> Result<[Client; 2], Failure> {
        match &self.replica {
            Some(replica) => replica.both(&self.deployment, "alfa", Role::Payments).await,
            None => {
                let bank = self.deployment.client("alfa", Role::Payments).await?;
                Ok([bank.clone(), bank])
            }
        }
    }

    /// Has orders co-signed until one is by this key, at each service. None is refused.
    pub(crate) async fn signs_with(&self, key: usize) -> Result<(), Failure> {
        for bank in self.banks().await? {
            self.signs_at(&bank, key).await?;
        }
        Ok(())
    }

    /// The same at one of them.
    pub(crate) async fn signs_at(&self, bank: &Client, key: usize) -> Result<(), Failure> {
        until(&format!("a signature by key {key}"), SOON, async || {
            let ask = self.customer.asks(&order("0.01", "EUR")?)?;
            let answer = bank.cosign_order(ask).await?;
            self.asked.set(self.asked.get() + 1);
            let kid = AuthorizationJws::parse(&answer.authorization_jws)?.kid();
            Ok((KeyId::new(kid) == self.keys[key]).then_some(()))
        })
        .await
    }

    /// How many intents the services say have ended because the token of their key did not sign.
    pub(crate) fn moved(&self) -> Result<u64, Failure> {
        let mut services = vec![Numbers::of(&self.deployment)?];
        if let Some(replica) = &self.replica {
            services.push(replica.numbers()?);
        }
        let moved = |numbers: &Numbers| numbers.count("semops_failovers_total", &[]);
        Ok(services.iter().map(moved).sum())
    }

    /// How many orders that took.
    pub(crate) fn asked(&self) -> usize {
        self.asked.get()
    }

    /// Has the service killed after an order was recorded for the second key, while its token hangs.
    pub(crate) async fn killed_between(
        &mut self,
        ask: &v1::CosignOrderRequest,
        order: &Order,
    ) -> Result<(), Failure> {
        let hangs = "calls = [\"C_Sign\"]\neffect = \"hang\"";
        self.faults.set(&[Fault::at("alfa-2", "hangs", hangs)])?;
        let (bank, sent) = (
            self.deployment.client("alfa", Role::Payments).await?,
            ask.clone(),
        );
        let call = tokio::spawn(async move { bank.cosign_order(sent).await });
        let jti = order.jti.to_string();
        stored::in_state(&self.deployment, "authorization", Some(&jti), "PENDING").await?;
        self.deployment.kill()?;
        assert!(call.await?.is_err());
        self.faults.heal()
    }

    /// Ends what runs.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        if let Some(replica) = self.replica {
            replica.stop().await?;
        }
        self.deployment.stop().await
    }
}

async fn started(mut deployment: Deployment) -> Result<Deployment, Failure> {
    deployment.start().await?;
    Ok(deployment)
}

/// Makes a further token of an institution, which is labelled so.
pub(super) fn add(deployment: &Deployment, of: &str, label: &str) -> Result<(), Failure> {
    let programs = programs::ours(Watched::No)?;
    let edge = Edge {
        program: programs.softhsm_setup.clone(),
        signer: Some(programs.signer.clone()),
        now: unix_now()?,
    };
    let mut go_on = |_: &str| ControlFlow::Continue(());
    let directory = deployment.directory().path();
    let added = add_token(directory, &of.parse()?, None, &edge, &mut go_on)?;
    assert_eq!(added.label.as_str(), label);
    Ok(())
}

/// Demands that the metric counts what the audit says: every intent that ended because the token of its key did not sign.
/// Gives how many. The service has run through.
pub(super) fn told(deployment: &Deployment, of: &str, purpose: &str) -> Result<u64, Failure> {
    let numbers = Numbers::of(deployment)?;
    let labels = [("institution", of), ("purpose", purpose)];
    let counted = numbers.count("semops_failovers_total", &labels);
    let events = stored::events(deployment)?;
    let is_one = |event: &&serde_json::Value| {
        event["institution"] == of
            && event["result"] == "FAILED"
            && event["reason"] == "TOKEN_FAILED"
    };
    let recorded = u64::try_from(events.iter().filter(is_one).count())?;
    assert_eq!(counted, recorded);
    assert_eq!(numbers.count("semops_failovers_total", &[]), recorded);
    assert!(recorded > 0);
    Ok(recorded)
}

async fn active(custodian: &Client) -> Result<KeyId, Failure> {
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    let mut keys = keys.into_iter();
    let key = keys.find(|key| key.purpose() == v1::KeyPurpose::Authorization);
    let key = key.ok_or_else(|| Failure::new("alfa has no authorization key"))?;
    assert_eq!(key.token, "alfa");
    Ok(key.key_id.parse()?)
}

/// Of a key that is made in this token.
async fn certificate(custodian: &Client, token: &str) -> Result<Certificate, Failure> {
    let ask = v1::CreateKeyRequest {
        purpose: v1::KeyPurpose::Authorization.into(),
        request_id: Uuid::new_v4().to_string(),
        token: token.to_owned(),
    };
    let key = custodian
        .create_key(ask.clone())
        .await?
        .key
        .unwrap_or_default();
    assert_eq!(key.token, token);
    assert_eq!(custodian.create_key(ask).await?.key, Some(key.clone()));
    Ok(Certificate::from_der(&key.certificate_chain[0])?)
}

/// Has beta's custodians put a trust document in force that has the certificate beside the first one's.
fn publish(deployment: &Deployment, new: &Certificate) -> Result<TrustDocument, Failure> {
    let with = |text: String| {
        let list = "authorization_certificates = [";
        let pem = format!("{list}\n\"\"\"{}\"\"\",", new.to_pem());
        let (before, alfa) = text.split_at(text.find("institution = \"alfa\"").unwrap());
        format!("{before}{}", alfa.replacen(list, &pem, 1))
    };
    let next = deployment.next_version(DocumentKind::Trust, "beta", 2, with)?;
    deployment.load_next("trust", "beta", 2, with)?;
    let trust = TrustDocument::parse(next.as_bytes(), deployment.scheme().oids())?;
    Ok(trust)
}

/// Has two custodians approve that the key signs from now on.
fn execute(deployment: &Deployment, certificate: &Certificate) -> Result<KeyId, Failure> {
    deployment.bring(&deployment.addition("alfa", Purpose::Authorization, certificate)?)?;
    Ok(KeyId::of(certificate.public_key()))
}
