//! The function list: every function of PKCS#11 v2.40 with its standard signature. Those here are forwarded as they came;
//! those of which the module has to know more are in `library` and `signature`.
#![allow(non_snake_case, reason = "the standard's names")]

use std::ffi::c_void;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID,
    CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CK_VERSION, CKR_FUNCTION_NOT_SUPPORTED,
};

use crate::{
    C_GetFunctionList,
    drill::{On, through},
    library::{
        C_CloseAllSessions, C_CloseSession, C_Finalize, C_GetInfo, C_GetSlotInfo, C_GetSlotList,
        C_GetTokenInfo, C_Initialize, C_OpenSession,
    },
    signature::{C_Sign, C_SignInit},
};

/// Functions whose first argument says of which token they are.
macro_rules! forwarded {
    ($on:ident $first:ty; $($name:ident($($argument:ident: $kind:ty),*))+) => {$(
        unsafe extern "C" fn $name(first: $first $(, $argument: $kind)*) -> CK_RV {
            through(stringify!($name), On::$on(first), |drill| match drill.below.$name {
                // SAFETY: the caller's own arguments, to the function of the same name and signature.
                Some(function) => unsafe { function(first $(, $argument)*) },
                None => CKR_FUNCTION_NOT_SUPPORTED,
            })
        }
    )+};
}

/// The list, and the names in it.
macro_rules! list {
    ($($name:ident)+) => {
        /// What C_GetFunctionList gives.
        pub(crate) static LIST: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
            version: CK_VERSION { major: 2, minor: 40 },
            $($name: Some($name)),+
        };

        /// The functions that a rule may name.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

list! {
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
    C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession
    C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject
    C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit
    C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit
    C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal
    C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify
    C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate
    C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey
    C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
}

unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    through("C_WaitForSlotEvent", On::Module, |drill| {
        match drill.below.C_WaitForSlotEvent {
            // SAFETY: the caller's own arguments, to the function of the same name and signature.
            Some(function) => unsafe { function(flags, slot, reserved) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        }
    })
}

forwarded! { Slot CK_SLOT_ID;
    C_GetMechanismList(a: *mut CK_MECHANISM_TYPE, b: *mut CK_ULONG)
    C_GetMechanismInfo(a: CK_MECHANISM_TYPE, b: *mut CK_MECHANISM_INFO)
    C_InitToken(a: *mut CK_UTF8CHAR, b: CK_ULONG, c: *mut CK_UTF8CHAR)
}

forwarded! { Session CK_SESSION_HANDLE;
    C_InitPIN(a: *mut CK_UTF8CHAR, b: CK_ULONG)
    C_SetPIN(a: *mut CK_UTF8CHAR, b: CK_ULONG, c: *mut CK_UTF8CHAR, d: CK_ULONG)
    C_GetSessionInfo(a: *mut CK_SESSION_INFO)
    C_GetOperationState(a: *mut CK_BYTE, b: *mut CK_ULONG)
    C_SetOperationState(a: *mut CK_BYTE, b: CK_ULONG, c: CK_OBJECT_HANDLE, d: CK_OBJECT_HANDLE)
    C_Login(a: CK_USER_TYPE, b: *mut CK_UTF8CHAR, c: CK_ULONG)
    C_Logout()
    C_CreateObject(a: *mut CK_ATTRIBUTE, b: CK_ULONG, c: *mut CK_OBJECT_HANDLE)
    C_CopyObject(a: CK_OBJECT_HANDLE, b: *mut CK_ATTRIBUTE, c: CK_ULONG, d: *mut CK_OBJECT_HANDLE)
    C_DestroyObject(a: CK_OBJECT_HANDLE)
    C_GetObjectSize(a: CK_OBJECT_HANDLE, b: *mut CK_ULONG)
    C_GetAttributeValue(a: CK_OBJECT_HANDLE, b: *mut CK_ATTRIBUTE, c: CK_ULONG)
    C_SetAttributeValue(a: CK_OBJECT_HANDLE, b: *mut CK_ATTRIBUTE, c: CK_ULONG)
    C_FindObjectsInit(a: *mut CK_ATTRIBUTE, b: CK_ULONG)
    C_FindObjects(a: *mut CK_OBJECT_HANDLE, b: CK_ULONG, c: *mut CK_ULONG)
    C_FindObjectsFinal()
    C_EncryptInit(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE)
    C_Encrypt(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_EncryptUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_EncryptFinal(a: *mut CK_BYTE, b: *mut CK_ULONG)
    C_DecryptInit(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE)
    C_Decrypt(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DecryptUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DecryptFinal(a: *mut CK_BYTE, b: *mut CK_ULONG)
    C_DigestInit(a: *mut CK_MECHANISM)
    C_Digest(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DigestUpdate(a: *mut CK_BYTE, b: CK_ULONG)
    C_DigestKey(a: CK_OBJECT_HANDLE)
    C_DigestFinal(a: *mut CK_BYTE, b: *mut CK_ULONG)
    C_SignUpdate(a: *mut CK_BYTE, b: CK_ULONG)
    C_SignFinal(a: *mut CK_BYTE, b: *mut CK_ULONG)
    C_SignRecoverInit(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE)
    C_SignRecover(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_VerifyInit(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE)
    C_Verify(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: CK_ULONG)
    C_VerifyUpdate(a: *mut CK_BYTE, b: CK_ULONG)
    C_VerifyFinal(a: *mut CK_BYTE, b: CK_ULONG)
    C_VerifyRecoverInit(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE)
    C_VerifyRecover(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DigestEncryptUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DecryptDigestUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_SignEncryptUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_DecryptVerifyUpdate(a: *mut CK_BYTE, b: CK_ULONG, c: *mut CK_BYTE, d: *mut CK_ULONG)
    C_GenerateKey(a: *mut CK_MECHANISM, b: *mut CK_ATTRIBUTE, c: CK_ULONG, d: *mut CK_OBJECT_HANDLE)
    C_GenerateKeyPair(a: *mut CK_MECHANISM, b: *mut CK_ATTRIBUTE, c: CK_ULONG, d: *mut CK_ATTRIBUTE, e: CK_ULONG, f: *mut CK_OBJECT_HANDLE, g: *mut CK_OBJECT_HANDLE)
    C_WrapKey(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE, c: CK_OBJECT_HANDLE, d: *mut CK_BYTE, e: *mut CK_ULONG)
    C_UnwrapKey(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE, c: *mut CK_BYTE, d: CK_ULONG, e: *mut CK_ATTRIBUTE, f: CK_ULONG, g: *mut CK_OBJECT_HANDLE)
    C_DeriveKey(a: *mut CK_MECHANISM, b: CK_OBJECT_HANDLE, c: *mut CK_ATTRIBUTE, d: CK_ULONG, e: *mut CK_OBJECT_HANDLE)
    C_SeedRandom(a: *mut CK_BYTE, b: CK_ULONG)
    C_GenerateRandom(a: *mut CK_BYTE, b: CK_ULONG)
    C_GetFunctionStatus()
    C_CancelFunction()
}
