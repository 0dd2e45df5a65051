//! What CosignOrder gives: an authorization with just the members that it must have, verified by a JOSE library and by
//! openssl; the bank's own references in it and in what makes two calls the same; the policy that it names.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    recheck::recheck,
    refusal::demand,
    terminal::Terminal,
};
use semops_objects::{AuthorizationJws, Order, offer};
use semops_pki::algorithm::sha256;
use semops_proto::{client::Client, v1};
use serde_json::{Value, json};
use softhsm_setup::scheme::Role;
use tonic::Code;

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a verifier at beta holds, as files, and an authorization for beta.
async fn lay_out(terminal: &Terminal, beta: &Client, authorization: &str) -> Result<(), Failure> {
    let bundle = beta.get_trust_bundle(v1::GetTrustBundleRequest {}).await?;
    let alfa = bundle
        .institutions
        .iter()
        .find(|trusted| trusted.institution == "alfa")
        .unwrap();
    terminal.write("jwks.json", &alfa.jwk_set)?;
    terminal.write("authorization.jws", authorization)?;
    terminal.write_chain("root.pem", std::slice::from_ref(&bundle.signing_root))?;
    terminal.write("root.crl", &bundle.signing_root_crls[0])?;
    terminal.write("ca.crl", &alfa.crls[0])
}

/// Header and claims, verified by jwcrypto with the JWK Set alone, whose chains openssl has led to the signing root.
fn verified(terminal: &Terminal) -> Result<(Value, Value), Failure> {
    const SCRIPT: &str = include_str!("verify_with_jwk_set.py");
    let said = terminal.run(programs::python()?.args(["-c", SCRIPT]))?;
    if !said.succeeded() {
        return Err(Failure::new(said.err));
    }
    let read: Value = serde_json::from_str(&said.out)?;
    // A key's id may begin with a hyphen.
    let chain = format!("./{}.pem", read["header"]["kid"].as_str().unwrap());
    let line = format!(
        "verify -x509_strict -crl_check_all -CAfile root.pem -untrusted {chain} -CRLfile root.crl -CRLfile ca.crl {chain}"
    );
    assert_eq!(terminal.openssl(&line)?, format!("{chain}: OK\n"));
    Ok((read["header"].clone(), read["claims"].clone()))
}

/// The names of the members of a JWS's payload, in the order in which they stand.
fn names(compact: &str) -> Vec<String> {
    let payload = URL_SAFE_NO_PAD
        .decode(compact.split('.').nth(1).unwrap())
        .unwrap();
    let text = String::from_utf8(payload).unwrap();
    let object: Value = serde_json::from_str(&text).unwrap();
    let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    names.sort_by_key(|name| text.find(&format!("\"{name}\":")));
    names
}

#[tokio::test]
async fn an_authorization_has_the_members_of_its_kind_and_strangers_verify_it()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let policy = std::fs::read(deployment.directory().policy(&"alfa".parse().unwrap()))?;

    let ordered = Order {
        offer_sha256: Some(offer::sha256(b"one coffee")),
        ..order("12.99", "EUR")?
    };
    let ask = v1::CosignOrderRequest {
        end_to_end_id: Some("INV/2031-(7)".into()),
        uetr: Some("8a562c67-ca16-48ba-b074-65581be6f001".into()),
        ..customer.asks(&ordered)?
    };
    let before = unix_now()?;
    let answer = alfa.cosign_order(ask.clone()).await?;
    let after = unix_now()?;
    assert_eq!(answer.device_id, customer.device_id());
    assert_eq!(answer.jti, ordered.jti.to_string());
    assert_eq!(answer.order_jws, ask.order_jws);

    let terminal = Terminal::new()?;
    lay_out(&terminal, &beta, &answer.authorization_jws).await?;
    let (header, claims) = verified(&terminal)?;
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["typ"], "semops-authorization-v1+jwt");
    assert_eq!(header.as_object().unwrap().len(), 4, "{header}");
    let iat = claims["iat"].as_i64().unwrap();
    assert!((before..=after).contains(&iat), "{iat} is not now");
    // Each of these is random and stands in no one else's hands before: form only.
    let (jti, payer) = (
        claims["jti"].as_str().unwrap(),
        claims["payer"].as_str().unwrap(),
    );
    assert_ne!(jti, answer.jti);
    uuid::Uuid::try_parse(jti)?;
    assert_eq!(URL_SAFE_NO_PAD.decode(payer)?.len(), 16);
    let expected = json!({
        "jti": jti,
        "iat": iat,
        "exp": iat + 60,
        "iss": "alfa",
        "aud": "beta",
        "order_sha256": base64url(sha256(answer.order_jws.as_bytes())),
        "kind": "payment",
        "channel": "real_pos",
        "amount": {"value": "12.99", "currency": "EUR"},
        "payee": {"institution": "beta", "id": "M-17", "name": "Kiosk"},
        "offer_sha256": base64url(sha256(b"one coffee")),
        "payer": payer,
        "end_to_end_id": "INV/2031-(7)",
        "uetr": "8a562c67-ca16-48ba-b074-65581be6f001",
        "policy": base64url(sha256(&policy)),
    });
    assert_eq!(claims, expected);
    let all = "jti iat exp iss aud order_sha256 kind channel amount payee offer_sha256 payer end_to_end_id uetr policy";
    assert_eq!(names(&answer.authorization_jws).join(" "), all);

    // What may be absent is absent; the payer has another pseudonym.
    let plain = alfa
        .cosign_order(customer.asks(&order("1", "JPY")?)?)
        .await?;
    let must = "jti iat exp iss aud order_sha256 kind channel amount payee payer policy";
    assert_eq!(names(&plain.authorization_jws).join(" "), must);
    terminal.write("authorization.jws", &plain.authorization_jws)?;
    let (_, second) = verified(&terminal)?;
    assert_eq!(second["amount"], json!({"value": "1", "currency": "JPY"}));
    assert_ne!(second["payer"], claims["payer"]);
    for secret in [
        customer.device_id(),
        customer.account.clone(),
        customer.subscriber.clone(),
        base64url(customer.phone.kid()?),
    ] {
        assert!(
            !claims.to_string().contains(&secret),
            "{secret} identifies the payer"
        );
    }
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

#[tokio::test]
async fn the_same_content_gives_the_same_bytes_and_other_content_is_refused() -> Result<(), Failure>
{
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let ordered = order("10.00", "EUR")?;
    let first = v1::CosignOrderRequest {
        end_to_end_id: Some("E2E-1".into()),
        uetr: Some("8a562c67-ca16-48ba-b074-65581be6f001".into()),
        ..customer.asks(&ordered)?
    };
    // Many at once, each signed anew by the phone: one outcome, and it names the order that was recorded.
    let mut calls = tokio::task::JoinSet::new();
    let mut sent = vec![first.clone()];
    for _ in 0..15 {
        sent.push(v1::CosignOrderRequest {
            order_jws: customer.phone.sign(&ordered)?,
            ..first.clone()
        });
    }
    for ask in sent.clone() {
        let alfa = alfa.clone();
        calls.spawn(async move { alfa.cosign_order(ask).await });
    }
    let answers: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert!(sent.iter().any(|ask| ask.order_jws == answers[0].order_jws));
    let order_sha256 = AuthorizationJws::parse(&answers[0].authorization_jws)?
        .authorization()
        .order_sha256;
    assert_eq!(order_sha256, sha256(answers[0].order_jws.as_bytes()));

    let references = |end_to_end_id: Option<&str>, uetr: Option<&str>| v1::CosignOrderRequest {
        end_to_end_id: end_to_end_id.map(str::to_owned),
        uetr: uetr.map(str::to_owned),
        ..first.clone()
    };
    let (e2e, uetr) = (first.end_to_end_id.as_deref(), first.uetr.as_deref());
    let mut others = vec![
        references(None, uetr),
        references(e2e, None),
        references(None, None),
        references(Some("E2E-2"), uetr),
        references(e2e, Some("8a562c67-ca16-48ba-b074-65581be6f002")),
    ];
    for changed in [
        Order {
            exp: ordered.exp - 1,
            ..ordered.clone()
        },
        Order {
            offer_sha256: Some([1; 32]),
            ..ordered.clone()
        },
        Order {
            amount: order("10.01", "EUR")?.amount,
            ..ordered.clone()
        },
    ] {
        let order_jws = customer.phone.sign(&changed)?;
        others.push(v1::CosignOrderRequest {
            order_jws,
            ..first.clone()
        });
    }
    for ask in others {
        demand(
            alfa.cosign_order(ask).await,
            Code::AlreadyExists,
            "ORDER_CONFLICT",
        )?;
    }
    assert_eq!(alfa.cosign_order(first.clone()).await?, answers[0]);

    // Another customer's order may have the same `jti`: the key is theirs together.
    let other = Customer::of_alfa(&deployment).await?;
    let same_id = Order {
        jti: ordered.jti,
        ..order("20.00", "EUR")?
    };
    let theirs = alfa.cosign_order(other.asks(&same_id)?).await?;
    assert_eq!(theirs.jti, answers[0].jti);
    assert_ne!(theirs.authorization_jws, answers[0].authorization_jws);

    deployment.restart().await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    assert_eq!(alfa.cosign_order(first).await?, answers[0]);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 2);
    Ok(())
}

#[tokio::test]
async fn a_new_policy_beside_the_running_server_rules_the_next_request() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let claims = |answer: &v1::CosignOrderResponse| -> Result<(u64, String), Failure> {
        let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
        let authorization = jws.authorization();
        Ok((
            authorization.exp - authorization.iat,
            base64url(authorization.policy),
        ))
    };
    let id = "alfa".parse().unwrap();
    let first = std::fs::read(deployment.directory().policy(&id))?;
    let under_first = alfa
        .cosign_order(customer.asks(&order("10.00", "EUR")?)?)
        .await?;
    assert_eq!(claims(&under_first)?, (60, base64url(sha256(&first))));

    for (version, seconds) in [(2, 120_u64), (3, 600)] {
        deployment.load_next("policy", "alfa", version, |text| {
            text.replace(
                "acceptance_seconds = 60",
                &format!("acceptance_seconds = {seconds}"),
            )
        })?;
        let file = format!("documents/alfa-policy-{version}.toml");
        let loaded = std::fs::read(deployment.directory().path().join(file))?;
        let answer = alfa
            .cosign_order(customer.asks(&order("10.00", "EUR")?)?)
            .await?;
        assert_eq!(claims(&answer)?, (seconds, base64url(sha256(&loaded))));
    }
    // Beta's policy is its own.
    customer
        .accepted_by(&deployment.client("beta", Role::Enrolment).await?)
        .await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let ordered = e2e::customer::order_from("beta", "10.00", "EUR")?;
    let at_beta = beta.cosign_order(customer.asks(&ordered)?).await?;
    assert_eq!(claims(&at_beta)?.0, 60);
    assert_eq!(recheck(&mut deployment).await?.authorizations, 4);
    Ok(())
}
