//! Owns the keys of one institution at one time: which there are, and which of them signs.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    domain::key::{KeyId, KeyRecord, Purpose, SigningKey},
};

/// No key of the purpose may sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {} key may sign now", .0.name())]
pub struct NoActiveKey(pub Purpose);

/// The keys of one institution. It never changes: who holds it sees the same keys throughout.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Arc<KeyRecord>>,
}

impl Keyring {
    /// A ring of these keys.
    pub fn new(keys: impl IntoIterator<Item = Arc<KeyRecord>>) -> Self {
        let place = |key: &Arc<KeyRecord>| Purpose::ALL.iter().position(|one| *one == key.purpose);
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_by_key(place);
        Self { keys }
    }

    /// Every key, in the order of their purposes.
    pub fn keys(&self) -> &[Arc<KeyRecord>] {
        &self.keys
    }

    /// The key with this id.
    pub fn get(&self, id: KeyId) -> Option<&Arc<KeyRecord>> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The keys with this purpose.
    pub fn of(&self, purpose: Purpose) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.keys.iter().filter(move |key| key.purpose == purpose)
    }

    /// The keys of CAs: each has certificates to answer for, and a CRL.
    pub fn cas(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.keys.iter().filter(|key| is_ca(key.purpose))
    }

    /// The CA that publishes under this name, without a file's extension.
    pub fn publisher(&self, name: &str) -> Option<&Arc<KeyRecord>> {
        self.cas().find(|ca| ca.published_as() == name)
    }

    /// The CA of this purpose that issues now; the first one of those that do no more, if none does.
    pub fn issuing(&self, purpose: Purpose, now: Timestamp) -> Option<&Arc<KeyRecord>> {
        let mut cas = self.cas().filter(|ca| ca.purpose == purpose);
        let signing = self.signing(purpose, now).ok();
        match signing {
            Some(key) => cas.find(|ca| ca.id == key.record().id),
            None => cas.next(),
        }
    }

    /// The key that signs what a key of this purpose signs, now.
    pub fn signing(&self, purpose: Purpose, now: Timestamp) -> Result<SigningKey, NoActiveKey> {
        self.of(purpose)
            .find_map(|key| key.for_signing(now).ok())
            .ok_or(NoActiveKey(purpose))
    }
}

const fn is_ca(purpose: Purpose) -> bool {
    match purpose {
        Purpose::DeviceCa | Purpose::SigningCa => true,
        Purpose::Authorization => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::specimen::{Certified, NOW};

    fn ring() -> (Keyring, Vec<Arc<KeyRecord>>) {
        let institution = "alfa".parse().unwrap();
        let keys: Vec<_> = [
            Purpose::Authorization,
            Purpose::SigningCa,
            Purpose::DeviceCa,
            Purpose::DeviceCa,
        ]
        .map(|purpose| Certified::root().record(&institution, purpose))
        .into();
        (Keyring::new(keys.clone()), keys)
    }

    #[test]
    fn keys_stand_by_purpose_and_are_found_by_id() {
        let (ring, keys) = ring();
        let purposes: Vec<_> = ring.keys().iter().map(|key| key.purpose).collect();
        let [device, signing, authorization] = Purpose::ALL;
        assert_eq!(purposes, [device, device, signing, authorization]);
        for key in &keys {
            assert!(Arc::ptr_eq(ring.get(key.id).unwrap(), key));
        }
        assert!(ring.get(KeyId::new([0; 32])).is_none());
        assert_eq!(ring.cas().count(), 3);
    }

    #[test]
    fn each_purpose_signs_with_its_own_inside_the_cryptoperiod() {
        let (ring, keys) = ring();
        for purpose in Purpose::ALL {
            let key = ring.signing(purpose, NOW).unwrap();
            assert_eq!(key.record().purpose, purpose);
        }
        let ends = keys.iter().map(|key| key.not_after).max().unwrap();
        for purpose in Purpose::ALL {
            assert_eq!(
                ring.signing(purpose, ends).err(),
                Some(NoActiveKey(purpose))
            );
        }
    }

    #[test]
    fn every_ca_publishes_under_a_name_of_its_own() {
        let (ring, keys) = ring();
        let [_, signing, first, second] = keys.as_slice() else {
            unreachable!("four were made")
        };
        assert_eq!(
            signing.published_as(),
            format!("alfa-signing-ca.{}", signing.id)
        );
        let name = first.published_as();
        assert!(Arc::ptr_eq(ring.publisher(&name).unwrap(), first));
        assert!(!Arc::ptr_eq(
            ring.publisher(&second.published_as()).unwrap(),
            first
        ));
        assert!(ring.publisher("alfa-device-ca").is_none());
        let mut founded = KeyRecord::clone(second);
        founded.first_crl = Some(Vec::new());
        let ring = Keyring::new([Arc::clone(first), Arc::new(founded)]);
        assert_eq!(ring.publisher("alfa-device-ca").unwrap().id, second.id);
    }
}
