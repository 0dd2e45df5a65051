//! The way out of each refusal, in one sentence: by its stable reason, else by its code.

use tonic::Code;

/// What the user can do about a refusal.
pub(super) fn on(code: Code, reason: Option<&str>) -> &'static str {
    reason.and_then(on_reason).unwrap_or_else(|| on_code(code))
}

fn on_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "REQUEST_CONFLICT" => {
            "this request belongs to another subscriber: make a new key and request for this one"
        }
        "DEVICE_REVOKED" => "this device is revoked for good: make a new key and enrol it",
        "KEY_NOT_ACCEPTABLE" => {
            "make a new P-256 key that was never certified before, and a new request with it"
        }
        "SUBSCRIBER_DEVICE_LIMIT" => {
            "revoke a device that the subscriber no longer uses, or change the policy"
        }
        "DEVICE_NOT_ACCEPTABLE" => {
            "compare the device id with the one on the phone; the device must be active and its issuer in your policy"
        }
        "DEVICE_ACCEPTED_OTHERWISE" => "release the device first if it is to serve another account",
        "ORDER_CONFLICT" => {
            "the phone must sign a new order with a new id; read what was authorized with `authorization`"
        }
        _ => return None,
    })
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
