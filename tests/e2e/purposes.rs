//! Keys for OCSP, audit and statements: nothing signs with them yet, and they live by the same rules as the others, from
//! their making in the token to their end there.

use std::{fs, path::Path, time::Duration};

use e2e::{
    clock::Hands,
    cluster::Cluster,
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    recheck::recheck,
    refusal::{demand, persist},
    token,
    until::until,
};
use semops_objects::{
    change::{DocumentKind, KeyOperation, Operation},
    key::{KeyId, Purpose},
    trust::TrustDocument,
};
use semops_pki::certificate::Certificate;
use semops_proto::{
    client::Client,
    v1::{self, KeyState},
};
use softhsm_setup::{
    directory::Hierarchy,
    scheme::{Role, Scheme},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    create_key::{create, kept, listed},
    rotation::plan::{NewKey, Plan, purpose as sent},
};

const SOON: Duration = Duration::from_secs(60);
const DAY: i64 = 86_400;
/// The window in which a destruction can be called off, and what the test needs to schedule it.
const WINDOW: i64 = 7 * DAY;
const SCHEDULED: i64 = 300;
const NEW: [Purpose; 3] = [Purpose::Ocsp, Purpose::Audit, Purpose::Statement];

/// The one of alfa's keys with this id, as a custodian sees it.
async fn shown(custodian: &Client, key: KeyId) -> Result<v1::Key, Failure> {
    let key_id = key.to_string();
    // A service that has just read a change may ask to be called again.
    let ask = v1::GetKeyRequest { key_id };
    let shown = persist(async || custodian.get_key(ask.clone()).await).await??;
    shown.key.ok_or_else(|| Failure::new("no key is shown"))
}

/// A key that is made in the token, and certified.
async fn make(deployment: &Deployment, custodian: &Client, of: Purpose) -> Result<NewKey, Failure> {
    let request = Uuid::new_v4();
    let key = persist(async || create(custodian, sent(of), request).await).await??;
    NewKey::with_certificate(deployment, &key)
}

async fn states(custodian: &Client, keys: &[KeyId]) -> Result<Vec<KeyState>, Failure> {
    let mut states = Vec::new();
    for key in keys {
        states.push(shown(custodian, *key).await?.state());
    }
    Ok(states)
}

fn rule(deployment: &Deployment, key: KeyId, operations: &[KeyOperation]) -> Result<(), Failure> {
    for operation in operations.iter().copied() {
        let motion = deployment.motion("alfa", Operation::Key { operation, key })?;
        deployment.bring(&motion)?;
    }
    Ok(())
}

/// Whether openssl says so, and what it says.
fn openssl(arguments: &[&str]) -> Result<(bool, String), Failure> {
    let said = programs::openssl()?.args(arguments).output()?;
    let text = [said.stdout, said.stderr].concat();
    Ok((said.status.success(), String::from_utf8(text)?))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Its chain to the root with every CRL, and what it says that the key is for.
fn openssl_reads(deployment: &Deployment, of: Purpose, leaf: &Certificate) -> Result<(), Failure> {
    let (directory, alfa) = (deployment.directory(), "alfa".parse()?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("leaf.pem");
    fs::write(&file, leaf.to_pem())?;
    let below = |hierarchy| -> Result<bool, Failure> {
        let verified = openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check_all",
            "-CAfile",
            path(&directory.root(hierarchy)),
            "-untrusted",
            path(&directory.ca(hierarchy, &alfa)),
            "-CRLfile",
            path(&directory.root_crl(hierarchy)),
            "-CRLfile",
            path(&directory.ca_crl(hierarchy, &alfa)),
            path(&file),
        ])?;
        Ok(verified.0)
    };
    let certified = [below(Hierarchy::Device)?, below(Hierarchy::Signing)?];
    let responder = of == Purpose::Ocsp;
    assert_eq!(certified, [responder, !responder], "{of:?}");

    let (_, text) = openssl(&["x509", "-in", path(&file), "-noout", "-text"])?;
    let oids = deployment.scheme().oids();
    let usage = match of {
        Purpose::Ocsp => "Usage: \n                OCSP Signing\n".to_owned(),
        Purpose::Audit => format!(
            "Usage: critical\n                {}\n",
            oids.audit_eku.unwrap()
        ),
        _ => format!(
            "Usage: critical\n                {}\n",
            oids.statement_eku.unwrap()
        ),
    };
    assert!(text.contains(&usage), "{text}");
    assert!(
        text.contains("X509v3 Key Usage: critical\n                Digital Signature\n"),
        "{text}"
    );
    assert_eq!(text.contains("OCSP No Check"), responder, "{text}");
    assert_eq!(text.contains(".crl\n"), !responder, "{text}");
    assert!(
        text.contains(&format!("Subject: O = alfa, CN = {}\n", of.name())),
        "{text}"
    );
    Ok(())
}

/// What PKCS#11 says of the key: its CKA_ID, its label, and what it may be used for.
fn token_has(deployment: &Deployment, of: Purpose, key: &v1::Key) -> Result<(), Failure> {
    let id = key.key_id.parse::<KeyId>()?;
    assert_eq!(
        token::public_objects_with(deployment, "alfa", id.as_bytes())?,
        1
    );
    assert_eq!(
        token::public_objects_with(deployment, "alfa", of.name().as_bytes())?,
        1
    );
    assert!(kept(key), "{key:?}");
    Ok(())
}

/// Two keys of a purpose: made and certified, refused as anything else, activated by two custodians, suspended, resumed,
/// rotated from the one to the other, and ended.
async fn lives(
    deployment: &Deployment,
    custodian: &Client,
    of: Purpose,
) -> Result<[KeyId; 2], Failure> {
    let first = make(deployment, custodian, of).await?;
    let made = shown(custodian, first.id).await?;
    assert_eq!(
        (made.state(), made.purpose(), made.certificate_chain.len()),
        (KeyState::PreActivation, sent(of), 2)
    );
    token_has(deployment, of, &made)?;
    openssl_reads(deployment, of, &first.certificate)?;
    nothing_else(deployment, custodian, of, &first.certificate).await?;

    deployment.bring(&deployment.addition("alfa", of, &first.certificate)?)?;
    let active = shown(custodian, first.id).await?;
    assert_eq!(active.state(), KeyState::Active);
    let period = active.signs_until.unwrap() - active.active_since;
    assert_eq!(period, i64::from(of.cryptoperiod_days()) * DAY);
    assert!(active.signs_until.unwrap() <= active.active_until);
    rule(deployment, first.id, &[KeyOperation::Suspend])?;
    assert_eq!(states(custodian, &[first.id]).await?, [KeyState::Suspended]);
    rule(deployment, first.id, &[KeyOperation::Resume])?;

    let second = make(deployment, custodian, of).await?;
    let plan = Plan::of("alfa", first.id, &second, Duration::ZERO, Duration::ZERO)?;
    plan.execute(deployment, &second)?;
    let both = [first.id, second.id];
    assert_eq!(
        states(custodian, &both).await?,
        [KeyState::Deactivated, KeyState::Active]
    );
    let at = u64::try_from(unix_now()? + WINDOW + SCHEDULED)?;
    let schedule = KeyOperation::ScheduleDestruction { at };
    rule(deployment, first.id, &[schedule])?;
    Ok(both)
}

/// A certificate of one purpose makes a key of no other.
async fn nothing_else(
    deployment: &Deployment,
    custodian: &Client,
    of: Purpose,
    certificate: &Certificate,
) -> Result<(), Failure> {
    let anna = &deployment.custodians("alfa")?[0];
    for other in Purpose::ALL.into_iter().filter(|other| *other != of) {
        let motion = deployment.addition("alfa", other, certificate)?;
        let asked = v1::ProposeChangeRequest {
            certificate: certificate.der().to_vec(),
            ..anna.proposes(&motion)?
        };
        let refused = persist(async || custodian.propose_change(asked.clone()).await).await?;
        demand(refused, Code::FailedPrecondition, "CERTIFICATE_INVALID")?;
    }
    // Nor does anybody who trusts alfa take it for one that authorizes payments.
    let with = |text: String| {
        let list = "authorization_certificates = [";
        let pem = format!("{list}\n\"\"\"{}\"\"\",", certificate.to_pem());
        let (before, alfa) = text.split_at(text.find("institution = \"alfa\"").unwrap());
        format!("{before}{}", alfa.replacen(list, &pem, 1))
    };
    let text = deployment.next_version(DocumentKind::Trust, "beta", 2, with)?;
    let read = TrustDocument::parse(text.as_bytes(), deployment.scheme().oids());
    assert!(read.is_err(), "{of:?}");
    Ok(())
}

async fn starts(deployment: &mut Deployment, hands: &Hands) -> Result<(), Failure> {
    let signer = hands.of(deployment.signer()?);
    deployment.start_with(signer).await
}

#[tokio::test]
async fn they_live_as_the_others_do_and_sign_nothing() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    starts(&mut deployment, &hands).await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let before = token::private_keys(&deployment, "alfa")?;
    let mut keys = Vec::new();
    for of in NEW {
        keys.push(lives(&deployment, &custodian, of).await?);
    }
    assert_eq!(token::private_keys(&deployment, "alfa")?, before + 6);

    // What there is to sign is signed, and by none of them.
    let customer = Customer::of_alfa(&deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    bank.cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    for key in keys.as_flattened() {
        assert_eq!(shown(&custodian, *key).await?.signatures, 0);
        let request = v1::ListSignedRequest {
            key_id: key.to_string(),
            ..Default::default()
        };
        let signed = custodian.list_signed(request).await?;
        assert_eq!((signed.objects.len(), signed.not_kept), (0, 0));
    }
    // One that others may know ends there, and one that nobody wants goes at once.
    let marked: Vec<KeyId> = keys.iter().map(|[_, second]| *second).collect();
    for key in &marked {
        rule(&deployment, *key, &[KeyOperation::MarkCompromised])?;
    }
    assert_eq!(
        states(&custodian, &marked).await?,
        [KeyState::Compromised; 3]
    );
    for of in NEW {
        let key_id = make(&deployment, &custodian, of).await?.id.to_string();
        let discard = v1::DiscardKeyRequest { key_id };
        persist(async || custodian.discard_key(discard.clone()).await).await??;
    }
    assert_eq!(token::private_keys(&deployment, "alfa")?, before + 6);

    // Their time comes, and the first ones are no more, here and in the token.
    drop(custodian);
    hands.set(WINDOW + 2 * SCHEDULED)?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let ended: Vec<KeyId> = keys.iter().map(|[first, _]| *first).collect();
    until("the end of the first ones", SOON, async || {
        let states = states(&custodian, &ended).await?;
        Ok((states == [KeyState::Destroyed; 3]).then_some(()))
    })
    .await?;
    for key in &ended {
        assert_eq!(
            token::public_objects_with(&deployment, "alfa", key.as_bytes())?,
            0
        );
    }
    assert_eq!(token::private_keys(&deployment, "alfa")?, before + 3);
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 1);
    deployment.stop().await
}

/// A scheme that names no usages for them goes on as before: what it cannot certify it does not make.
#[tokio::test]
async fn a_scheme_may_do_without() -> Result<(), Failure> {
    let without =
        |line: &&str| !line.starts_with("audit_eku") && !line.starts_with("statement_eku");
    let scheme: Vec<&str> = Scheme::EXAMPLE.lines().filter(without).collect();
    let mut deployment = Deployment::prepare(&scheme.join("\n"), &mut |_| {})?;
    let configuration = fs::read_to_string(deployment.directory().config())?;
    assert!(!configuration.contains("audit_eku"));
    deployment.start().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let before = token::private_keys(&deployment, "alfa")?;
    for of in [Purpose::Audit, Purpose::Statement] {
        let refused = create(&custodian, sent(of), Uuid::new_v4()).await;
        demand(refused, Code::FailedPrecondition, "USAGE_NOT_NAMED")?;
    }
    assert_eq!(token::private_keys(&deployment, "alfa")?, before);
    let responder = create(&custodian, sent(Purpose::Ocsp), Uuid::new_v4()).await?;
    assert_eq!(listed(&custodian).await?.last(), Some(&responder));
    recheck(&mut deployment).await?;
    deployment.stop().await
}

/// Replicas of before cannot read such a key: it is made once the operator has said that there are none, at either replica.
#[tokio::test]
async fn they_come_after_the_programs_that_cannot_read_them() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let prepared = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let (mut deployment, replica) = prepared.doubled(&cluster).await?;
    let [one, other] = replica.both(&deployment, "alfa", Role::Custodian).await?;
    for of in NEW {
        let early = create(&one, sent(of), Uuid::new_v4()).await;
        demand(early, Code::FailedPrecondition, "OLD_PROGRAMS_MAY_SERVE")?;
    }
    let told = deployment.run(&["migrate", "--contract"])?;
    assert!(told.contains("no older program serves it"), "{told}");
    for of in NEW {
        let NewKey { id, certificate } = make(&deployment, &one, of).await?;
        deployment.bring(&deployment.addition("alfa", of, &certificate)?)?;
        for custodian in [&one, &other] {
            until("the key to be active at both", SOON, async || {
                Ok((states(custodian, &[id]).await? == [KeyState::Active]).then_some(()))
            })
            .await?;
        }
    }
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}
