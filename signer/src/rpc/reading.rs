//! Owns which message each method takes and what reads it, for whoever wants to read one without the service.

use prost::Message;
use semops_proto::v1;

use crate::{
    error::Error,
    rpc::{
        changes, cosigning, device_pages, documents, enrollment, keys, method::Method,
        signed_pages, trust,
    },
};

/// What a request was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Of a page of a list: its token, written again.
    pub page_token: Option<String>,
}

/// Reads the body of a request to the method with this path as the service does; nothing if it is no message, or if the
/// message is not one of ours.
pub fn read_request(path: &str, body: &[u8]) -> Option<Result<Read, Error>> {
    match Method::at(path)? {
        Method::EnrollDevice => read(body, enrollment::enroll_request),
        Method::AcceptDevice => read(body, enrollment::accept_request),
        Method::ReleaseDevice => read(body, enrollment::release_request),
        Method::RevokeDevice => read(body, enrollment::revoke_request),
        Method::GetDevice => read(body, enrollment::device_request),
        Method::ListDevices => page(body),
        Method::CosignOrder => read(body, cosigning::cosign_request),
        Method::GetAuthorization => read(body, cosigning::authorization_request),
        Method::VerifyAuthorization => read(body, cosigning::verify_request),
        Method::GetTrustBundle => read(body, |_: v1::GetTrustBundleRequest| Ok(())),
        Method::GetCrl => read(body, trust::named_ca),
        Method::ListKeys => read(body, |_: v1::ListKeysRequest| Ok(())),
        Method::CreateKey => read(body, keys::create_request),
        Method::DiscardKey => read(body, keys::discard_request),
        Method::GetKey => read(body, keys::key_request),
        Method::ReissueDevice => read(body, keys::reissue_request),
        Method::ListSigned => signed_page(body),
        Method::GetDocument => read(body, documents::document_request),
        Method::ListDocumentVersions => read(body, documents::versions_request),
        Method::ProposeChange => read(body, changes::proposing),
        Method::ApproveChange => read(body, changes::approving),
        Method::RejectChange => read(body, changes::rejecting),
        Method::GetChange => read(body, changes::change_request),
        Method::ListChanges => read(body, changes::listing),
        Method::GetStatus => read(body, |_: v1::GetStatusRequest| Ok(())),
        Method::HealthCheck | Method::HealthWatch | Method::Reflection => None,
    }
}

fn decoded<Q: Message + Default, A>(
    body: &[u8],
    parse: impl FnOnce(Q) -> Result<A, Error>,
) -> Option<Result<A, Error>> {
    Q::decode(body).ok().map(parse)
}

fn read<Q: Message + Default, A>(
    body: &[u8],
    parse: impl FnOnce(Q) -> Result<A, Error>,
) -> Option<Result<Read, Error>> {
    let read = decoded(body, parse)?;
    Some(read.map(|_| Read { page_token: None }))
}

fn page(body: &[u8]) -> Option<Result<Read, Error>> {
    let asked = decoded(body, device_pages::asked)?;
    Some(asked.map(|asked| {
        Read {
            page_token: asked
                .after
                .map(|last| device_pages::token(&asked.filter, last)),
        }
    }))
}

fn signed_page(body: &[u8]) -> Option<Result<Read, Error>> {
    let asked = decoded(body, signed_pages::asked)?;
    Some(asked.map(|asked| Read {
        page_token: asked.after.map(|last| signed_pages::token(&asked, last)),
    }))
}
