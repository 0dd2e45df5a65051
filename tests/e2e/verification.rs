//! VerifyAuthorization and GetTrustBundle: what an institution's trust document makes of an authorization, and what it
//! tells others to verify with.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    until::until,
};
use semops_pki::{algorithm::sha256, certificate::Certificate, local_key::LocalKey};
use semops_proto::{
    client::Client,
    v1::{self, Verdict},
};
use serde_json::Value;
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tonic::Code;

/// How long an authorization of two seconds may take to expire.
const EXPIRY: Duration = Duration::from_secs(20);

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn verify(client: &Client, jws: &str) -> Result<v1::VerifyAuthorizationResponse, Failure> {
    let ask = v1::VerifyAuthorizationRequest {
        authorization_jws: jws.to_owned(),
    };
    Ok(client.verify_authorization(ask).await?)
}

/// Refused with this reason.
async fn demand(client: &Client, jws: &str, reason: &str) -> Result<(), Failure> {
    let answer = verify(client, jws).await?;
    if (answer.verdict(), answer.reason.as_deref()) == (Verdict::Refused, Some(reason)) {
        return Ok(());
    }
    Err(Failure::new(format!("{answer:?}, must be {reason}")))
}

/// A JWS with its header and payload changed as text and its signature kept.
fn altered(jws: &str, header: (&str, &str), payload: (&str, &str)) -> String {
    let parts: Vec<&str> = jws.split('.').collect();
    let change = |part: &str, (from, to): (&str, &str)| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        base64url(text.replacen(from, to, 1))
    };
    let (header, payload) = (change(parts[0], header), change(parts[1], payload));
    format!("{header}.{payload}.{}", parts[2])
}

/// The same header and payload, signed by another key.
fn signed_by(key: &LocalKey, jws: &str) -> Result<String, Failure> {
    let input = jws.rsplit_once('.').unwrap().0;
    Ok(format!(
        "{input}.{}",
        base64url(key.sign_raw(input.as_bytes())?)
    ))
}

const SAME: (&str, &str) = ("", "");

#[tokio::test]
async fn payee_and_payer_are_told_valid_and_all_else_is_refused() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let mobilis = deployment.client("mobilis", Role::Payments).await?;
    let ask = v1::CosignOrderRequest {
        end_to_end_id: Some("E2E-1".into()),
        ..customer.asks(&order("12.99", "EUR")?)?
    };
    let cosigned = alfa.cosign_order(ask).await?;
    let jws = cosigned.authorization_jws.as_str();

    let at_beta = verify(&beta, jws).await?;
    assert_eq!(
        (at_beta.verdict(), &at_beta.reason),
        (Verdict::Valid, &None)
    );
    // Its own, at the payer's institution: the same, and the members are those of the payload.
    assert_eq!(verify(&alfa, jws).await?, at_beta);
    let payload: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap())?)?;
    let said = at_beta.authorization.clone().unwrap();
    let (amount, payee) = (said.amount.unwrap(), said.payee.unwrap());
    for (member, value) in [
        ("jti", &said.jti),
        ("iss", &said.iss),
        ("aud", &said.aud),
        ("order_sha256", &said.order_sha256),
        ("kind", &said.kind),
        ("channel", &said.channel),
        ("payer", &said.payer),
        ("policy", &said.policy),
        ("end_to_end_id", said.end_to_end_id.as_ref().unwrap()),
    ] {
        assert_eq!(payload[member], **value, "{member}");
    }
    assert_eq!(
        (payload["iat"].as_i64(), payload["exp"].as_i64()),
        (Some(said.iat), Some(said.exp))
    );
    assert_eq!(
        (amount.value.as_str(), amount.currency.as_str()),
        ("12.99", "EUR")
    );
    assert_eq!(
        (
            payee.institution.as_str(),
            payee.id.as_str(),
            payee.name.as_str()
        ),
        ("beta", "M-17", "Kiosk")
    );
    assert_eq!((said.offer_sha256, said.uetr), (None, None));

    // A third institution trusts alfa too, but is not spoken to.
    demand(&mobilis, jws, "NOT_FOR_CALLER").await?;
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = LocalKey::generate()?;
    let beta_header = own_header(&beta_authorization(&deployment).await?);
    let own = own_header(jws);
    for (case, reason) in [
        (
            format!("{input}.{flipped}{}", &signature[1..]),
            "BAD_SIGNATURE",
        ),
        (altered(jws, SAME, ("12.99", "99.99")), "BAD_SIGNATURE"),
        (altered(jws, SAME, ("Kiosk", "Thief")), "BAD_SIGNATURE"),
        (signed_by(&forged, jws)?, "BAD_SIGNATURE"),
        (
            altered(jws, (&own.1, &base64url([7; 32])), SAME),
            "UNKNOWN_CERTIFICATE",
        ),
        (
            altered(jws, (&own.0, &base64url([7; 32])), SAME),
            "KEY_MISMATCH",
        ),
        (
            format!("{}.{}", beta_header.2, jws.split_once('.').unwrap().1),
            "ISSUER_MISMATCH",
        ),
        (cosigned.order_jws.clone(), "MALFORMED"),
        (altered(jws, ("ES256", "none"), SAME), "MALFORMED"),
        (
            altered(jws, ("authorization-v1", "authorization-v2"), SAME),
            "MALFORMED",
        ),
        (altered(jws, SAME, ("\"kind\"", "\"sort\"")), "MALFORMED"),
        (altered(jws, SAME, ("{", "{\"iss\":\"beta\",")), "MALFORMED"),
        (format!("{jws}="), "MALFORMED"),
        (String::new(), "MALFORMED"),
        ("x".repeat(8_193), "MALFORMED"),
    ] {
        demand(&beta, &case, reason).await?;
    }
    // What could be parsed is shown with the refusal.
    let tampered = verify(&beta, &altered(jws, SAME, ("12.99", "99.99"))).await?;
    assert_eq!(
        tampered.authorization.unwrap().amount.unwrap().value,
        "99.99"
    );
    recheck(&mut deployment).await?;
    Ok(())
}

/// `kid`, `x5t#S256` and the whole header of a JWS.
fn own_header(jws: &str) -> (String, String, String) {
    let header = jws.split('.').next().unwrap();
    let read: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let text = |name: &str| read[name].as_str().unwrap().to_owned();
    (text("kid"), text("x5t#S256"), header.to_owned())
}

/// An authorization of beta's.
async fn beta_authorization(deployment: &Deployment) -> Result<String, Failure> {
    let issuer = deployment.client("mobilis", Role::Enrolment).await?;
    let customer = Customer::enrolled_by(&issuer).await?;
    customer
        .accepted_by(&deployment.client("beta", Role::Enrolment).await?)
        .await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let order = e2e::customer::order_from("beta", "1.00", "EUR")?;
    Ok(beta
        .cosign_order(customer.asks(&order)?)
        .await?
        .authorization_jws)
}

#[tokio::test]
async fn past_its_end_an_authorization_is_expired_and_no_less_genuine() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    deployment.load_next("policy", "alfa", 2, |text| {
        text.replace("acceptance_seconds = 60", "acceptance_seconds = 2")
    })?;
    let ask = customer.asks(&order("12.99", "EUR")?)?;
    let cosigned = alfa.cosign_order(ask.clone()).await?;
    let jws = cosigned.authorization_jws.as_str();
    let expired = until("the authorization's end", EXPIRY, async || {
        let answer = verify(&beta, jws).await?;
        Ok((answer.verdict() != Verdict::Valid).then_some(answer))
    })
    .await?;
    assert_eq!(
        (expired.verdict(), &expired.reason),
        (Verdict::Expired, &None)
    );
    let said = expired.authorization.clone().unwrap();
    assert_eq!(said.exp, said.iat + 2);
    assert!(e2e::deployment::unix_now()? >= said.exp);
    assert_eq!(verify(&alfa, jws).await?, expired);
    // Forged and late is forged.
    demand(
        &beta,
        &altered(jws, SAME, ("12.99", "99.99")),
        "BAD_SIGNATURE",
    )
    .await?;
    // What is done is answered for ever, its end passed or not.
    assert_eq!(alfa.cosign_order(ask).await?, cosigned);
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn the_trust_bundle_is_the_trust_document_unfolded() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let directory = deployment.directory();
    let id = "beta".parse().unwrap();
    for role in [
        Role::Enrolment,
        Role::Payments,
        Role::Custodian,
        Role::Auditor,
    ] {
        let client = deployment.client("beta", role).await?;
        let bundle = client
            .get_trust_bundle(v1::GetTrustBundleRequest {})
            .await?;
        assert_eq!(bundle.version, 1);
        assert_eq!(bundle.sha256, sha256(&fs::read(directory.trust(&id))?));
        let pem = |der: &[u8]| Certificate::from_der(der).unwrap().to_pem();
        let root = |hierarchy| fs::read_to_string(directory.root(hierarchy)).unwrap();
        assert_eq!(pem(&bundle.device_root), root(Hierarchy::Device));
        assert_eq!(pem(&bundle.signing_root), root(Hierarchy::Signing));
        let crl = fs::read(directory.root_crl(Hierarchy::Signing))?;
        assert_eq!(bundle.signing_root_crls, [crl]);
        let ids: Vec<_> = bundle
            .institutions
            .iter()
            .map(|i| i.institution.as_str())
            .collect();
        assert_eq!(ids, ["alfa", "beta"]);
        for trusted in &bundle.institutions {
            let id = trusted.institution.parse().unwrap();
            let chain = fs::read_to_string(directory.authorization_chain(&id))?;
            assert_eq!(trusted.chains.len(), 1);
            let sent = &trusted.chains[0].certificates;
            assert_eq!(sent.iter().map(|der| pem(der)).collect::<String>(), chain);
            assert_eq!(
                trusted.crls,
                [fs::read(directory.ca_crl(Hierarchy::Signing, &id))?]
            );
            let keys: Value = serde_json::from_str(&trusted.jwk_set)?;
            let keys = keys["keys"].as_array().unwrap();
            assert_eq!(keys.len(), 1);
            let standard = base64::engine::general_purpose::STANDARD;
            let x5c: Vec<String> = sent.iter().map(|der| standard.encode(der)).collect();
            assert_eq!(keys[0]["x5c"], serde_json::json!(x5c));
            assert_eq!(keys[0]["x5t#S256"], base64url(sha256(&sent[0])));
        }
    }
    // An institution that trusts itself alone from now on refuses alfa's; without any document it is told the way out.
    deployment.load_next("trust", "beta", 2, |text| {
        let second = text.match_indices("[[trusted]]").nth(1).unwrap().0;
        let first = text.find("[[trusted]]").unwrap();
        format!("{}{}", &text[..first], &text[second..])
    })?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let cosigned = alfa
        .cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    demand(&beta, &cosigned.authorization_jws, "UNKNOWN_CERTIFICATE").await?;
    assert_eq!(
        verify(&alfa, &cosigned.authorization_jws).await?.verdict(),
        Verdict::Valid
    );
    let bundle = beta.get_trust_bundle(v1::GetTrustBundleRequest {}).await?;
    assert_eq!((bundle.version, bundle.institutions.len()), (2, 1));
    // Beta's enrolment system verifies nothing.
    let enrolment = deployment.client("beta", Role::Enrolment).await?;
    let called = enrolment
        .verify_authorization(v1::VerifyAuthorizationRequest::default())
        .await;
    e2e::refusal::demand(called, Code::PermissionDenied, "ROLE_NOT_ALLOWED")?;
    recheck(&mut deployment).await?;
    Ok(())
}
