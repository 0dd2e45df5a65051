//! Orders that are good and not allowed, or too many.

use tonic::Code;

use crate::bad_input::row::{Told::Status, rows};

const MAY_COME_AGAIN: &str =
    "audited; holds no `jti`; a later version of the policy counts from the next order on";
const STANDS_FOR_EVER: &str = "audited; counted in one transaction with the record, also after a crash and a new acceptance; others have limits of their own";

rows! {
    OVER_POLICY {
        what: "amount over the policy's limit for one order",
        told: Status(Code::FailedPrecondition, "AMOUNT_OVER_POLICY"),
        text: "the amount is above what policy allows for one order; the customer may order less",
        holds: MAY_COME_AGAIN,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    CURRENCY_WITHOUT_LIMIT {
        what: "currency for which the policy names no limit",
        told: Status(Code::FailedPrecondition, "CURRENCY_NOT_ALLOWED"),
        text: "policy has no limit for the order's currency, so it is not allowed; a version of the policy with one allows it",
        holds: MAY_COME_AGAIN,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    CHANNEL {
        what: "channel that the policy does not name",
        told: Status(Code::FailedPrecondition, "CHANNEL_NOT_ALLOWED"),
        text: "policy does not allow the order's channel; a version of the policy that names it does",
        holds: MAY_COME_AGAIN,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    PAYEE {
        what: "payee's institution that the policy does not name",
        told: Status(Code::FailedPrecondition, "PAYEE_NOT_ALLOWED"),
        text: "policy does not allow the payee's institution; a version of the policy that names it does",
        holds: MAY_COME_AGAIN,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    ISSUER {
        what: "device of an issuer that the policy does not name",
        told: Status(Code::FailedPrecondition, "ISSUER_NOT_ALLOWED"),
        text: "policy does not allow the issuer of the device; a version of the policy that names it does",
        holds: MAY_COME_AGAIN,
        test: "refused_orders::proof_and_policy_refuse_with_the_reason_and_hold_nothing",
    }
    AMOUNT_PER_DAY {
        what: "over the device's amount for 24 hours",
        told: Status(Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY"),
        text: "the device's amount for 24 hours would be passed; the customer may order less, or wait until earlier orders are a day old",
        holds: STANDS_FOR_EVER,
        test: "money_limits::amount_and_count_hold_through_release_acceptance_and_a_crash",
    }
    ORDERS_PER_DAY {
        what: "over the device's number of orders for 24 hours",
        told: Status(Code::FailedPrecondition, "DEVICE_ORDERS_PER_DAY"),
        text: "the device's number of orders for 24 hours would be passed; the customer may wait until earlier orders are a day old",
        holds: STANDS_FOR_EVER,
        test: "money_limits::amount_and_count_hold_through_release_acceptance_and_a_crash",
    }
    OVER_RATE {
        what: "over a rate limit of the device, the caller or the institution",
        told: Status(Code::ResourceExhausted, "RATE_LIMITED"),
        text: "too many requests; call again with the same content after the time that is told, and not before",
        holds: "google.rpc.QuotaFailure names whose limit it is, google.rpc.RetryInfo the exact time; holds no `jti`; retries of a recorded order, other devices and other institutions are served",
        test: "bad_input::limits::over_a_rate_limit",
    }
    TOO_MANY_IN_FLIGHT {
        what: "more requests of an institution at a time than its policy says",
        told: Status(Code::ResourceExhausted, "TOO_MANY_IN_FLIGHT"),
        text: "too many requests of the institution are under way; call again, a little later each time",
        holds: "at once, with google.rpc.QuotaFailure and about the time in google.rpc.RetryInfo; other institutions are served",
        test: "bad_input::limits::too_many_in_flight",
    }
}
