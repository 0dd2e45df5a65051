//! CAs are rotated under load: what was issued before goes on verifying, by CRLs that the old key still signs.

use std::{collections::BTreeMap, process::Command, time::Duration};

use e2e::{
    cluster::Cluster,
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
    refusal::{demand, demand_field},
    terminal::Terminal,
    until::until,
};
use semops_objects::{
    AuthorizationJws, InstitutionId,
    key::{KeyId, Purpose},
    trust::TrustDocument,
};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::{
    client::Client,
    v1::{self, RevocationReason},
};
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tonic::Code;
use uuid::Uuid;

use super::{
    SOON,
    lanes::{Done, Lanes},
    path::Verifier,
    plan::{NewKey, Plan, signing_key},
    two,
};
use crate::crls::fetch;

const LEAD: Duration = Duration::from_secs(4);

/// The phone's certificate, and the key of the CA that issued it.
fn issued(customer: &Customer) -> Result<(&Certificate, KeyId), Failure> {
    let [leaf, ca] = customer.phone.chain()? else {
        return Err(Failure::new(
            "a phone's chain is its certificate and the CA's",
        ));
    };
    leaf.verify_issued_by(ca)?;
    Ok((leaf, KeyId::of(ca.public_key())))
}

/// The phones by the CA that issued to them, which is the one whose time it was.
fn by_ca<'a>(
    enrolled: &'a [Done<Customer>],
    plan: &Plan,
) -> Result<BTreeMap<KeyId, Vec<&'a Customer>>, Failure> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in enrolled {
        let (_, ca) = issued(&one.answer)?;
        let expected = plan.signer(one.asked, one.answered);
        assert!(expected.is_none_or(|expected| expected == ca));
        all.entry(ca).or_default().push(&one.answer);
    }
    Ok(all)
}

/// Whether the CRL of the CA that issued `of`, at its address, lists `leaf`.
fn listed(of: &Certificate, leaf: &Certificate) -> Result<bool, Failure> {
    let crl = CertificateRevocationList::from_der(&fetch(&of.crl_addresses()[0])?)?;
    Ok(crl.entry(leaf.serial()).is_some())
}

/// The CRL of each CA, asked for by its key; the one that issues now, if by none.
async fn by_key(verifier: &Client, plan: &Plan, leaves: [&Certificate; 2]) -> Result<(), Failure> {
    let ask = |authority: v1::Authority, key_id: String| v1::GetCrlRequest {
        institution: plan.institution.to_owned(),
        authority: authority.into(),
        key_id,
    };
    let device_ca = v1::Authority::DeviceCa;
    for (key, leaf) in [plan.from, plan.to].into_iter().zip(leaves) {
        let told = verifier.get_crl(ask(device_ca, key.to_string())).await?;
        assert_eq!(told.crl, fetch(&leaf.crl_addresses()[0])?);
    }
    let issuing = verifier.get_crl(ask(device_ca, String::new())).await?;
    assert_eq!(issuing.crl, fetch(&leaves[1].crl_addresses()[0])?);
    // It is no signing CA, and no CA of another's.
    let other = ask(v1::Authority::SigningCa, plan.to.to_string());
    demand(
        verifier.get_crl(other).await,
        Code::NotFound,
        "CRL_NOT_FOUND",
    )?;
    let other = v1::GetCrlRequest {
        institution: "alfa".to_owned(),
        ..ask(device_ca, plan.to.to_string())
    };
    demand(
        verifier.get_crl(other).await,
        Code::NotFound,
        "CRL_NOT_FOUND",
    )?;
    let none = verifier.get_crl(ask(device_ca, "x".to_owned())).await;
    demand_field(none, "INVALID_FIELD", "key_id")?;
    Ok(())
}

/// Phones of two CAs: each verifies by what its certificate says where it is, is revoked, and stands on the CRL of its own
/// CA alone.
async fn each_by_its_ca(
    deployment: &Deployment,
    issuer: &Client,
    phones: [&Customer; 2],
) -> Result<(), Failure> {
    let root = deployment.directory().root(Hierarchy::Device);
    let leaves = [issued(phones[0])?.0, issued(phones[1])?.0];
    let verifier = Verifier::of(&root, &leaves)?;
    // Each CA's, and the root's.
    assert_eq!(verifier.crls(), 3);
    for leaf in leaves {
        assert!(verifier.errors(leaf)?.is_empty());
    }
    for (revoked, other) in [(0, 1), (1, 0)] {
        let (leaf, others) = (leaves[revoked], leaves[other]);
        let reason = RevocationReason::Superseded;
        phones[revoked].revoked_by(issuer, reason).await?;
        let on_list = async || Ok(listed(leaf, leaf)?.then_some(()));
        until("a CRL of the phone's own CA with it", SOON, on_list).await?;
        assert!(!listed(others, leaf)?);
        let verifier = Verifier::of(&root, &leaves)?;
        let errors = verifier.errors(leaf)?;
        assert_eq!(errors, ["error 23 at 0 depth lookup: certificate revoked"]);
        // The second one is revoked after it.
        assert_eq!(verifier.errors(others)?.is_empty(), revoked == 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_device_ca_is_rotated_under_load() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let (mut deployment, replica) = two(&cluster).await?;
    let banks = replica.both(&deployment, "alfa", Role::Payments).await?;
    let accepters = replica.both(&deployment, "alfa", Role::Enrolment).await?;
    let issuers = replica
        .both(&deployment, "mobilis", Role::Enrolment)
        .await?;
    let custodians = replica
        .both(&deployment, "mobilis", Role::Custodian)
        .await?;
    let paying = Lanes::paying(&deployment, &banks).await?;
    let enrolling = Lanes::enrolling(&issuers, &accepters, &banks);
    enrolling.more(20).await?;

    let old = signing_key(&custodians[0], Purpose::DeviceCa).await?;
    let new = NewKey::certified(&deployment, &custodians[1], Purpose::DeviceCa).await?;
    let plan = Plan::of("mobilis", old, &new, LEAD, Duration::ZERO)?;
    plan.execute(&deployment, &new)?;
    paying.phase("during");
    enrolling.phase("during").more(20).await?;
    plan.retired().await?;
    paying.phase("after");
    enrolling.phase("after").more(40).await?;
    let (enrolled, paid) = (enrolling.end().await?, paying.end().await?);

    let phones = by_ca(&enrolled, &plan)?;
    let [by_old, by_new] = [&phones[&old], &phones[&plan.to]];
    assert_eq!(by_old.len() + by_new.len(), enrolled.len());
    let (before, after) = (by_old.len(), by_new.len());
    assert!(before >= 20 && after >= 30, "{before} {after}");
    // Whoever was enrolled by the old CA pays on, at either service.
    for bank in &banks {
        bank.cosign_order(by_old[0].asks(&order("0.01", "EUR")?)?)
            .await?;
    }
    let phones = [by_old[0], by_new[0]];
    each_by_its_ca(&deployment, &issuers[0], phones).await?;
    by_key(
        &banks[1],
        &plan,
        [issued(phones[0])?.0, issued(phones[1])?.0],
    )
    .await?;
    for custodian in &custodians {
        assert_eq!(signing_key(custodian, Purpose::DeviceCa).await?, plan.to);
    }
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, paid.len() + enrolled.len() + 2);
    replica.stop().await?;
    deployment.stop().await
}

/// A new authorization key that nobody takes up, as the service has had it certified.
async fn certified(custodian: &Client) -> Result<(Certificate, Certificate), Failure> {
    let key = NewKey::asked(custodian, Purpose::Authorization, Uuid::new_v4()).await?;
    let [leaf, ca] = &key.certificate_chain[..] else {
        return Err(Failure::new("its certificate and the CA's"));
    };
    Ok((Certificate::from_der(leaf)?, Certificate::from_der(ca)?))
}

/// beta's custodians believe a key that a new signing CA has certified: its CA and that one's CRL go along.
fn believed(
    deployment: &Deployment,
    (leaf, ca): &(Certificate, Certificate),
) -> Result<(), Failure> {
    let terminal = Terminal::new()?;
    terminal.write("chain.pem", leaf.to_pem() + &ca.to_pem())?;
    terminal.write("ca.crl", fetch(&leaf.crl_addresses()[0])?)?;
    let beta: InstitutionId = "beta".parse()?;
    let caller = deployment
        .directory()
        .caller(&beta, Role::Custodian, "security");
    let next = |more: &str| {
        let line = format!("trust next --of alfa --add chain.pem {more}--out next.toml");
        let mut semopsctl = Command::new(&programs::ours(Watched::No)?.semopsctl);
        semopsctl.arg("--profile").arg(&caller.profile);
        terminal.run(semopsctl.args(line.split_whitespace()))
    };
    let said = next("")?;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("has issued the certificate"), "{said:?}");
    let said = next("--crl ca.crl ")?;
    assert!(said.succeeded(), "{said:?}");
    let text = terminal.read("next.toml")?;
    let document = TrustDocument::parse(&text, deployment.scheme().oids())?;
    let mut all = document.trusted().iter();
    let alfa = all.find(|trusted| trusted.institution().as_str() == "alfa");
    let of_cas: Vec<_> = alfa.unwrap().signing_cas().iter().collect();
    let counts = [0, 1].map(|place| of_cas[place].authorization_certificates().len());
    assert_eq!((of_cas.len(), counts), (2, [1, 1]));
    assert_eq!(of_cas[0].certificate(), ca);
    // The service finds nothing wrong with it either.
    deployment.load("trust", &terminal.path("next.toml"))
}

#[tokio::test]
async fn a_signing_ca_is_rotated_and_certifies_the_next_authorization_key() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let old = signing_key(&custodian, Purpose::SigningCa).await?;
    let before = certified(&custodian).await?;
    let new = NewKey::certified(&deployment, &custodian, Purpose::SigningCa).await?;
    let plan = Plan::of("alfa", old, &new, LEAD, Duration::ZERO)?;
    plan.execute(&deployment, &new)?;
    plan.retired().await?;
    let after = certified(&custodian).await?;
    let signers = [&before, &after].map(|(_, ca)| KeyId::of(ca.public_key()));
    assert_eq!(signers, [old, plan.to]);

    // The first CRL of the new CA comes by itself.
    until("a CRL of the new CA", SOON, async || {
        let path = after.0.crl_addresses()[0].clone();
        let base = format!("http://{}", deployment.scheme().http());
        let path = path.strip_prefix(&base).unwrap_or_default();
        let answer = crate::crls::get(&deployment, path)?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    let root = deployment.directory().root(Hierarchy::Signing);
    let verifier = Verifier::of(&root, &[&before.0, &after.0])?;
    assert_eq!(verifier.crls(), 3);
    for leaf in [&before.0, &after.0] {
        assert!(verifier.errors(leaf)?.is_empty());
    }
    believed(&deployment, &after)?;
    // The authorization key stays in use, and its certificate is by the old CA still.
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let ask: v1::CosignOrderRequest = customer.asks(&order("0.01", "EUR")?)?;
    let answer = bank.cosign_order(ask).await?;
    let kid = AuthorizationJws::parse(&answer.authorization_jws)?
        .kid()
        .to_owned();
    let first = signing_key(&custodian, Purpose::Authorization).await?;
    assert_eq!(KeyId::new(kid), first);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 1);
    deployment.stop().await
}
