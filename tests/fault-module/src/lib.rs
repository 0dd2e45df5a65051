//! A PKCS#11 v2.40 module for drills. It forwards every call to another module and disturbs those that its control file
//! names. Its README says how it is used; it is never for production.
//!
//! The interface has no place for a value of the module's own, so that what it knows between two calls is in statics.

mod calls;
mod codes;
mod control;
mod drill;
mod ledger;
mod library;
mod rule;
mod sessions;
mod signature;
mod watch;

use cryptoki_sys::{CK_FUNCTION_LIST_PTR_PTR, CK_RV, CKR_ARGUMENTS_BAD, CKR_OK};

/// The rules of a control file's text, in their order, each with its name and its effect as the log has it: whoever has
/// written one can see whether it would be read.
///
/// # Errors
/// What is wrong with it.
pub fn rules(text: &str) -> Result<Vec<(String, String)>, String> {
    let control = control::Control::parse(text)?;
    let shown = |rule: rule::Rule| (rule.name, rule.effect.to_string());
    Ok(control.rules.into_iter().map(shown).collect())
}

/// Gives the function list, as every PKCS#11 library does (PKCS#11 v2.40 s5.4, C_GetFunctionList).
///
/// # Safety
/// `list` is null, or a pointer to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: not null, and the caller says that it may be written. Nobody writes through the pointer that it gets: the
    // standard's type has no `const`.
    unsafe { *list = (&raw const calls::LIST).cast_mut() };
    CKR_OK
}
