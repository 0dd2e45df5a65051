//! The record is not the authority: somebody who can write it, beside the service and past every approval, gets nothing done
//! by it. Each row that is not what custodians approved stops the use that it would have, with the reason, in the log, in
//! the metrics; others go on, and once it is put right so does it.

use std::time::Duration;

use e2e::{
    cluster::Cluster,
    custodian::Motion,
    customer::{Customer, order_from},
    deployment::Deployment,
    failure::Failure,
    numbers::Numbers,
    recheck::recheck,
    refusal::demand,
    until::until,
};
use semops_objects::change::{Decision, KeyOperation};
use semops_proto::{
    client::Client,
    v1::{self, ChangeState},
};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::{Code, Status};

use super::desk::{authorization_key, of_key, orders, policy, standing, stands};

const UNAPPROVED: &str = "semops_unapproved";
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a proposal here stands, microseconds.
const DAY: u64 = 86_400_000_000;
/// The change of alfa that is tampered with.
const CHANGE: &str = "(SELECT number FROM change WHERE institution = 'alfa' AND sequence = 2)";

/// A running deployment whose record somebody else writes too.
struct Scene {
    deployment: Deployment,
    _cluster: Option<Cluster>,
    banks: [Client; 2],
    customers: [Customer; 2],
    motion: Motion,
}

/// What somebody writes, what puts it right, and what the log says of it.
struct Forgery {
    name: &'static str,
    written: String,
    undone: String,
    logged: &'static str,
}

impl Scene {
    /// Alfa has its second policy, with at most EUR 2.00 for an order.
    async fn set(cluster: Option<Cluster>) -> Result<Self, Failure> {
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        if let Some(cluster) = &cluster {
            deployment.keep_record_in(cluster).await?;
        }
        deployment.start().await?;
        let motion = policy(&deployment, 2, "2.00")?;
        deployment.bring(&motion)?;
        let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
        let mut customers = Vec::new();
        for bank in ["alfa", "beta"] {
            let customer = Customer::enrolled_by(&mobilis).await?;
            let enrolment = deployment.client(bank, Role::Enrolment).await?;
            customer.accepted_by(&enrolment).await?;
            customers.push(customer);
        }
        Ok(Self {
            banks: [
                deployment.client("alfa", Role::Payments).await?,
                deployment.client("beta", Role::Payments).await?,
            ],
            customers: customers.try_into().unwrap(),
            deployment,
            _cluster: cluster,
            motion,
        })
    }

    /// Octets as the store's SQL has them.
    fn octets(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|octet| format!("{octet:02x}")).collect();
        match self._cluster {
            Some(_) => format!("'\\x{hex}'::bytea"),
            None => format!("X'{hex}'"),
        }
    }

    /// Writes the record, and has the service look at it again, as a change would.
    async fn writes(&self, sql: &str) -> Result<(), Failure> {
        let sql = format!("{sql}; UPDATE generation SET value = value + 1;");
        if self._cluster.is_some() {
            return self.deployment.execute(&sql).await;
        }
        let record = rusqlite::Connection::open(self.deployment.database())?;
        record.busy_timeout(PATIENCE)?;
        Ok(record.execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT;"))?)
    }

    async fn order_at_alfa(&self) -> Result<v1::CosignOrderResponse, Status> {
        let ask = self.customers[0].asks(&order_from("alfa", "1.00", "EUR").unwrap());
        self.banks[0].cosign_order(ask.unwrap()).await
    }

    /// Beta has never anything to do with it.
    async fn beta_goes_on(&self) -> Result<(), Failure> {
        let ask = self.customers[1].asks(&order_from("beta", "1.00", "EUR")?)?;
        self.banks[1].cosign_order(ask).await?;
        Ok(())
    }

    /// The numbers say of how many parts of what rules alfa nobody approved what stands there, and of nobody else's.
    async fn told(&self, expected: u64) -> Result<(), Failure> {
        until("the number of what is not approved", PATIENCE, async || {
            let numbers = Numbers::of(&self.deployment)?;
            let of = |institution| numbers.count(UNAPPROVED, &[("institution", institution)]);
            assert_eq!((of("beta"), of("mobilis")), (0, 0));
            Ok((of("alfa") == expected).then_some(()))
        })
        .await
    }

    /// Nothing is signed by what was written, and everything again once it is undone.
    async fn forged(&self, forgery: &Forgery) -> Result<(), Failure> {
        let during = |failure: Failure| failure.in_step(forgery.name);
        let before = self.deployment.log().len();
        self.writes(&forgery.written).await.map_err(during)?;
        let refused = self.order_at_alfa().await;
        demand(refused, Code::Unavailable, "NOT_APPROVED").map_err(during)?;
        self.beta_goes_on().await.map_err(during)?;
        self.told(1).await.map_err(during)?;
        let log = self.deployment.log();
        let said = log[before..].lines().any(|line| {
            let words = ["ERROR", "alfa", forgery.logged];
            words.iter().all(|word| line.contains(word))
        });
        assert!(said, "{}: {}", forgery.name, &log[before..]);
        self.writes(&forgery.undone).await.map_err(during)?;
        let authorized = self.order_at_alfa().await.map(drop);
        authorized.map_err(|status| during(status.into()))?;
        self.told(0).await.map_err(during)
    }

    /// Rows of documents, changes and approvals.
    async fn forgeries(&self) -> Result<Vec<Forgery>, Failure> {
        let [anna, boris, _] = self.deployment.custodians("alfa")?.try_into().unwrap();
        let desk = self.deployment.client("alfa", Role::Custodian).await?;
        let shown = desk.get_change(self.motion.request()).await?;
        let change = shown.change.unwrap();
        let text = &self.motion.attachments[0].content;
        let dear = text.replacen("EUR = \"2.00\"", "EUR = \"9000.00\"", 1);
        let third = dear.replacen("version = 2", "version = 3", 1);
        let other = policy(&self.deployment, 2, "9000.00")?;
        let document = "document WHERE institution = 'alfa' AND kind = 'policy'";
        let sets = |what: &str, value: String| format!("UPDATE {what} = {value}");
        let bytes = "document SET bytes";
        let of_second = "WHERE institution = 'alfa' AND kind = 'policy' AND version = 2";
        let by_boris = format!("WHERE change = {CHANGE} AND person = 'boris-chan'");
        let of_change = "WHERE institution = 'alfa' AND sequence = 2";
        let jws = &change.approvals[1];
        let forged = boris.decides(&other.proposal, Decision::Approve)?;
        let by_anna = anna.decides(&self.motion.proposal, Decision::Approve)?;
        let approval = |jws: &str| format!("UPDATE approval SET jws = '{jws}' {by_boris}");
        Ok(vec![
            Forgery {
                name: "the bytes of a document",
                written: sets(
                    bytes,
                    format!("{} {of_second}", self.octets(dear.as_bytes())),
                ),
                undone: sets(
                    bytes,
                    format!("{} {of_second}", self.octets(text.as_bytes())),
                ),
                logged: "policy",
            },
            Forgery {
                name: "a document that no change names",
                written: format!(
                    "INSERT INTO document (institution, kind, version, bytes, loaded_at) \
                     VALUES ('alfa', 'policy', 3, {}, 0)",
                    self.octets(third.as_bytes())
                ),
                undone: format!("DELETE FROM {document} AND version = 3"),
                logged: "policy",
            },
            Forgery {
                name: "an approval of another proposal",
                written: approval(&forged),
                undone: approval(jws),
                logged: "change 2",
            },
            Forgery {
                name: "an approval by another person",
                written: approval(&by_anna),
                undone: approval(jws),
                logged: "change 2",
            },
            Forgery {
                name: "no second approval",
                written: format!(
                    "CREATE TABLE kept AS SELECT * FROM approval {by_boris}; \
                     DELETE FROM approval {by_boris}"
                ),
                undone: "INSERT INTO approval SELECT * FROM kept; DROP TABLE kept".to_owned(),
                logged: "change 2",
            },
            Forgery {
                name: "an approval that cannot be read",
                written: format!("UPDATE approval SET person = 'NOT A PERSON' {by_boris}"),
                undone: format!(
                    "UPDATE approval SET person = 'boris-chan' \
                     WHERE change = {CHANGE} AND person = 'NOT A PERSON'"
                ),
                logged: "a row of approval",
            },
            Forgery {
                name: "another proposal",
                written: sets(
                    "change SET bytes",
                    format!("{} {of_change}", self.octets(other.proposal.bytes())),
                ),
                undone: sets(
                    "change SET bytes",
                    format!("{} {of_change}", self.octets(&change.proposal)),
                ),
                logged: "change 2",
            },
            Forgery {
                name: "an execution after its time",
                written: format!("UPDATE change SET ended_at = ended_at + {DAY} {of_change}"),
                undone: format!("UPDATE change SET ended_at = ended_at - {DAY} {of_change}"),
                logged: "change 2",
            },
            Forgery {
                name: "a change that is said to be none",
                written: format!("UPDATE change SET state = 'REJECTED' {of_change}"),
                undone: format!("UPDATE change SET state = 'EXECUTED' {of_change}"),
                logged: "history",
            },
        ])
    }

    /// A key that a custodian has stopped stays stopped, and a key that nobody approved is none.
    async fn keys(&self) -> Result<(), Failure> {
        let [anna, boris, _] = self.deployment.custodians("alfa")?.try_into().unwrap();
        let desk = self.deployment.client("alfa", Role::Custodian).await?;
        let suspend = of_key(&self.deployment, KeyOperation::Suspend)?;
        desk.propose_change(anna.proposes(&suspend)?).await?;
        let key = self.octets(authorization_key(&self.deployment)?.as_bytes());
        let state = |word: &str| format!("UPDATE key SET state = '{word}' WHERE id = {key}");
        self.writes(&state("active")).await?;
        demand(
            self.order_at_alfa().await,
            Code::Unavailable,
            "KEY_NOT_ACTIVE",
        )?;
        self.writes(&state("suspended")).await?;
        let resume = of_key(&self.deployment, KeyOperation::Resume)?;
        desk.propose_change(anna.proposes(&resume)?).await?;
        let resumed = desk.approve_change(boris.approves(&resume)?).await?;
        assert_eq!(stands(resumed.change), (ChangeState::Executed, 2));
        self.order_at_alfa().await?;

        let ours = desk.list_keys(v1::ListKeysRequest::default()).await?;
        let added = self.octets(&[7; 32]);
        self.writes(&format!(
            "INSERT INTO key (id, institution, purpose, state, registered_at) \
             VALUES ({added}, 'alfa', 'authorization', 'active', 1)"
        ))
        .await?;
        self.order_at_alfa().await?;
        let listed = desk.list_keys(v1::ListKeysRequest::default()).await?;
        assert_eq!(listed.keys.len(), ours.keys.len());
        self.writes(&format!("DELETE FROM key WHERE id = {added}"))
            .await
    }

    /// The end of a history is cut off, with what it brought. A service that has seen more does nothing by it; one that
    /// starts then goes by an older state, which was approved, until the change is brought in again.
    async fn cut_off(&mut self) -> Result<(), Failure> {
        let last = self.deployment.base("alfa")?.sequence;
        let after = "SELECT number FROM change WHERE institution = 'alfa' AND sequence";
        self.writes(&format!(
            "DELETE FROM approval WHERE change IN ({after} >= 2); \
             DELETE FROM change WHERE institution = 'alfa' AND sequence >= 2; \
             DELETE FROM document WHERE institution = 'alfa' AND version = 2"
        ))
        .await?;
        assert!(last > 2);
        demand(
            self.order_at_alfa().await,
            Code::Unavailable,
            "NOT_APPROVED",
        )?;
        self.beta_goes_on().await?;
        self.deployment.kill()?;
        self.deployment.start().await?;
        self.banks[0] = self.deployment.client("alfa", Role::Payments).await?;
        self.banks[1] = self.deployment.client("beta", Role::Payments).await?;
        // By the first policy this is not too much.
        let [customer, _] = &self.customers;
        assert_eq!(orders(&self.banks[0], customer, "2.01").await?, None);
        self.deployment.bring(&self.motion)?;
        let limited = orders(&self.banks[0], customer, "2.01").await?;
        assert_eq!(limited.as_deref(), Some("AMOUNT_OVER_POLICY"));
        Ok(())
    }

    /// Somebody writes a whole change, with all that it would need but the keys of two custodians.
    async fn forged_change(&self) -> Result<(), Failure> {
        let desk = self.deployment.client("alfa", Role::Custodian).await?;
        let motion = of_key(&self.deployment, KeyOperation::Deactivate)?;
        let custodians = self.deployment.custodians("alfa")?;
        let (anna, others) = custodians.split_first().unwrap();
        desk.propose_change(anna.proposes(&motion)?).await?;
        let id = self.octets(&motion.change_id());
        let own = format!("WHERE institution = 'alfa' AND id = {id}");
        let forgery = Forgery {
            name: "a pending change that is said to be executed",
            written: format!("UPDATE change SET state = 'EXECUTED', ended_at = proposed_at {own}"),
            undone: format!("UPDATE change SET state = 'PENDING', ended_at = NULL {own}"),
            logged: "change 3",
        };
        self.forged(&forgery).await?;
        for custodian in others {
            desk.reject_change(custodian.rejects(&motion)?).await?;
        }
        let ended = (ChangeState::Rejected, 3);
        assert_eq!(standing(&desk, &motion).await?, ended);
        Ok(())
    }
}

async fn play(cluster: Option<Cluster>) -> Result<(), Failure> {
    let mut scene = Scene::set(cluster).await?;
    for forgery in scene.forgeries().await? {
        scene.forged(&forgery).await?;
    }
    let during = |step: &'static str| move |failure: Failure| failure.in_step(step);
    scene.forged_change().await.map_err(during("a change"))?;
    scene.keys().await.map_err(during("keys"))?;
    recheck(&mut scene.deployment).await?;
    // What was cut off and brought in again is told twice by the audit: no rule holds of such a record.
    scene.cut_off().await.map_err(during("the end"))?;
    scene.deployment.stop().await
}

#[tokio::test]
async fn what_somebody_writes_into_a_file_is_not_done() -> Result<(), Failure> {
    play(None).await
}

#[tokio::test]
async fn what_somebody_writes_into_a_database_is_not_done() -> Result<(), Failure> {
    play(Some(Cluster::start()?)).await
}
