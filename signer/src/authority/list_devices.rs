//! Owns the list of the devices that an institution issued or accepted: each as it would be shown alone.

use crate::{
    authority::{Authority, Context, DeviceShown},
    domain::device::{DeviceFilter, DeviceId},
    error::Error,
    store::DeviceQuery,
};

/// The most rows that are looked at for one page, so that a filter that lets little through ends in time.
const ROWS: usize = 1_000;

/// One page of a list of devices.
#[derive(Clone, Debug)]
pub struct DevicesShown {
    /// The devices, in the order of their ids.
    pub devices: Vec<DeviceShown>,
    /// Behind which id the list goes on; nothing at its end.
    pub next: Option<DeviceId>,
}

impl Authority {
    /// Shows the devices behind `after` that `filter` lets through, at most `at_most` of them.
    pub async fn devices(
        &self,
        ctx: &Context,
        filter: DeviceFilter,
        after: Option<DeviceId>,
        at_most: usize,
    ) -> Result<DevicesShown, Error> {
        let query = DeviceQuery {
            filter,
            now: self.clock.now(),
            after,
            at_most,
            rows: ROWS,
        };
        let page = self.store.devices(&ctx.institution, query).await?;
        ctx.still(page.generation)?;
        let devices = page
            .devices
            .into_iter()
            .map(|(device, acceptance)| self.show(ctx, device, acceptance))
            .collect::<Result<_, _>>()?;
        Ok(DevicesShown {
            devices,
            next: page.next,
        })
    }
}
