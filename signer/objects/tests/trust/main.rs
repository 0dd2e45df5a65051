//! Trust documents and what they make of authorizations, on certificates and CRLs made for the purpose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod documents;
mod hierarchy;
#[path = "../sample/mod.rs"]
mod sample;

use hierarchy::{DAY, Hierarchy, NOW, oids};
use sample::Key;
use semops_objects::trust::Refusal;
use semops_objects::{
    Authorization, InstitutionId, OrderJws, TrustDocument, Verdict, verify_authorization,
};

fn id(text: &str) -> InstitutionId {
    text.parse().unwrap()
}

fn trust(toml: &str) -> TrustDocument {
    TrustDocument::parse(toml.as_bytes(), &oids()).unwrap()
}

/// An authorization of alfa for beta, made at [`NOW`] and signed by alfa's key.
fn authorization(scheme: &Hierarchy, change: impl FnOnce(&mut Authorization)) -> String {
    let mut authorization = sample::authorization(&sample::order(), [1; 32]);
    (authorization.iat, authorization.exp) = (NOW, NOW + 60);
    change(&mut authorization);
    signed(
        &authorization,
        &scheme.alfa.key,
        &scheme.alfa.key,
        scheme.alfa.leaf.sha256(),
    )
}

fn signed(authorization: &Authorization, named: &Key, signer: &Key, x5t: [u8; 32]) -> String {
    signer.compact(&authorization.signing_input(&named.public(), &x5t))
}

fn refusal(jws: &str, trust: &TrustDocument, caller: &str, now: u64) -> Refusal {
    match verify_authorization(jws, trust, &id(caller), now) {
        Verdict::Refused { reason, .. } => reason,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_good_authorization_counts_until_it_expires() {
    let scheme = Hierarchy::new();
    let trust = trust(&scheme.document());
    let jws = authorization(&scheme, |_| ());
    for (caller, now, valid) in [
        ("beta", NOW, true),
        ("alfa", NOW, true),
        ("beta", NOW - 30, true),
        ("beta", NOW + 59, true),
        ("beta", NOW + 60, false),
        ("beta", NOW + DAY, false),
    ] {
        match verify_authorization(&jws, &trust, &id(caller), now) {
            Verdict::Valid(authorization) if valid => assert_eq!(authorization.iss, id("alfa")),
            Verdict::Expired(authorization) if !valid => assert_eq!(authorization.iss, id("alfa")),
            other => unreachable!("{caller} {now} {other:?}"),
        }
    }
}

#[test]
fn refused_for_their_time_or_reader() {
    let scheme = Hierarchy::new();
    let trust = trust(&scheme.document());
    let jws = authorization(&scheme, |_| ());
    assert_eq!(refusal(&jws, &trust, "mobilis", NOW), Refusal::NotForCaller);
    assert_eq!(
        refusal(&jws, &trust, "beta", NOW - 31),
        Refusal::IssuedInFuture
    );
}

#[test]
fn refused_for_their_signer() {
    let scheme = Hierarchy::new();
    let trust = trust(&scheme.document());
    let mut content = sample::authorization(&sample::order(), [1; 32]);
    (content.iat, content.exp) = (NOW, NOW + 60);
    let (alfa, beta, stranger) = (&scheme.alfa.key, &scheme.beta.key, &Key::generate());
    let (a, b) = (scheme.alfa.leaf.sha256(), scheme.beta.leaf.sha256());
    let ca = scheme.alfa.ca.sha256();
    for (named, signer, x5t, reason) in [
        (alfa, alfa, [0; 32], Refusal::UnknownCertificate),
        (alfa, alfa, ca, Refusal::UnknownCertificate),
        (alfa, alfa, b, Refusal::KeyMismatch),
        (beta, alfa, a, Refusal::KeyMismatch),
        (stranger, stranger, a, Refusal::KeyMismatch),
        (beta, beta, b, Refusal::IssuerMismatch),
        (alfa, beta, a, Refusal::BadSignature),
        (alfa, stranger, a, Refusal::BadSignature),
    ] {
        let jws = signed(&content, named, signer, x5t);
        assert_eq!(refusal(&jws, &trust, "beta", NOW), reason);
    }
}

#[test]
fn an_order_is_no_authorization() {
    let order = Key::generate().compact(&sample::order().signing_input(&[0; 32]));
    assert!(OrderJws::parse(&order).is_ok());
    let reason = refusal(&order, &trust(&Hierarchy::new().document()), "beta", NOW);
    assert_eq!(reason.name(), "MALFORMED");
    assert!(reason.to_string().starts_with("`header.typ`"), "{reason}");
}

#[test]
fn a_refusal_carries_what_could_be_read() {
    let scheme = Hierarchy::new();
    let jws = authorization(&scheme, |_| ());
    let verdict = verify_authorization(&jws, &trust(&scheme.document()), &id("mobilis"), NOW);
    let Verdict::Refused {
        authorization: Some(read),
        ..
    } = verdict
    else {
        unreachable!("{verdict:?}")
    };
    assert_eq!(read.amount.value(), "23.72");
}

#[test]
fn certificates_count_as_of_iat() {
    let scheme = Hierarchy::new();
    let trust = trust(&scheme.document());
    for (iat, valid) in [
        (scheme.alfa.leaf.not_before() - 1, false),
        (scheme.alfa.leaf.not_before(), true),
        (scheme.alfa.leaf.not_after() + 1, false),
    ] {
        let iat = u64::try_from(iat).unwrap();
        let jws = authorization(&scheme, |authorization| {
            (authorization.iat, authorization.exp) = (iat, iat + 60);
        });
        match verify_authorization(&jws, &trust, &id("beta"), iat) {
            Verdict::Valid(_) => assert!(valid, "{iat}"),
            // The CRLs of this document end before the certificates do.
            Verdict::Refused { reason, .. } => {
                assert_eq!((valid, reason), (false, Refusal::CertificateNotValid))
            }
            Verdict::Expired(_) => unreachable!(),
        }
    }
}

#[test]
fn revocation_counts_as_of_now() {
    let mut scheme = Hierarchy::new();
    let jws = authorization(&scheme, |_| ());
    scheme.alfa.revoke_leaf();
    let revoked = trust(&scheme.document());
    assert_eq!(
        refusal(&jws, &revoked, "beta", NOW),
        Refusal::CertificateRevoked
    );
    assert_eq!(
        refusal(&jws, &revoked, "beta", NOW + 40 * DAY),
        Refusal::CertificateRevoked
    );
    scheme.revoke_ca_of_alfa();
    assert_eq!(
        refusal(&jws, &trust(&scheme.document()), "beta", NOW),
        Refusal::CaRevoked
    );
}

#[test]
fn a_stale_crl_refuses() {
    let mut scheme = Hierarchy::new();
    let of_ca = u64::try_from(scheme.alfa.crl.next_update()).unwrap();
    let long = trust(&scheme.document());
    let of_root = scheme.shorten_root_crl();
    let short = trust(&scheme.document());
    for (trust, next_update) in [(&long, of_ca), (&short, of_root)] {
        let jws = authorization(&scheme, |authorization| {
            (authorization.iat, authorization.exp) = (next_update - 2, next_update + 60);
        });
        let before = verify_authorization(&jws, trust, &id("beta"), next_update - 1);
        assert!(matches!(before, Verdict::Valid(_)), "{before:?}");
        assert_eq!(refusal(&jws, trust, "beta", next_update), Refusal::CrlStale);
    }
}
