//! Owns the contract of what a certificate is replaced by: what stands about the device, and the event of what was replaced.

use async_trait::async_trait;
use semops_objects::institution::InstitutionId;
use semops_pki::crl::Reason;

use crate::{
    domain::{
        actor::Origin,
        audit::Event,
        device::{Device, DeviceId},
        key::KeyId,
    },
    store::{StoreError, decision::done},
};

/// The certificates that replace others.
#[async_trait]
pub trait Reissues: Send + Sync + 'static {
    /// What stands about a device that `institution` issued, in one read.
    async fn recall_reissue(
        &self,
        institution: &InstitutionId,
        device: DeviceId,
    ) -> Result<ReissueRecall, StoreError>;
}

/// What stands about a device whose certificate may be replaced.
#[derive(Clone, Debug)]
pub struct ReissueRecall {
    /// The documents' generation at this read.
    pub generation: u64,
    /// The device, and the digest of what was asked for when it was enrolled.
    pub device: Option<(Device, [u8; 32])>,
}

/// A certificate that was replaced.
pub(super) struct Replaced {
    pub(super) issuer: InstitutionId,
    pub(super) device: DeviceId,
    pub(super) key: KeyId,
    pub(super) object: String,
}

/// Why it is on the list of the CA that issued it: the key in it is the device's as before, another certificate has its place
/// (RFC 5280 s5.3.1; cACompromise is for the certificate of the CA).
pub(super) const SUPERSEDED: Reason = Reason::Superseded;

impl Replaced {
    /// The event of it. Its object is the serial number.
    pub(super) fn told(self, origin: &Origin) -> Event {
        Event {
            object: Some(self.object),
            key: Some(self.key),
            reason: Some(SUPERSEDED.name().to_owned()),
            ..done(&self.issuer, "supersede", self.device, origin.clone())
        }
    }
}
