//! Owns which methods there are and who may call them: one table over every method and every role. What it does not
//! name is refused.

use crate::domain::actor::Role;

/// A method that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    EnrollDevice,
    AcceptDevice,
    ReleaseDevice,
    RevokeDevice,
    GetDevice,
    ListDevices,
    CosignOrder,
    GetAuthorization,
    VerifyAuthorization,
    GetTrustBundle,
    GetCrl,
    ListKeys,
    GetKey,
    CreateKey,
    DiscardKey,
    ListSigned,
    ReissueDevice,
    GetDocument,
    ListDocumentVersions,
    ProposeChange,
    ApproveChange,
    RejectChange,
    GetChange,
    ListChanges,
    GetStatus,
    HealthCheck,
    HealthWatch,
    Reflection,
}

/// The service to which a method belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Enrollment,
    Cosigning,
    Trust,
    Keys,
    Documents,
    Changes,
    Status,
    Health,
    Reflection,
}

impl Method {
    /// Every method.
    pub(crate) const ALL: [Self; 28] = [
        Self::EnrollDevice,
        Self::AcceptDevice,
        Self::ReleaseDevice,
        Self::RevokeDevice,
        Self::GetDevice,
        Self::ListDevices,
        Self::CosignOrder,
        Self::GetAuthorization,
        Self::VerifyAuthorization,
        Self::GetTrustBundle,
        Self::GetCrl,
        Self::ListKeys,
        Self::GetKey,
        Self::CreateKey,
        Self::DiscardKey,
        Self::ListSigned,
        Self::ReissueDevice,
        Self::GetDocument,
        Self::ListDocumentVersions,
        Self::ProposeChange,
        Self::ApproveChange,
        Self::RejectChange,
        Self::GetChange,
        Self::ListChanges,
        Self::GetStatus,
        Self::HealthCheck,
        Self::HealthWatch,
        Self::Reflection,
    ];

    /// The path of its requests.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::EnrollDevice => "/semops.signer.v1.EnrollmentService/EnrollDevice",
            Self::AcceptDevice => "/semops.signer.v1.EnrollmentService/AcceptDevice",
            Self::ReleaseDevice => "/semops.signer.v1.EnrollmentService/ReleaseDevice",
            Self::RevokeDevice => "/semops.signer.v1.EnrollmentService/RevokeDevice",
            Self::GetDevice => "/semops.signer.v1.EnrollmentService/GetDevice",
            Self::ListDevices => "/semops.signer.v1.EnrollmentService/ListDevices",
            Self::CosignOrder => "/semops.signer.v1.CosigningService/CosignOrder",
            Self::GetAuthorization => "/semops.signer.v1.CosigningService/GetAuthorization",
            Self::VerifyAuthorization => "/semops.signer.v1.CosigningService/VerifyAuthorization",
            Self::GetTrustBundle => "/semops.signer.v1.TrustService/GetTrustBundle",
            Self::GetCrl => "/semops.signer.v1.TrustService/GetCrl",
            Self::ListKeys => "/semops.signer.v1.KeyService/ListKeys",
            Self::GetKey => "/semops.signer.v1.KeyService/GetKey",
            Self::CreateKey => "/semops.signer.v1.KeyService/CreateKey",
            Self::DiscardKey => "/semops.signer.v1.KeyService/DiscardKey",
            Self::ListSigned => "/semops.signer.v1.KeyService/ListSigned",
            Self::ReissueDevice => "/semops.signer.v1.KeyService/ReissueDevice",
            Self::GetDocument => "/semops.signer.v1.DocumentService/GetDocument",
            Self::ListDocumentVersions => "/semops.signer.v1.DocumentService/ListDocumentVersions",
            Self::ProposeChange => "/semops.signer.v1.ChangeService/ProposeChange",
            Self::ApproveChange => "/semops.signer.v1.ChangeService/ApproveChange",
            Self::RejectChange => "/semops.signer.v1.ChangeService/RejectChange",
            Self::GetChange => "/semops.signer.v1.ChangeService/GetChange",
            Self::ListChanges => "/semops.signer.v1.ChangeService/ListChanges",
            Self::GetStatus => "/semops.signer.v1.StatusService/GetStatus",
            Self::HealthCheck => "/grpc.health.v1.Health/Check",
            Self::HealthWatch => "/grpc.health.v1.Health/Watch",
            Self::Reflection => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        }
    }

    /// The method with this path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    /// Its service.
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::EnrollDevice
            | Self::AcceptDevice
            | Self::ReleaseDevice
            | Self::RevokeDevice
            | Self::GetDevice
            | Self::ListDevices => Service::Enrollment,
            Self::CosignOrder | Self::GetAuthorization | Self::VerifyAuthorization => {
                Service::Cosigning
            }
            Self::GetTrustBundle | Self::GetCrl => Service::Trust,
            Self::ListKeys
            | Self::GetKey
            | Self::CreateKey
            | Self::DiscardKey
            | Self::ListSigned
            | Self::ReissueDevice => Service::Keys,
            Self::GetDocument | Self::ListDocumentVersions => Service::Documents,
            Self::ProposeChange
            | Self::ApproveChange
            | Self::RejectChange
            | Self::GetChange
            | Self::ListChanges => Service::Changes,
            Self::GetStatus => Service::Status,
            Self::HealthCheck | Self::HealthWatch => Service::Health,
            Self::Reflection => Service::Reflection,
        }
    }

    /// Whether a caller in this role may call it.
    pub(crate) const fn allows(self, role: Role) -> bool {
        match self {
            Self::EnrollDevice | Self::AcceptDevice | Self::ReleaseDevice | Self::RevokeDevice => {
                matches!(role, Role::Enrolment)
            }
            Self::GetDevice | Self::ListDevices => matches!(role, Role::Enrolment | Role::Payments),
            Self::CosignOrder | Self::GetAuthorization | Self::VerifyAuthorization => {
                matches!(role, Role::Payments)
            }
            Self::ListKeys
            | Self::GetKey
            | Self::ListSigned
            | Self::GetDocument
            | Self::ListDocumentVersions
            | Self::GetChange
            | Self::ListChanges => matches!(role, Role::Custodian | Role::Auditor),
            Self::CreateKey
            | Self::DiscardKey
            | Self::ReissueDevice
            | Self::ProposeChange
            | Self::ApproveChange
            | Self::RejectChange => {
                matches!(role, Role::Custodian)
            }
            Self::GetTrustBundle
            | Self::GetCrl
            | Self::GetStatus
            | Self::HealthCheck
            | Self::HealthWatch
            | Self::Reflection => true,
        }
    }

    /// Whether rate limits hold for it. Health is asked by those who decide where to send requests.
    pub(crate) const fn is_limited(self) -> bool {
        !matches!(self.service(), Service::Health)
    }

    /// Whether its use case compares the documents' generation inside its own read of the store. For the others the
    /// comparison is made before they begin.
    pub(crate) const fn compares_generation(self) -> bool {
        match self {
            Self::EnrollDevice
            | Self::AcceptDevice
            | Self::ReleaseDevice
            | Self::RevokeDevice
            | Self::GetDevice
            | Self::ListDevices
            | Self::CosignOrder
            | Self::GetAuthorization
            | Self::ListKeys
            | Self::GetKey
            | Self::CreateKey
            | Self::DiscardKey
            | Self::ListSigned
            | Self::ReissueDevice
            | Self::GetDocument
            | Self::ListDocumentVersions
            | Self::ProposeChange
            | Self::ApproveChange
            | Self::RejectChange
            | Self::GetChange
            | Self::ListChanges => true,
            Self::VerifyAuthorization
            | Self::GetTrustBundle
            | Self::GetCrl
            | Self::GetStatus
            | Self::HealthCheck
            | Self::HealthWatch
            | Self::Reflection => false,
        }
    }
}

/// The contract as the compiled protos say it, for tests.
#[cfg(test)]
pub(super) mod contract {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    /// The path of every method.
    pub(crate) fn paths() -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(semops_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                let name = format!("/{}.{}", file.package(), service.name());
                let methods = service.method.iter();
                paths.extend(methods.map(|method| format!("{name}/{}", method.name())));
            }
        }
        paths
    }

    /// The full name of every service.
    pub(crate) fn services() -> BTreeSet<String> {
        let split = |path: &String| path.split('/').nth(1).unwrap().to_owned();
        paths().iter().map(split).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_names_every_method_of_the_contract_and_of_no_other() {
        let is_ours =
            |method: &Method| !matches!(method.service(), Service::Health | Service::Reflection);
        let ours = Method::ALL.into_iter().filter(is_ours);
        let ours: BTreeSet<String> = ours.map(|method| method.path().to_owned()).collect();
        assert_eq!(ours, contract::paths());
        let all: BTreeSet<&str> = Method::ALL.iter().map(|method| method.path()).collect();
        assert_eq!(all.len(), Method::ALL.len());
    }

    #[test]
    fn each_service_of_the_table_is_one_of_the_contract() {
        for one in Method::ALL {
            for other in Method::ALL {
                let prefix =
                    |method: Method| method.path().rsplit_once('/').map(|(service, _)| service);
                assert_eq!(
                    one.service() == other.service(),
                    prefix(one) == prefix(other)
                );
            }
        }
    }

    #[test]
    fn a_path_finds_its_method_and_others_none() {
        for method in Method::ALL {
            assert_eq!(Method::at(method.path()), Some(method));
        }
        for path in [
            "",
            "/",
            "/semops.signer.v1.EnrollmentService/",
            "/semops.signer.v1.EnrollmentService/DropAll",
        ] {
            assert_eq!(Method::at(path), None, "{path}");
        }
    }

    /// Public material, and what everybody sees of the service.
    fn is_everybodys(method: Method) -> bool {
        matches!(
            method.service(),
            Service::Trust | Service::Status | Service::Health | Service::Reflection
        )
    }

    /// What an auditor may not: he changes nothing.
    fn decides(method: Method) -> bool {
        use Method as M;
        matches!(
            method,
            M::CreateKey
                | M::DiscardKey
                | M::ReissueDevice
                | M::ProposeChange
                | M::ApproveChange
                | M::RejectChange
        )
    }

    #[test]
    fn custodians_and_auditors_reach_keys_documents_changes_and_what_is_everybodys_alone() {
        for method in Method::ALL {
            let theirs = matches!(
                method.service(),
                Service::Keys | Service::Documents | Service::Changes
            );
            let expected = is_everybodys(method) || theirs;
            assert_eq!(method.allows(Role::Custodian), expected, "{method:?}");
            assert_eq!(
                method.allows(Role::Auditor),
                expected && !decides(method),
                "{method:?}"
            );
            for role in [Role::Enrolment, Role::Payments] {
                assert!(!(theirs && method.allows(role)), "{method:?}");
            }
        }
    }

    #[test]
    fn enrolment_and_payments_share_what_shows_devices_alone() {
        for method in Method::ALL {
            let both = method.allows(Role::Enrolment) && method.allows(Role::Payments);
            let shows = matches!(method, Method::GetDevice | Method::ListDevices);
            assert_eq!(both, is_everybodys(method) || shows, "{method:?}");
        }
    }
}
