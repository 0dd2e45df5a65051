//! What must hold of the RPC contract's edges: every message that either side decodes, and the single fields that are
//! texts with a rule of their own.

use std::fmt::Display;
use std::str::FromStr;

use prost::Message;
use semops_objects::{EndToEndId, InstitutionId, Uetr};
use semops_proto::v1;
use signer::domain::actor::SpiffeId;
use signer::domain::device::{DeviceId, Reference};
use signer::domain::key::KeyId;

use crate::Check;
use crate::Verdict::{self, Accepted, Refused};

/// Every message of the contract that is sent by itself. The first octet of the fuzzer's bytes chooses one.
pub const MESSAGES: &[(&str, Check)] = &[
    ("EnrollDeviceRequest", one::<v1::EnrollDeviceRequest>),
    ("AcceptDeviceRequest", one::<v1::AcceptDeviceRequest>),
    ("ReleaseDeviceRequest", one::<v1::ReleaseDeviceRequest>),
    ("RevokeDeviceRequest", one::<v1::RevokeDeviceRequest>),
    ("GetDeviceRequest", one::<v1::GetDeviceRequest>),
    ("ListDevicesRequest", one::<v1::ListDevicesRequest>),
    ("CosignOrderRequest", one::<v1::CosignOrderRequest>),
    (
        "GetAuthorizationRequest",
        one::<v1::GetAuthorizationRequest>,
    ),
    (
        "VerifyAuthorizationRequest",
        one::<v1::VerifyAuthorizationRequest>,
    ),
    ("GetTrustBundleRequest", one::<v1::GetTrustBundleRequest>),
    ("GetCrlRequest", one::<v1::GetCrlRequest>),
    ("ListKeysRequest", one::<v1::ListKeysRequest>),
    ("GetKeyRequest", one::<v1::GetKeyRequest>),
    ("GetDocumentRequest", one::<v1::GetDocumentRequest>),
    (
        "ListDocumentVersionsRequest",
        one::<v1::ListDocumentVersionsRequest>,
    ),
    ("GetStatusRequest", one::<v1::GetStatusRequest>),
    ("EnrollDeviceResponse", one::<v1::EnrollDeviceResponse>),
    ("AcceptDeviceResponse", one::<v1::AcceptDeviceResponse>),
    ("ReleaseDeviceResponse", one::<v1::ReleaseDeviceResponse>),
    ("RevokeDeviceResponse", one::<v1::RevokeDeviceResponse>),
    ("GetDeviceResponse", one::<v1::GetDeviceResponse>),
    ("ListDevicesResponse", one::<v1::ListDevicesResponse>),
    ("CosignOrderResponse", one::<v1::CosignOrderResponse>),
    (
        "GetAuthorizationResponse",
        one::<v1::GetAuthorizationResponse>,
    ),
    (
        "VerifyAuthorizationResponse",
        one::<v1::VerifyAuthorizationResponse>,
    ),
    ("GetTrustBundleResponse", one::<v1::GetTrustBundleResponse>),
    ("GetCrlResponse", one::<v1::GetCrlResponse>),
    ("ListKeysResponse", one::<v1::ListKeysResponse>),
    ("GetKeyResponse", one::<v1::GetKeyResponse>),
    ("GetDocumentResponse", one::<v1::GetDocumentResponse>),
    (
        "ListDocumentVersionsResponse",
        one::<v1::ListDocumentVersionsResponse>,
    ),
    ("GetStatusResponse", one::<v1::GetStatusResponse>),
    ("CreateKeyRequest", one::<v1::CreateKeyRequest>),
    ("CreateKeyResponse", one::<v1::CreateKeyResponse>),
    ("DiscardKeyRequest", one::<v1::DiscardKeyRequest>),
    ("DiscardKeyResponse", one::<v1::DiscardKeyResponse>),
    ("ListSignedRequest", one::<v1::ListSignedRequest>),
    ("ListSignedResponse", one::<v1::ListSignedResponse>),
    ("ReissueDeviceRequest", one::<v1::ReissueDeviceRequest>),
    ("ReissueDeviceResponse", one::<v1::ReissueDeviceResponse>),
];

/// A message of the kind that the first octet chooses.
pub fn message(bytes: &[u8]) -> Verdict {
    let Some((kind, body)) = bytes.split_first() else {
        return Refused;
    };
    let (_, one) = MESSAGES[usize::from(*kind) % MESSAGES.len()];
    one(body)
}

/// What is decoded is a fixed point: written and read again it is the same, in the same octets.
fn one<M: Message + Default + PartialEq>(body: &[u8]) -> Verdict {
    let Ok(message) = M::decode(body) else {
        return Refused;
    };
    let written = message.encode_to_vec();
    assert_eq!(written.len(), message.encoded_len());
    let again = M::decode(&written[..]).unwrap();
    assert!(again == message);
    assert_eq!(again.encode_to_vec(), written);
    // Of two of the same kind in a row the fields of the second stand, or join the lists of the first.
    let both = M::decode(&[&written[..], &written].concat()[..]).unwrap();
    assert!(both.encoded_len() >= written.len());
    let framed = message.encode_length_delimited_to_vec();
    assert!(M::decode_length_delimited(&framed[..]).unwrap() == message);
    if let Some(cut) = framed.len().checked_sub(1).filter(|_| !written.is_empty()) {
        assert!(M::decode_length_delimited(&framed[..cut]).is_err());
    }
    Accepted
}

/// A text with a rule: whatever kind takes it spells it the same.
pub fn field(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else {
        return Refused;
    };
    one_spelling::<InstitutionId>(text, 1..=32)
        .any(one_spelling::<EndToEndId>(text, 1..=35))
        .any(one_spelling::<Uetr>(text, 36..=36))
        .any(one_spelling::<DeviceId>(text, 36..=36))
        .any(one_spelling::<KeyId>(text, 43..=43))
        .any(one_spelling::<SpiffeId>(text, 9..=400))
        .any(pseudonym(text))
}

fn one_spelling<T: FromStr<Err: Display> + Display>(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Verdict {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string(), text);
            assert!(lengths.contains(&text.len()));
            Accepted
        }
        Err(reason) => {
            // Values have no place in reasons, which are shown to others and logged: the reason is that of any other text.
            let of_another = "\u{1}".parse::<T>().err().unwrap().to_string();
            assert_eq!(reason.to_string(), of_another);
            Refused
        }
    }
}

/// A reference is never what a person could be called by: digits alone are a phone or an account number.
fn pseudonym(text: &str) -> Verdict {
    let Ok(reference) = text.parse::<Reference>() else {
        return Refused;
    };
    assert_eq!(reference.as_str(), text);
    assert!((22..=64).contains(&text.len()) && text.is_ascii());
    assert!(text.bytes().any(|octet| !octet.is_ascii_digit()));
    assert!(!format!("{reference:?}").contains(text));
    Accepted
}
