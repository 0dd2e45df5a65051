//! Who may call what: every role against every method that the service describes, in one table that has to name them
//! all.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    deployment::Deployment,
    failure::Failure,
    raw::{self, Answer},
    recheck::recheck,
    refusal::reason,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use softhsm_setup::scheme::Role;
use tonic::{Code, transport::Channel};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

const INSTITUTIONS: [&str; 3] = ["alfa", "beta", "mobilis"];
const ROLES: [Role; 4] = [
    Role::Enrolment,
    Role::Payments,
    Role::Custodian,
    Role::Auditor,
];
const ENROLMENT: &[Role] = &[Role::Enrolment];
const PAYMENTS: &[Role] = &[Role::Payments];
const BACK_OFFICE: &[Role] = &[Role::Enrolment, Role::Payments];
const OVERSIGHT: &[Role] = &[Role::Custodian, Role::Auditor];
const CUSTODIAN: &[Role] = &[Role::Custodian];

/// What an allowed caller is told who asks with an empty message: shows that the method itself was reached.
type Told = (Code, Option<&'static str>);
const DONE: Told = (Code::Ok, None);
const FIELD: Told = (Code::InvalidArgument, Some("INVALID_FIELD"));
const REQUEST: Told = (Code::InvalidArgument, Some("REQUEST_NOT_ACCEPTABLE"));
const NOT_OFFERED: Told = (Code::Unimplemented, Some("METHOD_UNKNOWN"));

/// Method, who may call it, what they are told.
const TABLE: [(&str, &[Role], Told); 28] = [
    (
        "semops.signer.v1.EnrollmentService/EnrollDevice",
        ENROLMENT,
        REQUEST,
    ),
    (
        "semops.signer.v1.EnrollmentService/AcceptDevice",
        ENROLMENT,
        FIELD,
    ),
    (
        "semops.signer.v1.EnrollmentService/ReleaseDevice",
        ENROLMENT,
        FIELD,
    ),
    (
        "semops.signer.v1.EnrollmentService/RevokeDevice",
        ENROLMENT,
        FIELD,
    ),
    (
        "semops.signer.v1.EnrollmentService/GetDevice",
        BACK_OFFICE,
        FIELD,
    ),
    (
        "semops.signer.v1.EnrollmentService/ListDevices",
        BACK_OFFICE,
        FIELD,
    ),
    (
        "semops.signer.v1.CosigningService/CosignOrder",
        PAYMENTS,
        FIELD,
    ),
    (
        "semops.signer.v1.CosigningService/GetAuthorization",
        PAYMENTS,
        FIELD,
    ),
    (
        "semops.signer.v1.CosigningService/VerifyAuthorization",
        PAYMENTS,
        DONE,
    ),
    ("semops.signer.v1.TrustService/GetTrustBundle", &ROLES, DONE),
    ("semops.signer.v1.TrustService/GetCrl", &ROLES, FIELD),
    ("semops.signer.v1.KeyService/ListKeys", OVERSIGHT, DONE),
    ("semops.signer.v1.KeyService/GetKey", OVERSIGHT, FIELD),
    ("semops.signer.v1.KeyService/CreateKey", CUSTODIAN, FIELD),
    ("semops.signer.v1.KeyService/DiscardKey", CUSTODIAN, FIELD),
    ("semops.signer.v1.KeyService/ListSigned", OVERSIGHT, FIELD),
    (
        "semops.signer.v1.KeyService/ReissueDevice",
        CUSTODIAN,
        FIELD,
    ),
    (
        "semops.signer.v1.ChangeService/ProposeChange",
        CUSTODIAN,
        FIELD,
    ),
    (
        "semops.signer.v1.ChangeService/ApproveChange",
        CUSTODIAN,
        FIELD,
    ),
    (
        "semops.signer.v1.ChangeService/RejectChange",
        CUSTODIAN,
        FIELD,
    ),
    ("semops.signer.v1.ChangeService/GetChange", OVERSIGHT, FIELD),
    (
        "semops.signer.v1.ChangeService/ListChanges",
        OVERSIGHT,
        DONE,
    ),
    (
        "semops.signer.v1.DocumentService/GetDocument",
        OVERSIGHT,
        FIELD,
    ),
    (
        "semops.signer.v1.DocumentService/ListDocumentVersions",
        OVERSIGHT,
        FIELD,
    ),
    ("semops.signer.v1.StatusService/GetStatus", &ROLES, DONE),
    ("grpc.health.v1.Health/Check", &ROLES, DONE),
    ("grpc.health.v1.Health/Watch", &ROLES, NOT_OFFERED),
    (REFLECTION, &ROLES, DONE),
];
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn every_role_may_call_what_the_table_says_and_nothing_else() -> Result<(), Failure> {
    let described = described()?;
    let rows: BTreeSet<String> = TABLE
        .iter()
        .map(|(method, ..)| (*method).to_owned())
        .collect();
    assert_eq!(
        rows, described,
        "a method without a row, or a row without a method"
    );

    let mut deployment = Deployment::new().await?;
    for institution in INSTITUTIONS {
        for role in ROLES {
            let channel = deployment.channel(institution, role).await?;
            let mut ids = BTreeSet::new();
            for (method, allowed, told) in TABLE {
                let answer = called(&channel, method).await?;
                let who = format!("{institution}/{role} {method}: {:?}", answer.status);
                let id = answer.request_id().expect(&who).to_owned();
                if allowed.contains(&role) {
                    let (code, expected) = told;
                    assert_eq!(answer.status.code(), code, "{who}");
                    assert_eq!(reason(&answer.status).as_deref(), expected, "{who}");
                } else {
                    forbidden(&answer, &who);
                }
                assert!(ids.insert(id), "{who}: a request id twice");
            }
        }
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn reflection_tells_every_role_what_is_served() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let served: BTreeSet<String> = described()?
        .iter()
        .filter_map(|method| Some(method.split_once('/')?.0.to_owned()))
        .collect();
    for role in ROLES {
        let channel = deployment.channel("mobilis", role).await?;
        let answer = called(&channel, REFLECTION).await?;
        assert_eq!(
            answer.status.code(),
            Code::Ok,
            "{role}: {:?}",
            answer.status
        );
        let reply = ServerReflectionResponse::decode(answer.message().unwrap_or_default())?;
        let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
            panic!("{role}: {reply:?}");
        };
        let listed: BTreeSet<String> = list.service.into_iter().map(|one| one.name).collect();
        assert_eq!(listed, served, "{role}");
    }
    recheck(&mut deployment).await.map(drop)
}

/// The refusal by role: the reason, and the request's id twice.
fn forbidden(answer: &Answer, who: &str) {
    let details = answer.status.get_error_details();
    let info = details.error_info().expect(who);
    assert_eq!(answer.status.code(), Code::PermissionDenied, "{who}");
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str(), &info.metadata),
        ("ROLE_NOT_ALLOWED", "semops.signer.v1", &Default::default()),
        "{who}"
    );
    let request = details.request_info().expect(who);
    assert_eq!(
        answer.request_id(),
        Some(request.request_id.as_str()),
        "{who}"
    );
    assert!(answer.body.is_empty(), "{who}");
}

/// Calls a method with an empty message; reflection with the question for the services.
async fn called(channel: &Channel, method: &str) -> Result<Answer, Failure> {
    let message = match method {
        REFLECTION => ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        }
        .encode_to_vec(),
        _ => Vec::new(),
    };
    raw::call(channel, &format!("/{method}"), &message).await
}

/// Every method of the contract and of the services of gRPC that are served with it.
fn described() -> Result<BTreeSet<String>, Failure> {
    let sets = [
        semops_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = BTreeMap::new();
    for set in sets {
        for file in FileDescriptorSet::decode(set)?.file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    methods.insert(name, ());
                }
            }
        }
    }
    Ok(methods.into_keys().collect())
}
