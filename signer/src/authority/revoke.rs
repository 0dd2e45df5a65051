//! Owns the revocation of a device by its issuer. It is one row; the CRL follows by the schedule.

use semops_pki::crl;

use crate::{
    authority::{Authority, Context, DeviceShown},
    domain::device::DeviceId,
    error::{Error, Reason},
    fault::{self, Point},
    store::Revoked,
};

impl Authority {
    /// Revokes a device that the caller's institution issued. The first time and reason stay.
    pub async fn revoke(
        &self,
        ctx: &Context,
        id: DeviceId,
        reason: crl::Reason,
    ) -> Result<DeviceShown, Error> {
        let view = self.store.device(&ctx.institution, id).await?;
        ctx.still(view.generation)?;
        fault::point(Point::RevokeFound);
        let now = self.clock.now();
        let revoked = self
            .store
            .revoke(&ctx.institution, id, reason, ctx.origin.clone(), now)
            .await?;
        let (Revoked::Revoked(revocation), Some(mut device)) = (revoked, view.device) else {
            return Err(Error::NotFound(Reason::DeviceNotFound));
        };
        fault::point(Point::RevokeCommitted);
        // Whoever is at work now does not hear it; the next tick finds the CRL due all the same.
        self.crl_due.notify_waiters();
        device.revoked = Some(revocation);
        self.show(ctx, device, view.acceptance)
    }
}
