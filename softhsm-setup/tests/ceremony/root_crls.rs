//! What the roots issue after the ceremony: a CRL that revokes a CA, and the next one of each year, which takes nothing back.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use semops_pki::crl::{CertificateRevocationList, Reason};
use softhsm_setup::directory::{Directory, Hierarchy};
use softhsm_setup::error::SetupError;
use softhsm_setup::{CaReason, Edge, RootCrl, next_root_crls, revoke_ca};

use crate::chains::openssl_verify;
use crate::{PROGRAM, contents, edge, go_on, id, own, pem, shared, text};

const YEAR: i64 = 365 * 86_400;

fn crl(made: &Directory, hierarchy: Hierarchy) -> CertificateRevocationList {
    let der = fs::read(made.root_crl(hierarchy)).unwrap();
    CertificateRevocationList::from_der(&der).unwrap()
}

fn revoke(made: &Directory, certificate: &Path, reason: &str) -> Result<RootCrl, SetupError> {
    let reason: CaReason = reason.parse().unwrap();
    revoke_ca(made.path(), certificate, reason, &edge(), &mut go_on)
}

fn next(made: &Directory, now: i64) -> Result<Vec<RootCrl>, SetupError> {
    next_root_crls(made.path(), &Edge { now, ..edge() }, &mut go_on)
}

/// What openssl says of an institution's device CA with the root's CRL in force.
fn verified(made: &Directory, institution: &str) -> (bool, String) {
    let crls = [made.root_crl(Hierarchy::Device)];
    let ca = made.ca(Hierarchy::Device, &id(institution));
    openssl_verify(&made.root(Hierarchy::Device), &crls, &[], &ca)
}

#[test]
fn a_root_revokes_a_ca_and_no_other() {
    let (_folder, made) = own();
    let ca = made.ca(Hierarchy::Device, &id("alfa"));
    let before = contents(made.path());
    assert!(verified(&made, "alfa").0);
    let revoked = revoke(&made, &ca, "cACompromise").unwrap();
    let said = (revoked.number, revoked.entries, revoked.is_new);
    assert_eq!(said, (2, 1, true));

    let list = crl(&made, Hierarchy::Device);
    let entry = list.entry(pem(&ca)[0].serial()).unwrap();
    assert_eq!(entry.reason, Reason::CaCompromise);
    assert_eq!(
        (list.number(), entry.at),
        (revoked.number, list.this_update())
    );
    let (good, said) = verified(&made, "alfa");
    assert!(!good && said.contains("error 23"), "{said}");
    assert!(verified(&made, "beta").0);

    let mut after = contents(made.path());
    let path = made.root_crl(Hierarchy::Device);
    let (_, mode) = after.remove(&path).unwrap();
    assert_eq!(mode & 0o777, 0o644);
    let mut others = before;
    others.remove(&path);
    assert_eq!(after, others, "nothing else changes");
}

#[test]
fn what_is_revoked_stays_as_it_was_revoked() {
    let (_folder, made) = own();
    let ca = made.ca(Hierarchy::Signing, &id("beta"));
    let first = revoke(&made, &ca, "superseded").unwrap();
    let before = contents(made.path());
    let again = revoke(&made, &ca, "superseded").unwrap();
    assert_eq!(
        again,
        RootCrl {
            is_new: false,
            ..first
        }
    );
    let other = revoke(&made, &ca, "keyCompromise").unwrap_err();
    assert!(
        other.to_string().contains("another reason, superseded"),
        "{other}"
    );
    assert_eq!(contents(made.path()), before);

    // A year later, and another CA: each list has all that the one before has.
    let was = crl(&made, Hierarchy::Signing);
    let now = edge().now;
    let all = next(&made, now + YEAR).unwrap();
    let numbers: Vec<_> = all
        .iter()
        .map(|crl| (crl.hierarchy.as_str(), crl.number, crl.entries))
        .collect();
    assert_eq!(
        numbers,
        [("device", 2, 0), ("signing", 3, 1), ("tls", 2, 0)]
    );
    let list = crl(&made, Hierarchy::Signing);
    assert!(list.entries().eq(was.entries()));
    assert!(list.this_update() > was.this_update() && !list.stale_at(now + YEAR));
    let refused = revoke(
        &made,
        &made.ca(Hierarchy::Signing, &id("alfa")),
        "superseded",
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("clock has not reached"), "{refused}");
}

#[test]
fn what_is_no_ca_of_a_root_is_not_revoked() {
    let (_folder, made) = own();
    let (other, alfa) = (shared(), id("alfa"));
    let nothing = made.path().join("nothing");
    fs::write(&nothing, "nothing").unwrap();
    let before = contents(made.path());
    for (certificate, why) in [
        (made.root(Hierarchy::Device), "is not a CA's certificate"),
        (
            other.ca(Hierarchy::Device, &alfa),
            "is not a CA's certificate",
        ),
        (made.server_chain(), "CERTIFICATE blocks"),
        (nothing, "PEM"),
    ] {
        let refused = revoke(&made, &certificate, "cACompromise").unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
    }
    for word in ["certificateHold", "removeFromCRL", "unspecified", ""] {
        assert!(word.parse::<CaReason>().is_err(), "{word}");
    }
    // Between signing and writing nothing is done yet.
    let ca = made.ca(Hierarchy::Device, &alfa);
    let reason = CaReason::ALL[0];
    let mut stop = |_: &str| ControlFlow::Break(());
    let stopped = revoke_ca(made.path(), &ca, reason, &edge(), &mut stop);
    assert!(matches!(stopped, Err(SetupError::Interrupted)));
    assert_eq!(contents(made.path()), before);
}

#[test]
fn a_root_whose_key_is_away_issues_nothing() {
    let (_folder, made) = own();
    let device = made.root_key(Hierarchy::Device);
    fs::remove_file(&device).unwrap();
    let ca = made.ca(Hierarchy::Device, &id("alfa"));
    let refused = revoke(&made, &ca, "superseded").unwrap_err();
    assert!(matches!(refused, SetupError::NoRootKeys(missing) if missing == [device]));
    let output = Command::new(PROGRAM)
        .arg("root-crl")
        .arg(made.path())
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of: Vec<_> = said["crls"].as_array().unwrap().iter().collect();
    assert_eq!(of.len(), 2);
    assert_eq!(
        (&of[0]["hierarchy"], &of[0]["number"]),
        (&"signing".into(), &2.into())
    );
    let path = made.root_crl(Hierarchy::Signing);
    assert_eq!(of[0]["crl"], path.to_str().unwrap());
    for hierarchy in [Hierarchy::Signing, Hierarchy::Tls] {
        fs::remove_file(made.root_key(hierarchy)).unwrap();
    }
    let refused = next(&made, edge().now).unwrap_err();
    assert!(matches!(refused, SetupError::NoRootKeys(missing) if missing.len() == 3));
    let half = Command::new(PROGRAM)
        .arg("root-crl")
        .arg(made.path())
        .args(["--revoke", "x"])
        .output()
        .unwrap();
    assert_eq!(half.status.code(), Some(2), "{}", text(&half.stderr));
}
