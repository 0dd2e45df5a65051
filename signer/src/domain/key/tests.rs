//! Who certifies which key, and for how long it signs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use semops_pki::issuer::Subject;

use super::*;
use crate::{
    domain::device::DeviceId,
    specimen::{Certified, oids, roots as roots_of},
};

const CA: Subject<'_> = Subject::InstitutionCa {
    common_name: "signing-ca",
};
const LEAF: Subject<'_> = Subject::Authorization {
    common_name: "authorization",
};

/// What the words of the refusal begin with; empty if there is none.
fn refusal(
    key: &Certified,
    purpose: Purpose,
    roots: [&Certified; 2],
    cas: &[&Certificate],
) -> String {
    let [device, signing] = roots;
    let by = Certifiers {
        roots: &SchemeRoots::configured(roots_of(device, signing)),
        device_cas: cas,
        signing_cas: cas,
        oids: &oids(),
    };
    let id = KeyId::of(key.key.public_key());
    let alfa = "alfa".parse().unwrap();
    let certificate = key.certificate.clone();
    match KeyRecord::certified(&alfa, purpose, id, certificate, by) {
        Ok(record) => {
            assert_eq!((record.id, record.purpose), (id, purpose));
            let above = usize::from(!purpose.is_ca());
            assert_eq!(record.chain.len(), 1 + above);
            String::new()
        }
        Err(why) => why.to_string(),
    }
}

#[test]
fn a_key_is_certified_by_whoever_may_and_by_nobody_else() {
    let [device_root, signing_root] = [Certified::root(), Certified::root()];
    let roots = [&device_root, &signing_root];
    let ca = signing_root.issue("alfa", CA, 300);
    let betas = signing_root.issue("beta", CA, 300);
    let leaf = ca.issue("alfa", LEAF, 200);
    let cas = [&betas.certificate, &ca.certificate];
    assert_eq!(refusal(&leaf, Purpose::Authorization, roots, &cas), "");
    assert_eq!(refusal(&ca, Purpose::SigningCa, roots, &[]), "");
    for (key, purpose, cas, words) in [
        (
            &ca,
            Purpose::DeviceCa,
            &cas[..],
            "it is not issued by a root of the device",
        ),
        (
            &leaf,
            Purpose::Authorization,
            &[],
            "the institution has no signing CA",
        ),
        (
            &leaf,
            Purpose::Authorization,
            &cas[..1],
            "it is not issued by a signing CA",
        ),
        (
            &leaf,
            Purpose::SigningCa,
            &cas[..],
            "it is not issued by a root of the signing",
        ),
        (&betas, Purpose::SigningCa, &cas[..], "its O is not alfa"),
    ] {
        let found = refusal(key, purpose, roots, cas);
        assert!(found.starts_with(words), "{found}");
    }
    let id = DeviceId::from_random([1; 16]).to_string();
    let device = ca.issue("alfa", Subject::Device { device_id: &id }, 200);
    assert_ne!(refusal(&device, Purpose::Authorization, roots, &cas), "");
}

#[test]
fn a_certificate_is_of_one_key() {
    let (root, alfa) = (Certified::root(), "alfa".parse().unwrap());
    let ca = root.issue("alfa", CA, 300);
    let by = Certifiers {
        roots: &SchemeRoots::configured(roots_of(&root, &root)),
        device_cas: &[],
        signing_cas: &[],
        oids: &oids(),
    };
    let other = KeyId::new([1; 32]);
    let purpose = Purpose::SigningCa;
    let certified = KeyRecord::certified(&alfa, purpose, other, ca.certificate.clone(), by);
    assert!(matches!(certified, Err(NotCertified::OtherKey(_))));
}

#[test]
fn a_ca_that_is_valid_for_long_signs_for_three_years() {
    let alfa = "alfa".parse().unwrap();
    let of = |days| {
        let ca = Certified::root_for(days);
        KeyRecord::new(&alfa, Purpose::DeviceCa, ca.certificate, None)
    };
    let (short, long) = (of(1_000), of(1_826));
    assert_eq!(short.signs_until, short.not_after);
    let three_years = long
        .not_before
        .plus_seconds(longest_cryptoperiod(Purpose::DeviceCa));
    assert_eq!(long.signs_until, three_years);
    assert!(long.valid_at(three_years) && !long.valid_at(long.not_after));
}

const COMMON_NAME: &str = "key";
const OWN: [(Purpose, Subject<'_>); 4] = [
    (
        Purpose::Authorization,
        Subject::Authorization {
            common_name: COMMON_NAME,
        },
    ),
    (
        Purpose::Ocsp,
        Subject::OcspResponder {
            common_name: COMMON_NAME,
        },
    ),
    (
        Purpose::Audit,
        Subject::Audit {
            common_name: COMMON_NAME,
        },
    ),
    (
        Purpose::Statement,
        Subject::Statement {
            common_name: COMMON_NAME,
        },
    ),
];

#[test]
fn a_certificate_makes_a_key_one_of_its_purpose_alone() {
    let [device_root, signing_root] = [Certified::root(), Certified::root()];
    let roots = [&device_root, &signing_root];
    let cas = roots.map(|root| root.issue("alfa", CA, 300));
    let [device_ca, signing_ca] = cas.each_ref().map(|ca| &ca.certificate);
    for (purpose, subject) in OWN {
        for (ca, of) in cas.iter().zip([Purpose::DeviceCa, Purpose::SigningCa]) {
            let leaf = ca.issue("alfa", subject, 80);
            for (other, _) in OWN {
                // Either CA counts as one of each kind here: the usage alone tells the keys apart.
                let found = refusal(&leaf, other, roots, &[&ca.certificate]);
                assert_eq!(
                    found.is_empty(),
                    purpose == other,
                    "{purpose:?} as {other:?}: {found}"
                );
            }
            let certified = |institution: &str,
                             device_cas: &[&Certificate],
                             signing_cas: &[&Certificate]| {
                let by = Certifiers {
                    roots: &SchemeRoots::configured(roots_of(&device_root, &signing_root)),
                    device_cas,
                    signing_cas,
                    oids: &oids(),
                };
                let (id, certificate) =
                    (KeyId::of(leaf.key.public_key()), leaf.certificate.clone());
                KeyRecord::certified(&institution.parse().unwrap(), purpose, id, certificate, by)
            };
            let own = certified("alfa", &[device_ca], &[signing_ca]);
            assert_eq!(
                own.is_ok(),
                purpose.certified_by() == Some(of),
                "{purpose:?} by {of:?}"
            );
            let betas = certified("beta", &[device_ca], &[signing_ca]);
            assert!(matches!(betas, Err(NotCertified::OtherInstitution(_))));
            assert!(matches!(
                certified("alfa", &[], &[]),
                Err(NotCertified::NoIssuer(_))
            ));
        }
    }
}

#[test]
fn each_purpose_has_its_cryptoperiod() {
    let alfa = "alfa".parse().unwrap();
    for purpose in Purpose::ALL {
        let long = Certified::root_for(1_826).certificate;
        let record = KeyRecord::new(&alfa, purpose, long, None);
        let days = i64::from(purpose.cryptoperiod_days());
        assert_eq!(
            record.signs_until,
            record.not_before.plus_seconds(days * 86_400)
        );
        assert!(record.signs_until < record.not_after);
    }
}

/// The table of the documentation says what the code does.
#[test]
fn the_cryptoperiods_are_written_down() {
    let text = include_str!("../../../docs/rotation.md");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" days | "))
        .collect();
    let row = |purpose: Purpose| {
        let by = match (purpose.certified_by(), purpose) {
            (Some(by), _) => format!("`{}`", by.name()),
            (None, Purpose::DeviceCa) => "the device root".to_owned(),
            (None, _) => "the signing root".to_owned(),
        };
        let (signs, notice) = (purpose.cryptoperiod_days(), purpose.notice_days());
        format!(
            "| `{}` | {signs} days | {notice} days | {by} |",
            purpose.name()
        )
    };
    assert_eq!(rows, Purpose::ALL.map(row));
}
