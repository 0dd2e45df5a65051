//! Other spellings, lengths and signatures of good objects.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::{OrderJws, Rule, authorization, jws, order};
use serde_json::json;

use crate::Target;
use crate::sample::{self, KID, Key};

#[test]
fn spellings_of_the_compact_form() {
    for target in Target::both() {
        let jws = target.key.jws(&target.header, &target.payload);
        let [header, payload, signature]: [&str; 3] =
            jws.split('.').collect::<Vec<_>>().try_into().unwrap();
        for text in [
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{jws}.{signature}"),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}==.{signature}"),
            format!("{jws}="),
            format!("{jws}=="),
            format!("{jws}\n"),
            format!("\t{jws}"),
            format!("{header}.{payload}.{}", &signature[..64]),
            format!("{jws}{signature}"),
            json!({"protected": header, "payload": payload, "signature": signature}).to_string(),
        ] {
            assert!((target.parse)(&text).is_err(), "{text}");
        }
    }
}

#[test]
fn lengths() {
    for target in Target::both() {
        let max = if target.is_order() {
            order::MAX_LENGTH
        } else {
            authorization::MAX_LENGTH
        };
        let spaces = |count: usize| {
            target.key.jws(
                &target.header,
                &format!("{}{}", target.payload, " ".repeat(count)),
            )
        };
        let fits = (0..max)
            .rev()
            .map(spaces)
            .find(|jws| jws.len() <= max)
            .unwrap();
        assert!((target.parse)(&fits).is_ok());
        let over = (0..max).map(spaces).find(|jws| jws.len() > max).unwrap();
        assert_eq!(
            (target.parse)(&over).unwrap_err().rule(),
            &Rule::TooLong { max }
        );
    }
}

/// The order of the group P-256 (SP 800-186 s3.2.1.3).
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// (r, n - s): as good a signature of the same message, which anyone can make.
fn malleated(signature: &[u8; 64]) -> [u8; 64] {
    let mut other = *signature;
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(N[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        other[32 + at] = difference.rem_euclid(256).try_into().unwrap();
    }
    other
}

#[test]
fn other_signatures_of_one_order_are_one_signing_input() {
    let key = Key::generate();
    let input = sample::order().signing_input(&KID);
    let first = OrderJws::parse(&key.compact(&input)).unwrap();
    let signature: [u8; 64] = URL_SAFE_NO_PAD
        .decode(&first.compact()[input.len() + 1..])
        .unwrap()
        .try_into()
        .unwrap();
    let again = key.compact(&input);
    for other in [again, jws::compact(&input, &malleated(&signature))] {
        let other = OrderJws::parse(&other).unwrap();
        assert!(other.verify(&key.public()).is_ok());
        assert_eq!(other.signing_input(), first.signing_input());
        assert_eq!(other.order(), first.order());
        assert_ne!(other.compact(), first.compact());
        assert_ne!(other.sha256(), first.sha256());
    }
}

#[test]
fn signatures_that_are_none() {
    let (key, other) = (Key::generate(), Key::generate());
    let input = sample::order().signing_input(&KID);
    let good = key.sign(&input);
    let [mut flipped, mut swapped] = [good; 2];
    flipped[63] ^= 1;
    swapped.rotate_left(32);
    let r_of = |r: &[u8; 32], s: &[u8]| <[u8; 64]>::try_from([r, s].concat()).unwrap();
    let rows = [
        [0; 64],
        [0xff; 64],
        flipped,
        swapped,
        other.sign(&input),
        r_of(&N, &good[32..]),
        r_of(&[0; 32], &good[32..]),
    ];
    for signature in rows {
        let jws = OrderJws::parse(&jws::compact(&input, &signature)).unwrap();
        assert!(jws.verify(&key.public()).is_err(), "{signature:02x?}");
    }
    assert!(
        OrderJws::parse(&jws::compact(&input, &good))
            .unwrap()
            .verify(&key.public())
            .is_ok()
    );
}
