//! Signatures, and how they come out wrong.
#![allow(non_snake_case, reason = "the standard's names")]

use std::{ptr, slice};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_ULONG, CKA_CLASS, CKO_PRIVATE_KEY, CKR_FUNCTION_FAILED,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};

use crate::{
    drill::{Drill, On, through},
    rule::Wrong,
};

/// More private keys of one token are not looked at.
const KEYS: usize = 16;

pub(crate) unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    through("C_SignInit", On::Session(session), |drill| {
        let Some(function) = drill.below.C_SignInit else {
            return CKR_FUNCTION_NOT_SUPPORTED;
        };
        // SAFETY: the caller's own arguments, to the function of the same name and signature.
        let code = unsafe { function(session, mechanism, key) };
        // SAFETY: null, or the mechanism that the module below has just been given.
        let mechanism = unsafe { mechanism.as_ref() };
        if let Some(mechanism) = mechanism.filter(|_| code == CKR_OK) {
            drill.sessions.signs(session, key, mechanism.mechanism);
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> CK_RV {
    // A question for the length alone is no call that a rule could name.
    let call = if signature.is_null() { "" } else { "C_Sign" };
    through(call, On::Session(session), |drill| {
        let wrong = drill.wrong(call, session);
        let Some(function) = drill.below.C_Sign else {
            return CKR_FUNCTION_NOT_SUPPORTED;
        };
        // SAFETY: the caller's own arguments, to the function of the same name and signature.
        let code = unsafe { function(session, data, data_length, signature, length) };
        let Some(wrong) = wrong.filter(|_| code == CKR_OK) else {
            return code;
        };
        if wrong == Wrong::Other {
            // SAFETY: the arguments with which the module below has just signed.
            return unsafe { sign_otherwise(drill, session, data, data_length, signature, length) };
        }
        // SAFETY: the module below has just written so many octets there, and nobody else has them before the return.
        let octets = unsafe { octets(signature, *length) };
        match (wrong, octets.last_mut()) {
            (Wrong::Zero, _) => octets.fill(0),
            (_, Some(last)) => *last ^= 1,
            (_, None) => {}
        }
        CKR_OK
    })
}

/// # Safety
/// `length` octets at `first` may be written.
unsafe fn octets<'a>(first: *mut CK_BYTE, length: CK_ULONG) -> &'a mut [u8] {
    let length = usize::try_from(length).unwrap_or_default();
    // SAFETY: the caller says so.
    unsafe { slice::from_raw_parts_mut(first, length) }
}

/// Signs the same data again in the same session, with another private key of the token.
///
/// # Safety
/// The arguments are those of a C_Sign that has just succeeded.
unsafe fn sign_otherwise(
    drill: &Drill,
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    length: *mut CK_ULONG,
) -> CK_RV {
    let signing = drill
        .sessions
        .find(session)
        .and_then(|opened| opened.signing);
    let (Some((key, mechanism)), Some(init), Some(sign)) =
        (signing, drill.below.C_SignInit, drill.below.C_Sign)
    else {
        return CKR_FUNCTION_FAILED;
    };
    let keys = private_keys(drill, session).unwrap_or_default();
    let mut mechanism = CK_MECHANISM {
        mechanism,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    for other in keys.into_iter().filter(|other| *other != key) {
        // SAFETY: a mechanism of our own, and the caller's arguments as they came.
        let code = unsafe {
            match init(session, &raw mut mechanism, other) {
                CKR_OK => sign(session, data, data_length, signature, length),
                refused => refused,
            }
        };
        if code == CKR_OK {
            return CKR_OK;
        }
    }
    CKR_FUNCTION_FAILED
}

fn private_keys(drill: &Drill, session: CK_SESSION_HANDLE) -> Option<Vec<CK_OBJECT_HANDLE>> {
    let (init, find, end) = (
        drill.below.C_FindObjectsInit?,
        drill.below.C_FindObjects?,
        drill.below.C_FindObjectsFinal?,
    );
    let mut class: CK_OBJECT_CLASS = CKO_PRIVATE_KEY;
    let mut template = CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: (&raw mut class).cast(),
        ulValueLen: CK_ULONG::try_from(size_of::<CK_OBJECT_CLASS>()).ok()?,
    };
    let mut found = [0; KEYS];
    let mut count = 0;
    let most = CK_ULONG::try_from(KEYS).ok()?;
    // SAFETY: one attribute, and room for as many handles as are asked for; all of them outlive the calls.
    let code = unsafe {
        if init(session, &raw mut template, 1) != CKR_OK {
            return None;
        }
        let code = find(session, found.as_mut_ptr(), most, &raw mut count);
        end(session);
        code
    };
    let count = usize::try_from(count).ok().filter(|_| code == CKR_OK)?;
    Some(found.into_iter().take(count).collect())
}
