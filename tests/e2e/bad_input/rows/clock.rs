//! What a clock that is stepped does to those who are right.

use tonic::Code;

use crate::bad_input::row::{Told::Status, rows};

rows! {
    AHEAD {
        what: "clock stepped forward: an order of now",
        told: Status(Code::FailedPrecondition, "ORDER_EXPIRED"),
        text: "the order's exp has passed; the customer may sign a new order",
        holds: "holds no `jti`: the same order is co-signed if the clock is put right before its `exp`; what was co-signed is answered",
        test: "bad_input::clock::a_clock_that_is_stepped_and_put_right",
    }
    BEHIND {
        what: "clock stepped back: an order of now",
        told: Status(Code::FailedPrecondition, "ORDER_FROM_FUTURE"),
        text: "the order's iat is more than 30 s ahead; set the phone's clock",
        holds: "holds no `jti`: the same order is co-signed if the clock is put right before its `exp`; what was co-signed is answered",
        test: "bad_input::clock::a_clock_that_is_stepped_and_put_right",
    }
    AHEAD_UNDER_WAY {
        what: "clock stepped forward while the token signs",
        told: Status(Code::FailedPrecondition, "ORDER_EXPIRED"),
        text: "the order's exp has passed; the customer may sign a new order",
        holds: "the order ends EXPIRED and stays so; the late signature is thrown away, what was reserved is given back",
        test: "bad_input::clock::a_step_while_the_token_signs",
    }
    ENROLLED_AHEAD {
        what: "clock stepped forward and put right: an order of a phone that was enrolled meanwhile",
        told: Status(Code::FailedPrecondition, "DEVICE_EXPIRED"),
        text: "the device's certificate is outside its validity; the customer needs a new enrolment",
        holds: "its certificate says the time of its making; phones enrolled before are served",
        test: "bad_input::clock::what_a_wrong_clock_signed_says_so",
    }
    DAY_IS_NOT_OVER {
        what: "clock stepped back: orders of a day that seems not to have come",
        told: Status(Code::FailedPrecondition, "DEVICE_AMOUNT_PER_DAY"),
        text: "the device's amount for 24 hours would be passed; the customer may order less, or wait until earlier orders are a day old",
        holds: "money limits count what lies ahead of a clock that was set back",
        test: "bad_input::clock::money_limits_count_what_a_set_back_clock_left_ahead",
    }
}
