//! Whatever the types can say comes back from the text, and no text makes a parser panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod sample;

use proptest::prelude::*;
use sample::{KID, X5T};
use semops_objects::jws::Compact;
use semops_objects::{
    Amount, Authorization, AuthorizationJws, Channel, InstitutionId, Kind, Order, OrderJws, Payee,
    jwk,
};
use uuid::{Builder, Uuid};

fn institution() -> impl Strategy<Value = InstitutionId> {
    "[a-z0-9-]{1,32}".prop_map(|id| id.parse().unwrap())
}

fn payee() -> impl Strategy<Value = Payee> {
    let name = "[a-zA-Z \u{e4}\u{4f73}\"\\\\/]{0,60}[a-z]";
    (institution(), "[!-~]{1,35}", name)
        .prop_map(|(institution, id, name)| Payee::new(institution, &id, &name).unwrap())
}

fn amount() -> impl Strategy<Value = Amount> {
    let currency = prop::sample::select(vec!["EUR", "JPY", "KWD", "CNY"]);
    (1..=Amount::MAX_MINOR, currency)
        .prop_map(|(minor, code)| Amount::from_minor(minor, code.parse().unwrap()).unwrap())
}

fn uuid(version: uuid::Version) -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(move |bytes| {
        Builder::from_bytes(bytes)
            .with_variant(uuid::Variant::RFC4122)
            .with_version(version)
            .into_uuid()
    })
}

fn order() -> impl Strategy<Value = Order> {
    let channel = prop::sample::select(vec![Channel::VirtualPos, Channel::RealPos, Channel::P2p]);
    let times = (0..4_000_000_000_u64, 1..=600_u64);
    (
        uuid(uuid::Version::SortRand),
        times,
        institution(),
        channel,
        amount(),
        payee(),
        any::<Option<[u8; 32]>>(),
    )
        .prop_map(
            |(jti, (iat, lifetime), aud, channel, amount, payee, offer_sha256)| Order {
                jti,
                iat,
                exp: iat + lifetime,
                aud,
                kind: Kind::Payment,
                channel,
                amount,
                payee,
                offer_sha256,
            },
        )
}

fn authorization() -> impl Strategy<Value = Authorization> {
    let end_to_end_id = prop::option::of("[A-Za-z0-9/?:().,'+-]{1,35}");
    let uetr = prop::option::of(uuid(uuid::Version::Random));
    (
        order(),
        any::<[u8; 32]>(),
        any::<[u8; 16]>(),
        end_to_end_id,
        uetr,
    )
        .prop_map(|(order, digest, payer, id, uetr)| Authorization {
            payer,
            end_to_end_id: id.map(|id| id.parse().unwrap()),
            uetr: uetr.map(|uetr| uetr.to_string().parse().unwrap()),
            policy: digest,
            ..sample::authorization(&order, digest)
        })
}

proptest! {
    #[test]
    fn orders(order in order(), kid: [u8; 32]) {
        let jws = OrderJws::parse(&semops_objects::jws::compact(&order.signing_input(&kid), &[1; 64])).unwrap();
        prop_assert_eq!(jws.order(), &order);
        prop_assert_eq!(jws.kid(), kid);
        prop_assert_eq!(jws.signing_input(), order.signing_input(&kid));
    }

    #[test]
    fn authorizations(authorization in authorization()) {
        let key = sample::Key::generate().public();
        let input = authorization.signing_input(&key, &X5T);
        let jws = AuthorizationJws::parse(&semops_objects::jws::compact(&input, &[1; 64])).unwrap();
        prop_assert_eq!(jws.authorization(), &authorization);
        prop_assert_eq!((jws.kid(), jws.x5t_s256()), (jwk::thumbprint(&key), X5T));
        prop_assert_eq!(jws.signing_input(), input);
    }

    #[test]
    fn no_text_panics(text in "\\PC*", parts in "[A-Za-z0-9_.=-]{0,200}") {
        for text in [text, parts] {
            prop_assert!(OrderJws::parse(&text).is_err() && AuthorizationJws::parse(&text).is_err());
        }
    }

    #[test]
    fn what_parses_as_compact_is_its_only_spelling(header in "[A-Za-z0-9_=-]{0,8}", payload in "[A-Za-z0-9_=-]{0,8}", signature: [u8; 32]) {
        let text = semops_objects::jws::compact(&format!("{header}.{payload}"), &[signature, signature].concat().try_into().unwrap());
        if let Ok(jws) = Compact::parse(&text, 200) {
            prop_assert_eq!(jws.as_str(), &text);
            prop_assert_eq!(jws.signing_input(), format!("{header}.{payload}"));
        }
    }

    #[test]
    fn a_changed_octet_is_refused_or_unverified(at in 0..1000_usize, bit in 0..7_u32) {
        let key = sample::Key::generate();
        let mut text = key.compact(&sample::order().signing_input(&KID)).into_bytes();
        let at = at % text.len();
        text[at] ^= 1 << bit;
        if let Ok(jws) = OrderJws::parse(str::from_utf8(&text).unwrap()) {
            prop_assert!(jws.verify(&key.public()).is_err());
        }
    }
}
