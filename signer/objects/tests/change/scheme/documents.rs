//! Roots documents: what they say, and what is refused; and what a scheme's register may not say.

use semops_objects::change::{MAX_ROOTS, Roots, RootsError};
use semops_pki::algorithm::sha256;
use semops_pki::local_key::LocalKey;

use super::world::{Founders, certified};

#[test]
fn a_roots_document_says_what_stands_in_it() {
    let founders = Founders::new();
    let text = founders.document(3, &["device", "device-2"], &["signing"]);
    let roots = Roots::parse(text.as_bytes()).unwrap();
    assert_eq!(
        (roots.scheme(), roots.named().version),
        ("semops.example", 3)
    );
    assert_eq!(roots.named().sha256, sha256(text.as_bytes()));
    let pems = |of: &[semops_pki::certificate::Certificate]| {
        of.iter().map(|root| root.to_pem()).collect::<Vec<_>>()
    };
    assert_eq!(
        pems(roots.device()),
        ["device", "device-2"].map(|name| founders.root(name))
    );
    assert_eq!(pems(roots.signing()), [founders.root("signing")]);
}

#[test]
fn each_mistake_is_named() {
    let founders = Founders::new();
    let good = founders.document(1, &["device"], &["signing"]);
    let five = ["device", "device-2", "device-3", "device-4", "device-5"];
    let [own, other] = [(); 2].map(|()| LocalKey::generate().unwrap());
    let renewed = |name| certified(&own, &own, name).to_pem();
    let stranger = certified(&own, &other, "device").to_pem();
    let with = |pem: &str| good.replacen(founders.root("device"), pem, 1);
    let twice = good
        .replacen(founders.root("device"), &renewed("device"), 1)
        .replacen(founders.root("signing"), &renewed("signing"), 1);
    let ca = founders.root("device").replacen("MII", "MIJ", 1);
    for (text, member) in [
        (founders.document(1, &[], &["signing"]), "device_roots: 0"),
        (founders.document(1, &["device"], &[]), "signing_roots: 0"),
        (
            founders.document(1, &five, &["signing"]),
            "device_roots: 5 roots",
        ),
        (
            founders.document(1, &["device", "device"], &["signing"]),
            "device_roots[1]: its key",
        ),
        (
            founders.document(1, &["device"], &["device"]),
            "signing_roots[0]: its key",
        ),
        (twice, "signing_roots[0]: its key"),
        (with(&stranger), "device_roots[0]: "),
        (with(&ca), "device_roots[0]: "),
        (with("no PEM"), "device_roots[0]: "),
        (
            founders.document(0, &["device"], &["signing"]),
            "version = 0",
        ),
        (format!("{good}more = 1\n"), "unknown field `more`"),
        (good.replacen("version = 1\n", "", 1), "missing field"),
        ("\u{1}".to_owned(), "the roots document"),
    ] {
        let error = Roots::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(member), "{error}: {member}");
        assert_eq!(error.reason(), "DOCUMENT_INVALID");
    }
    assert!(Roots::parse(b"\xff").is_err());
    let long = format!("{good}#{}", "x".repeat(MAX_ROOTS));
    let error = Roots::parse(long.as_bytes()).unwrap_err();
    assert_eq!(
        error,
        RootsError::Form("it is longer than 64 KiB".to_owned())
    );
    Roots::parse(good.as_bytes()).unwrap();
}
