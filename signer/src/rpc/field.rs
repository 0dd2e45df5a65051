//! Owns the parsing of single fields into domain types; each refusal names its field and never repeats its value.

use std::str::FromStr;

use semops_objects::institution::InstitutionId;
use uuid::Uuid;

use crate::{
    domain::device::{DeviceId, Reference},
    error::{Error, Reason},
};

/// The field is wrong.
pub(crate) fn invalid(field: impl Into<String>, description: impl ToString) -> Error {
    Error::invalid(Reason::InvalidField, field, description)
}

/// The field `name`, read as a `T`.
pub(crate) fn parsed<T: FromStr<Err: ToString>>(name: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|why: T::Err| invalid(name, why))
}

/// The field `device_id`.
pub(crate) fn device_id(text: &str) -> Result<DeviceId, Error> {
    parsed("device_id", text)
}

/// A pseudonym.
pub(crate) fn reference(name: &str, text: &str) -> Result<Reference, Error> {
    parsed(name, text)
}

/// The field `institution`.
pub(crate) fn institution(text: &str) -> Result<InstitutionId, Error> {
    parsed("institution", text)
}

/// The field `jti`.
pub(crate) fn jti(text: &str) -> Result<Uuid, Error> {
    // One spelling only, as in the order itself.
    uuid("jti", text)
}

/// A UUID in its one spelling.
pub(crate) fn uuid(name: &str, text: &str) -> Result<Uuid, Error> {
    let uuid = Uuid::try_parse(text)
        .ok()
        .filter(|uuid| uuid.to_string() == text);
    uuid.ok_or_else(|| invalid(name, "must be a UUID in lower case with hyphens"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_refusal_names_the_field_and_keeps_the_value_to_itself() {
        let errors = [
            device_id("SECRET-VALUE").unwrap_err(),
            reference("account_reference", "SECRET-VALUE").unwrap_err(),
            institution("SECRET-VALUE").unwrap_err(),
            jti("SECRET-VALUE").unwrap_err(),
        ];
        let fields = ["device_id", "account_reference", "institution", "jti"];
        for (error, field) in errors.iter().zip(fields) {
            let text = error.to_string();
            assert!(text.contains(field) && !text.contains("SECRET"), "{text}");
        }
    }

    #[test]
    fn a_jti_has_one_spelling() {
        assert!(jti("0191d6a0-3c1e-7b7a-9f00-000000000001").is_ok());
        for text in [
            "0191D6A0-3C1E-7B7A-9F00-000000000001",
            "0191d6a03c1e7b7a9f00000000000001",
            "",
        ] {
            assert!(jti(text).is_err(), "{text}");
        }
    }
}
