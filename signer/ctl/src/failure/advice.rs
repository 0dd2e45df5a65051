//! The way out of each refusal, in one sentence: by its stable reason, else by its code.

use tonic::Code;

/// The way out by stable reason (ErrorInfo).
const BY_REASON: &[(&str, &str)] = &[
    (
        "REQUEST_NOT_ACCEPTABLE",
        "make a plain PKCS#10 request that asks for no extensions, such as `phone new` makes",
    ),
    (
        "KEY_NOT_ACCEPTABLE",
        "make a new P-256 key that was never certified before, and a new request with it",
    ),
    (
        "REQUEST_CONFLICT",
        "this request belongs to another subscriber: make a new key and request for this one",
    ),
    (
        "SUBSCRIBER_DEVICE_LIMIT",
        "revoke a device that the subscriber no longer uses, or change the policy",
    ),
    (
        "DEVICE_REVOKED",
        "make a new key, enrol it and accept the new device",
    ),
    (
        "DEVICE_EXPIRED",
        "make a new key, enrol it and accept the new device",
    ),
    (
        "DEVICE_NOT_ACCEPTABLE",
        "compare the device id with the one on the phone; the device must be active and its issuer in your policy",
    ),
    (
        "DEVICE_ACCEPTED_OTHERWISE",
        "release the device first if it is to serve another account",
    ),
    (
        "DEVICE_NOT_ACCEPTED",
        "accept the device for its account first: semopsctl accept",
    ),
    (
        "ORDER_CONFLICT",
        "the phone must sign a new order; read what this one became with `authorization`",
    ),
    (
        "ORDER_SIGNATURE",
        "the order was changed, or signed with another key than the device's: sign a new one",
    ),
    (
        "ORDER_AUDIENCE",
        "send the order to the institution that it names as the payer's",
    ),
    (
        "ORDER_EXPIRED",
        "the phone must sign a new order, sent before it ends",
    ),
    (
        "OVERDUE",
        "the phone must sign a new order, sent before it ends",
    ),
    (
        "TOO_LATE",
        "the phone must sign a new order, sent before it ends",
    ),
    (
        "ORDER_FROM_FUTURE",
        "set the phone's clock, and sign a new order",
    ),
    (
        "AMOUNT_OVER_POLICY",
        "your institution's policy does not allow it: order otherwise, or change the policy",
    ),
    (
        "CURRENCY_NOT_ALLOWED",
        "your institution's policy does not allow it: order otherwise, or change the policy",
    ),
    (
        "CHANNEL_NOT_ALLOWED",
        "your institution's policy does not allow it: order otherwise, or change the policy",
    ),
    (
        "PAYEE_NOT_ALLOWED",
        "your institution's policy does not allow it: order otherwise, or change the policy",
    ),
    (
        "ISSUER_NOT_ALLOWED",
        "your institution's policy does not allow it: order otherwise, or change the policy",
    ),
    (
        "DEVICE_AMOUNT_PER_DAY",
        "wait until earlier orders of the device are a day old, or change the limits in the policy",
    ),
    (
        "DEVICE_ORDERS_PER_DAY",
        "wait until earlier orders of the device are a day old, or change the limits in the policy",
    ),
    (
        "NO_POLICY",
        "the operator of the service loads your policy first: signer policy load",
    ),
    (
        "NO_TRUST",
        "the operator of the service loads your trust document first: signer trust load",
    ),
];

/// What the user can do about a refusal.
pub(super) fn on(code: Code, reason: Option<&str>) -> &'static str {
    let known = BY_REASON.iter().find(|(known, _)| Some(*known) == reason);
    known.map_or_else(|| on_code(code), |(_, advice)| advice)
}

fn on_code(code: Code) -> &'static str {
    match code {
        Code::Ok => "nothing to do",
        Code::InvalidArgument | Code::OutOfRange => "change what the message names, and call again",
        Code::NotFound => {
            "compare the id: what your institution neither issued nor accepted, it cannot see"
        }
        Code::AlreadyExists => "something else is recorded under the same id: use a new one",
        Code::PermissionDenied => "use the profile of a caller with the role that this needs",
        Code::Unauthenticated => {
            "the caller must stand in its institution's register of callers, active"
        }
        Code::FailedPrecondition => "what the reason names must change first",
        Code::ResourceExhausted => {
            "the service is busy: call again in a moment, with the same content"
        }
        Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable | Code::Aborted => {
            "call again, with the same content: what was done is answered, nothing is done twice"
        }
        Code::Unimplemented => "this program and the service do not fit: compare their versions",
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "give the request id to the operator of the service"
        }
    }
}
