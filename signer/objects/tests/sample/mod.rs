//! A key, an order and an authorization that the tests of this folder start from.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semops_objects::{Amount, Authorization, Channel, Kind, Order, Payee, jws};
use semops_pki::algorithm::PublicKey;
use semops_pki::local_key::LocalKey;

pub const KID: [u8; 32] = [7; 32];
pub const X5T: [u8; 32] = [8; 32];

pub struct Key(pub LocalKey);

impl Key {
    pub fn generate() -> Self {
        Self(LocalKey::generate().unwrap())
    }

    pub fn public(&self) -> PublicKey {
        self.0.public_key().clone()
    }

    pub fn sign(&self, message: &str) -> [u8; 64] {
        self.0.sign_raw(message.as_bytes()).unwrap()
    }

    /// A JWS with a good signature over whatever it is given.
    pub fn jws(&self, header: &str, payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        self.compact(&format!("{}.{}", part(header), part(payload)))
    }

    pub fn compact(&self, signing_input: &str) -> String {
        jws::compact(signing_input, &self.sign(signing_input))
    }
}

pub fn payee() -> Payee {
    Payee::new(
        "beta".parse().unwrap(),
        "A93FO3230Q",
        "BEST TRANSPORT 最佳运输",
    )
    .unwrap()
}

pub fn order() -> Order {
    Order {
        jti: "01936e0e-0e80-7abc-8def-0123456789ab".parse().unwrap(),
        iat: 1_800_000_000,
        exp: 1_800_000_060,
        aud: "alfa".parse().unwrap(),
        kind: Kind::Payment,
        channel: Channel::RealPos,
        amount: Amount::parse("23.72", "CNY").unwrap(),
        payee: payee(),
        offer_sha256: Some([9; 32]),
    }
}

pub fn authorization(order: &Order, order_sha256: [u8; 32]) -> Authorization {
    Authorization {
        jti: "01936e0e-0e81-7abc-8def-0123456789ab".parse().unwrap(),
        iat: order.iat + 1,
        exp: order.iat + 61,
        iss: order.aud.clone(),
        aud: order.payee.institution().clone(),
        order_sha256,
        kind: order.kind,
        channel: order.channel,
        amount: order.amount,
        payee: order.payee.clone(),
        offer_sha256: order.offer_sha256,
        payer: [3; 16],
        end_to_end_id: Some("E2E-2027/1".parse().unwrap()),
        uetr: Some("8a562c67-ca16-48ba-b074-65581be6f001".parse().unwrap()),
        policy: [4; 32],
    }
}
