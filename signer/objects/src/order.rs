//! The order: what the payer's phone signs, to its own institution, and nobody else ever sees.

use semops_pki::algorithm::{PublicKey, Signature};
use semops_pki::error::BadSignature;
use serde::Serialize;
use uuid::Uuid;

use crate::base64url;
use crate::error::ObjectError;
use crate::institution::InstitutionId;
use crate::json::{self, Object};
use crate::jws::{self, Compact, Header};
use crate::money::Amount;
use crate::payment::{self, Channel, Kind, Payee};

/// The `typ` of an order. Another set of members is another version.
pub const TYP: &str = "semops-order-v1+jwt";

/// The longest order, in octets of its compact serialization.
pub const MAX_LENGTH: usize = 4096;

/// Why an order is refused.
pub type OrderError = ObjectError;

/// What an order says. One that came from outside has been through [`OrderJws::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// UUIDv7 made by the phone; with the device, the idempotency key.
    pub jti: Uuid,
    /// When the phone signed, in Unix seconds by its clock.
    pub iat: u64,
    /// Until when it may be co-signed, in Unix seconds: later than `iat` by at most [`payment::MAX_LIFETIME`].
    pub exp: u64,
    /// The payer's institution, which alone may co-sign it.
    pub aud: InstitutionId,
    /// What it asks for.
    pub kind: Kind,
    /// Where the payment is made.
    pub channel: Channel,
    /// How much.
    pub amount: Amount,
    /// To whom.
    pub payee: Payee,
    /// SHA-256 of the exact bytes of the offer that it answers, if there was one.
    pub offer_sha256: Option<[u8; 32]>,
}

#[derive(Serialize)]
struct Members<'a> {
    jti: String,
    iat: u64,
    exp: u64,
    aud: &'a InstitutionId,
    kind: Kind,
    channel: Channel,
    amount: Amount,
    payee: &'a Payee,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_sha256: Option<String>,
}

impl Order {
    /// What the phone signs with ES256. `kid` is the x5t#S256 of its device certificate: the SHA-256 of the
    /// certificate's DER. The signature joins it with [`jws::compact`].
    pub fn signing_input(&self, kid: &[u8; 32]) -> String {
        let header = Header {
            alg: "ES256",
            kid: &base64url::encode(kid),
            typ: TYP,
            x5t_s256: None,
        };
        let members = Members {
            jti: self.jti.hyphenated().to_string(),
            iat: self.iat,
            exp: self.exp,
            aud: &self.aud,
            kind: self.kind,
            channel: self.channel,
            amount: self.amount,
            payee: &self.payee,
            offer_sha256: self.offer_sha256.map(|digest| base64url::encode(&digest)),
        };
        jws::signing_input(&header, &members)
    }

    fn from_payload(payload: &[u8]) -> Result<Self, OrderError> {
        let mut members = Object::parse("payload", payload)?;
        let jti = members.text("jti", |text| json::uuid(text, &[7], "7"))?;
        let (iat, exp) = payment::times(&mut members)?;
        let order = Self {
            jti,
            iat,
            exp,
            aud: members.text("aud", str::parse)?,
            kind: members.text("kind", str::parse)?,
            channel: members.text("channel", str::parse)?,
            amount: payment::amount(&mut members)?,
            payee: Payee::from_member(&mut members)?,
            offer_sha256: members.optional_text("offer_sha256", base64url::decode_array)?,
        };
        members.finish()?;
        Ok(order)
    }
}

/// An order as it was received: every rule that needs no clock, key or register holds. Its signature is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderJws {
    jws: Compact,
    kid: [u8; 32],
    order: Order,
}

impl OrderJws {
    /// Reads a compact JWS of at most [`MAX_LENGTH`] octets. The header has exactly `alg` ES256, `kid` and `typ`.
    pub fn parse(text: &str) -> Result<Self, OrderError> {
        let jws = Compact::parse(text, MAX_LENGTH)?;
        let mut header = jws.header_members(TYP)?;
        let kid = header.octets("kid")?;
        header.finish()?;
        let order = Order::from_payload(jws.payload())?;
        Ok(Self { jws, kid, order })
    }

    /// What it says.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// x5t#S256 of the device certificate that it names.
    pub fn kid(&self) -> [u8; 32] {
        self.kid
    }

    /// What the signature is over. Two orders are the same order when this is the same, whatever their signatures.
    pub fn signing_input(&self) -> &str {
        self.jws.signing_input()
    }

    /// The whole JWS, byte for byte as received.
    pub fn compact(&self) -> &str {
        self.jws.as_str()
    }

    /// SHA-256 of the ASCII of the whole JWS: `order_sha256` of the authorization.
    pub fn sha256(&self) -> [u8; 32] {
        self.jws.sha256()
    }

    /// Checks the phone's signature.
    pub fn verify(&self, device: &PublicKey) -> Result<Signature, BadSignature> {
        self.jws.verify(device)
    }
}
