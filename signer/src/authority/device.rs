//! Owns what an institution sees of a device: everything but orders as its issuer, little as its acceptor, nothing else.

use semops_pki::certificate::Certificate;

use crate::{
    authority::{Authority, Context},
    domain::device::{Acceptance, Device, DeviceId, Reference, Revocation, Status},
    error::{Error, Reason},
    store::DeviceView,
};

/// A device as one institution may see it.
#[derive(Clone, Debug)]
pub struct DeviceShown {
    /// Its id.
    pub id: DeviceId,
    /// The state of its certificate.
    pub status: Status,
    /// What its issuer alone sees.
    pub issued: Option<Issued>,
    /// The asking institution's acceptance.
    pub acceptance: Option<Acceptance>,
}

/// What the issuer of a device sees.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The issuer's pseudonym for the subscriber.
    pub subscriber: Reference,
    /// DER: the device's certificate, then its issuing CA's.
    pub chain: Vec<Vec<u8>>,
    /// The certificate's serial number.
    pub serial: Vec<u8>,
    /// The certificate's notBefore, seconds.
    pub not_before: i64,
    /// The certificate's notAfter, seconds.
    pub not_after: i64,
    /// Its revocation.
    pub revoked: Option<Revocation>,
}

impl Authority {
    /// Shows a device to its issuer or an acceptor.
    pub async fn device(&self, ctx: &Context, id: DeviceId) -> Result<DeviceShown, Error> {
        let DeviceView {
            generation,
            device,
            acceptance,
        } = self.store.device(&ctx.institution, id).await?;
        ctx.still(generation)?;
        let device = device.filter(|d| d.issuer == ctx.institution || acceptance.is_some());
        self.show(
            ctx,
            device.ok_or(Error::NotFound(Reason::DeviceNotFound))?,
            acceptance,
        )
    }

    pub(super) fn show(
        &self,
        ctx: &Context,
        device: Device,
        acceptance: Option<Acceptance>,
    ) -> Result<DeviceShown, Error> {
        let status = device.status(self.clock.now());
        let (id, own) = (device.id, device.issuer == ctx.institution);
        let issued = if own {
            Some(issued(ctx, device)?)
        } else {
            None
        };
        Ok(DeviceShown {
            id,
            status,
            issued,
            acceptance,
        })
    }
}

fn issued(ctx: &Context, device: Device) -> Result<Issued, Error> {
    let certificate = Certificate::from_der(&device.certificate).map_err(Error::internal)?;
    Ok(Issued {
        serial: certificate.serial().to_vec(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        chain: device_chain(ctx, &device)?,
        subscriber: device.subscriber,
        revoked: device.revoked,
    })
}

/// The device's certificate, then its issuing CA's.
pub(super) fn device_chain(ctx: &Context, device: &Device) -> Result<Vec<Vec<u8>>, Error> {
    let keyring = ctx.snapshot.keyring(&device.issuer)?;
    let ca = keyring
        .get(device.issuer_key)
        .and_then(|ca| ca.record().chain.first());
    let ca = ca.ok_or_else(|| Error::internal("the CA that issued a device is not here"))?;
    Ok(vec![device.certificate.clone(), ca.der().to_vec()])
}
