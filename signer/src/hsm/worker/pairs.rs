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

/// How often what was made for a request is looked for when it is named, while other processes do the same.
const LOOKS: usize = 3;

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
    let privates = unnamed(session, ObjectClass::PRIVATE_KEY, request, label)?;
    let mut publics = unnamed(session, ObjectClass::PUBLIC_KEY, request, label)?;
    // Whoever looks takes the same one. A half alone is left to whoever names: another process may be making the other.
    publics.sort_by(|one, other| one.id.cmp(&other.id));
    for public in &publics {
        if let Some(private) = privates.iter().find(|private| private.id == public.id) {
            return checked(session, [private.handle, public.handle], label);
        }
    }
    let mut id = prefix(request);
    id.extend(session.random(APART)?);
    let (public, private) = session.raw().generate_key_pair(
        &Mechanism::EccKeyPairGen,
        &public_half(label, &id),
        &private_half(label, &id),
    )?;
    checked(session, [private, public], label)
}

/// Gives the pair that was made for `request` its CKA_ID, and destroys what else was made for it. A pair that has its name,
/// or was never made here, is left as it is.
pub(super) fn name(session: &Session, request: Uuid, key: &Key) -> Result<(), Failure> {
    for _ in 0..LOOKS {
        if named(session, request, key)? {
            break;
        }
    }
    Ok(())
}

/// Answers whether each half that was found was there until its turn came. One that was not, another process has destroyed,
/// or is still making.
fn named(session: &Session, request: Uuid, key: &Key) -> Result<bool, Failure> {
    // The public halves first: another process that names the pair at the same time names the private half before, so that
    // the recorded one is never among the private halves here without the public half that leads to it.
    let mut publics = unnamed(session, ObjectClass::PUBLIC_KEY, request, &key.label)?;
    let mut privates = unnamed(session, ObjectClass::PRIVATE_KEY, request, &key.label)?;
    let mut recorded = None;
    for (at, public) in publics.iter().enumerate() {
        if read_point(session, public.handle)?.as_ref() == Some(&key.public) {
            recorded = Some(at);
        }
    }
    if let Some(at) = recorded {
        let public = publics.swap_remove(at);
        // The private half first: as long as the public one has no name, it leads to the private one.
        if let Some(at) = privates.iter().position(|half| half.id == public.id) {
            set_id(session, privates.swap_remove(at).handle, key.id)?;
        }
        set_id(session, public.handle, key.id)?;
    }
    let mut all = true;
    for half in privates.into_iter().chain(publics) {
        match session.raw().destroy_object(half.handle) {
            Err(Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => all = false,
            destroyed => destroyed?,
        }
    }
    Ok(all)
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

/// The public half of a pair whose private half is as it must be; one that is not is destroyed.
fn checked(
    session: &Session,
    [private, public]: [ObjectHandle; 2],
    label: &str,
) -> Result<PublicKey, Failure> {
    let defect = match check(session, private, label)? {
        Ok(_) => match read_point(session, public)? {
            Some(key) => return Ok(key),
            None => "CKA_EC_POINT is none of P-256".to_owned(),
        },
        Err(defect) => defect.to_string(),
    };
    for half in [private, public] {
        session.raw().destroy_object(half)?;
    }
    let code = format!("the token made another key than was asked for: {defect}");
    Err(Failure::new(Class::Reject, "C_GenerateKeyPair", code))
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
        let found = session.raw().get_attributes(handle, &[AttributeType::Id])?;
        for attribute in found {
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
        .get_attributes(public, &[AttributeType::EcPoint])?;
    Ok(point(&found))
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
