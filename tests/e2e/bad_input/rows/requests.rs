//! What is no request, or comes from somebody who may not make it.

use tonic::Code;

use crate::bad_input::row::{Told::Status, rows};

rows! {
    MALFORMED_PROTOBUF {
        what: "malformed protobuf",
        told: Status(Code::InvalidArgument, "MALFORMED_MESSAGE"),
        text: "the body is not the method's request message; encode it as the protos of semops.signer.v1 say",
        holds: "the next request on the same connection is answered",
        test: "malformed::what_is_no_message_is_refused_with_its_reason",
    }
    NESTED_MESSAGE {
        what: "deeply nested message: a thousand groups in groups",
        told: Status(Code::InvalidArgument, "MALFORMED_MESSAGE"),
        text: "the body is not the method's request message; encode it as the protos of semops.signer.v1 say",
        holds: "the next request on the same connection is answered",
        test: "malformed::what_is_no_message_is_refused_with_its_reason",
    }
    OVERSIZED_MESSAGE {
        what: "oversized message: more than 64 KiB, or announced as up to 4 GiB",
        told: Status(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        text: "the message is longer than 64 KiB, or than 8 MiB with a proposal; no request of this service needs as much",
        holds: "it is not read; the next request on the same connection is answered",
        test: "malformed::what_is_no_message_is_refused_with_its_reason",
    }
    UNKNOWN_METHOD {
        what: "no such service or method",
        told: Status(Code::Unimplemented, "METHOD_UNKNOWN"),
        text: "there is no such method here, or not with these options; server reflection lists what there is",
        holds: "",
        test: "malformed::what_is_no_grpc_request_of_ours_is_refused",
    }
    NOT_GRPC {
        what: "an HTTP request that is not gRPC's",
        told: Status(Code::InvalidArgument, "NOT_GRPC"),
        text: "a gRPC request is a POST of content-type application/grpc",
        holds: "HTTP says 405 or 415",
        test: "malformed::what_is_no_grpc_request_of_ours_is_refused",
    }
    MALFORMED_TIMEOUT {
        what: "a deadline that is none",
        told: Status(Code::InvalidArgument, "MALFORMED_TIMEOUT"),
        text: "grpc-timeout is not 1-8 digits followed by one of H, M, S, m, u and n",
        holds: "",
        test: "malformed::what_is_no_grpc_request_of_ours_is_refused",
    }
    UNKNOWN_CALLER {
        what: "a client certificate that stands in no register of callers, or is not of the institution's own TLS CA",
        told: Status(Code::Unauthenticated, "CALLER_UNKNOWN"),
        text: "the client certificate is not that of a registered caller; ask the operator to check the register of callers",
        holds: "from outside all such are the same; what is not of the scheme's TLS root at all fails the handshake",
        test: "tls::a_good_certificate_makes_nobody_a_caller",
    }
    WRONG_ROLE {
        what: "a caller of another role",
        told: Status(Code::PermissionDenied, "ROLE_NOT_ALLOWED"),
        text: "the caller's role may not use this method; use the credentials of the role that may",
        holds: "",
        test: "bad_input::requests::a_caller_of_another_role",
    }
}
