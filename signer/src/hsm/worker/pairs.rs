//! Owns key pairs from their making to their end, each step in a read-write session: made for a request, named once they
//! are recorded, destroyed.
//!
//! Until it is named, a pair's CKA_ID says for which request it was made: wherever a process ended, the next one that is
//! asked for the same request finds what there is. Nothing else looks for such a CKA_ID, for a key is used by its
//! thumbprint.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

use super::module::Session;
use super::probe::key::{SECP256R1, check, point};
use crate::domain::key::KeyId;
use crate::hsm::Key;
use crate::hsm::failure::{Class, Failure};

/// What the CKA_ID of a pair without a name begins with; the request and a few random octets follow, for two processes may
/// make a pair for one request at once.
const UNNAMED: &[u8] = b"made-for";
const APART: usize = 8;

/// One half of a pair that has no name yet.
struct Half {
    handle: ObjectHandle,
    id: Vec<u8>,
}

/// The public half of the pair made for `request`, or of the one that is made now.
pub(super) fn generate(
    session: &Session,
    request: Uuid,
    label: &str,
) -> Result<PublicKey, Failure> {
    if let Some(made) = made(session, request, label)? {
        return Ok(made);
    }
    let mut id = prefix(request);
    id.extend(session.random(APART)?);
    let (public, private) = session.raw().generate_key_pair(
        &Mechanism::EccKeyPairGen,
        &public_half(label, &id),
        &private_half(label, &id),
    )?;
    let defect = match checked(session, [private, public], label)? {
        Ok(made) => return Ok(made),
        Err(defect) => defect,
    };
    for half in [private, public] {
        session.raw().destroy_object(half)?;
    }
    let code = format!("the token made another key than was asked for: {defect}");
    Err(Failure::new(Class::Reject, "C_GenerateKeyPair", code))
}

/// The public half of the pair that was made for `request`, if one is whole. One that is not may be in the making by another
/// process: it is left to whoever names.
fn made(session: &Session, request: Uuid, label: &str) -> Result<Option<PublicKey>, Failure> {
    let privates = unnamed(session, ObjectClass::PRIVATE_KEY, request, label)?;
    let mut publics = unnamed(session, ObjectClass::PUBLIC_KEY, request, label)?;
    // Whoever looks takes the same one.
    publics.sort_by(|one, other| one.id.cmp(&other.id));
    for public in &publics {
        let private = privates.iter().find(|private| private.id == public.id);
        let Some(private) = private else { continue };
        if let Ok(made) = checked(session, [private.handle, public.handle], label)? {
            return Ok(Some(made));
        }
    }
    Ok(None)
}

/// Gives the pair that was made for `request` its CKA_ID, and destroys what else was made for it. A pair that has its name,
/// or was never made here, is left as it is.
///
/// Other processes may do the same, and a module may still show one of them as it was before. So nothing is destroyed until
/// both halves of the recorded pair have been seen under their name: then no half without a name is one of them.
pub(super) fn name(session: &Session, request: Uuid, key: &Key) -> Result<(), Failure> {
    rename(session, request, key)?;
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        if session.find(class, key.id)?.is_empty() {
            return Ok(());
        }
    }
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for half in unnamed(session, class, request, &key.label)? {
            unless_gone(session.raw().destroy_object(half.handle))?;
        }
    }
    Ok(())
}

/// Names the halves of the recorded pair that have no name yet.
fn rename(session: &Session, request: Uuid, key: &Key) -> Result<(), Failure> {
    for public in unnamed(session, ObjectClass::PUBLIC_KEY, request, &key.label)? {
        if read_point(session, public.handle)?.as_ref() != Some(&key.public) {
            continue;
        }
        // The private half first: as long as the public one has no name, it leads to the private one.
        let privates = unnamed(session, ObjectClass::PRIVATE_KEY, request, &key.label)?;
        match privates.iter().find(|half| half.id == public.id) {
            Some(private) => set_id(session, private.handle, key.id)?,
            None if session.find(ObjectClass::PRIVATE_KEY, key.id)?.is_empty() => {
                let code = "the private half of a pair is not to be seen";
                return Err(Failure::new(Class::Retry, "C_FindObjects", code));
            }
            None => {}
        }
        set_id(session, public.handle, key.id)?;
    }
    Ok(())
}

/// Destroys both halves of `key`, those that are there.
pub(super) fn destroy(session: &Session, key: KeyId) -> Result<(), Failure> {
    session.must_be_user()?;
    // The private half first: what is left of it, if the other stays, says that the key was here.
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for handle in session.find(class, key)? {
            session.raw().destroy_object(handle)?;
        }
    }
    Ok(())
}

/// The public half of a pair whose private half is as it must be, or what is wrong with it.
fn checked(
    session: &Session,
    [private, public]: [ObjectHandle; 2],
    label: &str,
) -> Result<Result<PublicKey, String>, Failure> {
    if let Err(defect) = check(session, private, label)? {
        return Ok(Err(defect.to_string()));
    }
    let point = read_point(session, public)?;
    Ok(point.ok_or_else(|| "CKA_EC_POINT is none of P-256".to_owned()))
}

/// The halves of `class` that were made for `request` and have no name.
fn unnamed(
    session: &Session,
    class: ObjectClass,
    request: Uuid,
    label: &str,
) -> Result<Vec<Half>, Failure> {
    // Private objects are invisible, without an error, to whoever is not logged in.
    session.must_be_user()?;
    let label = Attribute::Label(label.as_bytes().to_vec());
    let template = [Attribute::Class(class), Attribute::Token(true), label];
    let (mut halves, prefix) = (Vec::new(), prefix(request));
    for handle in session.raw().find_objects(&template)? {
        let found = session.raw().get_attributes(handle, &[AttributeType::Id]);
        for attribute in unless_gone(found)?.unwrap_or_default() {
            if let Attribute::Id(id) = attribute
                && id.starts_with(&prefix)
            {
                halves.push(Half { handle, id });
            }
        }
    }
    Ok(halves)
}

fn prefix(request: Uuid) -> Vec<u8> {
    [UNNAMED, request.as_bytes()].concat()
}

fn read_point(session: &Session, public: ObjectHandle) -> Result<Option<PublicKey>, Failure> {
    let found = session
        .raw()
        .get_attributes(public, &[AttributeType::EcPoint]);
    Ok(unless_gone(found)?.and_then(|found| point(&found)))
}

/// What came of a call, unless another process has destroyed the object meanwhile.
fn unless_gone<T>(called: Result<T, Error>) -> Result<Option<T>, Error> {
    match called {
        Err(Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => Ok(None),
        called => called.map(Some),
    }
}

fn set_id(session: &Session, half: ObjectHandle, key: KeyId) -> Result<(), Failure> {
    let id = [Attribute::Id(key.as_bytes().to_vec())];
    Ok(session.raw().update_attributes(half, &id)?)
}

fn public_half(label: &str, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(SECP256R1.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ]
}

fn private_half(label: &str, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        // Some modules set these unless they are told otherwise.
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ]
}
