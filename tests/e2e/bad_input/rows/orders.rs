//! Orders that are wrong in themselves, or come from the wrong phone.

use tonic::Code;

use crate::bad_input::row::{Told::Status, rows};

/// For whatever is refused before anything is recorded.
const HOLDS_NO_JTI: &str =
    "audited; holds no `jti`, so that the same order may be sent again until its `exp`";

rows! {
    WRONG_FIELD {
        what: "a wrong member of the order, or a wrong field beside it: each of them in [signer/docs/bad-input.md](signer/docs/bad-input.md)",
        told: Status(Code::InvalidArgument, "INVALID_FIELD"),
        text: "a field does not have the form that the API asks for: <field>: <rule>",
        holds: "the field and its rule stand in google.rpc.BadRequest too; the value is not repeated",
        test: "malformed_orders::a_malformed_order_is_refused_by_the_member_that_broke_a_rule",
    }
    WRONG_DECIMALS {
        what: "wrong decimals: EUR 12.9, JPY 12.00, KWD 1.00",
        told: Status(Code::InvalidArgument, "INVALID_FIELD"),
        text: "a field does not have the form that the API asks for: order_jws.payload.amount.value: must be a decimal number with exactly <ISO 4217's> decimals and no sign or needless zero",
        holds: "",
        test: "malformed_orders::a_malformed_order_is_refused_by_the_member_that_broke_a_rule",
    }
    UNKNOWN_CURRENCY {
        what: "unknown currency: ZZZ, eur, XAU",
        told: Status(Code::InvalidArgument, "INVALID_FIELD"),
        text: "a field does not have the form that the API asks for: order_jws.payload.amount.currency: must be the code of an ISO 4217 currency that has a minor unit, in capital letters",
        holds: "",
        test: "malformed_orders::a_malformed_order_is_refused_by_the_member_that_broke_a_rule",
    }
    NESTED_ORDER {
        what: "deeply nested order: two hundred objects in objects",
        told: Status(Code::InvalidArgument, "INVALID_FIELD"),
        text: "a field does not have the form that the API asks for: order_jws.payload: must be one JSON object: recursion limit exceeded at line 1 column <n>",
        holds: "",
        test: "malformed_orders::a_malformed_order_is_refused_by_the_member_that_broke_a_rule",
    }
    EXPIRED {
        what: "expired order",
        told: Status(Code::FailedPrecondition, "ORDER_EXPIRED"),
        text: "the order's exp has passed; the customer may sign a new order",
        holds: "audited; holds no `jti`",
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    FROM_FUTURE {
        what: "order from the future: `iat` more than 30 s ahead",
        told: Status(Code::FailedPrecondition, "ORDER_FROM_FUTURE"),
        text: "the order's iat is more than 30 s ahead; set the phone's clock",
        holds: HOLDS_NO_JTI,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    UNKNOWN_DEVICE {
        what: "unknown device: one that nobody enrolled",
        told: Status(Code::FailedPrecondition, "DEVICE_NOT_ACCEPTED"),
        text: "the institution has not accepted the device that signed the order; call AcceptDevice first",
        holds: "audited; from outside the same as the next two",
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    NOT_ACCEPTED {
        what: "device that the payer's institution has not accepted, or has released",
        told: Status(Code::FailedPrecondition, "DEVICE_NOT_ACCEPTED"),
        text: "the institution has not accepted the device that signed the order; call AcceptDevice first",
        holds: HOLDS_NO_JTI,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    FOREIGN_DEVICE {
        what: "another institution's device: enrolled and accepted, but elsewhere",
        told: Status(Code::FailedPrecondition, "DEVICE_NOT_ACCEPTED"),
        text: "the institution has not accepted the device that signed the order; call AcceptDevice first",
        holds: "the institution that accepted it has its orders co-signed all the while",
        test: "bad_input::requests::another_institutions_device",
    }
    FOREIGN_DEVICE_ASKED {
        what: "another institution's device, asked for by its id",
        told: Status(Code::NotFound, "DEVICE_NOT_FOUND"),
        text: "the institution neither issued nor accepted such a device; compare the id with the one that the phone shows",
        holds: "from outside the same as an id that nobody has",
        test: "bad_input::requests::another_institutions_device",
    }
    REVOKED {
        what: "revoked device",
        told: Status(Code::FailedPrecondition, "DEVICE_REVOKED"),
        text: "the device is revoked; the customer needs a new enrolment",
        holds: "an order that was co-signed before is answered with the stored bytes for ever",
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    OTHER_AUDIENCE {
        what: "order addressed to another institution",
        told: Status(Code::PermissionDenied, "ORDER_AUDIENCE"),
        text: "the order is addressed to another institution; only the one in its aud may have it co-signed",
        holds: HOLDS_NO_JTI,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    FORGED {
        what: "order that was altered, or signed by another key",
        told: Status(Code::InvalidArgument, "ORDER_SIGNATURE"),
        text: "the order is not signed by the device named in its kid; the phone signs a new one with its own key: order_jws: the signature is not that of the device in kid",
        holds: HOLDS_NO_JTI,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    REPLAYED {
        what: "replayed id with other content",
        told: Status(Code::AlreadyExists, "ORDER_CONFLICT"),
        text: "another order, or the same with other references, stands under this device and jti; a new order needs a new jti",
        holds: "audited; what was recorded first stays, and is answered byte for byte",
        test: "bad_input::requests::a_replayed_id_with_other_content",
    }
}
