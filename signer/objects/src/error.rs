//! Why an object is refused: the member, by its path, and the rule that it broke. Neither ever repeats a value.

use thiserror::Error;

/// The longest part of an unknown member's name that an error repeats, in characters.
const SHOWN_NAME: usize = 40;

/// A member that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {rule}")]
pub struct ObjectError {
    field: String,
    rule: Rule,
}

impl ObjectError {
    /// `field` is a path of our own words; only its last step may come from the input.
    pub(crate) fn new(field: impl Into<String>, rule: Rule) -> Self {
        Self {
            field: field.into(),
            rule,
        }
    }

    pub(crate) fn member(path: &str, name: &str, rule: Rule) -> Self {
        let shown: String = name.escape_default().take(SHOWN_NAME).collect::<String>();
        Self::new(format!("{path}.{shown}"), rule)
    }

    /// Path of the member, as `payload.amount.value`; `jws`, `header`, `payload` or `signature` for a whole part.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The rule that it broke.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// A rule of the objects. Each one completes the sentence that begins with the member's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rule {
    /// The whole object is too long.
    #[error("must be at most {max} octets long")]
    TooLong {
        /// The limit, in octets.
        max: usize,
    },
    /// Not the compact serialization (RFC 7515 s7.1).
    #[error("must be three base64url parts joined by two dots")]
    Parts,
    /// Not base64url of the length the member needs (RFC 7515 s2; RFC 4648 s3.5 for slack bits).
    #[error("must be base64url without padding or slack bits{}", octets(.0))]
    Base64url(Option<usize>),
    /// Not one JSON text (RFC 8259); says where.
    #[error("must be one JSON object: {0}")]
    Json(String),
    /// A required member is not there.
    #[error("is missing")]
    Missing,
    /// A member stands there twice (RFC 7515 s4, RFC 7519 s4).
    #[error("stands there more than once")]
    Duplicate,
    /// A member that this version of the object does not have.
    #[error("is not a member of this object")]
    Unknown,
    /// A member of another JSON type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// What it must be.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// Not one of the fixed words.
    #[error("must be one of: {0}")]
    OneOf(&'static str),
    /// Not a UUID of an allowed version in its canonical text form (RFC 9562 s4).
    #[error("must be a UUID of version {0} in lower case with hyphens")]
    Uuid(&'static str),
    /// A time beyond 2^53 - 1 (RFC 7493 s2.2).
    #[error("must be at most 9007199254740991")]
    TimeRange,
    /// `exp` not in (iat, iat + 600].
    #[error("must be later than iat, by at most {max} seconds")]
    Lifetime {
        /// The longest lifetime, in seconds.
        max: u64,
    },
    /// Not an institution id.
    #[error("must be 1 to 32 of a-z, 0-9 and '-'")]
    InstitutionId,
    /// `aud` is not the institution of the payee.
    #[error("must be the payee's institution")]
    NotPayeesInstitution,
    /// Not a currency of ISO 4217 that has a minor unit.
    #[error("must be the code of an ISO 4217 currency that has a minor unit, in capital letters")]
    Currency,
    /// Not a canonical decimal number of the currency.
    #[error(
        "must be a decimal number with exactly {decimals} decimals and no sign or needless zero"
    )]
    AmountForm {
        /// How many decimals ISO 4217 gives the currency.
        decimals: u32,
    },
    /// An amount of zero.
    #[error("must be above zero")]
    AmountZero,
    /// An amount of more than 18 digits.
    #[error("must have at most 18 digits")]
    AmountDigits,
    /// Not a payee id.
    #[error("must be 1 to 35 printable ASCII characters, with no space at either end")]
    PayeeId,
    /// Not a payee name: length, or nothing visible.
    #[error("must be 1 to 140 characters and not blank")]
    PayeeNameLength,
    /// A payee name that is not in Normalization Form C.
    #[error("must be in Unicode Normalization Form C")]
    PayeeNameForm,
    /// A payee name with a control, bidirectional or line-breaking character.
    #[error("must hold no control, bidirectional-control or line-separating character")]
    PayeeNameCharacter,
    /// Not the one spelling of what it says.
    #[error(
        "must be JSON without white space, its members in their order, each value in its one spelling"
    )]
    Spelling,
    /// Another format than is known.
    #[error("must be 1")]
    Format,
    /// Not a scheme's name (a trust domain, SPIFFE-ID s2.1).
    #[error("must be 1 to 64 of a-z, 0-9, '-', '_' and '.'")]
    Scheme,
    /// Not a person's id.
    #[error("must be 1 to 63 of a-z, 0-9 and '-'")]
    PersonId,
    /// Not a key's id.
    #[error("must be a key id of 43 base64url characters")]
    KeyId,
    /// Sequence and versions count from 1.
    #[error("must be 1 or more")]
    Zero,
    /// Change 1 is the ceremony, no other is, and every other names the one before it.
    #[error(
        "must be 1 without `previous` in the ceremony, and above 1 with `previous` in every other proposal"
    )]
    Sequence,
    /// The scheme and its institutions have operations of their own.
    #[error("must be `scheme` with the operations of the scheme, and another with all others")]
    SchemesOperation,
    /// `exp` is not as far from `iat` as a proposal's may be.
    #[error("must be later than iat, by {min} to {max} seconds")]
    Validity {
        /// The shortest time, in seconds.
        min: u64,
        /// The longest time, in seconds.
        max: u64,
    },
    /// The documents of a ceremony.
    #[error("must name custodians, policy, trust and callers, in this order")]
    CeremonyDocuments,
    /// The keys of a ceremony.
    #[error("must be sorted by purpose and id, each key once")]
    CeremonyKeys,
    /// A rotation from a key to itself.
    #[error("must be another key than `from`")]
    SameKey,
    /// An end before its beginning.
    #[error("must not be before `activate_at`")]
    RetiresEarly,
    /// More than is read.
    #[error("must be at most {max}")]
    TooMany {
        /// How many at most.
        max: usize,
    },
    /// Not an end-to-end identification.
    #[error("must be 1 to 35 characters of the ISO 20022 text set, with no space at either end")]
    EndToEndId,
}

fn octets(count: &Option<usize>) -> String {
    count.map_or_else(String::new, |count| format!(", of {count} octets"))
}
