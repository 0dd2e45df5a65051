//! Requests that no gRPC client of ours makes: each is answered with the documented code and details, at once, and
//! others are served meanwhile.

use e2e::{
    deployment::Deployment,
    failure::Failure,
    raw::{self, Answer},
    recheck::recheck,
    refusal::reason,
};
use prost::Message as _;
use semops_proto::v1;
use softhsm_setup::scheme::Role;
use tonic::{
    Code,
    body::Body,
    codegen::http::{HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use crate::bad_input::{row::Row, rows::requests as rows};

const GET_DEVICE: &str = "/semops.signer.v1.EnrollmentService/GetDevice";
const GET_AUTHORIZATION: &str = "/semops.signer.v1.CosigningService/GetAuthorization";
const COSIGN: &str = "/semops.signer.v1.CosigningService/CosignOrder";
const VERIFY: &str = "/semops.signer.v1.CosigningService/VerifyAuthorization";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// The longest message that is taken.
const LONGEST: usize = 64 * 1024;

/// `field` 1 of a message, length-delimited (Protocol Buffers encoding, wire type 2).
fn field(content: &[u8]) -> Vec<u8> {
    let mut message = vec![0x0a];
    prost::encode_length_delimiter(content.len(), &mut message).unwrap();
    [message, content.to_vec()].concat()
}

/// Groups in groups, a thousand deep: the start of field 15 (wire type 3), and nobody closes it.
fn open_groups() -> Vec<u8> {
    vec![0x7b; 1_000]
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_its_reason() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;
    let compressed = [&[1], &raw::framed(b"")[1..]].concat();
    let short = [&[0, 0, 0, 0, 9], &b"abc"[..]].concat();
    let (malformed, nested) = (&rows::MALFORMED_PROTOBUF, &rows::NESTED_MESSAGE);
    let large = &rows::OVERSIZED_MESSAGE;
    let bodies = [
        ("random octets", raw::framed(&[0xff; 64]), malformed),
        (
            "a length beyond the end",
            raw::framed(&[0x0a, 0x7f, b'x']),
            malformed,
        ),
        (
            "a varint without end",
            raw::framed(&[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ]),
            malformed,
        ),
        ("field number 0", raw::framed(&[0x02, 0x00]), malformed),
        ("another wire type", raw::framed(&[0x08, 0x01]), malformed),
        (
            "no UTF-8",
            raw::framed(&field(&[b'a', 0xff, 0xfe])),
            malformed,
        ),
        (
            "a cut UTF-8 sequence",
            raw::framed(&field(&[0xe2, 0x82])),
            malformed,
        ),
        (
            "a thousand open groups",
            raw::framed(&open_groups()),
            nested,
        ),
        (
            "a thousand groups, each closed",
            raw::framed(&[open_groups(), vec![0x7c; 1_000]].concat()),
            nested,
        ),
        (
            "one octet too long",
            raw::framed(&vec![0; LONGEST + 1]),
            large,
        ),
        ("4 GiB announced", vec![0, 0xff, 0xff, 0xff, 0xff], large),
    ];
    for path in [GET_DEVICE, COSIGN, GET_AUTHORIZATION, VERIFY] {
        for (what, body, row) in &bodies {
            let answer = raw::send(&channel, raw::request(path, body.clone())?).await?;
            told(row, &answer, &format!("{path}, {what}"))?;
            served(&channel).await?;
        }
        // What the framing itself gets wrong has the transport's reason, whichever that is.
        for body in [
            compressed.clone(),
            short.clone(),
            vec![2, 0, 0, 0, 0],
            Vec::new(),
            vec![0, 0],
        ] {
            let answer = raw::send(&channel, raw::request(path, body.clone())?).await?;
            assert!(
                !matches!(answer.status.code(), Code::Ok | Code::Unknown),
                "{path} {body:?}: {answer:?}"
            );
            detailed(&answer, &format!("{path} {body:?}"));
            served(&channel).await?;
        }
    }
    // At the limit it is a message: its fields are looked at.
    let message = field(&vec![b'a'; LONGEST - 4]);
    assert_eq!(message.len(), LONGEST);
    let answer = raw::call(&channel, GET_DEVICE, &message).await?;
    refused(
        &answer,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "at the limit",
    );
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn fields_that_are_none_are_named_and_not_repeated() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;
    let device = "0191d6a0-3c1e-4b7a-9f00-000000000001";
    for bad in [
        "",
        "not-a-uuid",
        "0191D6A0-3C1E-4B7A-9F00-000000000001",
        "\0",
        "'; DROP TABLE device;--",
        "\u{202e}x",
    ] {
        let ask = v1::GetAuthorizationRequest {
            device_id: device.to_owned(),
            jti: bad.to_owned(),
        };
        let answer = raw::call(&channel, GET_AUTHORIZATION, &ask.encode_to_vec()).await?;
        refused(&answer, Code::InvalidArgument, "INVALID_FIELD", bad);
        let details = answer.status.get_error_details();
        let violations = &details.bad_request().expect(bad).field_violations;
        let [violation] = violations.as_slice() else {
            panic!("{violations:?}")
        };
        assert_eq!(violation.field, "jti", "{bad:?}");
        let repeated = |text: &str| bad.len() > 1 && text.contains(bad);
        assert!(
            !repeated(&violation.description) && !repeated(answer.status.message()),
            "{violation:?}"
        );
    }
    // An unknown field is a newer client's: protobuf passes over it, and the known ones are read.
    let mut ask = v1::GetAuthorizationRequest {
        device_id: device.to_owned(),
        jti: device.to_owned(),
    }
    .encode_to_vec();
    ask.extend([0xfa, 0x07, 3, b'n', b'e', b'w']);
    let answer = raw::call(&channel, GET_AUTHORIZATION, &ask).await?;
    refused(
        &answer,
        Code::NotFound,
        "ORDER_NOT_FOUND",
        "an unknown field",
    );
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn what_is_no_grpc_request_of_ours_is_refused() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let channel = deployment.channel("alfa", Role::Payments).await?;
    for path in [
        "/",
        "/semops.signer.v1.CosigningService/DropAll",
        "/semops.signer.v1.CosigningService/",
        "/semops.signer.v1.CosigningService/GetDevice",
        "/semops.signer.v1.CosigningService/CosignOrder/",
        "/semops.signer.v1.CosigningService/cosignorder",
        "/semops.signer.v2.CosigningService/CosignOrder",
        "//semops.signer.v1.CosigningService/CosignOrder",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/crl/device-root.crl",
    ] {
        let answer = raw::call(&channel, path, &[]).await?;
        told(&rows::UNKNOWN_METHOD, &answer, path)?;
    }
    for content_type in [
        None,
        Some("application/json"),
        Some("text/plain"),
        Some("application/grpc-web"),
    ] {
        let request = with(|request| {
            request.headers_mut().remove(CONTENT_TYPE);
            if let Some(text) = content_type {
                request
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static(text));
            }
        })?;
        let answer = raw::send(&channel, request).await?;
        // gRPC over HTTP/2, "Requests": another content-type is HTTP's 415.
        assert_eq!(
            answer.http,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type:?}: {answer:?}"
        );
        told(&rows::NOT_GRPC, &answer, "no gRPC")?;
        served(&channel).await?;
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = raw::send(
            &channel,
            with(|request| *request.method_mut() = method.clone())?,
        )
        .await?;
        assert_eq!(
            answer.http,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}: {answer:?}"
        );
        told(&rows::NOT_GRPC, &answer, "no gRPC")?;
        served(&channel).await?;
    }
    for timeout in ["", "5", "5s", "-1S", "123456789S", "S5"] {
        let request = with(|request| {
            request
                .headers_mut()
                .insert("grpc-timeout", HeaderValue::from_static(timeout));
        })?;
        let answer = raw::send(&channel, request).await?;
        told(&rows::MALFORMED_TIMEOUT, &answer, timeout)?;
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn headers_without_end_reach_nobody() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let bystander = deployment.channel("beta", Role::Payments).await?;
    for (count, length) in [(1, 9_000), (1, 200_000), (200, 100), (5_000, 8)] {
        let channel = deployment.channel("alfa", Role::Payments).await?;
        let request = with(|request| {
            for number in 0..count {
                let name = format!("x-{number}")
                    .parse::<tonic::codegen::http::HeaderName>()
                    .unwrap();
                let value = HeaderValue::from_str(&"a".repeat(length)).unwrap();
                request.headers_mut().insert(name, value);
            }
        })?;
        // RFC 6585 s5, or the end of the stream or of the connection; never an answer of a method.
        match raw::send(&channel, request).await {
            Ok(answer) => assert_eq!(
                answer.http,
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "{count} of {length}: {answer:?}"
            ),
            Err(failure) => assert!(!failure.to_string().contains("no answer"), "{failure}"),
        }
        served(&bystander).await?;
        served(&deployment.channel("alfa", Role::Payments).await?).await?;
    }
    recheck(&mut deployment).await.map(drop)
}

/// A request for health, otherwise than a client makes it.
fn with(change: impl FnOnce(&mut Request<Body>)) -> Result<Request<Body>, Failure> {
    let mut request = raw::request(HEALTH, raw::framed(&[]))?;
    change(&mut request);
    Ok(request)
}

/// Somebody else's request, on the same connection or another.
async fn served(channel: &Channel) -> Result<(), Failure> {
    let answer = raw::call(channel, HEALTH, &[]).await?;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    Ok(())
}

/// The row, with the details that every refusal has.
fn told(row: &Row, answer: &Answer, what: &str) -> Result<(), Failure> {
    row.refuses(Err::<(), _>(answer.status.clone()))
        .map_err(|failure| failure.in_step(what))?;
    detailed(answer, what);
    Ok(())
}

fn refused(answer: &Answer, code: Code, expected: &str, what: &str) {
    assert_eq!(answer.status.code(), code, "{what}: {answer:?}");
    assert_eq!(
        reason(&answer.status).as_deref(),
        Some(expected),
        "{what}: {answer:?}"
    );
    detailed(answer, what);
}

/// The domain of the reason, and the request's id in the details and in the header.
fn detailed(answer: &Answer, what: &str) {
    let details = answer.status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert_eq!(info.domain, "semops.signer.v1", "{what}");
    let request = details.request_info().map(|info| info.request_id.as_str());
    assert_eq!(request, answer.request_id(), "{what}");
    assert!(
        answer.body.is_empty() && request.is_some(),
        "{what}: {answer:?}"
    );
}
