//! Owns what an institution sees of its keys: what the record, the certificates and the token say of each.

use std::sync::Arc;

use crate::{
    authority::{Authority, Context},
    clock::Timestamp,
    domain::key::{KeyId, KeyRecord, KeyState},
    error::{Error, Reason},
    store::KeysView,
};

/// A key as its institution may see it.
#[derive(Clone, Debug)]
pub struct KeyShown {
    /// Its id, purpose, public half, certificates and cryptoperiod.
    pub record: Arc<KeyRecord>,
    /// Whether it may sign.
    pub state: KeyState,
    /// How many of its signatures are stored.
    pub signatures: u64,
    /// When it was registered; nothing if that was before it was recorded.
    pub registered_at: Option<Timestamp>,
    /// Attributes of the private key as found at start: name and value, or nothing where the token does not tell.
    pub attributes: Vec<(String, Option<bool>)>,
}

impl Authority {
    /// Shows every key of the caller's institution, by purpose.
    pub async fn list_keys(&self, ctx: &Context) -> Result<Vec<KeyShown>, Error> {
        let held = ctx.snapshot.keyring(&ctx.institution)?;
        let KeysView { generation, keys } = self.store.keys(&ctx.institution).await?;
        ctx.still(generation)?;
        let now = self.clock.now();
        let found = self.tokens.keys.list(&ctx.institution);
        let show = |record: &Arc<KeyRecord>| {
            let record = Arc::clone(record);
            let registered = keys.iter().find(|key| key.id == record.id);
            let registered =
                registered.ok_or_else(|| Error::internal("a key in use is not registered"))?;
            let report = found.iter().find(|report| report.id == record.id);
            Ok(KeyShown {
                state: record.state(registered.state == KeyState::Suspended, now),
                record,
                signatures: registered.signatures,
                registered_at: registered.registered_at,
                attributes: report.map_or_else(Vec::new, |report| report.attributes.clone()),
            })
        };
        held.keys().iter().map(show).collect()
    }

    /// Shows one key of the caller's institution.
    pub async fn key(&self, ctx: &Context, id: KeyId) -> Result<KeyShown, Error> {
        let keys = self.list_keys(ctx).await?;
        keys.into_iter()
            .find(|key| key.record.id == id)
            .ok_or(Error::NotFound(Reason::KeyNotFound))
    }
}
