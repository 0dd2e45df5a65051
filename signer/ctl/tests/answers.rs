//! Answers that cannot be relied on, from a service of this test: what is computed again is compared, and the user is
//! told. Services that are older than the program, and such that take their time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod scheme;
mod service;

use std::{
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use scheme::Scheme;
use semops_objects::jwk::Jwk;
use semops_pki::{algorithm::sha256, certificate::Certificate};
use semops_proto::v1;
use serde_json::Value;
use service::{Answers, serve};
use tokio::{io::AsyncReadExt as _, process::Command, sync::Notify};

/// The program against a service with these answers; profile.toml in the scheme's folder leads to it.
async fn desk(answers: Answers) -> Scheme {
    let scheme = Scheme::new();
    let port = serve(&scheme, Some(answers)).await;
    scheme.profile(port, "localhost", "root.pem");
    scheme
}

async fn types(scheme: &Scheme, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_semopsctl"));
    command.arg("--profile").arg(scheme.path("profile.toml"));
    command
        .args(line.split_whitespace())
        .current_dir(scheme.path(""));
    command.output().await.unwrap()
}

async fn json(scheme: &Scheme, line: &str) -> Value {
    let output = types(scheme, &format!("{line} --json")).await;
    assert!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Demands exit code 1 and an answer that cannot be relied on; gives message and way out.
async fn refused(scheme: &Scheme, line: &str) -> (String, String) {
    let output = types(scheme, &format!("{line} --json")).await;
    assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    assert!(output.stdout.is_empty(), "{line}: {output:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "bad_answer", "{line}: {error}");
    let text = |member: &str| error["error"][member].as_str().unwrap().to_owned();
    (text("message"), text("way_out"))
}

fn named(content: &[u8], version: u64) -> v1::DocumentVersion {
    v1::DocumentVersion {
        kind: v1::DocumentKind::Policy.into(),
        version,
        sha256: sha256(content).to_vec(),
        loaded_at: 0,
    }
}

/// The key of a certificate of the scheme.
fn key_of(scheme: &Scheme, certificate: &str) -> v1::Key {
    let certificate =
        Certificate::from_pem(std::str::from_utf8(&scheme.read(certificate)).unwrap());
    let certificate = certificate.unwrap();
    let public_key = certificate.public_key();
    v1::Key {
        key_id: Jwk::new(public_key, certificate.der(), &[])
            .kid()
            .to_owned(),
        purpose: v1::KeyPurpose::Authorization.into(),
        state: v1::KeyState::Active.into(),
        public_key: public_key.spki_der().to_vec(),
        certificate_chain: vec![certificate.der().to_vec()],
        ..v1::Key::default()
    }
}

#[tokio::test]
async fn a_document_with_other_bytes_than_its_digest_names_is_not_shown() {
    let answers = Answers {
        document: v1::GetDocumentResponse {
            document: Some(named(b"institution = \"alfa\"\n", 1)),
            content: b"institution = \"beta\"\n".to_vec(),
        },
        versions: v1::ListDocumentVersionsResponse {
            documents: vec![named(b"", 1), named(b"", 2)],
        },
        ..Answers::default()
    };
    let scheme = desk(answers).await;
    std::fs::write(scheme.path("next.toml"), "institution = \"beta\"\n").unwrap();
    for line in [
        "policy show",
        "policy show --out saved.toml",
        "policy diff next.toml",
        "policy diff --versions 1 1",
    ] {
        let (message, way_out) = refused(&scheme, line).await;
        assert!(message.contains("have the SHA-256"), "{message}");
        assert!(way_out.starts_with("do not rely on anything"), "{way_out}");
    }
    assert!(!scheme.path("saved.toml").exists());
    // The policy where the trust document was asked for, another version than asked for, versions out of order.
    for line in ["trust show", "policy show --version 7", "policy versions"] {
        refused(&scheme, line).await;
    }
    let output = types(&scheme, "policy show").await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: unexpected answer: the bytes of version 1"),
        "{said}"
    );
    assert!(said.contains("\nway out  do not rely on"), "{said}");
}

#[tokio::test]
async fn a_key_under_another_name_or_with_another_certificate_is_not_shown() {
    let made = Scheme::new();
    let (good, other) = (key_of(&made, "root.pem"), key_of(&made, "other.pem"));
    let mut renamed = good.clone();
    renamed.key_id.clone_from(&other.key_id);
    let mut certified = good.clone();
    certified
        .certificate_chain
        .clone_from(&other.certificate_chain);
    for (lie, said) in [(renamed, "public half"), (certified, "certificate")] {
        let id = lie.key_id.clone();
        let scheme = desk(Answers {
            keys: vec![lie],
            ..Answers::default()
        })
        .await;
        for line in [
            "keys",
            "keys show authorization",
            &format!("keys show {id}"),
        ] {
            let (message, way_out) = refused(&scheme, line).await;
            assert!(message.contains(said), "{message}");
            assert!(way_out.starts_with("do not rely on"), "{way_out}");
        }
    }
    let scheme = desk(Answers {
        keys: vec![good.clone()],
        ..Answers::default()
    })
    .await;
    assert_eq!(
        json(&scheme, "keys").await["keys"][0]["key_id"],
        good.key_id
    );
    refused(&scheme, &format!("keys show {}", other.key_id)).await;
}

#[tokio::test]
async fn a_certificate_of_another_key_or_device_is_not_saved() {
    let made = Scheme::new();
    let key_and_name = "req -new -key root-key.pem -subj /CN=root -out phone.csr";
    made.openssl(&key_and_name.split(' ').collect::<Vec<_>>());
    // The device is called by its common name: `root`, and `other`, are those of the scheme's roots.
    for (certificate, device_id, said) in [
        ("other.pem", "other", "another key"),
        ("root.pem", "other", "another device"),
    ] {
        let scheme = desk(Answers {
            enrolled: v1::EnrollDeviceResponse {
                device_id: device_id.to_owned(),
                certificate_chain: key_of(&made, certificate).certificate_chain,
            },
            ..Answers::default()
        })
        .await;
        let csr = made.path("phone.csr").display().to_string();
        let line = format!("enroll --csr {csr} --subscriber x --out device.pem");
        let (message, _) = refused(&scheme, &line).await;
        assert!(message.contains(said), "{message}");
        assert!(!scheme.path("device.pem").exists());
    }
}

const CRL: &str = "[ca]\ndefault_ca = made\n[made]\ndatabase = index.txt\ncrlnumber = crlnumber\n\
    default_md = sha256\ndefault_crl_days = 1\ncrl_extensions = with\n[with]\n\
    authorityKeyIdentifier = keyid\n";

#[tokio::test]
async fn a_crl_of_another_number_is_not_saved() {
    let made = Scheme::new();
    for (name, content) in [("ca.cnf", CRL), ("index.txt", ""), ("crlnumber", "07\n")] {
        std::fs::write(made.path(name), content).unwrap();
    }
    for line in [
        "ca -gencrl -config ca.cnf -keyfile root-key.pem -cert root.pem -out crl.pem",
        "crl -in crl.pem -outform DER -out crl.der",
    ] {
        made.openssl(&line.split(' ').collect::<Vec<_>>());
    }
    let line = "crl --authority device-root --out saved.der";
    for crl_number in [7, 8] {
        let crl = made.read("crl.der");
        let scheme = desk(Answers {
            crl: v1::GetCrlResponse { crl, crl_number },
            ..Answers::default()
        })
        .await;
        if crl_number == 7 {
            assert_eq!(json(&scheme, line).await["crl_number"], 7);
            continue;
        }
        let (message, _) = refused(&scheme, line).await;
        assert!(message.contains("has the number 7"), "{message}");
        assert!(!scheme.path("saved.der").exists());
    }
}

#[tokio::test]
async fn devices_that_lead_in_a_circle_or_were_not_asked_for_end_the_list() {
    let circle = v1::ListDevicesResponse {
        devices: Vec::new(),
        next_page_token: "round".to_owned(),
    };
    let scheme = desk(Answers {
        pages: Mutex::new(vec![circle]),
        ..Answers::default()
    })
    .await;
    let (message, _) = refused(&scheme, "devices --accepted --all").await;
    assert!(message.contains("leads to itself"), "{message}");
    let scheme = desk(Answers {
        pages: Mutex::new(vec![page(3, "")]),
        ..Answers::default()
    })
    .await;
    let (message, _) = refused(&scheme, "devices --accepted --limit 2").await;
    assert!(message.contains("more devices than asked for"), "{message}");
}

#[tokio::test]
async fn a_service_that_does_not_know_the_call_is_said_to_be_older() {
    let scheme = Scheme::new();
    let port = serve(&scheme, None).await;
    scheme.profile(port, "localhost", "root.pem");
    for line in ["status", "keys", "policy show", "devices --issued"] {
        let output = types(&scheme, line).await;
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("error: the service refused: UNIMPLEMENTED"),
            "{said}"
        );
        assert!(
            said.contains("\nway out  the service is older than this program"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_clock_that_differs_is_warned_of() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_micros()).unwrap();
    for (ahead, direction) in [(3_600_000_000, "ahead of"), (-3_600_000_000, "behind")] {
        let answers = Answers {
            status: v1::GetStatusResponse {
                now_micros: now + ahead,
                token: Some(v1::Token::default()),
                ..v1::GetStatusResponse::default()
            },
            ..Answers::default()
        };
        let scheme = desk(answers).await;
        let output = types(&scheme, "status").await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains(&format!(" s {direction} this machine's")),
            "{said}"
        );
        assert!(said.contains("\nwarning   the clocks differ"), "{said}");
        assert_eq!(json(&scheme, "status").await["clock"]["differs"], true);
    }
}

fn page(devices: usize, next_page_token: &str) -> v1::ListDevicesResponse {
    let device = v1::Device {
        device_id: "0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b".to_owned(),
        status: v1::DeviceStatus::Active.into(),
        acceptance: Some(v1::Acceptance {
            account_reference: "7d8e9f00-1122-4334-8556-677889900aab".to_owned(),
            accepted_at: 0,
        }),
        ..v1::Device::default()
    };
    v1::ListDevicesResponse {
        devices: vec![device; devices],
        next_page_token: next_page_token.to_owned(),
    }
}

/// Reads on until `expected` is there.
async fn read_until(
    output: &mut (impl tokio::io::AsyncRead + Unpin),
    all: &mut String,
    expected: &str,
) {
    let reading = async {
        while !all.contains(expected) {
            let mut bytes = [0; 4096];
            let length = output.read(&mut bytes).await.unwrap();
            assert_ne!(length, 0, "it ended before it said {expected}: {all}");
            all.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), reading).await;
    assert!(waited.is_ok(), "it never said {expected}");
}

#[tokio::test]
async fn a_person_who_waits_sees_how_far_it_is_and_a_table_as_wide_as_the_terminal() {
    let held = Arc::new(Notify::new());
    let scheme = desk(Answers {
        pages: Mutex::new(vec![page(500, "more"), page(7, "")]),
        held: Some(Arc::clone(&held)),
        ..Answers::default()
    })
    .await;
    // util-linux's script is a terminal for its command.
    let line = format!(
        "stty cols 100 rows 30 && exec {} --profile profile.toml devices --accepted --all",
        env!("CARGO_BIN_EXE_semopsctl")
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(scheme.path(""))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = terminal.stdout.take().unwrap();
    let mut said = String::new();
    read_until(&mut output, &mut said, "waiting for the service (").await;
    held.notify_one();
    read_until(&mut output, &mut said, "500 devices so far (").await;
    held.notify_one();
    read_until(&mut output, &mut said, "devices  507").await;
    assert!(terminal.wait().await.unwrap().success(), "{said}");
    // Whole at a hundred columns.
    let whole = "0198c1a0-5f2e-7c3d-9a4b-1c2d3e4f5a6b  ACTIVE  7d8e9f00-1122-4334-8556-677889900aab  1970-01-01";
    assert_eq!(said.matches(whole).count(), 507);
}
