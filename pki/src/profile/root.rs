//! Owns the check of a root by those who know no scheme's object identifiers: none of them stands in a root.

use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;

use super::{Kind, Oids, check};
use crate::certificate::Certificate;
use crate::error::ProfileError;

/// Checks a root against its profile, in every scheme the same. Its signature is not looked at.
///
/// # Errors
/// [`ProfileError`] with the first rule that is broken.
pub fn check_root(root: &Certificate) -> Result<(), ProfileError> {
    // They are looked up in extended key usages and policies, which a root has not.
    let none = Oids {
        device_eku: ID_CE_EXT_KEY_USAGE,
        authorization_eku: ID_CE_EXT_KEY_USAGE,
        audit_eku: None,
        statement_eku: None,
        device_policy: ID_CE_EXT_KEY_USAGE,
    };
    check(root, Kind::Root, root, &none)
}
