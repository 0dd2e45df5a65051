//! What the service needs and does not have, while it runs.

use tonic::Code;

use crate::bad_input::row::{Told::Status, rows};

rows! {
    TOKEN_GONE {
        what: "HSM down: the token is gone or cannot be read",
        told: Status(Code::Unavailable, "HSM_UNAVAILABLE"),
        text: "the institution's token cannot be used now; call again with the same content",
        holds: "the order stays recorded, and a retry gets its authorization once the token is back, without a restart (within some ten seconds a fresh worker process looks for it anew); other institutions are served; what was co-signed is answered",
        test: "bad_input::outages::a_token_that_is_gone",
    }
    TOKEN_HANGS {
        what: "HSM down: the token does not answer by the caller's deadline",
        told: Status(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        text: "the deadline passed; call again with the same content",
        holds: "shortly before the deadline; the order is finished without the caller, a retry gets its authorization; other institutions are served",
        test: "drain::a_client_that_waits_no_longer_finds_its_order_later",
    }
    TOKEN_EXPIRES {
        what: "HSM down: the token does not answer by the order's `exp`",
        told: Status(Code::FailedPrecondition, "ORDER_EXPIRED"),
        text: "the order's exp has passed; the customer may sign a new order",
        holds: "the order ends EXPIRED, what it had reserved is given back, a signature that comes later is thrown away",
        test: "drain::a_token_that_hangs_holds_up_no_other_institution",
    }
    TOKEN_QUEUE_FULL {
        what: "too many wait for the token",
        told: Status(Code::ResourceExhausted, "HSM_QUEUE_FULL"),
        text: "too much waits for the institution's token; call again, a little later each time",
        holds: "at once, with google.rpc.RetryInfo, and nothing is recorded; each institution has a queue of its own",
        test: "drain::a_full_queue_is_said_at_once_and_is_one_institutions",
    }
    TOKEN_LIES {
        what: "HSM down: the token makes a signature that does not verify",
        told: Status(Code::Unavailable, "FAULTY_SIGNATURE"),
        text: "the institution's token made a signature that does not verify, and it was thrown away; call again with the same content",
        holds: "audited with the key; the order stays recorded, and a retry gets its authorization; the same of certificates and CRLs",
        test: "hsm_faults::signatures::a_wrong_signature_never_gets_out",
    }
    STORE_GONE {
        what: "store down: its file was moved or deleted",
        told: Status(Code::Unavailable, "STORE_UNAVAILABLE"),
        text: "the record cannot be written or read now; call again with the same content",
        holds: "nothing is recorded where it would be lost; what was recorded is answered; health says NOT_SERVING; once the file is back all goes on without a restart",
        test: "bad_input::outages::a_store_that_was_moved_away",
    }
    STORE_LOCKED {
        what: "store down: another program holds it for longer than 5 s",
        told: Status(Code::ResourceExhausted, "STORE_QUEUE_FULL"),
        text: "too much waits to be recorded, or another program holds the record; call again, a little later each time",
        holds: "with google.rpc.RetryInfo, and nothing is recorded; what was recorded is answered meanwhile, authorizations are verified",
        test: "bad_input::outages::a_store_that_another_program_holds",
    }
    DISK_FULL {
        what: "disk full",
        told: Status(Code::Unavailable, "STORE_UNAVAILABLE"),
        text: "the record cannot be written or read now; call again with the same content",
        holds: "what was recorded is answered; health says NOT_SERVING; once there is room the same order is co-signed",
        test: "faults::a_disk_that_takes_no_more_loses_nothing",
    }
    DISK_READ_ONLY {
        what: "disk read-only",
        told: Status(Code::Unavailable, "STORE_UNAVAILABLE"),
        text: "the record cannot be written or read now; call again with the same content",
        holds: "what was recorded is answered; health says NOT_SERVING; once it can be written again the same order is co-signed, without a restart",
        test: "read_only_disk::a_disk_that_becomes_read_only_loses_nothing",
    }
}
