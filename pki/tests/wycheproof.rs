//! Project Wycheproof's vectors for ECDSA on P-256 with SHA-256, in both encodings of a signature: every vector is
//! counted, the valid ones verify, all others are refused.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use semops_pki::algorithm::PublicKey;
use wycheproof::TestResult;
use wycheproof::ecdsa::{Test, TestFlag, TestGroup, TestName, TestSet};

/// Vectors whose result is "acceptable": those for which an implementation may choose. What is chosen here stands beside
/// its test name and number; a version of the vectors with others fails until somebody has chosen.
const CHOSEN: &[(&str, usize, bool)] = &[];

/// What was counted in one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    valid: usize,
    acceptable: usize,
    invalid: usize,
    /// Of the invalid ones: those that are not 64 octets long, which the type of `verify_raw` keeps out.
    other_length: usize,
}

impl Counted {
    fn count(&mut self, name: &str, test: &Test, verified: bool) {
        let about = format!("{name} {}: {}", test.tc_id, test.comment);
        match test.result {
            TestResult::Valid => {
                self.valid += 1;
                assert!(verified, "{about}: it is valid");
            }
            TestResult::Invalid => {
                self.invalid += 1;
                assert!(!verified, "{about}: it is invalid");
            }
            TestResult::Acceptable => {
                self.acceptable += 1;
                let chosen = CHOSEN
                    .iter()
                    .find(|(of, id, _)| *of == name && *id == test.tc_id);
                assert_eq!(chosen.map(|(_, _, what)| *what), Some(verified), "{about}");
            }
        }
    }
}

/// The key of a group, the same from each of its forms.
fn key(group: &TestGroup) -> PublicKey {
    let key = PublicKey::from_spki_der(&group.der).unwrap();
    assert_eq!(PublicKey::from_sec1(&group.key.key), Ok(key.clone()));
    assert_eq!(key.spki_der(), &group.der[..]);
    key
}

fn groups(name: TestName) -> Vec<TestGroup> {
    let set = TestSet::load(name).unwrap();
    let counted: usize = set.test_groups.iter().map(|group| group.tests.len()).sum();
    assert_eq!(counted, set.number_of_tests);
    set.test_groups
}

#[test]
fn signatures_in_der() {
    let mut counted = Counted::default();
    for group in groups(TestName::EcdsaSecp256r1Sha256) {
        let key = key(&group);
        for test in &group.tests {
            let verified = key.verify_der(&test.msg, &test.sig);
            if let Ok(signature) = &verified {
                assert_eq!(signature.to_der(), test.sig[..], "{}", test.tc_id);
                let again = key.verify_raw(&test.msg, &signature.to_raw());
                assert_eq!(again.as_ref(), Ok(signature), "{}", test.tc_id);
            }
            counted.count("DER", test, verified.is_ok());
        }
    }
    let expected = Counted {
        valid: 174,
        acceptable: 0,
        invalid: 310,
        other_length: 0,
    };
    assert_eq!(counted, expected);
}

#[test]
fn signatures_in_p1363() {
    let mut counted = Counted::default();
    for group in groups(TestName::EcdsaSecp256r1Sha256P1363) {
        let key = key(&group);
        for test in &group.tests {
            let raw: Option<&[u8; 64]> = test.sig[..].try_into().ok();
            counted.other_length += usize::from(raw.is_none());
            let verified = raw.is_some_and(|rs| {
                let verified = key.verify_raw(&test.msg, rs);
                if let Ok(signature) = &verified {
                    assert_eq!(signature.to_raw(), *rs, "{}", test.tc_id);
                    let again = key.verify_der(&test.msg, &signature.to_der());
                    assert_eq!(again.as_ref(), Ok(signature), "{}", test.tc_id);
                }
                verified.is_ok()
            });
            counted.count("P1363", test, verified);
        }
    }
    let expected = Counted {
        valid: 173,
        acceptable: 0,
        invalid: 89,
        other_length: 21,
    };
    assert_eq!(counted, expected);
}

/// The order of the group of P-256 (SP 800-186 s3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// (r, n - s) for (r, s).
fn twin(rs: &[u8; 64]) -> [u8; 64] {
    let mut twin = *rs;
    let mut borrow = false;
    let digits = twin.iter_mut().skip(32).zip(ORDER).rev();
    for (digit, of_order) in digits {
        let (difference, under) = of_order.overflowing_sub(*digit);
        let (difference, again) = difference.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (difference, under || again);
    }
    twin
}

/// ECDSA signatures are malleable: (r, n - s) verifies where (r, s) does. RFC 7518 and RFC 5758 ask for neither, tokens
/// give either, so both are accepted; that is why nothing in this project is named or compared by its signature.
#[test]
fn both_twins_of_a_valid_signature_verify() {
    let (mut valid, mut lower) = (0, 0);
    for group in groups(TestName::EcdsaSecp256r1Sha256P1363) {
        let key = key(&group);
        let tests = group.tests.iter();
        for test in tests.filter(|test| test.result == TestResult::Valid) {
            let rs: [u8; 64] = test.sig[..].try_into().unwrap();
            let twin = twin(&rs);
            assert!(key.verify_raw(&test.msg, &twin).is_ok(), "{}", test.tc_id);
            valid += 1;
            lower += usize::from(rs < twin);
        }
    }
    assert_eq!((valid, lower), (173, 103));
}

#[test]
fn there_are_vectors_on_every_matter() {
    let mut found: Vec<TestFlag> = Vec::new();
    for group in groups(TestName::EcdsaSecp256r1Sha256) {
        found.extend(group.tests.into_iter().flat_map(|test| test.flags));
    }
    for flag in [
        TestFlag::ArithmeticError,
        TestFlag::BerEncodedSignature,
        TestFlag::EdgeCasePublicKey,
        TestFlag::EdgeCaseShamirMultiplication,
        TestFlag::IntegerOverflow,
        TestFlag::InvalidEncoding,
        TestFlag::InvalidTypesInSignature,
        TestFlag::MissingZero,
        TestFlag::ModifiedInteger,
        TestFlag::ModifiedSignature,
        TestFlag::ModularInverse,
        TestFlag::PointDuplication,
        TestFlag::RangeCheck,
        TestFlag::SmallRandS,
        TestFlag::SpecialCaseHash,
    ] {
        assert!(found.contains(&flag), "{flag:?}");
    }
}
