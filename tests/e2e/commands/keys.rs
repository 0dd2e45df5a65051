//! `keys`: what a security team and its auditors see of their keys, and openssl of what is saved.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
};
use semops_objects::AuthorizationJws;
use serde_json::{Value, json};
use softhsm_setup::scheme::Role;

use super::desk::{ALFA, ALFA_AUDIT, ALFA_RA, ALFA_SECURITY, Desk};

const PURPOSES: [&str; 3] = ["DEVICE_CA", "SIGNING_CA", "AUTHORIZATION"];

#[tokio::test]
async fn keys_are_listed_shown_and_saved_as_openssl_reads_them() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let customer = Customer::of_alfa(&deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let mut kid = String::new();
    for value in ["1.00", "2.00"] {
        let answer = alfa
            .cosign_order(customer.asks(&order(value, "EUR")?)?)
            .await?;
        let jws = AuthorizationJws::parse(&answer.authorization_jws)?;
        kid = URL_SAFE_NO_PAD.encode(jws.kid());
    }
    let desk = Desk::new(&deployment)?;
    let keys = desk.json(ALFA_AUDIT, "keys", 0)?;
    let keys = keys["keys"].as_array().unwrap();
    let purposes: Vec<&Value> = keys.iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes, PURPOSES);
    for key in keys {
        assert_eq!(key["state"], "ACTIVE", "{key}");
        assert_eq!(key["attributes"]["CKA_EXTRACTABLE"], json!(false), "{key}");
        assert_eq!(key["attributes"]["CKA_SENSITIVE"], json!(true), "{key}");
    }
    // It signed the two authorizations, and its id is the kid in them.
    assert_eq!(
        (&keys[2]["key_id"], &keys[2]["signatures"]),
        (&json!(kid), &json!(2))
    );

    let said = desk.table(ALFA_SECURITY, "keys", 0)?;
    assert!(said.starts_with("PURPOSE        STATE   KEY  "), "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with("AUTHORIZATION  ACTIVE  "));
    assert!(
        line.is_some_and(|line| line.ends_with("       2")),
        "{said}"
    );
    saved(&desk, &keys[2])?;
    refusals(&desk, &kid)?;
    created(&desk)?;
    recheck(&mut deployment).await?;
    Ok(())
}

/// One key by purpose, id and the beginning of its id; its files by openssl.
fn saved(desk: &Desk<'_>, listed: &Value) -> Result<(), Failure> {
    let id = listed["key_id"].as_str().unwrap();
    let shown = desk.json(
        ALFA_SECURITY,
        "keys show authorization --out authorization",
        0,
    )?;
    for (member, value) in listed.as_object().unwrap() {
        assert_eq!(&shown[member], value, "{member}");
    }
    assert_eq!(shown["saved_to"], "authorization");
    for wanted in [id, &id[..20]] {
        // An id may begin with a hyphen.
        let same = desk.json(ALFA_AUDIT, &format!("keys show {wanted}"), 0)?;
        assert_eq!(same["key_id"], id);
    }
    let said = desk.table(ALFA_SECURITY, "keys show device-ca", 0)?;
    for expected in [
        "\npurpose      DEVICE_CA\n",
        "\nCKA_EXTRACTABLE  ",
        "\n-----BEGIN PUBLIC KEY-----\n",
        "O = alfa, CN = ",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }

    let terminal = &desk.terminal;
    let public = String::from_utf8(terminal.read("authorization/public-key.pem")?)?;
    assert_eq!(shown["public_key"], public);
    assert_eq!(
        terminal.openssl("x509 -in authorization/chain.pem -noout -pubkey")?,
        public
    );
    let read = terminal.openssl("pkey -pubin -in authorization/public-key.pem -noout -text")?;
    assert!(read.contains("NIST CURVE: P-256"), "{read}");
    desk.json(ALFA_AUDIT, "trust --out trust", 0)?;
    assert_eq!(
        terminal.openssl("verify -CAfile trust/signing-root.pem -untrusted authorization/chain.pem authorization/chain.pem")?,
        "authorization/chain.pem: OK\n"
    );
    Ok(())
}

/// New keys, one for each folder, with what comes next of each.
fn created(desk: &Desk<'_>) -> Result<(), Failure> {
    let create = |purpose: &str| format!("keys create --purpose {purpose} --out new/{purpose}");
    let terminal = &desk.terminal;
    let made = desk.json(ALFA_SECURITY, &create("authorization"), 0)?;
    assert_eq!(made["state"], "PRE_ACTIVATION");
    assert_eq!(made["certification_request"], Value::Null);
    let chain = "new/authorization/chain.pem";
    assert_eq!(
        terminal.openssl(&format!(
            "verify -CAfile trust/signing-root.pem -untrusted {chain} {chain}"
        ))?,
        format!("{chain}: OK\n")
    );
    // The folder remembers what was asked for.
    let again = desk.json(ALFA_SECURITY, &create("authorization"), 0)?;
    assert_eq!(again, made);

    let said = desk.table(ALFA_SECURITY, &create("device-ca"), 0)?;
    let request = "new/device-ca/request.pem";
    assert!(
        said.contains(&format!("softhsm-setup certify DIR {request}")),
        "{said}"
    );
    let read = terminal.openssl(&format!("req -verify -in {request} -noout -subject"))?;
    assert!(read.contains("O = alfa, CN = device CA "), "{read}");
    // The first key of a purpose follows none: it is added.
    for purpose in ["ocsp", "audit", "statement"] {
        let said = desk.table(ALFA_SECURITY, &create(purpose), 0)?;
        assert!(said.contains("semopsctl change propose add-key"), "{said}");
        let leaf = format!("new/{purpose}/chain.pem");
        let read = terminal.openssl(&format!("x509 -in {leaf} -noout -subject"))?;
        assert_eq!(read, format!("subject=O = alfa, CN = {purpose}\n"));
        let plan = desk.json(ALFA_SECURITY, &format!("keys rotate {purpose}"), 0)?;
        assert_eq!(
            (&plan["signing"], &plan["verifiers"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(
            (&plan["next_key"], &plan["steps"][0]["state"]),
            (
                &desk.json(ALFA_SECURITY, &create(purpose), 0)?["key_id"],
                &json!("done")
            )
        );
        let propose = format!("add-key {purpose} --certificate");
        assert!(
            plan["steps"][1]["who"].as_str().unwrap().contains(&propose),
            "{plan}"
        );
    }
    let listed = desk.table(ALFA_AUDIT, "keys", 0)?;
    let waits = |purpose: &str| {
        let mut lines = listed.lines().filter(|line| line.starts_with(purpose));
        lines.any(|line| line.contains("PRE_ACTIVATION"))
    };
    assert!(
        waits("AUTHORIZATION") && waits("DEVICE_CA") && !waits("SIGNING_CA") && waits("OCSP"),
        "{listed}"
    );

    desk.refused(
        ALFA_AUDIT,
        &create("signing-ca"),
        1,
        "refused",
        "ROLE_NOT_ALLOWED",
    )?;
    let other = "keys create --purpose signing-ca --out new/device-ca";
    desk.refused(ALFA_SECURITY, other, 1, "refused", "KEY_REQUEST_CONFLICT")?;
    Ok(())
}

fn refusals(desk: &Desk<'_>, kid: &str) -> Result<(), Failure> {
    for caller in [ALFA, ALFA_RA] {
        for line in ["keys", &format!("keys show {kid}")] {
            desk.refused(caller, line, 1, "refused", "ROLE_NOT_ALLOWED")?;
        }
    }
    // Another institution's key does not exist.
    let beta = Some(("beta", Role::Auditor));
    let unknown = "A".repeat(43);
    for (caller, id) in [(beta, kid), (ALFA_AUDIT, &unknown)] {
        let line = format!("keys show {id}");
        let told = desk.refused(caller, &line, 1, "refused", "KEY_NOT_FOUND")?;
        let way_out = told["way_out"].as_str().unwrap();
        assert!(way_out.contains("`semopsctl keys`"), "{way_out}");
    }
    desk.refused(ALFA_AUDIT, "keys show root-ca", 2, "usage", "")?;
    Ok(())
}
