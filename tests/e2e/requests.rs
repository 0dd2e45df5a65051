//! The certification requests that EnrollDevice refuses, made by openssl: each with its reason.

use e2e::{
    deployment::Deployment,
    failure::Failure,
    phone::pseudonym,
    recheck::recheck,
    refusal::{demand, demand_field},
    terminal::Terminal,
};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::enrollment::enroll;

const REFUSED: &str = "REQUEST_NOT_ACCEPTABLE";
const BAD_KEY: &str = "KEY_NOT_ACCEPTABLE";

/// A request that openssl makes, in steps; the reason for its refusal; a word of the description.
const ODD: [(&str, &[&str], &str, &str); 12] = [
    (
        "RSA",
        &["req -new -newkey rsa:2048 -nodes -keyout k -subj /CN=a -outform DER -out a.csr"],
        BAD_KEY,
        "not id-ecPublicKey",
    ),
    (
        "P-384",
        &[
            "ecparam -name secp384r1 -genkey -noout -out k",
            "req -new -key k -sha384 -subj /CN=a -outform DER -out a.csr",
        ],
        BAD_KEY,
        "not secp256r1",
    ),
    (
        "secp256k1",
        &[
            "ecparam -name secp256k1 -genkey -noout -out k",
            "req -new -key k -subj /CN=a -outform DER -out a.csr",
        ],
        BAD_KEY,
        "not secp256r1",
    ),
    (
        "Ed25519",
        &[
            "genpkey -algorithm ed25519 -out k",
            "req -new -key k -subj /CN=a -outform DER -out a.csr",
        ],
        BAD_KEY,
        "not id-ecPublicKey",
    ),
    (
        "P-256 by explicit parameters",
        &[
            "ecparam -name prime256v1 -param_enc explicit -genkey -noout -out k",
            "req -new -key k -subj /CN=a -outform DER -out a.csr",
        ],
        BAD_KEY,
        "do not name a curve",
    ),
    (
        "a compressed point",
        &[
            "ecparam -name prime256v1 -genkey -noout -out full",
            "ec -in full -conv_form compressed -out k",
            "req -new -key k -subj /CN=a -outform DER -out a.csr",
        ],
        BAD_KEY,
        "compressed",
    ),
    (
        "SHA-384",
        &[
            "ecparam -name prime256v1 -genkey -noout -out k",
            "req -new -key k -sha384 -subj /CN=a -outform DER -out a.csr",
        ],
        REFUSED,
        "not ecdsa-with-SHA256",
    ),
    (
        "SHA-1",
        &[
            "ecparam -name prime256v1 -genkey -noout -out k",
            "req -new -key k -sha1 -subj /CN=a -outform DER -out a.csr",
        ],
        REFUSED,
        "not ecdsa-with-SHA256",
    ),
    (
        "a CA's basicConstraints",
        &[
            "ecparam -name prime256v1 -genkey -noout -out k",
            "req -new -key k -subj /CN=a -addext basicConstraints=critical,CA:TRUE -outform DER -out a.csr",
        ],
        REFUSED,
        "asks for extensions",
    ),
    (
        "a subjectAltName",
        &[
            "ecparam -name prime256v1 -genkey -noout -out k",
            "req -new -key k -subj /CN=a -addext subjectAltName=DNS:beta.example -outform DER -out a.csr",
        ],
        REFUSED,
        "asks for extensions",
    ),
    (
        "PEM",
        &[
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=a -out a.csr",
        ],
        REFUSED,
        "not a DER signed structure",
    ),
    (
        "a certificate",
        &[
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=a -outform DER -out a.csr",
        ],
        REFUSED,
        "not a DER CertificationRequestInfo",
    ),
];

#[tokio::test]
async fn other_requests_are_refused_with_the_reason() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let terminal = Terminal::new()?;
    let mut cases = Vec::new();
    for (name, lines, reason, word) in ODD {
        for line in lines {
            terminal.openssl(line)?;
        }
        cases.push((name, terminal.read("a.csr")?, reason, word));
    }
    terminal.openssl("ecparam -name prime256v1 -genkey -noout -out k")?;
    terminal.openssl("req -new -key k -subj /CN=a -outform DER -out a.csr")?;
    let good = terminal.read("a.csr")?;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let last = good.len() - 1;
    // The subject `a` becomes `b`: its one octet stands once after its tag and length.
    let subject = good.windows(3).position(|w| w == [0x0c, 1, b'a']).unwrap() + 2;
    cases.extend([
        (
            "another signature",
            changed(&|r| r[last] ^= 1),
            REFUSED,
            "does not verify",
        ),
        (
            "another subject",
            changed(&|r| r[subject] = b'b'),
            REFUSED,
            "does not verify",
        ),
        (
            "more octets",
            changed(&|r| r.push(0)),
            REFUSED,
            "bytes follow",
        ),
        (
            "fewer octets",
            changed(&|r| r.truncate(last)),
            REFUSED,
            "not a DER",
        ),
        ("garbage", b"\x30\x03abc".to_vec(), REFUSED, "not a DER"),
        (
            "nothing",
            Vec::new(),
            REFUSED,
            "DER of a CertificationRequest",
        ),
        (
            "8193 octets",
            vec![0x30; 8_193],
            REFUSED,
            "8192 octets at most",
        ),
    ]);
    for (name, request, reason, word) in &cases {
        let called = enroll(&mobilis, request, &pseudonym()).await;
        let said = called.as_ref().err().map(described).unwrap_or_default();
        demand_field(called, reason, "certification_request")
            .map_err(|failure| failure.in_step(name))?;
        assert!(said.contains(word), "{name}: {said}");
    }
    // A message above the transport's limit is refused before it is read.
    let huge = enroll(&mobilis, &vec![0x30; 70_000], &pseudonym()).await;
    demand(huge, Code::ResourceExhausted, "MESSAGE_TOO_LARGE")?;

    // The same key and subject, whole, are welcome: nothing of the refused attempts was kept. Tools' own attributes, which
    // reach no certificate, are ignored.
    enroll(&mobilis, &good, &pseudonym()).await?;
    terminal.write(
        "conf",
        "[req]\ndistinguished_name=dn\nattributes=at\nprompt=no\n[dn]\nCN=a\n[at]\nchallengePassword=secret\n",
    )?;
    terminal.openssl("ecparam -name prime256v1 -genkey -noout -out k")?;
    terminal.openssl("req -new -key k -config conf -outform DER -out a.csr")?;
    enroll(&mobilis, &terminal.read("a.csr")?, &pseudonym()).await?;
    assert_eq!(recheck(&mut deployment).await?.certificates, 2);
    Ok(())
}

fn described(status: &Status) -> String {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.clone());
    let descriptions = violations.unwrap_or_default().into_iter();
    descriptions
        .map(|violation| violation.description)
        .collect()
}
