//! `semopsctl` typed by hand against the running service: from a request made with openssl to an authorization, its
//! verdict and a revocation; what it prints for people and for programs, and how it ends when it cannot do its work.

mod approval_token;
mod changes;
mod desk;
mod devices;
mod documents;
mod drills;
mod keys;
mod liar;
mod status;
mod trust_next;

use desk::{ALFA, ALFA_RA, BETA, Desk, MOBILIS};
use e2e::{
    deployment::Deployment, failure::Failure, phone::pseudonym, recheck::recheck, story::QR,
};
use serde_json::Value;
use softhsm_setup::scheme::Role;

#[tokio::test]
async fn a_payment_by_hand_with_a_key_that_openssl_made() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let terminal = &desk.terminal;
    std::fs::create_dir(terminal.path("phone"))?;
    terminal
        .openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out phone/key.pem")?;
    terminal.openssl("req -new -key phone/key.pem -subj /CN=mine -out phone/csr.pem")?;
    let enroll = format!(
        "enroll --csr phone/csr.pem --subscriber {} --out phone/chain.pem",
        pseudonym()
    );
    let enrolled = desk.json(MOBILIS, &enroll, 0)?;
    let id = enrolled["device_id"].as_str().unwrap();
    let said = terminal.openssl("x509 -in phone/chain.pem -noout -subject -serial")?;
    assert!(
        said.contains(id) && said.contains(enrolled["serial_number"].as_str().unwrap()),
        "{said}"
    );
    assert_eq!(desk.json(MOBILIS, &enroll, 0)?, enrolled);

    let accepted = desk.json(
        ALFA_RA,
        &format!("accept --device {id} --account {}", pseudonym()),
        0,
    )?;
    assert_eq!(
        (&accepted["status"], &accepted["issued"]),
        (&Value::from("ACTIVE"), &Value::Null)
    );
    assert_eq!(accepted["assurance"], "SOFTWARE_KEY_UNATTESTED");

    terminal.write("qr.txt", QR)?;
    let order = desk.json(
        None,
        "phone order --phone phone --payer-institution alfa --to beta --channel real_pos --emv-qr qr.txt --out order.jws",
        0,
    )?;
    let jti = order["jti"].as_str().unwrap();
    let cosign = "cosign --order order.jws --end-to-end-id INV-7 --out authorization.jws";
    let cosigned = desk.json(ALFA, cosign, 0)?;
    assert_eq!(
        (&cosigned["jti"], &cosigned["device_id"]),
        (&order["jti"], &enrolled["device_id"])
    );
    assert_eq!(desk.json(ALFA, cosign, 0)?, cosigned);
    assert_eq!(
        terminal.read("authorization.jws")?,
        cosigned["authorization_jws"].as_str().unwrap().as_bytes()
    );

    let asked = format!("authorization --device {id} --order-id {jti}");
    let state = desk.json(ALFA, &asked, 0)?;
    assert_eq!(
        (&state["state"], &state["authorization_jws"]),
        (&Value::from("AUTHORIZED"), &cosigned["authorization_jws"])
    );
    let verdict = desk.json(BETA, "verify --authorization authorization.jws", 0)?;
    assert_eq!(
        (
            &verdict["verdict"],
            &verdict["authorization"]["end_to_end_id"]
        ),
        (&"VALID".into(), &"INV-7".into())
    );
    assert_eq!(verdict["authorization"]["amount"]["value"], "23.72");
    let third = Some(("mobilis", Role::Payments));
    let refused = desk.json(third, "verify --authorization authorization.jws", 4)?;
    assert_eq!(
        (&refused["verdict"], &refused["reason"]),
        (&"REFUSED".into(), &"NOT_FOR_CALLER".into())
    );

    the_rest_of_its_life(&desk, id)?;
    recheck(&mut deployment).await?;
    Ok(())
}

/// What verifiers look up, and the end of the phone.
fn the_rest_of_its_life(desk: &Desk<'_>, id: &str) -> Result<(), Failure> {
    let terminal = &desk.terminal;
    let trust = desk.json(BETA, "trust --out trust", 0)?;
    assert_eq!(trust["institutions"][0]["institution"], "alfa");
    assert_eq!(
        terminal.openssl("verify -CAfile trust/signing-root.pem -untrusted trust/alfa-signing-chain.pem trust/alfa-signing-chain.pem")?,
        "trust/alfa-signing-chain.pem: OK\n"
    );
    let revoked = desk.json(
        MOBILIS,
        &format!("revoke --device {id} --reason key-compromise"),
        0,
    )?;
    assert_eq!(
        (&revoked["status"], &revoked["issued"]["revocation_reason"]),
        (&"REVOKED".into(), &"KEY_COMPROMISE".into())
    );
    assert_eq!(
        desk.json(ALFA, &format!("device --device {id}"), 0)?["status"],
        "REVOKED"
    );
    desk.json(ALFA_RA, &format!("release --device {id}"), 0)?;
    let auditor = Some(("beta", Role::Auditor));
    let crl = desk.json(
        auditor,
        "crl --authority device-ca --institution mobilis --out device-ca.crl",
        0,
    )?;
    let said = terminal.openssl("crl -in device-ca.crl -inform DER -noout -crlnumber")?;
    assert_eq!(
        said,
        format!("crlNumber=0x{:02X}\n", crl["crl_number"].as_u64().unwrap())
    );
    Ok(())
}

#[tokio::test]
async fn people_read_lines_and_every_error_names_the_way_out() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let new = desk.types(None, "phone new --out phone")?;
    assert!(new.succeeded() && new.out.contains("csr.pem"), "{new:?}");
    let enroll = format!(
        "enroll --csr phone/csr.pem --subscriber {} --out phone/chain.pem",
        pseudonym()
    );
    let said = desk.types(MOBILIS, &enroll)?;
    assert!(
        said.succeeded() && said.out.starts_with("enrolled "),
        "{said:?}"
    );
    assert!(said.out.contains("next "), "{said:?}");
    let id = desk.json(MOBILIS, &enroll, 0)?["device_id"]
        .as_str()
        .unwrap()
        .to_owned();

    desk.terminal
        .openssl("req -new -newkey rsa:2048 -nodes -keyout k -subj /CN=a -out rsa.pem")?;
    let order = "phone order --phone phone --payer-institution alfa --to beta --channel p2p --payee-id 1 --payee-name K --amount 1.00 --currency EUR --out order.jws";
    desk.json(None, order, 0)?;
    desk.terminal.write("junk", "junk")?;
    refusals_name_the_way_out(&desk, &id)?;
    // What the command line itself cannot read.
    for line in [
        "",
        "enrol",
        "enroll --csr phone/csr.pem",
        "revoke --device x --reason boredom",
        "crl --authority device-ca --out x",
        "devices",
        "policy",
        "policy diff",
        "completions csh",
    ] {
        let said = desk.types(MOBILIS, line)?;
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        let error = &desk.json(MOBILIS, line, 2)?["error"];
        assert_eq!(error["kind"], "usage", "{line}: {error}");
        let way_out = error["way_out"].as_str().unwrap_or_default();
        assert!(way_out.contains("--help"), "{line}: {error}");
    }
    recheck(&mut deployment).await?;
    // Nobody listens any more.
    deployment.stop().await?;
    let desk = Desk::new(&deployment)?;
    let error = &desk.json(MOBILIS, &format!("device --device {id}"), 3)?["error"];
    assert_eq!(error["kind"], "unreachable", "{error}");
    assert!(
        !error["way_out"].as_str().unwrap_or_default().is_empty(),
        "{error}"
    );
    Ok(())
}

/// The caller, the line, the exit code, kind and reason for programs.
type Refused = (
    Option<(&'static str, Role)>,
    String,
    i32,
    &'static str,
    &'static str,
);

fn refused(id: &str) -> Vec<Refused> {
    vec![
        (
            MOBILIS,
            format!("enroll --csr rsa.pem --subscriber {}", pseudonym()),
            1,
            "refused",
            "KEY_NOT_ACCEPTABLE",
        ),
        (
            MOBILIS,
            "enroll --csr phone/csr.pem --subscriber 12".to_owned(),
            1,
            "refused",
            "INVALID_FIELD",
        ),
        (
            MOBILIS,
            format!("enroll --csr phone/csr.pem --subscriber {}", pseudonym()),
            1,
            "refused",
            "REQUEST_CONFLICT",
        ),
        (
            ALFA,
            "cosign --order order.jws".to_owned(),
            1,
            "refused",
            "DEVICE_NOT_ACCEPTED",
        ),
        (
            ALFA,
            format!("accept --device {id} --account {}", pseudonym()),
            1,
            "refused",
            "ROLE_NOT_ALLOWED",
        ),
        (
            ALFA_RA,
            format!("device --device {id}"),
            1,
            "refused",
            "DEVICE_NOT_FOUND",
        ),
        (
            ALFA_RA,
            format!("revoke --device {id} --reason superseded"),
            1,
            "refused",
            "DEVICE_NOT_FOUND",
        ),
        (
            MOBILIS,
            "enroll --csr no-such-file --subscriber x".to_owned(),
            2,
            "usage",
            "",
        ),
        (
            MOBILIS,
            "enroll --csr junk --subscriber x".to_owned(),
            2,
            "usage",
            "",
        ),
        (None, format!("device --device {id}"), 2, "usage", ""),
        (
            None,
            format!("device --profile junk --device {id}"),
            2,
            "usage",
            "",
        ),
        (None, "phone new --out phone".to_owned(), 2, "usage", ""),
    ]
}

fn refusals_name_the_way_out(desk: &Desk<'_>, id: &str) -> Result<(), Failure> {
    for (caller, line, code, kind, reason) in refused(id) {
        desk.refused(caller, &line, code, kind, reason)?;
    }
    Ok(())
}
