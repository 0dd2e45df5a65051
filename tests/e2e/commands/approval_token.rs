//! An approval key that was generated in a PKCS#11 token and never leaves it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
};
use semops_pki::algorithm::PublicKey;
use serde_json::{Value, json};
use softhsm_setup::scheme::Scheme;

use super::{
    changes::{Person, id},
    desk::{ALFA_SECURITY, Desk},
};

const PIN: &str = "24680";

#[tokio::test]
async fn a_key_in_a_token_approves() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let scheme = Scheme::parse(Scheme::EXAMPLE)?;
    let module = scheme.module().display().to_string();
    let public = new_token(&desk, &module)?;
    registered(&deployment, &desk, &public)?;
    let ceremony = Person::new(&deployment, &desk, "boris-chan")?.ceremony;
    let with = |pin: &str, key: &str| {
        format!(
            "change propose suspend-key authorization --ceremony {ceremony} --yes --approval-token anna --module {module} \
             --pin-file {pin} --key-label {key}"
        )
    };
    let configuration = desk.terminal.path("softhsm2.conf");
    let token = desk.within("SOFTHSM2_CONF", configuration.as_os_str());
    for (pin, key, said) in [
        ("pin", "other", "0 private keys in the token have the label"),
        ("wrong", "approval", "C_Login"),
    ] {
        let refused = token.json(ALFA_SECURITY, &with(pin, key), 2)?;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
    }
    let suspended = token.json(ALFA_SECURITY, &with("pin", "approval"), 0)?;
    assert_eq!(
        (&suspended["state"], &suspended["approved"]),
        (&json!("EXECUTED"), &json!(["anna-berg"]))
    );
    recheck(&mut deployment).await?;
    Ok(())
}

/// A token of anna's own with a key generated in it; gives the public half.
fn new_token(desk: &Desk<'_>, module: &str) -> Result<PublicKey, Failure> {
    let folder = desk.terminal.path("tokens");
    fs::create_dir(&folder)?;
    let configuration = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        folder.display()
    );
    desk.terminal.write("softhsm2.conf", configuration)?;
    for (name, pin) in [("pin", PIN), ("wrong", "13579")] {
        desk.terminal.write(name, format!("{pin}\n"))?;
        let mine = fs::Permissions::from_mode(0o600);
        fs::set_permissions(desk.terminal.path(name), mine)?;
    }
    let mut process = Command::new(&programs::ours(Watched::No)?.softhsm_setup)
        .arg("token")
        .env("SOFTHSM2_CONF", desk.terminal.path("softhsm2.conf"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let requests = [
        json!({"initialise": {"module": module, "label": "anna", "so_pin": "97531", "pin": PIN}}),
        json!({"generate": {"label": "approval"}}),
    ];
    let mut input = process.stdin.take().unwrap();
    for request in requests {
        writeln!(input, "{request}")?;
    }
    drop(input);
    let replies = BufReader::new(process.stdout.take().unwrap()).lines();
    let replies: Vec<String> = replies.collect::<Result<_, _>>()?;
    assert!(process.wait()?.success(), "{replies:?}");
    let key: Value = serde_json::from_str(&replies[1])?;
    let point = key["key"]["point"].as_str().unwrap();
    let point = URL_SAFE_NO_PAD
        .decode(point)
        .map_err(Failure::during("the point"))?;
    Ok(PublicKey::from_sec1(&point)?)
}

/// Puts the key into the register in place of anna's first.
fn registered(deployment: &Deployment, desk: &Desk<'_>, public: &PublicKey) -> Result<(), Failure> {
    let alfa = "alfa".parse().map_err(Failure::during("alfa"))?;
    let register = fs::read_to_string(deployment.directory().custodians(&alfa))?;
    let mut register: toml::Table = register.parse()?;
    register.insert("version".to_owned(), 2.into());
    let persons = register["custodian"].as_array_mut().unwrap();
    let anna = persons
        .iter_mut()
        .find(|person| person["person"].as_str() == Some("anna-berg"));
    let keys = vec![toml::Value::from(public.to_spki_pem())];
    let anna = anna.unwrap().as_table_mut().unwrap();
    anna.insert("approval_keys".to_owned(), keys.into());
    desk.terminal
        .write("custodians-2.toml", register.to_string())?;
    let boris = Person::new(deployment, desk, "boris-chan")?;
    let chloe = Person::new(deployment, desk, "chloe-diaz")?;
    let proposed = boris.signs("propose custodians custodians-2.toml", 0)?;
    let approved = chloe.signs(&format!("approve {}", id(&proposed)), 0)?;
    assert_eq!(approved["state"], "EXECUTED");
    Ok(())
}
