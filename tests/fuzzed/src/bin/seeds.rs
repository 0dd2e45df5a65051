//! Makes the seeds in tests/fuzz/seeds that are objects of ours, in place of those that are there. Their signatures and
//! most keys are new each time; what openssl or others made is left as it is (tests/fuzz/README.md).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it is run by hand, and ends at the first surprise"
)]

#[path = "seeds/changes.rs"]
mod changes;
#[path = "seeds/edges.rs"]
mod edges;

use std::fs;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::pem::LineEnding;
use fuzzed::material::{NOW, content, issuer, key, oids, public, signed};
use fuzzed::messages::MESSAGES;
use fuzzed::objects::{KID, compact, sample};
use fuzzed::x509::{MESSAGE, signed_part};
use prost::Message;
use semops_objects::OrderJws;
use semops_pki::algorithm::PublicKey;
use semops_pki::certificate::Certificate;
use semops_pki::crl::Reason;
use semops_pki::issuer::{Addresses, Content, Issuer, RevokedEntry, Subject, root};
use semops_pki::local_key::LocalKey;
use semops_pki::signed::{ToBeSigned, assemble};
use semops_proto::v1;
use softhsm_setup::scheme::Scheme;

const DAY: i64 = 86_400;
const ADDRESSES: Addresses<'static> = Addresses {
    crl: "http://127.0.0.1/crl",
    ca_certificate: "http://127.0.0.1/ca",
};

fn main() {
    x509();
    keys_and_signatures();
    objects();
    texts();
    documents();
    messages();
    edges::all();
    changes::all();
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// A certificate of `of` by `ca`, which `by` signs.
fn issue(
    ca: &Issuer,
    by: &LocalKey,
    of: &PublicKey,
    serial: u8,
    subject: Subject<'_>,
) -> (ToBeSigned, Certificate) {
    let asked = Content {
        public_key: of,
        ..content("alfa", serial)
    };
    let tbs = ca
        .certificate(&asked, subject, Some(ADDRESSES), &oids())
        .unwrap();
    let der = assemble(tbs.bytes(), &by.sign(tbs.bytes()).unwrap());
    (tbs, Certificate::from_der(&der).unwrap())
}

fn x509() {
    let request = key().certification_request("a phone").unwrap();
    write("certification_request", "good-request.der", &request);
    let pem = der::pem::encode_string("CERTIFICATE REQUEST", LineEnding::LF, &request).unwrap();
    write("certification_request", "good-request.pem", pem);
    write(
        "certification_request",
        "good-info.der",
        signed_part(&request),
    );

    let ca_key = LocalKey::generate().unwrap();
    let leaf_key = LocalKey::generate().unwrap();
    let (ca_tbs, ca) = issue(
        issuer(),
        key(),
        ca_key.public_key(),
        2,
        Subject::InstitutionCa { common_name: "CA" },
    );
    let ca_issuer = Issuer::new(ca.clone()).unwrap();
    let device_id = "8a562c67-ca16-48ba-b074-65581be6f001";
    let (_, device) = issue(
        &ca_issuer,
        &ca_key,
        leaf_key.public_key(),
        3,
        Subject::Device { device_id },
    );
    let common_name = "authorization";
    let (_, leaf) = issue(
        &ca_issuer,
        &ca_key,
        leaf_key.public_key(),
        4,
        Subject::Authorization { common_name },
    );
    let top = issuer().ca();
    write("certificate", "good-root.der", top.der());
    write("certificate", "good-ca.der", ca.der());
    write("certificate", "good-ca-tbs.der", ca_tbs.bytes());
    write("certificate", "good-device.der", device.der());
    write("certificate", "good-authorization.der", leaf.der());
    write("certificate_chain", "good-one.pem", leaf.to_pem());
    write(
        "certificate_chain",
        "good-two.pem",
        leaf.to_pem() + &ca.to_pem(),
    );
    write(
        "certificate_chain",
        "bad-cut.pem",
        ca.to_pem().trim_end_matches("-----\n"),
    );

    let entry = |serial: u8, reason| RevokedEntry {
        serial: vec![serial; 16],
        at: NOW - DAY,
        reason,
    };
    let entries = [
        entry(1, Reason::KeyCompromise),
        entry(2, Reason::CertificateHold),
        entry(3, Reason::Unspecified),
    ];
    let list = |number, entries: &[_]| {
        issuer()
            .crl(number, NOW - DAY, NOW + 365 * DAY, entries)
            .unwrap()
    };
    write("crl", "good-empty.der", signed(list(1, &[]).bytes()));
    write("crl", "good-entries.der", signed(list(7, &entries).bytes()));
    write(
        "crl",
        "good-entries-tbs.der",
        list(u64::try_from(i64::MAX).unwrap(), &entries).bytes(),
    );
    write("crl", "bad-certificate.der", ca.der());

    let ca_crl = ca_issuer.crl(9, NOW - DAY, NOW + 30 * DAY, &[]).unwrap();
    let ca_crl = assemble(ca_crl.bytes(), &ca_key.sign(ca_crl.bytes()).unwrap());
    let document = format!(
        "institution = \"beta\"\nversion = 3\ndevice_root = \"\"\"{5}\"\"\"\nsigning_root = \"\"\"{0}\"\"\"\nsigning_root_crl = \"{1}\"\n\
         [[trusted]]\ninstitution = \"alfa\"\nsigning_ca = \"\"\"{2}\"\"\"\nauthorization_certificates = [\"\"\"{3}\"\"\"]\nsigning_ca_crls = [\"{4}\"]\n",
        top.to_pem(),
        STANDARD.encode(signed(list(1, &[]).bytes())),
        ca.to_pem(),
        leaf.to_pem(),
        STANDARD.encode(ca_crl),
        device_root().to_pem(),
    );
    write(
        "trust",
        "bad-version.toml",
        document.replace("version = 3", "version = 0"),
    );
    write(
        "trust",
        "bad-other-institution.toml",
        document.replace("\"alfa\"", "\"alef\""),
    );
    write("trust", "good-document.toml", document);
}

/// Another root, with a key of its own.
fn device_root() -> Certificate {
    let key = LocalKey::generate().unwrap();
    let asked = Content {
        public_key: key.public_key(),
        ..content("scheme", 5)
    };
    let tbs = root(&asked, "Device root", &oids()).unwrap();
    Certificate::from_der(&assemble(tbs.bytes(), &key.sign(tbs.bytes()).unwrap())).unwrap()
}

fn keys_and_signatures() {
    write("public_key", "good-spki.der", public().spki_der());
    write("public_key", "good-point", public().sec1());
    write(
        "public_key",
        "bad-compressed",
        [&[2][..], public().x()].concat(),
    );
    let signature = key().sign(MESSAGE).unwrap();
    write("signature", "good-raw", signature.to_raw());
    write("signature", "good-der", signature.to_der());
    write("signature", "bad-zeros", [0; 64]);
}

fn objects() {
    let order = compact(
        sample::order_header().as_bytes(),
        sample::order().as_bytes(),
    );
    assert!(OrderJws::parse(&order).is_ok());
    let authorization = compact(
        sample::header(&KID).as_bytes(),
        sample::authorization().as_bytes(),
    );
    write("jws", "good-order", &order);
    write("jws", "good-empty-parts", compact(b"", b""));
    write("jws", "bad-two-parts", order.rsplit_once('.').unwrap().0);
    write("order", "good-compact", &order);
    write("order", "good-payload.json", sample::order());
    write("order", "good-header.json", sample::order_header());
    write(
        "order",
        "good-yen.json",
        sample::order().replace("23.72", "23").replace("CNY", "JPY"),
    );
    write(
        "order",
        "bad-twice.json",
        sample::order().replace("{\"jti\"", "{\"iat\":1800000000,\"jti\""),
    );
    write("order", "bad-authorization", &authorization);
    write("authorization", "good-compact", &authorization);
    write(
        "authorization",
        "good-payload.json",
        sample::authorization(),
    );
    write("authorization", "good-header.json", sample::header(&KID));
    write(
        "authorization",
        "bad-aud.json",
        sample::authorization().replace("\"aud\":\"beta\"", "\"aud\":\"gamma\""),
    );
    write("authorization", "bad-order", &order);
}

fn texts() {
    for (name, text) in [
        ("good-euro", "12.99 EUR"),
        ("good-yen", "1 JPY"),
        ("good-fils", "0.001 KWD"),
        ("good-most", "9999999999999999.99 EUR"),
        ("bad-zero", "0.00 EUR"),
        ("bad-gold", "1 XAU"),
    ] {
        write("money", name, text);
    }
    for (name, text) in [
        ("good-institution", "bank-7"),
        ("good-end-to-end", "2026/11/22-(a):b.c,d'e+f?"),
        ("good-uetr", "8a562c67-ca16-48ba-b074-65581be6f001"),
        ("good-key", "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"),
        ("good-caller", "spiffe://semops.example/alfa/payments/core"),
        ("good-pseudonym", "aGVsbG8gd29ybGQgaGVsbG8"),
        ("bad-space", " a\u{e9}"),
    ] {
        write("field", name, text);
    }
    let qr = include_bytes!("../../../testdata/emv-qr.txt");
    write("offer", "good-sample", qr);
    write(
        "offer",
        "good-static",
        "00020126100001N0101M5303978540598.705904SHOP63040000",
    );
    write("offer", "bad-order", &qr[6..]);
}

fn documents() {
    let register = |of: &str| {
        let key = LocalKey::generate().unwrap();
        let asked = Content {
            public_key: key.public_key(),
            ..content(of, 6)
        };
        let tbs = root(&asked, "TLS CA", &oids()).unwrap();
        let ca =
            Certificate::from_der(&assemble(tbs.bytes(), &key.sign(tbs.bytes()).unwrap())).unwrap();
        format!(
            "institution = \"alfa\"\nversion = 2\ntls_ca = \"\"\"{}\"\"\"\n\n[[caller]]\nid = \"spiffe://semops.example/alfa/payments/core\"\nstate = \"active\"\n\n[[caller]]\nid = \"spiffe://semops.example/alfa/auditor/a.b\"\nstate = \"disabled\"\n",
            ca.to_pem()
        )
    };
    write("callers", "good-two.toml", register("alfa"));
    write("callers", "bad-other-ca.toml", register("beta"));
    let policy = include_str!("../../../../signer/policy.example.toml");
    write("policy", "good-example.toml", policy);
    write(
        "policy",
        "bad-all.toml",
        policy.replace("150.00", "150").replace("= 60 ", "= 601 "),
    );
    let configuration = include_str!("../../../../signer/signer.example.toml");
    write("configuration", "good-example.toml", configuration);
    write(
        "configuration",
        "bad-https.toml",
        configuration.replace("http://", "https://"),
    );
    write("scheme", "good-example.toml", Scheme::EXAMPLE);
    write(
        "scheme",
        "bad-twice.toml",
        Scheme::EXAMPLE.replace("\"beta\"", "\"alfa\""),
    );
}

fn messages() {
    let message = |name: &str, kind: &str, message: &dyn Fn() -> Vec<u8>| {
        let number = MESSAGES.iter().position(|(of, _)| *of == kind).unwrap();
        write(
            "message",
            name,
            [vec![u8::try_from(number).unwrap()], message()].concat(),
        );
    };
    let order = compact(
        sample::order_header().as_bytes(),
        sample::order().as_bytes(),
    );
    message("good-cosign", "CosignOrderRequest", &|| {
        let message = v1::CosignOrderRequest {
            order_jws: order.clone(),
            end_to_end_id: Some("E2E".into()),
            uetr: Some(String::new()),
        };
        message.encode_to_vec()
    });
    message("good-list", "ListDevicesRequest", &|| {
        let message = v1::ListDevicesRequest {
            relation: 2,
            status: -1,
            account_reference: "8a562c67-ca16-48ba-b074-65581be6f001".into(),
            page_size: u32::MAX,
            ..Default::default()
        };
        message.encode_to_vec()
    });
    message("good-device", "GetDeviceResponse", &|| {
        let issued = v1::IssuedDevice {
            certificate_chain: vec![vec![0x30, 0], Vec::new()],
            not_before: i64::MIN,
            not_after: i64::MAX,
            revoked_at: Some(0),
            ..Default::default()
        };
        let device = v1::Device {
            issued: Some(issued),
            acceptance: Some(v1::Acceptance::default()),
            ..Default::default()
        };
        v1::GetDeviceResponse {
            device: Some(device),
        }
        .encode_to_vec()
    });
    message("good-empty", "GetStatusRequest", &Vec::new);
    message("bad-wire-type", "CosignOrderRequest", &|| vec![0x08, 0x01]);
    message("bad-groups", "GetDeviceRequest", &|| vec![0x7b; 200]);
}
