//! Owns what an institution sees of its keys: what the record, the certificates and the token say of each.

use std::sync::Arc;

use semops_pki::certificate::Certificate;

use crate::{
    authority::{Authority, Context},
    clock::Timestamp,
    domain::{
        key::{KeyId, KeyRecord, KeyState, Purpose},
        keyring::Keyring,
        new_key::NewKey,
    },
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
    /// The request of a CA's key that has no certificate yet, DER.
    pub certification_request: Option<Vec<u8>>,
    /// Attributes of the private key as found when this process took it up, at start or later: name and value, or nothing where the token does not tell.
    pub attributes: Vec<(String, Option<bool>)>,
}

impl Authority {
    /// Shows every key of the caller's institution, by purpose: those on its ring, then those that no change has taken up.
    pub async fn list_keys(&self, ctx: &Context) -> Result<Vec<KeyShown>, Error> {
        let held = ctx.snapshot.keyring(&ctx.institution)?;
        let new = self.store.new_keys(&ctx.institution).await?;
        let KeysView { generation, keys } = self.store.keys(&ctx.institution).await?;
        ctx.still(generation)?;
        let now = self.clock.now();
        let found = self.tokens.keys.list(&ctx.institution);
        let show = |record: Arc<KeyRecord>, new: Option<Vec<u8>>| {
            let registered = keys.iter().find(|key| key.id == record.id);
            let registered =
                registered.ok_or_else(|| Error::internal("a key in use is not registered"))?;
            let report = found.iter().find(|report| report.id == record.id);
            Ok(KeyShown {
                state: held
                    .get(record.id)
                    .map_or(KeyState::PreActivation, |key| key.state(now)),
                record,
                certification_request: new,
                signatures: registered.signatures,
                registered_at: registered.registered_at,
                attributes: report.map_or_else(Vec::new, |report| report.attributes.clone()),
            })
        };
        let on_the_ring = held
            .keys()
            .iter()
            .map(|key| show(Arc::clone(key.record()), None));
        let mut shown: Vec<KeyShown> = on_the_ring.collect::<Result<_, Error>>()?;
        for new in new {
            if let Some((record, request)) = waiting(held, new)? {
                shown.push(show(record, request)?);
            }
        }
        shown.sort_by_key(|key| key.record.purpose);
        Ok(shown)
    }

    /// Shows one key of the caller's institution.
    pub async fn key(&self, ctx: &Context, id: KeyId) -> Result<KeyShown, Error> {
        let keys = self.list_keys(ctx).await?;
        keys.into_iter()
            .find(|key| key.record.id == id)
            .ok_or(Error::NotFound(Reason::KeyNotFound))
    }
}

/// A key that is not on the ring, with its request if it has no certificate.
type Waiting = (Arc<KeyRecord>, Option<Vec<u8>>);

/// A key as it waits for a change; nothing if one has taken it up, or as long as nothing is signed of it.
fn waiting(held: &Keyring, new: NewKey) -> Result<Option<Waiting>, Error> {
    let Some((made, signed)) = new.made.zip(new.signed) else {
        return Ok(None);
    };
    if held.get(made.id()).is_some() {
        return Ok(None);
    }
    if made.purpose != Purpose::Authorization {
        return Ok(Some((Arc::new(made.record()), Some(signed))));
    }
    let certificate = Certificate::from_der(&signed).map_err(Error::internal)?;
    let mut cas = held.cas().filter_map(|ca| ca.chain.first());
    let is_issuer =
        |ca: &&Certificate| ca.subject_key_identifier() == certificate.authority_key_identifier();
    let issuer = cas.find(is_issuer).cloned();
    let record = KeyRecord::new(&made.institution, made.purpose, certificate, issuer);
    Ok(Some((Arc::new(record), None)))
}
