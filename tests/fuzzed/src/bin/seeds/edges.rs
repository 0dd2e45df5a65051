//! Owns the seeds of what has no file and no object of its own: headers, requests, worker processes, profiles and drills.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fuzzed::edges::methods;
use fuzzed::workers::KEY;
use fuzzed::workers::said::{Answer, Begun, Failure, Key, Refused, Report};
use prost::Message;
use semops_pki::algorithm::sha256;
use semops_proto::v1;

use super::write;

pub(crate) fn all() {
    headers();
    requests();
    workers();
    files();
}

fn headers() {
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let later = parent.replace(": 00", ": cc") + "-what-follows";
    write(
        "headers",
        "good-time",
        "grpc-timeout: 1500m\ncontent-type: application/grpc",
    );
    write(
        "headers",
        "good-trace",
        format!("{parent}\ntracestate: bank=1\ntracestate: mno@a=2,c=3"),
    );
    write("headers", "good-later-version", later);
    write("headers", "bad-unit", "grpc-timeout: 5s");
    write("headers", "bad-two-parents", format!("{parent}\n{parent}"));
}

/// A request of `method`, behind the octet that chooses it.
fn request(name: &str, method: &str, message: &impl Message) {
    let of = |(path, _): &(String, _)| path.ends_with(&format!("/{method}"));
    let number = methods().iter().position(of).unwrap();
    let number = u8::try_from(number).unwrap();
    write(
        "request",
        name,
        [vec![number], message.encode_to_vec()].concat(),
    );
}

fn requests() {
    let device_id = || "8a562c67-ca16-48ba-b074-65581be6f001".to_owned();
    let reference = || "AbCdEfGhIjKlMnOpQrStUv".to_owned();
    let revoke = |reason| v1::RevokeDeviceRequest {
        device_id: device_id(),
        reason,
    };
    request("good-revoke", "RevokeDevice", &revoke(1));
    request("bad-reason", "RevokeDevice", &revoke(99));
    let account_reference = reference();
    let accept = v1::AcceptDeviceRequest {
        device_id: device_id(),
        account_reference,
    };
    request("good-accept", "AcceptDevice", &accept);
    let enroll = v1::EnrollDeviceRequest {
        certification_request: vec![0x30, 0],
        subscriber_reference: reference(),
    };
    request("good-enroll", "EnrollDevice", &enroll);
    let jti = "01936e0e-0e80-7abc-8def-0123456789ab".to_owned();
    let outcome = v1::GetAuthorizationRequest {
        device_id: device_id(),
        jti,
    };
    request("good-outcome", "GetAuthorization", &outcome);
    let crl = |authority: v1::Authority, institution: &str| v1::GetCrlRequest {
        authority: authority.into(),
        institution: institution.to_owned(),
        key_id: String::new(),
    };
    request("good-crl", "GetCrl", &crl(v1::Authority::DeviceCa, "alfa"));
    request("bad-crl", "GetCrl", &crl(v1::Authority::DeviceRoot, "alfa"));
    let document = v1::GetDocumentRequest {
        kind: 3,
        version: u64::MAX,
    };
    request("good-document", "GetDocument", &document);
    // The token says which filters it belongs to, and behind which device the page begins.
    let filters = sha256(b"semops-device-page-v1\0issued\0active\0");
    let page = v1::ListDevicesRequest {
        relation: v1::DeviceRelation::Issued.into(),
        status: v1::DeviceStatus::Active.into(),
        page_size: 500,
        page_token: URL_SAFE_NO_PAD.encode([&filters[..16], &[9; 16]].concat()),
        ..Default::default()
    };
    request("good-page", "ListDevices", &page);
    let status = v1::DeviceStatus::Revoked.into();
    request(
        "bad-page",
        "ListDevices",
        &v1::ListDevicesRequest { status, ..page },
    );
}

fn workers() {
    let key = Key {
        id: KEY.as_bytes().to_vec(),
        label: "authorization".to_owned(),
    };
    let report = Report {
        library: "SoftHSM, Implementation of PKCS11 2.6, PKCS#11 2.40".to_owned(),
        token: "SoftHSM project SoftHSM v2, serial number 1, firmware 2.6".to_owned(),
        threads: 2,
        mechanisms: vec!["CKM_ECDSA".to_owned()],
        keys: vec![key],
    };
    let begun = |report: Report| {
        Begun {
            report: Some(report),
            refused: None,
        }
        .encode_to_vec()
    };
    let done = |id, octets| Answer {
        id,
        octets,
        nanos: 70_000,
        sessions: 2,
        logins: 1,
        ..Answer::default()
    };
    let failed = |id, class| Answer {
        id,
        ending: 2,
        failures: vec![Failure {
            call: "C_Sign".to_owned(),
            code: "CKR_DEVICE_ERROR".to_owned(),
            class,
        }],
        ..Answer::default()
    };
    let life = |name: &str, begun: Vec<u8>, answers: &[Answer]| {
        let answers = answers.iter().map(Message::encode_to_vec);
        let packets = std::iter::once(begun).chain(answers).map(|packet| {
            let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
            [length.to_vec(), packet].concat()
        });
        write("worker", name, packets.collect::<Vec<_>>().concat());
    };
    let good = begun(report.clone());
    life(
        "good-serves",
        good.clone(),
        &[done(1, vec![1; 64]), done(2, vec![2; 16])],
    );
    life(
        "good-fails",
        good.clone(),
        &[failed(1, 1), failed(2, 4), failed(0, 3)],
    );
    life(
        "good-fatal",
        good.clone(),
        &[failed(1, 0), done(2, vec![2; 16])],
    );
    let boasts = Answer {
        logins: u64::MAX,
        sessions: u32::MAX,
        nanos: u64::MAX,
        ..done(1, vec![])
    };
    life("good-boasts", good, &[boasts]);
    life(
        "bad-threads",
        begun(Report {
            threads: u32::MAX,
            ..report.clone()
        }),
        &[done(1, vec![1; 64])],
    );
    life(
        "bad-keys",
        begun(Report {
            keys: Vec::new(),
            ..report
        }),
        &[done(1, vec![1; 64])],
    );
    let refused = Some(Refused {
        text: "no token\nhas the label".to_owned(),
    });
    life(
        "bad-refused",
        Begun {
            report: None,
            refused,
        }
        .encode_to_vec(),
        &[],
    );
}

fn files() {
    let profile = "endpoint = \"https://127.0.0.1:8443\"\nserver = \"spiffe://semops.example/alfa/server/main\"\n\
        root = \"../tls-root.pem\"\ncertificate = \"/etc/semops/chain.pem\"\nkey = \"key.pem\"\ntimeout_seconds = 30\n";
    write("profile", "good-spiffe.toml", profile);
    let name = profile.replace("spiffe://semops.example/alfa/server/main", "signer.example");
    write(
        "profile",
        "good-name.toml",
        name.replace("127.0.0.1", "[::1]"),
    );
    write("profile", "bad-http.toml", profile.replace("https", "http"));
    write(
        "profile",
        "bad-port.toml",
        profile.replace("8443", "08443443"),
    );
    let control = "module = \"/usr/lib/softhsm/libsofthsm2.so\"\nlog = \"/var/log/drill\"\n\n[[fault]]\nname = \"slow\"\n\
        token = \"alfa\"\ncalls = [\"C_Sign\"]\nevery = 3\neffect = { delay_ms = 5 }\n\n[[fault]]\nname = \"error\"\n\
        calls = [\"C_SignInit\", \"C_Sign\"]\nfirst = 2\neffect = { return = \"CKR_DEVICE_ERROR\" }\n\n[[fault]]\n\
        name = \"state\"\neffect = { max_sessions = 2 }\n";
    write("control", "good-three.toml", control);
    write(
        "control",
        "bad-twice.toml",
        control.replace("\"slow\"", "\"error\""),
    );
    write(
        "control",
        "bad-call.toml",
        control.replace("C_SignInit", "C_Sing"),
    );
}
