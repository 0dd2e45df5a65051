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
    CosignOrder,
    GetAuthorization,
    VerifyAuthorization,
    GetTrustBundle,
    GetCrl,
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
    Health,
    Reflection,
}

impl Method {
    /// Every method.
    pub(crate) const ALL: [Self; 13] = [
        Self::EnrollDevice,
        Self::AcceptDevice,
        Self::ReleaseDevice,
        Self::RevokeDevice,
        Self::GetDevice,
        Self::CosignOrder,
        Self::GetAuthorization,
        Self::VerifyAuthorization,
        Self::GetTrustBundle,
        Self::GetCrl,
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
            Self::CosignOrder => "/semops.signer.v1.CosigningService/CosignOrder",
            Self::GetAuthorization => "/semops.signer.v1.CosigningService/GetAuthorization",
            Self::VerifyAuthorization => "/semops.signer.v1.CosigningService/VerifyAuthorization",
            Self::GetTrustBundle => "/semops.signer.v1.TrustService/GetTrustBundle",
            Self::GetCrl => "/semops.signer.v1.TrustService/GetCrl",
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
            | Self::GetDevice => Service::Enrollment,
            Self::CosignOrder | Self::GetAuthorization | Self::VerifyAuthorization => {
                Service::Cosigning
            }
            Self::GetTrustBundle | Self::GetCrl => Service::Trust,
            Self::HealthCheck | Self::HealthWatch => Service::Health,
            Self::Reflection => Service::Reflection,
        }
    }

    /// Whether a caller in this role may call it.
    pub(crate) const fn allows(self, role: Role) -> bool {
        match (self, role) {
            (
                Self::EnrollDevice | Self::AcceptDevice | Self::ReleaseDevice | Self::RevokeDevice,
                Role::Enrolment,
            )
            | (Self::GetDevice, Role::Enrolment | Role::Payments)
            | (
                Self::CosignOrder | Self::GetAuthorization | Self::VerifyAuthorization,
                Role::Payments,
            )
            | (
                Self::GetTrustBundle
                | Self::GetCrl
                | Self::HealthCheck
                | Self::HealthWatch
                | Self::Reflection,
                Role::Enrolment | Role::Payments | Role::Custodian | Role::Auditor,
            ) => true,
            (
                Self::EnrollDevice | Self::AcceptDevice | Self::ReleaseDevice | Self::RevokeDevice,
                Role::Payments | Role::Custodian | Role::Auditor,
            )
            | (Self::GetDevice, Role::Custodian | Role::Auditor)
            | (
                Self::CosignOrder | Self::GetAuthorization | Self::VerifyAuthorization,
                Role::Enrolment | Role::Custodian | Role::Auditor,
            ) => false,
        }
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
            | Self::CosignOrder
            | Self::GetAuthorization => true,
            Self::VerifyAuthorization
            | Self::GetTrustBundle
            | Self::GetCrl
            | Self::HealthCheck
            | Self::HealthWatch
            | Self::Reflection => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every method of the contract is in the table, by the very path that the generated servers answer.
    #[test]
    fn the_table_names_every_method_of_the_contract() {
        let services = [
            "semops.signer.v1.EnrollmentService",
            "semops.signer.v1.CosigningService",
            "semops.signer.v1.TrustService",
        ];
        let ours: HashSet<_> = Method::ALL
            .iter()
            .map(|m| m.path())
            .filter(|p| p.contains("semops"))
            .collect();
        assert_eq!(ours.len(), 10);
        let served = |path: &&&str| services.iter().any(|s| path.starts_with(&format!("/{s}/")));
        assert_eq!(ours.iter().filter(served).count(), 10);
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

    #[test]
    fn custodians_and_auditors_reach_public_material_alone() {
        for method in Method::ALL {
            let public = matches!(
                method.service(),
                Service::Trust | Service::Health | Service::Reflection
            );
            assert_eq!(method.allows(Role::Custodian), public, "{method:?}");
            assert_eq!(method.allows(Role::Auditor), public, "{method:?}");
        }
    }

    #[test]
    fn enrolment_and_payments_are_apart() {
        for method in Method::ALL {
            let both = method.allows(Role::Enrolment) && method.allows(Role::Payments);
            let shared = matches!(
                method.service(),
                Service::Trust | Service::Health | Service::Reflection
            );
            assert_eq!(both, shared || method == Method::GetDevice, "{method:?}");
        }
    }
}
