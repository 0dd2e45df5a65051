//! Owns what a scene does to the objects of a token behind the service's back, in a life of the module of its own.

use std::collections::BTreeSet;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use secrecy::SecretString;
use signer::hsm::Key;
use uuid::Uuid;

use crate::stage::{PIN, Stage};

/// Whether it is a private half, and its CKA_ID.
pub(crate) type Object = (bool, Vec<u8>);

impl Stage {
    /// The objects of the token with this label.
    pub(crate) fn objects(&self, token: &str, label: &str) -> BTreeSet<Object> {
        self.with(token, |pkcs11, slot| {
            let session = session(pkcs11, slot);
            let mut found = BTreeSet::new();
            for (class, private) in [
                (ObjectClass::PRIVATE_KEY, true),
                (ObjectClass::PUBLIC_KEY, false),
            ] {
                for handle in labelled(&session, class, label) {
                    assert!(found.insert((private, id(&session, handle))), "twice");
                }
            }
            found
        })
    }

    /// The objects of these pairs.
    pub(crate) fn pairs_of(&self, keys: &[&Key]) -> BTreeSet<Object> {
        let ids = keys.iter().map(|key| key.id.as_bytes().to_vec());
        ids.flat_map(|id| [(true, id.clone()), (false, id)])
            .collect()
    }

    /// Makes a pair for a request, as another process does.
    pub(crate) fn make_unnamed(&self, token: &str, label: &str, request: Uuid, end: &[u8]) {
        self.make(token, label, unnamed(request, end), false);
    }

    /// Makes a pair for a request that does not yet say all that a key must be.
    pub(crate) fn make_unfinished(&self, token: &str, label: &str, request: Uuid) {
        self.make(token, label, unnamed(request, b"\0"), true);
    }

    fn make(&self, token: &str, label: &str, id: Vec<u8>, extractable: bool) {
        self.with(token, |pkcs11, slot| {
            let session = session(pkcs11, slot);
            let curve = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
            let both = [
                Attribute::Token(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(id),
            ];
            let mut public = vec![Attribute::EcParams(curve), Attribute::Private(false)];
            let mut private = vec![
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(extractable),
                Attribute::Sign(true),
            ];
            public.extend(both.clone());
            private.extend(both);
            let pair = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
            pair.unwrap();
        });
    }

    /// Destroys the private half of such a pair.
    pub(crate) fn lose_private(&self, token: &str, label: &str, request: Uuid, end: &[u8]) {
        self.with(token, |pkcs11, slot| {
            let session = session(pkcs11, slot);
            let privates = labelled(&session, ObjectClass::PRIVATE_KEY, label);
            let is = |handle: &&ObjectHandle| id(&session, **handle) == unnamed(request, end);
            let [handle] = privates.iter().filter(is).collect::<Vec<_>>()[..] else {
                panic!("one such private key")
            };
            session.destroy_object(*handle).unwrap();
        });
    }

    /// Gives the token's one private key with this label the CKA_ID of `key`.
    pub(crate) fn name_private(&self, token: &str, label: &str, key: &Key) {
        self.name(token, ObjectClass::PRIVATE_KEY, label, key);
    }

    /// The same of its public half.
    pub(crate) fn name_public(&self, token: &str, label: &str, key: &Key) {
        self.name(token, ObjectClass::PUBLIC_KEY, label, key);
    }

    fn name(&self, token: &str, class: ObjectClass, label: &str, key: &Key) {
        self.with(token, |pkcs11, slot| {
            let session = session(pkcs11, slot);
            let [half] = labelled(&session, class, label)[..] else {
                panic!("one half")
            };
            let id = [Attribute::Id(key.id.as_bytes().to_vec())];
            session.update_attributes(half, &id).unwrap();
        });
    }
}

fn unnamed(request: Uuid, end: &[u8]) -> Vec<u8> {
    [b"made-for", request.as_bytes().as_slice(), end].concat()
}

fn session(pkcs11: &Pkcs11, slot: Slot) -> Session {
    let session = pkcs11.open_rw_session(slot).unwrap();
    let pin = SecretString::from(PIN);
    session.login(UserType::User, Some(&pin)).unwrap();
    session
}

fn labelled(session: &Session, class: ObjectClass, label: &str) -> Vec<ObjectHandle> {
    let label = Attribute::Label(label.as_bytes().to_vec());
    let template = [Attribute::Class(class), Attribute::Token(true), label];
    session.find_objects(&template).unwrap()
}

fn id(session: &Session, handle: ObjectHandle) -> Vec<u8> {
    let found = session.get_attributes(handle, &[AttributeType::Id]);
    let [Attribute::Id(id)] = &found.unwrap()[..] else {
        unreachable!("asked for one attribute")
    };
    id.clone()
}
