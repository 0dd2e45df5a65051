//! The sessions that were opened through here: of which token each is, and what it signs with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID};

/// All of them.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<CK_SESSION_HANDLE, Opened>>);

/// One session.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) slot: CK_SLOT_ID,
    /// The token's label.
    pub(crate) token: Arc<str>,
    /// The key and the mechanism of the last C_SignInit.
    pub(crate) signing: Option<(CK_OBJECT_HANDLE, CK_MECHANISM_TYPE)>,
    /// Whether the module below still has it.
    open: bool,
}

impl Sessions {
    pub(crate) fn opened(&self, session: CK_SESSION_HANDLE, slot: CK_SLOT_ID, token: Arc<str>) {
        let opened = Opened {
            slot,
            token,
            signing: None,
            open: true,
        };
        self.all().insert(session, opened);
    }

    pub(crate) fn closed(&self, session: CK_SESSION_HANDLE) {
        self.all().remove(&session);
    }

    /// The module below has closed every session of the slot. That they were of its token stays known.
    pub(crate) fn all_lost(&self, slot: CK_SLOT_ID) {
        let mut all = self.all();
        for opened in all.values_mut().filter(|opened| opened.slot == slot) {
            opened.open = false;
        }
    }

    /// The same of one session.
    pub(crate) fn lost(&self, session: CK_SESSION_HANDLE) {
        if let Some(opened) = self.all().get_mut(&session) {
            opened.open = false;
        }
    }

    pub(crate) fn signs(
        &self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
    ) {
        if let Some(opened) = self.all().get_mut(&session) {
            opened.signing = Some((key, mechanism));
        }
    }

    pub(crate) fn find(&self, session: CK_SESSION_HANDLE) -> Option<Opened> {
        self.all().get(&session).cloned()
    }

    /// How many sessions the module below has with the slot's token.
    pub(crate) fn count(&self, slot: CK_SLOT_ID) -> u64 {
        let all = self.all();
        let open = all
            .values()
            .filter(|opened| opened.open && opened.slot == slot);
        u64::try_from(open.count()).unwrap_or(u64::MAX)
    }

    pub(crate) fn clear(&self) {
        self.all().clear();
    }

    /// A panic of another holder leaves the table whole.
    fn all(&self) -> MutexGuard<'_, HashMap<CK_SESSION_HANDLE, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
