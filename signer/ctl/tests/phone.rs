//! The phone for people without one, whole: the real program, its files, and openssl as the reader of its request and
//! as the maker of its certificate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use semops_objects::{OrderJws, offer};
use semops_pki::{certificate::Certificate, request::CertificationRequest};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a phone in `phone/`.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let made = bench.ctl(&["phone", "new", "--out", "phone"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        bench
    }

    /// A phone with a certificate, self-signed by openssl: the phone does not judge who issued it.
    fn enrolled() -> Self {
        let bench = Self::new();
        bench.certify("phone/key.pem", "phone/chain.pem");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_semopsctl"), arguments)
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let output = self.run("openssl", arguments);
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout) + &text(&output.stderr)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        command
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn certify(&self, key: &str, to: &str) {
        let extension = "subjectAltName=URI:urn:uuid:6f1d6c1c-2d5e-4f3a-9a7b-0c1d2e3f4a5b";
        let subject = "/O=mobilis/CN=6f1d6c1c-2d5e-4f3a-9a7b-0c1d2e3f4a5b";
        let request = [
            "req", "-x509", "-new", "-key", key, "-subj", subject, "-addext", extension,
        ];
        self.openssl(&[&request[..], &["-days", "1", "-out", to]].concat());
    }

    /// An order of EUR 12.99 with `more` options in place of or beside the usual ones.
    fn order(&self, more: &[&str]) -> Output {
        let usual = [
            ("--phone", "phone"),
            ("--payer-institution", "alfa"),
            ("--to", "beta"),
            ("--payee-id", "till-7"),
            ("--payee-name", "Café Beta"),
            ("--amount", "12.99"),
            ("--currency", "EUR"),
            ("--channel", "real_pos"),
            ("--out", "order.jws"),
        ];
        let kept = usual.iter().filter(|(name, _)| !more.contains(name));
        let usual: Vec<&str> = kept.flat_map(|&(name, value)| [name, value]).collect();
        self.ctl(&[&["--json", "phone", "order"], &usual[..], more].concat())
    }

    fn signed_order(&self) -> OrderJws {
        OrderJws::parse(&fs::read_to_string(self.path("order.jws")).unwrap()).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn error(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    serde_json::from_slice::<Value>(&output.stderr).unwrap()["error"].clone()
}

#[test]
fn openssl_reads_the_request_and_finds_possession_proven() {
    let bench = Bench::new();
    let said = bench.openssl(&["req", "-in", "phone/csr.pem", "-noout", "-verify", "-text"]);
    assert!(said.contains("verify OK"), "{said}");
    assert!(said.contains("prime256v1"), "{said}");
    assert!(said.contains("(none)"), "no attributes: {said}");
    let ours =
        CertificationRequest::parse_pem_or_der(&fs::read(bench.path("phone/csr.pem")).unwrap())
            .unwrap();
    let public = bench.openssl(&["pkey", "-in", "phone/key.pem", "-pubout"]);
    let request_key = bench.openssl(&["req", "-in", "phone/csr.pem", "-noout", "-pubkey"]);
    assert_eq!(public, request_key);
    assert_eq!(ours.public_key().x().len(), 32);
}

#[test]
fn the_key_is_its_owners_alone_and_never_replaced() {
    let bench = Bench::new();
    let key = bench.path("phone/key.pem");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = fs::read(&key).unwrap();
    let again = bench.ctl(&["--json", "phone", "new", "--out", "phone"]);
    assert!(
        error(&again)["message"]
            .as_str()
            .unwrap()
            .contains("phone/key.pem")
    );
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn an_order_says_what_was_asked_and_verifies_with_the_certificate() {
    let bench = Bench::enrolled();
    fs::write(bench.path("offer.bin"), b"two coffees\r\n\0").unwrap();
    let output = bench.order(&["--offer", "offer.bin", "--lifetime", "90"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let signed = bench.signed_order();
    let order = signed.order();
    let device =
        Certificate::chain_from_pem(&fs::read_to_string(bench.path("phone/chain.pem")).unwrap())
            .unwrap();
    assert!(signed.verify(device[0].public_key()).is_ok());
    assert_eq!(signed.kid(), device[0].sha256());
    assert_eq!(json["order_jws"], signed.compact());
    assert_eq!(json["jti"], order.jti.to_string());
    assert_eq!(order.jti.get_version_num(), 7);
    assert_eq!(order.exp - order.iat, 90);
    assert_eq!(
        (order.aud.as_str(), order.payee.institution().as_str()),
        ("alfa", "beta")
    );
    assert_eq!(
        (
            order.amount.value().as_str(),
            order.amount.currency().code()
        ),
        ("12.99", "EUR")
    );
    assert_eq!(
        (order.payee.id(), order.payee.name()),
        ("till-7", "Café Beta")
    );
    assert_eq!(
        order.offer_sha256,
        Some(offer::sha256(b"two coffees\r\n\0"))
    );
}

#[test]
fn two_orders_are_never_the_same() {
    let bench = Bench::enrolled();
    assert!(bench.order(&[]).status.success());
    let first = bench.signed_order();
    assert!(bench.order(&[]).status.success());
    assert_ne!(first.order().jti, bench.signed_order().order().jti);
}

#[test]
fn a_qr_code_names_payee_amount_and_currency_and_is_the_offer() {
    let bench = Bench::enrolled();
    let qr = qr_code("5303978540512.99");
    fs::write(bench.path("qr.txt"), &qr).unwrap();
    let arguments = [
        "--phone",
        "phone",
        "--payer-institution",
        "alfa",
        "--to",
        "beta",
        "--channel",
        "real_pos",
    ];
    let order = |more: &[&str]| {
        let to = ["--out", "order.jws"];
        bench.ctl(&[&["--json", "phone", "order"], &arguments[..], more, &to[..]].concat())
    };
    let output = order(&["--emv-qr", "qr.txt"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let signed = bench.signed_order();
    let payment = signed.order();
    assert_eq!(
        (
            payment.amount.value().as_str(),
            payment.amount.currency().code()
        ),
        ("12.99", "EUR")
    );
    assert_eq!(
        (payment.payee.id(), payment.payee.name()),
        ("shop-42", "BETA CAFE")
    );
    assert_eq!(payment.offer_sha256, Some(offer::sha256(qr.as_bytes())));

    let contradicted = error(&order(&["--emv-qr", "qr.txt", "--amount", "1.00"]));
    assert!(
        contradicted["message"]
            .as_str()
            .unwrap()
            .contains("names the amount already")
    );

    fs::write(bench.path("open.txt"), qr_code("5303978")).unwrap();
    let open = error(&order(&["--emv-qr", "open.txt"]));
    assert!(open["message"].as_str().unwrap().contains("give --amount"));
    assert!(
        order(&["--emv-qr", "open.txt", "--amount", "1.50"])
            .status
            .success()
    );
    assert_eq!(bench.signed_order().order().amount.value(), "1.50");

    fs::write(bench.path("broken.txt"), qr.replace("BETA", "BETB")).unwrap();
    assert!(
        error(&order(&["--emv-qr", "broken.txt"]))["message"]
            .as_str()
            .unwrap()
            .contains("CRC")
    );
}

#[test]
fn what_the_service_would_refuse_by_its_form_is_not_signed() {
    let bench = Bench::enrolled();
    let cases: [(&[&str], &str); 6] = [
        (&["--amount", "12.9"], "--amount"),
        (&["--amount", "0.00"], "--amount"),
        (&["--currency", "XXZ"], "--currency"),
        (&["--payee-id", "überlang"], "--payee-id"),
        (&["--payee-name", "Beta\u{202e}"], "--payee-name"),
        (&["--lifetime", "601"], "payload.exp"),
    ];
    for (more, expected) in cases {
        let error = error(&bench.order(more));
        assert_eq!(error["kind"], "usage");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected), "{more:?}: {message}");
        assert!(!error["way_out"].as_str().unwrap().is_empty());
        assert!(!bench.path("order.jws").exists(), "{more:?}");
    }
}

#[test]
fn a_phone_without_its_certificate_says_what_to_do() {
    let bench = Bench::new();
    let missing = error(&bench.order(&[]));
    assert!(
        missing["message"]
            .as_str()
            .unwrap()
            .contains("phone/chain.pem")
    );
    assert!(missing["way_out"].as_str().unwrap().contains("enroll"));

    bench.openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "other.pem",
    ]);
    bench.certify("other.pem", "phone/chain.pem");
    let foreign = error(&bench.order(&[]));
    assert!(foreign["message"].as_str().unwrap().contains("another key"));
}

#[test]
fn commands_that_call_the_service_want_a_profile_and_reach_it_or_say_so() {
    let bench = Bench::new();
    let without = error(&bench.ctl(&["--json", "device", "--device", "x"]));
    assert!(without["message"].as_str().unwrap().contains("--profile"));

    bench.certify("phone/key.pem", "caller.pem");
    write_profile(
        &bench.path("profile.toml"),
        "https://127.0.0.1:1",
        "phone/key.pem",
    );
    let output = bench.ctl(&["--profile", "profile.toml", "device", "--device", "x"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with("error: cannot connect to https://127.0.0.1:1: "));
    assert!(text(&output.stderr).contains("\nway out  see that the service runs"));

    bench.openssl(&[
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "other.pem",
    ]);
    write_profile(
        &bench.path("profile.toml"),
        "https://127.0.0.1:1",
        "other.pem",
    );
    let mismatch = error(&bench.ctl(&[
        "--json",
        "--profile",
        "profile.toml",
        "device",
        "--device",
        "x",
    ]));
    assert!(
        mismatch["message"]
            .as_str()
            .unwrap()
            .contains("does not serve as the certificate's key")
    );
}

fn write_profile(path: &Path, endpoint: &str, key: &str) {
    let profile = format!(
        "endpoint = '{endpoint}'\nserver = 'localhost'\nroot = 'caller.pem'\ncertificate = 'caller.pem'\nkey = '{key}'\n"
    );
    fs::write(path, profile).unwrap();
}

/// A merchant-presented code of our own (EMV QR Code Specification, Merchant-Presented Mode) with `money` in its place.
fn qr_code(money: &str) -> String {
    let account = "0006beta.x0107shop-42";
    let body = format!(
        "000201010212{:02}{:02}{account}52045812{money}5802DE5909BETA CAFE6006BERLIN6304",
        26,
        account.len()
    );
    let crc = body.bytes().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    format!("{body}{crc:04X}")
}
