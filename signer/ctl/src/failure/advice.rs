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
        "KEY_REQUEST_CONFLICT",
        "the folder's request-id asked for a key of another purpose: give each key a folder of its own",
    ),
    (
        "TOO_MANY_NEW_KEYS",
        "take one of the keys that wait, `semopsctl keys` lists them as PRE_ACTIVATION, or discard one: `semopsctl keys discard KEY`",
    ),
    ("KEY_DISCARDED", "give the new key a folder of its own"),
    (
        "OLD_PROGRAMS_MAY_SERVE",
        "have the operator replace every replica, and then run `signer --config FILE migrate --contract`",
    ),
    (
        "USAGE_NOT_NAMED",
        "have the operator name audit_eku or statement_eku in [oids] of signer.toml, the same in every service of the scheme",
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
        "OUTCOME_PRUNED",
        "look in your own books for what was answered; a new payment needs a new order of the phone",
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
        "NOT_APPROVED",
        "tell the operator of the service at once: its record holds what your custodians did not approve",
    ),
    (
        "CALLER_UNKNOWN",
        "the profile's certificate must be that of a caller in your institution's register, active: its custodians change it",
    ),
    (
        "ROLE_NOT_ALLOWED",
        "use the profile of a caller in a role that may do this: `semopsctl --help` names the roles beside each command",
    ),
    (
        "KEY_NOT_FOUND",
        "compare the key's id: `semopsctl keys` lists those of your institution",
    ),
    (
        "DOCUMENT_NOT_FOUND",
        "`versions` lists what there is; the ceremony brings the first: signer change load",
    ),
    (
        "CRL_NOT_FOUND",
        "name a CA of an institution of this deployment, or an offline root",
    ),
    (
        "KEY_GONE",
        "the phone must sign a new order; your security team looks at the keys with `semopsctl keys`",
    ),
    (
        "TOKEN_FAILED",
        "the phone must sign a new order; `semopsctl status` shows how each token fares",
    ),
    (
        "CA_REVOKED",
        "your security team looks at the keys with `semopsctl keys`, and has the root certify another CA",
    ),
    (
        "KEY_NOT_ACTIVE",
        "your security team looks at the key's state and end with `semopsctl keys`, and has it replaced",
    ),
    (
        "RATE_LIMITED",
        "`semopsctl status` shows the limits, your policy sets them",
    ),
    (
        "TOO_MANY_IN_FLIGHT",
        "let some of your institution's calls end first; `semopsctl status` shows how many are under way",
    ),
    (
        "INSTITUTION_NOT_SERVED",
        "the institution was added while the service ran: ask its operator to restart it",
    ),
    (
        "HSM_UNAVAILABLE",
        "call again, with the same content; if it lasts, `semopsctl status` says what ails the token",
    ),
    (
        "AFTER_RESTORE",
        "call again with the same content after that time: no order that the record lost may be co-signed twice",
    ),
    (
        "FAULTY_SIGNATURE",
        "call again, with the same content; have the HSM looked at, for nothing that it says can be relied on",
    ),
    (
        "BASE_MOVED",
        "another change was executed meanwhile: look at it (semopsctl change list), and propose yours again on top of it",
    ),
    (
        "CHANGE_NOT_FOUND",
        "`semopsctl change list` shows the changes of your institution, --json their whole ids",
    ),
    (
        "CHANGE_ENDED",
        "`semopsctl change show ID` says how it ended; propose it again if it is still wanted",
    ),
    (
        "CHANGE_EXPIRED",
        "propose it again, and have it approved before it ends",
    ),
    (
        "CHANGE_NOT_YET_VALID",
        "set this machine's clock, and sign again",
    ),
    (
        "TOO_MANY_CHANGES",
        "approve or reject what waits first: semopsctl change list",
    ),
    (
        "NOT_A_CUSTODIAN",
        "use an approval key of the register in force: semopsctl custodians show",
    ),
    (
        "CUSTODIAN_SUSPENDED",
        "another custodian must do this; the others can make you active again: semopsctl change propose custodians",
    ),
    (
        "ALREADY_DECIDED",
        "one decision for each person: another custodian must decide; `semopsctl change show ID` says who has",
    ),
    (
        "APPROVAL_INVALID",
        "sign again with semopsctl, by a clock that is right",
    ),
    (
        "OTHER_PROPOSAL",
        "sign an approval of this very change: semopsctl change approve ID",
    ),
    (
        "QUORUM_TOO_SMALL",
        "a register asks for two persons at least: change its quorum",
    ),
    (
        "TOO_FEW_CUSTODIANS",
        "a register has one active person more than its quorum: add one, or leave one active",
    ),
    (
        "DOCUMENT_MISMATCH",
        "propose the document with the version that comes next",
    ),
    (
        "ROOT_NOT_APPROVED",
        "name roots that the scheme's custodians have put in force; what they approve is shown by `semopsctl scheme verify`",
    ),
    (
        "KEY_STATE",
        "`semopsctl keys` shows the key's state; what can follow it is in the guide for custodians",
    ),
    (
        "NOT_APPROVED",
        "what the record holds was not approved by your institution's custodians: call its operator and your security team",
    ),
    (
        "RECOVERY_REFUSED",
        "only the recovery key of the register in force replaces custodians in this way, and nobody else approves it",
    ),
    (
        "METHOD_UNKNOWN",
        "the service is older than this program: ask its operator for a newer one, or use the semopsctl of its version",
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
        Code::Unimplemented => {
            "the service is older than this program: ask its operator for a newer one, or use the semopsctl of its version"
        }
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "give the request id to the operator of the service"
        }
    }
}
