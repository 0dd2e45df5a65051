//! Keys that are made in the token of a running service: what they are, who may have them made, and that one request has
//! one key, whatever happens on the way.

mod replicas;
mod troubles;

use std::{fs, ops::ControlFlow, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    recheck::recheck,
    refusal::{demand, demand_field},
    token,
};
use semops_objects::{authorization::AuthorizationJws, ca};
use semops_pki::{
    algorithm::PublicKey, certificate::Certificate, profile, request::CertificationRequest,
};
use semops_proto::{
    client::Client,
    v1::{self, KeyPurpose, KeyState},
};
use softhsm_setup::{Edge, certify, directory::Hierarchy, scheme::Role};
use tonic::{Code, Status};
use uuid::Uuid;

const TWO_YEARS: i64 = 730 * 86_400;

/// The key of this request.
pub(crate) async fn create(
    custodian: &Client,
    purpose: KeyPurpose,
    request: Uuid,
) -> Result<v1::Key, Status> {
    let ask = v1::CreateKeyRequest {
        purpose: purpose.into(),
        request_id: request.to_string(),
        token: String::new(),
    };
    Ok(custodian.create_key(ask).await?.key.unwrap_or_default())
}

pub(crate) async fn listed(client: &Client) -> Result<Vec<v1::Key>, Status> {
    Ok(client.list_keys(v1::ListKeysRequest {}).await?.keys)
}

/// How many public halves the token has of the key, and how many that have no name yet.
pub(crate) fn in_token(
    deployment: &Deployment,
    institution: &str,
    key: &v1::Key,
) -> Result<(usize, usize), Failure> {
    let id = URL_SAFE_NO_PAD.decode(&key.key_id)?;
    Ok((
        token::public_objects_with(deployment, institution, &id)?,
        token::public_objects_with(deployment, institution, b"made-for")?,
    ))
}

/// What openssl says of its arguments.
fn openssl(arguments: &[&str]) -> Result<String, Failure> {
    let said = programs::openssl()?.args(arguments).output()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(said.status.success(), "{arguments:?}: {text}");
    Ok(text)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn new_keys_are_certified_or_ask_to_be_and_sign_nothing_else() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let custodian = deployment.client("alfa", Role::Custodian).await?;
    let before = listed(&custodian).await?;
    an_authorization_key_is_certified_by_the_signing_ca(&deployment, &custodian).await?;
    a_cas_key_asks_and_the_root_certifies_it(&deployment, &custodian).await?;
    one_request_one_key_and_two_wait(&deployment, &custodian).await?;
    nobody_else_has_them(&deployment, &custodian).await?;
    orders_are_signed_by_the_old_key(&deployment, &before).await?;
    let checked = recheck(&mut deployment).await?;
    assert_eq!(checked.authorizations, 1);
    deployment.stop().await
}

/// Whether the service says of a key that it was made in the token and cannot leave it.
pub(crate) fn kept(key: &v1::Key) -> bool {
    [
        ("CKA_SENSITIVE", true),
        ("CKA_EXTRACTABLE", false),
        ("CKA_ALWAYS_SENSITIVE", true),
        ("CKA_NEVER_EXTRACTABLE", true),
        ("CKA_LOCAL", true),
        ("CKA_SIGN", true),
    ]
    .into_iter()
    .all(|(name, value)| {
        let told = key.attributes.iter().find(|told| told.name == name);
        told.is_some_and(|told| told.value == Some(value))
    })
}

async fn an_authorization_key_is_certified_by_the_signing_ca(
    deployment: &Deployment,
    custodian: &Client,
) -> Result<(), Failure> {
    let since = unix_now()?;
    let key = create(custodian, KeyPurpose::Authorization, Uuid::new_v4()).await?;
    assert_eq!(key.state(), KeyState::PreActivation);
    assert_eq!((key.signatures, key.certification_request.len()), (0, 0));
    let [leaf, ca] = &key.certificate_chain[..] else {
        panic!("its certificate and its issuer's")
    };
    let (leaf, ca) = (Certificate::from_der(leaf)?, Certificate::from_der(ca)?);
    let oids = deployment.scheme().oids();
    profile::check(&leaf, profile::Kind::Authorization, &ca, oids)?;
    assert_eq!(
        leaf.public_key(),
        &PublicKey::from_spki_der(&key.public_key)?
    );
    let validity = leaf.not_after() - leaf.not_before();
    assert_eq!(validity, TWO_YEARS + 300);
    assert!((since - 300..=unix_now()? - 300).contains(&leaf.not_before()));
    let (directory, alfa) = (deployment.directory(), "alfa".parse().unwrap());
    let chain = fs::read_to_string(directory.authorization_chain(&alfa))?;
    let first = &Certificate::chain_from_pem(&chain)?[0];
    assert_eq!(leaf.crl_addresses(), first.crl_addresses());
    assert_eq!(leaf.ca_issuer_addresses(), first.ca_issuer_addresses());

    let folder = tempfile::tempdir()?;
    let (leaf_file, ca_file) = (folder.path().join("leaf.pem"), folder.path().join("ca.pem"));
    fs::write(&leaf_file, leaf.to_pem())?;
    fs::write(&ca_file, ca.to_pem())?;
    openssl(&[
        "verify",
        "-x509_strict",
        "-crl_check_all",
        "-CAfile",
        path(&directory.root(Hierarchy::Signing)),
        "-untrusted",
        path(&ca_file),
        "-CRLfile",
        path(&directory.root_crl(Hierarchy::Signing)),
        "-CRLfile",
        path(&directory.ca_crl(Hierarchy::Signing, &alfa)),
        path(&leaf_file),
    ])?;

    // As the token has it, and as the service says that it has it.
    assert!(kept(&key), "{key:?}");
    assert_eq!(in_token(deployment, "alfa", &key)?, (1, 0));
    let listed = listed(custodian).await?;
    assert_eq!(listed.len(), 4);
    assert_eq!(listed.last(), Some(&key));
    Ok(())
}

async fn a_cas_key_asks_and_the_root_certifies_it(
    deployment: &Deployment,
    custodian: &Client,
) -> Result<(), Failure> {
    for (purpose, hierarchy) in [
        (KeyPurpose::DeviceCa, Hierarchy::Device),
        (KeyPurpose::SigningCa, Hierarchy::Signing),
    ] {
        let key = create(custodian, purpose, Uuid::new_v4()).await?;
        assert_eq!((key.active_since, key.active_until), (0, 0));
        assert!(key.certificate_chain.is_empty());
        // Its own request is what it has signed.
        assert_eq!((key.state(), key.signatures), (KeyState::PreActivation, 1));
        let request = CertificationRequest::parse(&key.certification_request)?;
        let public = PublicKey::from_spki_der(&key.public_key)?;
        assert_eq!(request.public_key(), &public);
        let name = ca::common_name(hierarchy.as_str(), &public);
        let subject = request.organization_and_common_name();
        assert_eq!(subject, Some(("alfa", name.as_str())));

        let folder = tempfile::tempdir()?;
        let file = folder.path().join("request.der");
        fs::write(&file, &key.certification_request)?;
        let said = openssl(&[
            "req",
            "-verify",
            "-noout",
            "-inform",
            "DER",
            "-in",
            path(&file),
        ])?;
        assert!(said.contains("verify OK"), "{said}");
        let edge = Edge {
            program: programs::ours(programs::Watched::No)?.softhsm_setup.clone(),
            signer: None,
            now: unix_now()?,
        };
        let directory = deployment.directory();
        let made = certify(directory.path(), &file, &edge, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let certified = Certificate::from_pem(&fs::read_to_string(&made.path)?)?;
        assert_eq!(certified.public_key(), &public);
        openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check_all",
            "-CAfile",
            path(&directory.root(hierarchy)),
            "-CRLfile",
            path(&directory.root_crl(hierarchy)),
            path(&made.path),
        ])?;
    }
    Ok(())
}

async fn one_request_one_key_and_two_wait(
    deployment: &Deployment,
    custodian: &Client,
) -> Result<(), Failure> {
    let request = Uuid::new_v4();
    let second = create(custodian, KeyPurpose::Authorization, request).await?;
    for _ in 0..3 {
        assert_eq!(
            create(custodian, KeyPurpose::Authorization, request).await?,
            second
        );
    }
    assert_eq!(in_token(deployment, "alfa", &second)?, (1, 0));
    let other = create(custodian, KeyPurpose::DeviceCa, request).await;
    demand(other, Code::AlreadyExists, "KEY_REQUEST_CONFLICT")?;
    let third = create(custodian, KeyPurpose::Authorization, Uuid::new_v4()).await;
    demand(third, Code::FailedPrecondition, "TOO_MANY_NEW_KEYS")?;
    let purposes = listed(custodian).await?;
    let purposes: Vec<_> = purposes.iter().map(v1::Key::purpose).collect();
    assert_eq!(
        purposes,
        [
            KeyPurpose::DeviceCa,
            KeyPurpose::DeviceCa,
            KeyPurpose::SigningCa,
            KeyPurpose::SigningCa,
            KeyPurpose::Authorization,
            KeyPurpose::Authorization,
            KeyPurpose::Authorization,
        ]
    );
    let nothing = v1::CreateKeyRequest {
        purpose: 0,
        request_id: request.to_string(),
        token: String::new(),
    };
    demand_field(
        custodian.create_key(nothing).await,
        "INVALID_FIELD",
        "purpose",
    )?;
    let upper = v1::CreateKeyRequest {
        purpose: KeyPurpose::DeviceCa.into(),
        request_id: "0191D6A0-3C1E-7B7A-9F00-000000000001".to_owned(),
        token: String::new(),
    };
    demand_field(
        custodian.create_key(upper).await,
        "INVALID_FIELD",
        "request_id",
    )?;
    Ok(())
}

/// Another institution neither sees them nor comes upon them by the same request.
async fn nobody_else_has_them(deployment: &Deployment, alfa: &Client) -> Result<(), Failure> {
    let beta = deployment.client("beta", Role::Custodian).await?;
    let request = Uuid::new_v4();
    let of_alfa = create(alfa, KeyPurpose::SigningCa, request).await?;
    let of_beta = create(&beta, KeyPurpose::SigningCa, request).await?;
    assert_ne!(of_alfa.key_id, of_beta.key_id);
    assert_eq!(in_token(deployment, "alfa", &of_alfa)?, (1, 0));
    assert_eq!(in_token(deployment, "alfa", &of_beta)?, (0, 0));
    assert_eq!(in_token(deployment, "beta", &of_beta)?, (1, 0));
    assert_eq!(in_token(deployment, "beta", &of_alfa)?, (0, 0));
    let key_id = of_alfa.key_id.clone();
    let hidden = beta.get_key(v1::GetKeyRequest { key_id }).await;
    demand(hidden, Code::NotFound, "KEY_NOT_FOUND")?;
    let shown = listed(&beta).await?;
    assert_eq!(shown.len(), 4);
    assert!(shown.contains(&of_beta));
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let shown = listed(alfa).await?;
    assert_eq!(listed(&auditor).await?, shown);
    assert_eq!(token::private_keys(deployment, "alfa")?, shown.len());
    assert_eq!(token::private_keys(deployment, "beta")?, 4);
    Ok(())
}

async fn orders_are_signed_by_the_old_key(
    deployment: &Deployment,
    before: &[v1::Key],
) -> Result<(), Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    let bank = deployment.client("alfa", Role::Payments).await?;
    let answer = bank
        .cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
    let old = before.last().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(jws.kid()), old.key_id);
    Ok(())
}
