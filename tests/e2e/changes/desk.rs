//! What custodians of alfa work with: a caller's connection, and motions that are easily seen to be in force or not.

use std::fs;

use e2e::{
    custodian::Motion,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    refusal::{demand, reason},
};
use semops_objects::{
    change::{DocumentKind, KeyOperation, Operation},
    key::KeyId,
};
use semops_pki::certificate::Certificate;
use semops_proto::{
    client::Client,
    v1::{self, ChangeState},
};
use tonic::{Code, Status};

/// Alfa's policy with this most for an order in euro, as its next version.
pub(super) fn policy(deployment: &Deployment, version: u64, most: &str) -> Result<Motion, Failure> {
    let text = deployment.next_version(DocumentKind::Policy, "alfa", version, |text| {
        let order = "EUR = \"150.00\"";
        assert_eq!(text.matches(order).count(), 1);
        text.replace(order, &format!("EUR = \"{most}\""))
    })?;
    deployment.document_motion(DocumentKind::Policy, &text)
}

/// An operation on alfa's authorization key.
pub(crate) fn of_key(deployment: &Deployment, operation: KeyOperation) -> Result<Motion, Failure> {
    let key = authorization_key(deployment)?;
    deployment.motion("alfa", Operation::Key { operation, key })
}

/// Alfa's authorization key, with which it began.
pub(super) fn authorization_key(deployment: &Deployment) -> Result<KeyId, Failure> {
    let alfa = "alfa".parse().map_err(Failure::during("alfa"))?;
    let chain = fs::read_to_string(deployment.directory().authorization_chain(&alfa))?;
    let chain = Certificate::chain_from_pem(&chain)?;
    Ok(KeyId::of(chain[0].public_key()))
}

/// How a change stands: its state, and the decisions about it.
pub(super) fn stands(change: Option<v1::Change>) -> (ChangeState, usize) {
    let change = change.unwrap_or_default();
    (change.state(), change.approvals.len())
}

/// How a change stands now.
pub(super) async fn standing(
    client: &Client,
    motion: &Motion,
) -> Result<(ChangeState, usize), Failure> {
    Ok(stands(client.get_change(motion.request()).await?.change))
}

/// Refused for what it is, with this reason.
pub(super) fn refused<T>(called: Result<T, Status>, expected: &str) -> Result<(), Failure> {
    demand(called, Code::FailedPrecondition, expected).map(drop)
}

/// Orders a payment of so much in euro; gives the reason if it is refused.
pub(super) async fn orders(
    bank: &Client,
    customer: &Customer,
    value: &str,
) -> Result<Option<String>, Failure> {
    let ask = customer.asks(&order(value, "EUR")?)?;
    let called = bank.cosign_order(ask).await;
    Ok(called
        .err()
        .map(|status| reason(&status).unwrap_or_else(|| status.to_string())))
}
