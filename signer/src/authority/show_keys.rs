//! Owns what an institution sees of its keys: what the record, the certificates and the token say of each.

use std::sync::Arc;

use semops_objects::change::KeyLife;
use semops_pki::certificate::Certificate;

use crate::{
    authority::{Authority, Context},
    clock::Timestamp,
    domain::{
        key::{KeyId, KeyRecord, KeyState},
        keyring::{Held, Keyring},
        new_key::NewKey,
    },
    error::{Error, Reason},
    store::{KeysView, RegisteredKey},
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
    /// How many objects it may sign in its life, if policy limits that.
    pub lifetime: Option<u64>,
    /// When it begins to sign, if a change took it up; Unix seconds.
    pub activates_at: Option<u64>,
    /// When another replaces it, if that is planned; Unix seconds.
    pub retires_at: Option<u64>,
    /// When its private half is destroyed, if that is planned; Unix seconds.
    pub destruction_at: Option<u64>,
    /// The label of the token that has it, as far as this process has taken it up.
    pub token: Option<String>,
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
        let policy = ctx.snapshot.policy(&ctx.institution);
        let show = |record: Arc<KeyRecord>, new: Option<Vec<u8>>| {
            let registered = keys.iter().find(|key| key.id == record.id);
            let registered =
                registered.ok_or_else(|| Error::internal("a key in use is not registered"))?;
            let report = found.iter().find(|(_, report)| report.id == record.id);
            let key = held.get(record.id);
            let life = key.map(Held::life);
            Ok(KeyShown {
                state: key.map_or(KeyState::PreActivation, |key| {
                    shown_state(key, registered, now)
                }),
                lifetime: policy.and_then(|policy| policy.key_lifetime(record.purpose)),
                activates_at: life.and_then(KeyLife::activates_at),
                retires_at: life.and_then(KeyLife::retires_at),
                destruction_at: life.and_then(KeyLife::destruction_at),
                record,
                certification_request: new,
                signatures: registered.signatures,
                registered_at: registered.registered_at,
                attributes: report.map_or_else(Vec::new, |(_, report)| report.attributes.clone()),
                token: report.map(|(label, _)| label.clone()),
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

/// Its state. It is said to be destroyed once that is recorded: until then its private half may be in the token.
fn shown_state(key: &Held, registered: &RegisteredKey, now: Timestamp) -> KeyState {
    let ended = registered.state == KeyState::Destroyed;
    let at = key.life().destruction_at().filter(|_| !ended);
    let at = at.and_then(|at| i64::try_from(at).ok());
    key.state(at.map_or(now, |at| {
        now.min(Timestamp::from_seconds(at.saturating_sub(1)))
    }))
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
    if made.purpose.is_ca() {
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
