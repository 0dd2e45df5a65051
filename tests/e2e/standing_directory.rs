//! The README's two lines: a directory that is made and served at once, without any variable of the environment; and an
//! institution that joins it later, beside the running service, which changes nothing that stands there.

mod desk;

use std::{collections::BTreeMap, fs, io::Write as _, path::Path, path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{
    deployment::{Deployment, address},
    failure::Failure,
    phone::pseudonym,
    programs::{self, Watched},
    recheck::recheck,
    terminal::{Said, Terminal},
};
use semops_pki::algorithm::sha256;
use serde_json::Value;
use softhsm_setup::{directory::Directory, directory::Hierarchy, scheme::Scheme};

use desk::{Desk, typed};

/// The lines of the README's block that make and serve a scheme.
const LINES: [&str; 2] = [
    "softhsm-setup init my-scheme",
    "signer --config my-scheme/signer.toml",
];
/// What the running service writes in a standing directory.
const WRITTEN: [&str; 4] = ["signer.db", "signer.db-wal", "signer.db-shm", "signer.log"];

/// The default scheme on addresses of its own.
fn scheme() -> Result<String, Failure> {
    let addresses = address::draw()?;
    Ok(Scheme::EXAMPLE
        .replace("127.0.0.1:8443", &addresses.grpc.to_string())
        .replace("127.0.0.1:8080", &addresses.http.to_string())
        .replace("127.0.0.1:9464", &addresses.admin.to_string()))
}

/// A scheme made by the README's first line.
fn made() -> Result<(Deployment, Said), Failure> {
    let folder = tempfile::Builder::new().prefix("semops-").tempdir()?;
    let scheme = scheme()?;
    fs::write(folder.path().join("scheme.toml"), &scheme)?;
    let mut command = typed(LINES[0])?;
    command
        .args(["--scheme", "scheme.toml"])
        .current_dir(folder.path());
    let output = command.output()?;
    let said = Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    };
    assert!(said.succeeded(), "{said:?}");
    let directory = Directory::open(&folder.path().join("my-scheme"))?;
    let deployment = Deployment::of_directory(Scheme::parse(&scheme)?, directory, folder);
    Ok((deployment, said))
}

/// Every file but those that the service writes, by digest.
fn digests(folder: &Path, found: &mut BTreeMap<PathBuf, [u8; 32]>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            digests(&path, found)?;
        } else if !WRITTEN.iter().any(|name| path.ends_with(name)) {
            found.insert(path.clone(), sha256(&fs::read(&path)?));
        }
    }
    Ok(())
}

fn state(directory: &Directory) -> Result<BTreeMap<PathBuf, [u8; 32]>, Failure> {
    let mut found = BTreeMap::new();
    digests(directory.path(), &mut found)?;
    Ok(found)
}

#[test]
fn the_readme_shows_two_lines() -> Result<(), Failure> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"))?;
    let [make, serve] = LINES;
    assert!(readme.contains(&format!("```sh\n{make}\n{serve}\n```\n")));
    Ok(())
}

#[tokio::test]
async fn a_directory_serves_at_once_and_an_institution_joins_it_later() -> Result<(), Failure> {
    let (mut deployment, said) = made()?;
    let config = deployment.directory().config();
    let serve = format!("  signer --config {}\n", config.display());
    assert!(said.out.ends_with(&serve), "{}", said.out);
    let folder = deployment.directory().path().parent().unwrap().to_owned();
    let mut command = typed(LINES[1])?;
    command.current_dir(&folder);
    deployment.start_with(command).await?;
    let safe = folder.join("safe");
    fs::rename(deployment.directory().offline(), &safe)?;

    let directory = deployment.directory().clone();
    let desk = Desk {
        directory: &directory,
        terminal: Terminal::new()?,
    };
    desk.phone("phone", "mobilis", "alfa")?;
    desk.pays("phone", "alfa", "beta")?;

    // Beta's verifiers have heard of alfa's newest CRL: the directory knows it from there.
    let crl = newest_crl(&desk, &deployment)?;
    let before = state(&directory)?;
    let refused = add(&desk, &[])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [
        "offline/device-root-key.pem",
        "offline/tls-root-key.pem",
        "put back",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    assert!(state(&directory)? == before);
    fs::rename(&safe, directory.offline())?;
    joins(&desk, &deployment)?;
    fs::rename(directory.offline(), &safe)?;
    let trust = fs::read_to_string(directory.trust(&"gamma".parse().unwrap()))?;
    assert!(trust.contains(&crl));

    // The service goes on as it was, and tells the newcomer when it will be served; after its next start gamma is one of its institutions.
    desk.pays("phone", "alfa", "beta")?;
    not_served_yet(&desk)?;
    deployment.stop().await?;
    let mut command = typed(LINES[1])?;
    command.current_dir(&folder);
    deployment.start_with(command).await?;
    desk.phone("other-phone", "gamma", "gamma")?;
    desk.pays("other-phone", "gamma", "alfa")?;
    desk.pays("phone", "alfa", "beta")?;
    sign_loop_beside_the_service(&desk)?;

    let checked = recheck(&mut deployment).await?;
    assert_eq!((checked.authorizations, checked.certificates), (4, 2));
    deployment.stop().await
}

/// What the newcomer's callers read until the service starts again.
fn not_served_yet(desk: &Desk<'_>) -> Result<(), Failure> {
    desk.terminal
        .run(&mut typed("semopsctl phone new --out newcomer")?)?;
    let enroll = format!(
        "enroll --csr newcomer/csr.pem --out chain.pem --subscriber {}",
        pseudonym()
    );
    for (caller, line) in [
        ("gamma-auditor-audit", "status"),
        ("gamma-auditor-audit", "keys"),
        ("gamma-enrolment-ra", &*enroll),
    ] {
        let said = desk.asks(caller, line)?;
        assert!(!said.succeeded(), "{line}: {said:?}");
        for part in ["INSTITUTION_NOT_SERVED", "restart"] {
            assert!(said.err.contains(part), "{line}: {said:?}");
        }
    }
    Ok(())
}

/// Has beta trust by a document with alfa's newest CRL; gives it as it stands there.
fn newest_crl(desk: &Desk<'_>, deployment: &Deployment) -> Result<String, Failure> {
    let ask = "crl --authority signing-ca --institution alfa --out alfa.der";
    let newest = desk.types("beta-auditor-audit", ask)?;
    assert!(newest["crl_number"].as_u64() > Some(1), "{newest}");
    let alfa = "alfa".parse().unwrap();
    let first = fs::read(desk.directory.ca_crl(Hierarchy::Signing, &alfa))?;
    let newest = STANDARD.encode(desk.terminal.read("alfa.der")?);
    deployment.load_next("trust", "beta", 2, |text| {
        assert_eq!(text.matches(&STANDARD.encode(&first)).count(), 1);
        text.replace(&STANDARD.encode(&first), &newest)
    })?;
    Ok(newest)
}

/// `softhsm-setup add` of the institution that `example --institution` shows.
fn add(desk: &Desk<'_>, more: &[&str]) -> Result<Said, Failure> {
    let example = desk
        .terminal
        .run(&mut typed("softhsm-setup example --institution")?)?;
    desk.terminal.write("gamma.toml", &example.out)?;
    let mut command = typed("softhsm-setup add --institution gamma.toml")?;
    desk.terminal
        .run(command.args(more).arg(desk.directory.path()))
}

/// gamma joins: everything that stood there stays, and what is printed as next can be typed.
fn joins(desk: &Desk<'_>, deployment: &Deployment) -> Result<(), Failure> {
    let directory = desk.directory;
    let config = directory.config();
    fs::OpenOptions::new()
        .append(true)
        .open(&config)?
        .write_all(b"\n# Reviewed by two of us.\n")?;
    let (before, old) = (state(directory)?, fs::read(&config)?);
    let said = add(desk, &[])?;
    assert!(said.succeeded(), "{said:?}");
    let after = state(directory)?;
    for (path, digest) in before.iter().filter(|(path, _)| **path != config) {
        assert_eq!(after.get(path), Some(digest), "{}", path.display());
    }
    assert!(fs::read(&config)?.starts_with(&old));

    alfa_trusts_it(desk, &said.out)?;
    // What alfa's custodians have verified is remembered there.
    let after = state(directory)?;
    let documents = deployment.run(&["documents"])?;
    let in_force = |document: &str| documents.lines().any(|line| line.starts_with(document));
    for document in [
        "gamma policy 1 ",
        "gamma trust 1 ",
        "gamma callers 1 ",
        "gamma custodians 1 ",
        "alfa trust 2 ",
    ] {
        assert!(in_force(document), "{documents}");
    }

    chains_lead_to_the_roots(desk)?;
    let again = add(desk, &[])?;
    assert_eq!(again.code, Some(64), "{again:?}");
    assert!(
        again
            .err
            .contains("gamma is an institution of this directory already")
    );
    assert!(state(directory)? == after);
    Ok(())
}

/// What is printed for alfa's custodians, typed by two of them.
fn alfa_trusts_it(desk: &Desk<'_>, told: &str) -> Result<(), Failure> {
    let lines = told.lines().filter(|line| line.starts_with("  semopsctl "));
    let [propose, approve] = lines.collect::<Vec<_>>().try_into().unwrap();
    let folder = desk.directory.path();
    let profile = folder.join("profiles/alfa-custodian-security.toml");
    let types = |line: &str, person: &str, id: &str| -> Result<Value, Failure> {
        let key = folder.join(format!("custodians/alfa/{person}.key"));
        let line = line
            .replace("PROFILE", &profile.to_string_lossy())
            .replace(" KEY", &format!(" {}", key.display()))
            .replace(" ID ", &format!(" {id} "));
        let said = desk.terminal.run(typed(&line)?.args(["--yes", "--json"]))?;
        assert!(said.succeeded(), "{line}: {said:?}");
        Ok(serde_json::from_str(&said.out)?)
    };
    let proposed = types(propose, "anna-berg", "")?;
    assert_eq!(proposed["state"], "PENDING", "{proposed}");
    let id = proposed["change_id"].as_str().unwrap();
    let approved = types(approve, "chloe-diaz", id)?;
    assert_eq!(approved["state"], "EXECUTED", "{approved}");
    Ok(())
}

fn chains_lead_to_the_roots(desk: &Desk<'_>) -> Result<(), Failure> {
    let (directory, gamma) = (desk.directory, "gamma".parse().unwrap());
    let chains = [
        (
            Hierarchy::Device,
            directory.ca(Hierarchy::Device, &gamma),
            false,
        ),
        (
            Hierarchy::Signing,
            directory.authorization_chain(&gamma),
            true,
        ),
    ];
    for (hierarchy, chain, leaf) in chains {
        let own = directory.ca_crl(hierarchy, &gamma);
        let own = if leaf {
            format!("-CRLfile {}", own.display())
        } else {
            String::new()
        };
        let said = desk.terminal.openssl(&format!(
            "verify -x509_strict -crl_check_all -CAfile {} -CRLfile {} {own} -untrusted {2} {2}",
            directory.root(hierarchy).display(),
            directory.root_crl(hierarchy).display(),
            chain.display(),
        ))?;
        assert!(said.ends_with(": OK\n"), "{said}");
    }
    Ok(())
}

fn sign_loop_beside_the_service(desk: &Desk<'_>) -> Result<(), Failure> {
    let objects = || -> Result<usize, Failure> {
        let files = state(desk.directory)?;
        let object = |path: &&PathBuf| path.extension().is_some_and(|end| end == "object");
        Ok(files.keys().filter(object).count())
    };
    let before = objects()?;
    let mut command = typed("softhsm-setup sign-loop --institution gamma --seconds 1 --json")?;
    let said = desk.terminal.run(command.arg(desk.directory.path()))?;
    assert!(said.succeeded(), "{said:?}");
    let figure: Value = serde_json::from_str(&said.out)?;
    assert!(figure["per_second"].as_f64() > Some(1.0), "{figure}");
    assert_eq!(objects()?, before);
    Ok(())
}

#[test]
fn a_scheme_that_the_signer_does_not_take_leaves_nothing_behind() -> Result<(), Failure> {
    let terminal = Terminal::new()?;
    terminal.write("scheme.toml", scheme()?)?;
    // One that refuses, and one that makes no record.
    for (signer, words) in [
        ("/bin/false", "signer --check-config: "),
        ("/bin/true", "signer.db"),
    ] {
        let mut command = typed("softhsm-setup init made --scheme scheme.toml --signer")?;
        let said = terminal.run(command.arg(signer))?;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
        assert_eq!(fs::read_dir(terminal.path("made"))?.count(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn an_addition_that_the_record_has_no_room_for_is_done_again() -> Result<(), Failure> {
    let (mut deployment, _) = made()?;
    let directory = deployment.directory().clone();
    let desk = Desk {
        directory: &directory,
        terminal: Terminal::new()?,
    };
    let before = state(&directory)?;
    // The signer, which has no room left for the ceremony.
    let signer = &programs::ours(Watched::No)?.signer;
    let lines = format!(
        "#!/bin/sh\ncase \"$*\" in *change\\ load*) echo 'signer: no room' >&2; exit 1 ;; esac\nexec {} \"$@\"\n",
        signer.display()
    );
    desk.terminal.write("signer", lines)?;
    desk.terminal
        .run(Command::new("chmod").args(["700", "signer"]))?;
    let stand_in = desk.terminal.path("signer");
    let refused = add(&desk, &["--signer", &stand_in.to_string_lossy()])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("no room"), "{refused:?}");
    assert!(state(&directory)? == before);
    deployment.start().await?;
    desk.phone("phone", "mobilis", "alfa")?;
    deployment.stop().await?;
    let said = add(&desk, &[])?;
    assert!(said.succeeded(), "{said:?}");
    let documents = deployment.run(&["documents"])?;
    for kind in ["policy", "trust", "callers", "custodians"] {
        let document = format!("gamma {kind} 1 ");
        assert!(documents.contains(&document), "{documents}");
    }
    deployment.load("trust", &directory.next_trust(&"alfa".parse().unwrap(), 2))?;
    deployment.start().await?;
    desk.phone("other-phone", "gamma", "gamma")?;
    desk.pays("other-phone", "gamma", "alfa")?;
    recheck(&mut deployment).await?;
    deployment.stop().await?;

    // Its files and its table are gone, its history is not: no institution begins twice.
    let config = fs::read_to_string(directory.config())?;
    let (others, _) = config
        .split_once("\n[[institution]]\nid = \"gamma\"")
        .unwrap();
    fs::write(directory.config(), format!("{others}\n"))?;
    for folder in ["gamma", "custodians/gamma"] {
        fs::remove_dir_all(directory.path().join(folder))?;
    }
    for path in state(&directory)?.into_keys() {
        if path.to_string_lossy().contains("gamma") {
            fs::remove_file(path)?;
        }
    }
    let refused = add(&desk, &[])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .err
            .contains("gamma has had its ceremony in this record"),
        "{refused:?}"
    );
    Ok(())
}
