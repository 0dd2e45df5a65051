//! The authorization: the payer's institution guarantees amount and payee to the payee's institution until `exp`.

use semops_pki::algorithm::{PublicKey, Signature};
use semops_pki::error::BadSignature;
use serde::Serialize;
use uuid::Uuid;

use crate::base64url;
use crate::error::{ObjectError, Rule};
use crate::institution::InstitutionId;
use crate::json::{self, Object};
use crate::jwk;
use crate::jws::{self, Compact, Header};
use crate::money::Amount;
use crate::payment::{self, Channel, Kind, Payee};
use crate::reference::{EndToEndId, Uetr};

/// The `typ` of an authorization. Another set of members is another version.
pub const TYP: &str = "semops-authorization-v1+jwt";

/// The longest authorization, in octets of its compact serialization.
pub const MAX_LENGTH: usize = 8192;

/// Why an authorization is refused.
pub type AuthorizationError = ObjectError;

/// What an authorization says. One that came from outside has been through [`AuthorizationJws::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Its own id: a UUID of version 4 or 7.
    pub jti: Uuid,
    /// When it was made, in Unix seconds.
    pub iat: u64,
    /// The last moment to accept it, in Unix seconds: later than `iat` by at most [`payment::MAX_LIFETIME`].
    pub exp: u64,
    /// The payer's institution, which guarantees.
    pub iss: InstitutionId,
    /// The payee's institution, to which it guarantees: that of `payee`.
    pub aud: InstitutionId,
    /// SHA-256 of the ASCII of the whole compact JWS of the order.
    pub order_sha256: [u8; 32],
    /// As in the order.
    pub kind: Kind,
    /// As in the order.
    pub channel: Channel,
    /// As in the order.
    pub amount: Amount,
    /// As in the order.
    pub payee: Payee,
    /// As in the order.
    pub offer_sha256: Option<[u8; 32]>,
    /// A pseudonym of the payer: 128 random bits, new for each payment.
    pub payer: [u8; 16],
    /// EndToEndIdentification of ISO 20022, set by the calling bank.
    pub end_to_end_id: Option<EndToEndId>,
    /// Unique end-to-end transaction reference of ISO 20022, set by the calling bank.
    pub uetr: Option<Uetr>,
    /// SHA-256 of the policy version that approved it.
    pub policy: [u8; 32],
}

#[derive(Serialize)]
struct Members<'a> {
    jti: String,
    iat: u64,
    exp: u64,
    iss: &'a InstitutionId,
    aud: &'a InstitutionId,
    order_sha256: String,
    kind: Kind,
    channel: Channel,
    amount: Amount,
    payee: &'a Payee,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_sha256: Option<String>,
    payer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uetr: Option<String>,
    policy: String,
}

impl Authorization {
    /// What the institution's `authorization` key signs with ES256. `key` is that key, and `x5t_s256` the SHA-256
    /// of its certificate's DER. The signature joins it with [`jws::compact`].
    pub fn signing_input(&self, key: &PublicKey, x5t_s256: &[u8; 32]) -> String {
        let header = Header {
            alg: "ES256",
            kid: &base64url::encode(&jwk::thumbprint(key)),
            typ: TYP,
            x5t_s256: Some(&base64url::encode(x5t_s256)),
        };
        jws::signing_input(&header, &self.members())
    }

    fn members(&self) -> Members<'_> {
        Members {
            jti: self.jti.hyphenated().to_string(),
            iat: self.iat,
            exp: self.exp,
            iss: &self.iss,
            aud: &self.aud,
            order_sha256: base64url::encode(&self.order_sha256),
            kind: self.kind,
            channel: self.channel,
            amount: self.amount,
            payee: &self.payee,
            offer_sha256: self.offer_sha256.map(|digest| base64url::encode(&digest)),
            payer: base64url::encode(&self.payer),
            end_to_end_id: self.end_to_end_id.as_ref().map(EndToEndId::as_str),
            uetr: self.uetr.map(|uetr| uetr.to_string()),
            policy: base64url::encode(&self.policy),
        }
    }

    fn from_payload(payload: &[u8]) -> Result<Self, AuthorizationError> {
        let mut members = Object::parse("payload", payload)?;
        let jti = members.text("jti", |text| json::uuid(text, &[4, 7], "4 or 7"))?;
        let (iat, exp) = payment::times(&mut members)?;
        let authorization = Self {
            jti,
            iat,
            exp,
            iss: members.text("iss", str::parse)?,
            aud: members.text("aud", str::parse)?,
            order_sha256: members.octets("order_sha256")?,
            kind: members.text("kind", str::parse)?,
            channel: members.text("channel", str::parse)?,
            amount: payment::amount(&mut members)?,
            payee: Payee::from_member(&mut members)?,
            offer_sha256: members.optional_text("offer_sha256", base64url::decode_array)?,
            payer: members.octets("payer")?,
            end_to_end_id: members.optional_text("end_to_end_id", str::parse)?,
            uetr: members.optional_text("uetr", str::parse)?,
            policy: members.octets("policy")?,
        };
        if authorization.aud != *authorization.payee.institution() {
            return Err(members.blame("aud", Rule::NotPayeesInstitution));
        }
        members.finish()?;
        Ok(authorization)
    }
}

/// An authorization as it was received: every rule that needs no clock, key or trust holds. Its signature is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationJws {
    jws: Compact,
    kid: [u8; 32],
    x5t_s256: [u8; 32],
    authorization: Authorization,
}

impl AuthorizationJws {
    /// Reads a compact JWS of at most [`MAX_LENGTH`] octets. The header has exactly `alg` ES256, `kid`, `typ`, `x5t#S256`.
    pub fn parse(text: &str) -> Result<Self, AuthorizationError> {
        let jws = Compact::parse(text, MAX_LENGTH)?;
        let mut header = jws.header_members(TYP)?;
        let kid = header.octets("kid")?;
        let x5t_s256 = header.octets("x5t#S256")?;
        header.finish()?;
        let authorization = Authorization::from_payload(jws.payload())?;
        Ok(Self {
            jws,
            kid,
            x5t_s256,
            authorization,
        })
    }

    /// What it says.
    pub fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    /// Thumbprint (RFC 7638) of the key that it names.
    pub fn kid(&self) -> [u8; 32] {
        self.kid
    }

    /// SHA-256 of the certificate that it names.
    pub fn x5t_s256(&self) -> [u8; 32] {
        self.x5t_s256
    }

    /// What the signature is over.
    pub fn signing_input(&self) -> &str {
        self.jws.signing_input()
    }

    /// The whole JWS, byte for byte as received.
    pub fn compact(&self) -> &str {
        self.jws.as_str()
    }

    /// SHA-256 of the ASCII of the whole JWS.
    pub fn sha256(&self) -> [u8; 32] {
        self.jws.sha256()
    }

    /// Checks the institution's signature.
    pub fn verify(&self, key: &PublicKey) -> Result<Signature, BadSignature> {
        self.jws.verify(key)
    }
}
