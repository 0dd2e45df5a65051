//! The custodians' chapter: alfa's policy changes by two persons, and a key is stopped by one.

use semops_objects::change::{DocumentKind, KeyOperation, Operation};
use semops_objects::key::KeyId;
use semops_objects::{Amount, Order};
use semops_pki::certificate::Certificate;
use semops_proto::{client::Client, v1};
use softhsm_setup::scheme::Role;
use tonic::Code;

use super::{Callers, Narrator, acts};
use crate::{
    custodian::{Custodian, Motion},
    deployment::Deployment,
    failure::Failure,
    phone::Phone,
    refusal,
};

/// How a change is said to stand.
pub(super) fn said(change: Option<v1::Change>) -> String {
    let change = change.unwrap_or_default();
    let state = change.state().as_str_name();
    let state = state.trim_start_matches("CHANGE_STATE_");
    let approvals = change.approvals.len();
    let plural = if approvals == 1 { "" } else { "s" };
    format!("{state}, {approvals} approval{plural}")
}

/// Two custodians lower alfa's most for an order; one stops its authorization key, two start it again.
pub(super) async fn change(
    deployment: &Deployment,
    callers: &Callers,
    narrator: &Narrator,
) -> Result<(), Failure> {
    // Of another customer: the first one's phone has spent its rate.
    let phone = Phone::of_customer(&callers.mobilis_enrolment, &callers.alfa_enrolment).await?;
    let desk = deployment.client("alfa", Role::Custodian).await?;
    let anna = deployment.custodian("alfa", "anna-berg")?;
    let boris = deployment.custodian("alfa", "boris-chan")?;
    let chloe = deployment.custodian("alfa", "chloe-diaz")?;
    lower(deployment, &desk, [&anna, &boris], narrator).await?;
    let (order, _) = acts::read_offer()?;
    let dear = Order {
        amount: Amount::parse("400.00", "CNY").map_err(Failure::during("amount"))?,
        offer_sha256: None,
        ..order
    };
    let ask = asks(&phone, &dear)?;
    narrator
        .step("another customer of alfa orders CNY 400.00", async {
            let called = callers.alfa_payments.cosign_order(ask).await;
            let (code, reason) = (Code::FailedPrecondition, "AMOUNT_OVER_POLICY");
            Ok(((), refusal::demand(called, code, reason)?))
        })
        .await?;
    stop_and_start(
        deployment,
        &desk,
        [&anna, &boris, &chloe],
        (&callers.alfa_payments, &phone),
        narrator,
    )
    .await
}

async fn lower(
    deployment: &Deployment,
    desk: &Client,
    [anna, boris]: [&Custodian; 2],
    narrator: &Narrator,
) -> Result<(), Failure> {
    let text = deployment.next_version(DocumentKind::Policy, "alfa", 2, |text| {
        text.replacen("CNY = \"500.00\"", "CNY = \"300.00\"", 1)
    })?;
    let motion = deployment.document_motion(DocumentKind::Policy, &text)?;
    narrator
        .step(
            "Anna, a custodian of alfa, proposes CNY 300 at most",
            async {
                let proposed = desk.propose_change(anna.proposes(&motion)?).await?;
                Ok(((), said(proposed.change)))
            },
        )
        .await?;
    narrator
        .step("Anna approves it a second time: she is one person", async {
            let again = desk.approve_change(anna.approves(&motion)?).await?;
            Ok(((), said(again.change)))
        })
        .await?;
    narrator
        .step("Boris, another custodian, approves the same bytes", async {
            let approved = desk.approve_change(boris.approves(&motion)?).await?;
            Ok(((), said(approved.change)))
        })
        .await
}

async fn stop_and_start(
    deployment: &Deployment,
    desk: &Client,
    [anna, boris, chloe]: [&Custodian; 3],
    (bank, phone): (&Client, &Phone),
    narrator: &Narrator,
) -> Result<(), Failure> {
    let suspend = of_key(deployment, KeyOperation::Suspend)?;
    narrator
        .step(
            "an emergency: Chloe alone suspends alfa's authorization key",
            async {
                let proposed = desk.propose_change(chloe.proposes(&suspend)?).await?;
                Ok(((), said(proposed.change)))
            },
        )
        .await?;
    let (order, _) = acts::read_offer()?;
    let ask = asks(phone, &order)?;
    narrator
        .step("the customer orders CNY 23.72", async {
            let called = bank.cosign_order(ask.clone()).await;
            let (code, reason) = (Code::Unavailable, "KEY_NOT_ACTIVE");
            Ok(((), refusal::demand(called, code, reason)?))
        })
        .await?;
    let resume = of_key(deployment, KeyOperation::Resume)?;
    narrator
        .step("Anna and Boris resume it: that takes two", async {
            desk.propose_change(anna.proposes(&resume)?).await?;
            let approved = desk.approve_change(boris.approves(&resume)?).await?;
            Ok(((), said(approved.change)))
        })
        .await?;
    narrator
        .step("alfa's backend calls again with that order", async {
            bank.cosign_order(ask).await?;
            Ok(((), "AUTHORIZED".to_owned()))
        })
        .await
}

fn asks(phone: &Phone, order: &Order) -> Result<v1::CosignOrderRequest, Failure> {
    Ok(v1::CosignOrderRequest {
        order_jws: phone.sign(order)?,
        ..Default::default()
    })
}

fn of_key(deployment: &Deployment, operation: KeyOperation) -> Result<Motion, Failure> {
    let key = first_key(deployment)?;
    deployment.motion("alfa", Operation::Key { operation, key })
}

/// alfa's authorization key of the ceremony.
pub(super) fn first_key(deployment: &Deployment) -> Result<KeyId, Failure> {
    let alfa = "alfa".parse().map_err(Failure::during("alfa"))?;
    let chain = std::fs::read_to_string(deployment.directory().authorization_chain(&alfa))?;
    let chain = Certificate::chain_from_pem(&chain)?;
    let certificate = chain.first();
    let certificate = certificate.ok_or_else(|| Failure::new("an empty chain"))?;
    Ok(KeyId::of(certificate.public_key()))
}
