//! The way of every call: the rules first, then the module below.

use std::{
    env,
    path::PathBuf,
    process, ptr,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO,
    CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_REMOVED, CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
    CKR_SESSION_COUNT, CKR_TOKEN_NOT_PRESENT, Pkcs11,
};

use crate::{
    calls::LIST,
    rule::{Effect, Whose, Wrong},
    sessions::Sessions,
    watch::{Counted, Standing, Watched},
};

/// The environment variable that names the control file.
const CONTROL: &str = "SEMOPS_FAULT_CONTROL";
/// How often a call that hangs looks whether it still has to.
const LOOK: Duration = Duration::from_millis(20);

/// What stands between C_Initialize and C_Finalize. It is never freed: a call may hang in it for ever.
static DRILL: RwLock<Option<&'static Drill>> = RwLock::new(None);

/// A module below, the rules, and the sessions.
pub(crate) struct Drill {
    pub(crate) below: CK_FUNCTION_LIST,
    pub(crate) sessions: Sessions,
    pub(crate) control: Watched,
}

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) enum On {
    Module,
    Slot(CK_SLOT_ID),
    Session(CK_SESSION_HANDLE),
}

/// Takes a call its way: disturbed, or on to `forward`.
pub(crate) fn through(call: &str, on: On, forward: impl FnOnce(&'static Drill) -> CK_RV) -> CK_RV {
    let drill = *DRILL.read().unwrap_or_else(PoisonError::into_inner);
    let Some(drill) = drill else {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    };
    drill.disturbed(call, on).unwrap_or_else(|| forward(drill))
}

/// Calls the function of the module below, with the arguments that came.
macro_rules! below {
    ($drill:expr, $name:ident($($argument:expr),*)) => {
        match $drill.below.$name {
            // SAFETY: the caller's own arguments, to the function of the same name and signature.
            Some(function) => unsafe { function($($argument),*) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        }
    };
}

/// What stands from now on.
pub(crate) fn set(drill: Option<&'static Drill>) {
    *DRILL.write().unwrap_or_else(PoisonError::into_inner) = drill;
}

/// Whether nothing does.
pub(crate) fn is_unset() -> bool {
    DRILL
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .is_none()
}

pub(crate) use below;

impl Drill {
    /// Loads the module below, as the control file says.
    pub(crate) fn prepare() -> Result<Self, String> {
        let path =
            env::var_os(CONTROL).ok_or_else(|| format!("{CONTROL} names no control file"))?;
        let path = PathBuf::from(path);
        let shown = path.display().to_string();
        let (control, first) =
            Watched::open(path).map_err(|mistake| format!("{shown}: {mistake}"))?;
        // SAFETY: whoever wrote the control file wants this library run in this process.
        let library = unsafe { Pkcs11::new(&first.module) };
        let library = library.map_err(|error| format!("{}: {error}", first.module.display()))?;
        let mut list = ptr::null_mut();
        if library.C_GetFunctionList.is_err() {
            return Err(format!("{}: no PKCS#11 module", first.module.display()));
        }
        // SAFETY: it has the function, and `list` may be written.
        let code = unsafe { library.C_GetFunctionList(&raw mut list) };
        if code != CKR_OK || list.is_null() {
            return Err(format!(
                "C_GetFunctionList of the module below: 0x{code:08X}"
            ));
        }
        if ptr::eq(list, &raw const LIST) {
            return Err("`module` is the fault module itself".to_owned());
        }
        // SAFETY: a function list of the library, which stays loaded: its functions may be in a call for ever.
        let below = unsafe { *list };
        std::mem::forget(library);
        Ok(Self {
            below,
            sessions: Sessions::default(),
            control,
        })
    }

    /// What the call returns instead of being forwarded, if anything.
    fn disturbed(&self, call: &str, on: On) -> Option<CK_RV> {
        let standing = self.control.now();
        // Without rules nothing is asked of the module below that was not asked of this one.
        standing.rules().next()?;
        let token = self.token(on);
        let token = token.as_deref();
        for counted in standing.rules() {
            if let Some(code) = self.gone(&standing, counted, call, token, on) {
                return Some(code);
            }
            let rule = &counted.rule;
            if matches!(rule.effect, Effect::Signature(_))
                || !rule.is_about(call, token)
                || !standing.strikes(counted, call, token)
            {
                continue;
            }
            match &rule.effect {
                Effect::Return(_, code) => return Some(*code),
                Effect::Delay(time) => thread::sleep(*time),
                Effect::Hang => self.hang(&rule.name),
                Effect::Drop(whose) => self.drop_sessions(*whose, on),
                Effect::LogOut => self.log_out(on),
                Effect::Abort => process::abort(),
                _ => {}
            }
        }
        None
    }

    /// What the states make of a call: a token that is away, sessions that are too many.
    fn gone(
        &self,
        standing: &Standing,
        counted: &Counted,
        call: &str,
        token: Option<&str>,
        on: On,
    ) -> Option<CK_RV> {
        // How the slots look without the token is for these to say.
        if !counted.rule.is_of(token) || ["C_GetSlotList", "C_GetSlotInfo"].contains(&call) {
            return None;
        }
        let code = match (&counted.rule.effect, on) {
            (Effect::Remove, On::Slot(_)) => CKR_TOKEN_NOT_PRESENT,
            (Effect::Remove, On::Session(_)) if token.is_some() => CKR_DEVICE_REMOVED,
            (Effect::MaxSessions(most), On::Slot(slot))
                if call == "C_OpenSession" && self.sessions.count(slot) >= *most =>
            {
                CKR_SESSION_COUNT
            }
            _ => return None,
        };
        if !standing.strikes(counted, call, token) {
            return None;
        }
        if counted.rule.effect == Effect::Remove
            && let Some(slot) = self.slot(on)
            && self.sessions.count(slot) > 0
        {
            below!(self, C_CloseAllSessions(slot));
            self.sessions.all_lost(slot);
        }
        Some(code)
    }

    /// Waits until the rule is no longer there.
    fn hang(&self, name: &str) {
        let stands = || {
            self.control
                .now()
                .rules()
                .any(|counted| counted.rule.name == name)
        };
        while stands() {
            thread::sleep(LOOK);
        }
    }

    fn drop_sessions(&self, whose: Whose, on: On) {
        match (whose, on) {
            (Whose::Session, On::Session(session)) => {
                below!(self, C_CloseSession(session));
                self.sessions.lost(session);
            }
            (_, on) => {
                if let Some(slot) = self.slot(on) {
                    below!(self, C_CloseAllSessions(slot));
                    self.sessions.all_lost(slot);
                }
            }
        }
    }

    fn log_out(&self, on: On) {
        if let On::Session(session) = on {
            below!(self, C_Logout(session));
        }
    }

    /// How the signature of this call is to be wrong, if it is.
    pub(crate) fn wrong(&self, call: &str, session: CK_SESSION_HANDLE) -> Option<Wrong> {
        if call.is_empty() {
            return None;
        }
        let standing = self.control.now();
        let token = self.token(On::Session(session));
        let token = token.as_deref();
        standing
            .rules()
            .find_map(|counted| match counted.rule.effect {
                Effect::Signature(wrong) if counted.rule.is_of(token) => {
                    standing.strikes(counted, call, token).then_some(wrong)
                }
                _ => None,
            })
    }

    /// Whether the slot's token is away now.
    pub(crate) fn is_away(&self, slot: CK_SLOT_ID) -> bool {
        let standing = self.control.now();
        let away = |counted: &&Counted| counted.rule.effect == Effect::Remove;
        let mut rules = standing.rules().filter(away).peekable();
        if rules.peek().is_none() {
            return false;
        }
        let token = self.token(On::Slot(slot));
        rules.any(|counted| token.is_some() && counted.rule.is_of(token.as_deref()))
    }

    fn slot(&self, on: On) -> Option<CK_SLOT_ID> {
        match on {
            On::Module => None,
            On::Slot(slot) => Some(slot),
            On::Session(session) => Some(self.sessions.find(session)?.slot),
        }
    }

    /// The label of the token that a call is about.
    fn token(&self, on: On) -> Option<Arc<str>> {
        match on {
            On::Module => None,
            On::Slot(slot) => self.label(slot),
            On::Session(session) => Some(self.sessions.find(session)?.token),
        }
    }

    pub(crate) fn label(&self, slot: CK_SLOT_ID) -> Option<Arc<str>> {
        let mut info = CK_TOKEN_INFO::default();
        let code = below!(self, C_GetTokenInfo(slot, &raw mut info));
        let label = String::from_utf8_lossy(&info.label);
        (code == CKR_OK).then(|| label.trim_end().into())
    }
}
