//! `trust next`: the document that custodians put in force for the rotation of another institution's key.

use std::fs;

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck};
use semops_objects::{TrustDocument, key::KeyId};
use semops_pki::certificate::Certificate;
use serde_json::{Value, json};
use softhsm_setup::scheme::Role;

use super::desk::{ALFA_AUDIT, ALFA_SECURITY, Caller, Desk};

const BETA_SECURITY: Caller = Some(("beta", Role::Custodian));

/// The keys whose authorizations of alfa's a document believes.
fn believed(deployment: &Deployment, text: &str) -> Result<Vec<String>, Failure> {
    let document = TrustDocument::parse(text.as_bytes(), deployment.scheme().oids())?;
    let mut all = document.trusted().iter();
    let alfa = all.find(|trusted| trusted.institution().as_str() == "alfa");
    let cas = alfa.unwrap().signing_cas().iter();
    let leaves = cas.flat_map(|ca| ca.authorization_certificates());
    Ok(leaves
        .map(|leaf| KeyId::of(leaf.public_key()).to_string())
        .collect())
}

#[tokio::test]
async fn the_next_trust_document_has_one_certificate_more_or_less() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let text = |name: &str| Ok::<_, Failure>(String::from_utf8(desk.terminal.read(name)?)?);
    let key = |chain: &str| {
        let chain = Certificate::chain_from_pem(&text(chain)?)?;
        Ok::<_, Failure>(KeyId::of(chain[0].public_key()).to_string())
    };
    desk.json(ALFA_AUDIT, "keys show authorization --out old", 0)?;
    let create = "keys create --purpose authorization --out new";
    desk.json(ALFA_SECURITY, create, 0)?;
    let (old, new) = (key("old/chain.pem")?, key("new/chain.pem")?);

    // One more, and then the old one less: what is left is what there was, but for that and the version.
    let first = fs::read_to_string(
        deployment
            .directory()
            .path()
            .join("documents/beta-trust.toml"),
    )?;
    let next = |more: &str| format!("trust next --of alfa {more}");
    let told = desk.json(BETA_SECURITY, &next("--add new/chain.pem --out 2.toml"), 0)?;
    assert_eq!(
        (&told["version"], &told["added"], &told["retired"]),
        (&json!(2), &json!(new), &Value::Null)
    );
    let both = text("2.toml")?;
    assert_eq!(believed(&deployment, &both)?, [new.clone(), old.clone()]);
    let pem = Certificate::chain_from_pem(&text("new/chain.pem")?)?[0].to_pem();
    let less = both.replacen(&format!("\n\"\"\"\n{pem}\"\"\","), "", 1);
    assert_eq!(less.replacen("version = 2", "version = 1", 1), first);

    deployment.load("trust", &desk.terminal.path("2.toml"))?;
    let retire = next(&format!("--retire {old} --out 3.toml"));
    let told = desk.json(BETA_SECURITY, &retire, 0)?;
    assert_eq!(
        (&told["version"], &told["retired"]),
        (&json!(3), &json!(old))
    );
    assert_eq!(believed(&deployment, &text("3.toml")?)?, [&*new]);
    deployment.load("trust", &desk.terminal.path("3.toml"))?;
    refused(&desk, &old, &new)?;
    recheck(&mut deployment).await?;
    deployment.stop().await
}

/// What nobody can mean, with the reason; nothing is written.
fn refused(desk: &Desk<'_>, old: &str, new: &str) -> Result<(), Failure> {
    for (line, why) in [
        (
            format!("--of alfa --retire {new}"),
            "it is the only one of alfa",
        ),
        (
            format!("--of alfa --retire {old}"),
            "it has no certificate of a key",
        ),
        (
            "--of alfa --add new/chain.pem".to_owned(),
            "has the certificate already",
        ),
        (
            "--of beta --add new/chain.pem".to_owned(),
            "not one of beta",
        ),
        (
            "--of gamma --add new/chain.pem".to_owned(),
            "does not trust gamma",
        ),
    ] {
        let line = format!("trust next {line} --out not.toml");
        let told = desk.refused(BETA_SECURITY, &line, 2, "usage", "")?;
        let message = told["message"].as_str().unwrap_or_default();
        assert!(message.contains(why), "{told}");
    }
    assert!(!desk.terminal.path("not.toml").exists());
    Ok(())
}
