//! The scheme's custodians rule its roots: with their quorum's change file and SIGHUP a second root comes into force,
//! and nothing that is not theirs changes what a service relies on.

mod attacks;
mod desk;
mod replicas;
pub(crate) mod revoked;

use std::{fs, path::Path, time::Duration};

use e2e::{
    deployment::Deployment, failure::Failure, recheck::recheck, terminal::Said, until::until,
};
use rustix::process::Signal;
use semops_objects::{change::DocumentKind, key::KeyId};
use semops_pki::certificate::Certificate;
use softhsm_setup::directory::Hierarchy;

use desk::Desk;

use crate::crls::fetch;

const SOON: Duration = Duration::from_secs(30);
const TAKEN: &str = "the roots of the scheme are read again";
const NOT_TAKEN: &str = "the roots of the scheme go on as they were";

/// Sends SIGHUP and waits for the word what became of the roots; what the log says since.
pub(crate) async fn hang_up(deployment: &mut Deployment) -> Result<String, Failure> {
    let before = deployment.log().len();
    deployment.server()?.signal(Signal::HUP)?;
    until("what became of the roots", SOON, async || {
        let said = deployment.log().split_off(before);
        let heeded = [TAKEN, NOT_TAKEN].iter().any(|word| said.contains(word));
        Ok((heeded && said.ends_with('\n')).then_some(said))
    })
    .await
}

/// Adds a change file to those that the configuration names.
fn add(deployment: &Deployment, file: &str) -> Result<(), Failure> {
    add_to(&deployment.directory().config(), file)
}

/// To those that this configuration names.
fn add_to(config: &Path, file: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(config)?;
    let line = text.lines().find(|line| line.starts_with("changes = ["));
    let line = line.ok_or_else(|| Failure::new("signer.toml names no changes"))?;
    let longer = line.replacen(']', &format!(", \"{file}\"]"), 1);
    Ok(fs::write(config, text.replacen(line, &longer, 1))?)
}

/// The next trust document of alfa, resting on another device root.
fn trust_on(deployment: &Deployment, version: u64, root: &str) -> Result<String, Failure> {
    deployment.next_version(DocumentKind::Trust, "alfa", version, |text| {
        let start = text.find("device_root = ").unwrap();
        let end = text.find("signing_root = ").unwrap();
        format!(
            "{}device_root = '''\n{root}'''\n{}",
            &text[..start],
            &text[end..]
        )
    })
}

fn demand(said: &Said, words: &[&str]) {
    assert!(said.succeeded(), "{said:?}");
    for word in words {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
}

#[tokio::test]
async fn a_second_root_comes_into_force_by_quorum_and_sighup() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let desk = Desk::new(&deployment)?;
    let second = desk.root("second")?;
    let trust = trust_on(&deployment, 2, &second)?;
    let propose = || deployment.bring(&deployment.document_motion(DocumentKind::Trust, &trust)?);
    let refused = propose().unwrap_err().to_string();
    assert!(
        refused.contains("is none of the scheme's roots in force"),
        "{refused}"
    );

    desk.roots(2, &[&desk.first()?, &second])?;
    let said = desk.propose(
        "roots",
        "documents/roots-2.toml",
        "second.json",
        "vera-holm",
    )?;
    demand(
        &said,
        &[
            "scheme-roots: version 2",
            "PENDING until",
            "1 approval, of walter-iwata, xenia-jung",
            "added",
            "O=operator, CN=second root",
        ],
    );
    let before = desk.read("second.json")?;
    // One person is one person.
    let again = desk.decides("approve", "second.json", "vera-holm")?;
    assert_eq!(again.code, Some(6), "{again:?}");
    assert!(
        again.err.contains("vera-holm has decided already"),
        "{again:?}"
    );
    assert_eq!(desk.read("second.json")?, before);
    add(&deployment, "second.json")?;
    let said = hang_up(&mut deployment).await?;
    assert!(said.contains(NOT_TAKEN), "{said}");
    assert!(
        said.contains("1 of the 2 persons that it needs have approved it"),
        "{said}"
    );

    let said = desk.decides("approve", "second.json", "xenia-jung")?;
    demand(&said, &["APPROVED", "vera-holm, xenia-jung", "SIGHUP"]);
    let said = hang_up(&mut deployment).await?;
    assert!(said.contains(TAKEN) && !said.contains(NOT_TAKEN), "{said}");
    let said = desk.asks(&["verify", desk.ceremony(), "second.json"])?;
    demand(&said, &["2, each approved", "version 2", "CN=second root"]);
    deployment.bring(&deployment.document_motion(DocumentKind::Trust, &trust)?)?;
    let (kind, shown) = (DocumentKind::Trust.name(), trust);
    assert_eq!(deployment.run(&[kind, "show", "alfa"])?, shown);

    // A chain that was cut off is not taken while the service runs.
    let config = fs::read_to_string(deployment.directory().config())?;
    let cut = config.replacen(", \"second.json\"", "", 1);
    fs::write(deployment.directory().config(), &cut)?;
    let said = hang_up(&mut deployment).await?;
    assert!(
        said.contains(NOT_TAKEN) && said.contains("is not in the files any more"),
        "{said}"
    );
    fs::write(deployment.directory().config(), config)?;
    is_published(&mut deployment, &second).await?;
    deployment.restart().await?;
    recheck(&mut deployment).await.map(drop)
}

/// Beside the first root, under a name with its key's id, once the configuration names its files.
async fn is_published(deployment: &mut Deployment, root: &str) -> Result<(), Failure> {
    let root = Certificate::from_pem(root)?;
    let key = KeyId::of(root.public_key());
    let base = deployment.scheme().public_base_url().to_owned();
    let address = |kind, extension| format!("{base}/{kind}/device-root.{key}.{extension}");
    let folder = deployment.directory().path().to_owned();
    let config = deployment.directory().config();
    let table = "\n[[roots.further]]\nhierarchy = \"device\"\ncertificate = \"second.pem\"\ncrl = \"second-crl.der\"\n";
    let named = fs::read_to_string(&config)? + table;
    fs::write(&config, named)?;
    let said = hang_up(deployment).await?;
    assert!(said.contains(TAKEN) && !said.contains(NOT_TAKEN), "{said}");
    assert_eq!(fetch(&address("ca", "cer"))?, root.der());
    let crl = fs::read(folder.join("second-crl.der"))?;
    assert_eq!(fetch(&address("crl", "crl"))?, crl);
    let first = fs::read(deployment.directory().root_crl(Hierarchy::Device))?;
    assert_eq!(fetch(&format!("{base}/crl/device-root.crl"))?, first);
    Ok(())
}
