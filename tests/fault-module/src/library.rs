//! The functions of which more must be known than how to forward them: of the library, of slots and tokens, of sessions.
#![allow(non_snake_case, reason = "the standard's names")]

use std::{ffi::c_void, ptr};

use cryptoki_sys::{
    CK_BBOOL, CK_FLAGS, CK_INFO, CK_NOTIFY, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_SLOT_INFO,
    CK_TOKEN_INFO, CK_ULONG, CKF_TOKEN_PRESENT, CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED,
    CKR_GENERAL_ERROR, CKR_OK,
};

use crate::{
    drill::{Drill, On, below, is_unset, set, through},
    rule::Effect,
};

/// What C_GetInfo calls the library: 32 octets, as the standard has it.
const DESCRIPTION: &[u8; 32] = b"FAULT MODULE, NOT FOR PRODUCTION";

pub(crate) unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    let fresh = is_unset();
    if fresh {
        match Drill::prepare() {
            Ok(drill) => set(Some(Box::leak(Box::new(drill)))),
            Err(mistake) => {
                eprintln!("fault module: {mistake}");
                return CKR_GENERAL_ERROR;
            }
        }
    }
    let code = through("C_Initialize", On::Module, |drill| {
        let code = below!(drill, C_Initialize(arguments));
        if code == CKR_OK && is_one_of_us(drill) {
            eprintln!("fault module: `module` is another copy of the fault module");
            below!(drill, C_Finalize(ptr::null_mut()));
            return CKR_GENERAL_ERROR;
        }
        code
    });
    if fresh && code != CKR_OK {
        // The next one reads the file anew.
        set(None);
    }
    code
}

fn is_one_of_us(drill: &Drill) -> bool {
    let mut info = CK_INFO::default();
    let code = below!(drill, C_GetInfo(&raw mut info));
    code == CKR_OK && info.libraryDescription == *DESCRIPTION
}

pub(crate) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    through("C_Finalize", On::Module, |drill| {
        let code = below!(drill, C_Finalize(reserved));
        if code == CKR_OK {
            drill.sessions.clear();
            set(None);
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    through("C_GetInfo", On::Module, |drill| {
        let code = below!(drill, C_GetInfo(info));
        // SAFETY: null, or what the module below has just written.
        let info = unsafe { info.as_mut() };
        if let Some(info) = info.filter(|_| code == CKR_OK) {
            info.libraryDescription = *DESCRIPTION;
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_GetSlotList(
    present: CK_BBOOL,
    slots: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    through("C_GetSlotList", On::Module, |drill| {
        // SAFETY: null, or a number of the caller's, which nobody else has before the return.
        let Some(count) = (unsafe { count.as_mut() }) else {
            return below!(drill, C_GetSlotList(present, slots, count));
        };
        let mut all = 0;
        let code = below!(drill, C_GetSlotList(present, ptr::null_mut(), &raw mut all));
        if code != CKR_OK {
            return code;
        }
        let mut found = vec![0; usize::try_from(all).unwrap_or_default()];
        let code = below!(
            drill,
            C_GetSlotList(present, found.as_mut_ptr(), &raw mut all)
        );
        if code != CKR_OK {
            return code;
        }
        found.truncate(usize::try_from(all).unwrap_or_default());
        found.retain(|slot| present == 0 || !drill.is_away(*slot));
        let room = std::mem::replace(count, CK_ULONG::try_from(found.len()).unwrap_or_default());
        if slots.is_null() {
            return CKR_OK;
        }
        if room < *count {
            return CKR_BUFFER_TOO_SMALL;
        }
        // SAFETY: the caller has room for `room` slots there, and these are no more.
        unsafe { ptr::copy_nonoverlapping(found.as_ptr(), slots, found.len()) };
        CKR_OK
    })
}

pub(crate) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    through("C_GetSlotInfo", On::Slot(slot), |drill| {
        let code = below!(drill, C_GetSlotInfo(slot, info));
        // SAFETY: null, or what the module below has just written.
        let info = unsafe { info.as_mut() };
        if let Some(info) = info.filter(|_| code == CKR_OK && drill.is_away(slot)) {
            info.flags &= !CKF_TOKEN_PRESENT;
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_GetTokenInfo(
    slot: CK_SLOT_ID,
    info: *mut CK_TOKEN_INFO,
) -> CK_RV {
    through("C_GetTokenInfo", On::Slot(slot), |drill| {
        let code = below!(drill, C_GetTokenInfo(slot, info));
        // SAFETY: null, or what the module below has just written.
        let info = unsafe { info.as_mut() };
        let Some(info) = info.filter(|_| code == CKR_OK) else {
            return code;
        };
        let standing = drill.control.now();
        let label = String::from_utf8_lossy(&info.label).trim_end().to_owned();
        for counted in standing
            .rules()
            .filter(|counted| counted.rule.is_of(Some(&label)))
        {
            match counted.rule.effect {
                Effect::MaxSessions(most) => {
                    info.ulMaxSessionCount = most;
                    info.ulMaxRwSessionCount = most;
                }
                Effect::Flags(flags)
                    if standing.strikes(counted, "C_GetTokenInfo", Some(&label)) =>
                {
                    info.flags |= flags;
                }
                _ => {}
            }
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    through("C_OpenSession", On::Slot(slot), |drill| {
        let code = below!(
            drill,
            C_OpenSession(slot, flags, application, notify, session)
        );
        // SAFETY: null, or what the module below has just written.
        let session = unsafe { session.as_ref() };
        if let Some(session) = session.filter(|_| code == CKR_OK) {
            let token = drill.label(slot).unwrap_or_default();
            drill.sessions.opened(*session, slot, token);
        }
        code
    })
}

pub(crate) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    through("C_CloseSession", On::Session(session), |drill| {
        let code = below!(drill, C_CloseSession(session));
        drill.sessions.closed(session);
        code
    })
}

pub(crate) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    through("C_CloseAllSessions", On::Slot(slot), |drill| {
        let code = below!(drill, C_CloseAllSessions(slot));
        drill.sessions.all_lost(slot);
        code
    })
}
