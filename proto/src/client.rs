//! A thin typed client: one method per RPC, each with the same deadline. It owns no transport; give it a channel.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use tonic::{
    ConnectError, Request, Status, TimeoutExpired,
    transport::{self, Channel},
};

use crate::v1::{
    self, change_service_client::ChangeServiceClient,
    cosigning_service_client::CosigningServiceClient,
    document_service_client::DocumentServiceClient,
    enrollment_service_client::EnrollmentServiceClient, key_service_client::KeyServiceClient,
    status_service_client::StatusServiceClient, trust_service_client::TrustServiceClient,
};

/// All services of `semops.signer.v1` over one channel. Cloning is cheap and shares the connection.
///
/// Every call carries the deadline as `grpc-timeout`; the service honours it at every wait. A call that ends with
/// DEADLINE_EXCEEDED, UNAVAILABLE or CANCELLED may be repeated with the same content: each RPC is idempotent. A call that
/// is left without an answer because its connection ended is repeated here, once, in what is left of its time.
#[derive(Clone, Debug)]
pub struct Client {
    enrollment: EnrollmentServiceClient<Channel>,
    cosigning: CosigningServiceClient<Channel>,
    trust: TrustServiceClient<Channel>,
    keys: KeyServiceClient<Channel>,
    documents: DocumentServiceClient<Channel>,
    changes: ChangeServiceClient<Channel>,
    status: StatusServiceClient<Channel>,
    deadline: Duration,
}

/// The longest answer that is taken where one may be longer than gRPC's usual 4 MiB, in bytes: a CRL, a document, a page
/// of devices with their certificates or of changes with their approvals.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// A method per RPC: its name, the service's client, request and answer.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident on $service:ident: $request:ident -> $response:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The status of the service with its google.rpc details, or one made by the transport.
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, Status> {
                    let asked = Instant::now();
                    let first = requested(request.clone(), self.deadline);
                    let reply = match self.$service.clone().$name(first).await {
                        Err(status) if is_unanswered(&status) => {
                            let left = self.deadline.saturating_sub(asked.elapsed());
                            self.$service.clone().$name(requested(request, left)).await?
                        }
                        done => done?,
                    };
                    Ok(reply.into_inner())
                }
            )*
        }
    };
}

calls! {
    /// EnrollDevice: a device certificate for the key of a PKCS#10 request.
    enroll_device on enrollment: EnrollDeviceRequest -> EnrollDeviceResponse;
    /// AcceptDevice: lets the caller's institution co-sign orders of a device.
    accept_device on enrollment: AcceptDeviceRequest -> AcceptDeviceResponse;
    /// ReleaseDevice: ends that acceptance.
    release_device on enrollment: ReleaseDeviceRequest -> ReleaseDeviceResponse;
    /// RevokeDevice: revokes a device's certificate, for every institution.
    revoke_device on enrollment: RevokeDeviceRequest -> RevokeDeviceResponse;
    /// GetDevice: a device as its issuer or its acceptor sees it.
    get_device on enrollment: GetDeviceRequest -> GetDeviceResponse;
    /// ListDevices: a page of the devices that the caller's institution issued or accepted.
    list_devices on enrollment: ListDevicesRequest -> ListDevicesResponse;
    /// CosignOrder: the authorization for a device's order.
    cosign_order on cosigning: CosignOrderRequest -> CosignOrderResponse;
    /// GetAuthorization: where an order's co-signing stands.
    get_authorization on cosigning: GetAuthorizationRequest -> GetAuthorizationResponse;
    /// VerifyAuthorization: what an authorization is worth now.
    verify_authorization on cosigning: VerifyAuthorizationRequest -> VerifyAuthorizationResponse;
    /// GetTrustBundle: chains, CRLs and JWK Sets of the institutions that the caller's trusts.
    get_trust_bundle on trust: GetTrustBundleRequest -> GetTrustBundleResponse;
    /// GetCrl: the newest CRL of one CA.
    get_crl on trust: GetCrlRequest -> GetCrlResponse;
    /// ListKeys: the keys that sign for the caller's institution.
    list_keys on keys: ListKeysRequest -> ListKeysResponse;
    /// GetKey: one of them.
    get_key on keys: GetKeyRequest -> GetKeyResponse;
    /// CreateKey: a new one, for a rotation.
    create_key on keys: CreateKeyRequest -> CreateKeyResponse;
    /// DiscardKey: one that no change has taken up is destroyed.
    discard_key on keys: DiscardKeyRequest -> DiscardKeyResponse;
    /// ListSigned: a page of what one of them has signed.
    list_signed on keys: ListSignedRequest -> ListSignedResponse;
    /// ReissueDevice: a device's certificate by the CA that issues now, if the one that certified it signs no more.
    reissue_device on keys: ReissueDeviceRequest -> ReissueDeviceResponse;
    /// GetDocument: one version of a document that rules the caller's institution.
    get_document on documents: GetDocumentRequest -> GetDocumentResponse;
    /// ListDocumentVersions: the versions of such a document, without their bytes.
    list_document_versions on documents: ListDocumentVersionsRequest -> ListDocumentVersionsResponse;
    /// ProposeChange: brings a change before the custodians.
    propose_change on changes: ProposeChangeRequest -> ProposeChangeResponse;
    /// ApproveChange: one more person is for it; the last one that it needs executes it.
    approve_change on changes: ApproveChangeRequest -> ApproveChangeResponse;
    /// RejectChange: one person is against it.
    reject_change on changes: RejectChangeRequest -> RejectChangeResponse;
    /// GetChange: a change with its documents.
    get_change on changes: GetChangeRequest -> GetChangeResponse;
    /// ListChanges: changes without their documents, newest first.
    list_changes on changes: ListChangesRequest -> ListChangesResponse;
    /// GetStatus: what runs, how the institution's token fares, how much of the limits is left.
    get_status on status: GetStatusRequest -> GetStatusResponse;
}

impl Client {
    /// A client on `channel` whose calls end after `deadline`.
    #[must_use]
    pub fn new(channel: Channel, deadline: Duration) -> Self {
        Self {
            enrollment: EnrollmentServiceClient::new(channel.clone())
                .max_decoding_message_size(LONGEST_ANSWER),
            cosigning: CosigningServiceClient::new(channel.clone()),
            trust: TrustServiceClient::new(channel.clone())
                .max_decoding_message_size(LONGEST_ANSWER),
            keys: KeyServiceClient::new(channel.clone()),
            documents: DocumentServiceClient::new(channel.clone())
                .max_decoding_message_size(LONGEST_ANSWER),
            changes: ChangeServiceClient::new(channel.clone())
                .max_decoding_message_size(LONGEST_ANSWER),
            status: StatusServiceClient::new(channel),
            deadline,
        }
    }
}

fn requested<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// Whether the connection ended before there was an answer: the service ends each at its age, and the channel makes a
/// new one for the next call only.
fn is_unanswered(status: &Status) -> bool {
    let mut cause = status.source();
    let lost = cause.is_some_and(<dyn Error>::is::<transport::Error>);
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() || error.is::<ConnectError>() {
            return false;
        }
        cause = error.source();
    }
    lost
}
