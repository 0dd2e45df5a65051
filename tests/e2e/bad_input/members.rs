//! The members of an order and the fields beside it: the rules that each has, in the words that a caller reads. They stand
//! in `signer/docs/bad-input.md`.

use std::collections::BTreeSet;

use e2e::failure::Failure;
use semops_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{
    row::{Row, fits},
    rows::orders,
};

/// A field, a rule of it, and what breaks that. `<...>` stands for what differs from case to case.
pub(crate) type Member = (&'static str, &'static str, &'static str);

pub(crate) const MEMBERS: &[Member] = &[
    (
        "order_jws.jws",
        "must be three base64url parts joined by two dots",
        "an empty text, two parts, four parts",
    ),
    (
        "order_jws.jws",
        "must be at most 4096 octets long",
        "a payee's name of 4,000 characters",
    ),
    (
        "order_jws.signature",
        "must be base64url without padding or slack bits, of 64 octets",
        "padding, three octets, a DER signature",
    ),
    (
        "order_jws.header.alg",
        "must be one of: ES256",
        "`none`, `HS256`",
    ),
    (
        "order_jws.header.typ",
        "must be one of: semops-order-v1+jwt",
        "`JWT`, an authorization's",
    ),
    ("order_jws.header.kid", "is missing", "`x5u` in its place"),
    (
        "order_jws.header.<member>",
        "is not a member of this object",
        "`crit`",
    ),
    (
        "order_jws.payload",
        "must be an object, not <type>",
        "an array",
    ),
    (
        "order_jws.payload",
        "must be one JSON object: <where it ceases to be one>",
        "a cut text, objects two hundred deep",
    ),
    (
        "order_jws.payload.<member>",
        "is missing",
        "each of `jti`, `iat`, `exp`, `aud`, `kind`, `channel`, `amount`, `payee`",
    ),
    (
        "order_jws.payload.<member>",
        "stands there more than once",
        "`kind` twice",
    ),
    (
        "order_jws.payload.<member>",
        "is not a member of this object",
        "`surprise`, `amount.tip`",
    ),
    (
        "order_jws.payload.jti",
        "must be a UUID of version 7 in lower case with hyphens",
        "version 4, capital letters",
    ),
    (
        "order_jws.payload.iat",
        "must be an integer, not <type>",
        "a string, 1.5",
    ),
    (
        "order_jws.payload.exp",
        "must be later than iat, by at most 600 seconds",
        "700 s later, before `iat`",
    ),
    (
        "order_jws.payload.aud",
        "must be 1 to 32 of a-z, 0-9 and '-'",
        "`Alfa`",
    ),
    (
        "order_jws.payload.aud",
        "must be a string, not <type>",
        "an array",
    ),
    (
        "order_jws.payload.kind",
        "must be one of: payment",
        "`refund`",
    ),
    (
        "order_jws.payload.channel",
        "must be one of: virtual_pos, real_pos, p2p",
        "`REAL_POS`",
    ),
    (
        "order_jws.payload.amount",
        "must be an object, not <type>",
        "`\"1.00 EUR\"`",
    ),
    (
        "order_jws.payload.amount.value",
        "must be a string, not <type>",
        "`1.0` without quotation marks",
    ),
    (
        "order_jws.payload.amount.value",
        "must be a decimal number with exactly <ISO 4217's> decimals and no sign or needless zero",
        "EUR `12.9`, `-1.00`, `1,00`, `01.00`; JPY `12.00`; KWD `1.00`",
    ),
    (
        "order_jws.payload.amount.value",
        "must be above zero",
        "`0.00`",
    ),
    (
        "order_jws.payload.amount.value",
        "must have at most 18 digits",
        "19 digits",
    ),
    (
        "order_jws.payload.amount.currency",
        "must be the code of an ISO 4217 currency that has a minor unit, in capital letters",
        "`eur`, `ZZZ`, `XAU`",
    ),
    (
        "order_jws.payload.payee.institution",
        "must be 1 to 32 of a-z, 0-9 and '-'",
        "`Beta`",
    ),
    (
        "order_jws.payload.payee.id",
        "must be 1 to 35 printable ASCII characters, with no space at either end",
        "nothing, 36 characters, `café`",
    ),
    (
        "order_jws.payload.payee.name",
        "must be 1 to 140 characters and not blank",
        "nothing, 141 characters",
    ),
    (
        "order_jws.payload.payee.name",
        "must hold no control, bidirectional-control or line-separating character",
        "a line feed, U+202E",
    ),
    (
        "order_jws.payload.payee.name",
        "must be in Unicode Normalization Form C",
        "e and U+0301 for é",
    ),
    (
        "order_jws.payload.offer_sha256",
        "must be base64url without padding or slack bits, of 32 octets",
        "three octets, padding, slack bits",
    ),
    (
        "end_to_end_id",
        "must be 1 to 35 characters of the ISO 20022 text set, with no space at either end",
        "nothing, 36 characters, `é`",
    ),
    (
        "uetr",
        "must be a UUID of version 4 in lower case with hyphens",
        "capital letters, version 7",
    ),
];

/// Which members and rows have been met.
#[derive(Debug)]
pub(crate) struct Met {
    rows: Vec<&'static Row>,
    met: BTreeSet<&'static str>,
    members: BTreeSet<usize>,
}

impl Met {
    /// None of these rows, of which the first that fits counts, and no member yet.
    pub(crate) fn demanding(rows: Vec<&'static Row>) -> Self {
        Self {
            rows,
            met: BTreeSet::new(),
            members: BTreeSet::new(),
        }
    }

    /// Demands that a call was refused for this field, by a rule that stands among the members, in the words of a row.
    pub(crate) fn blames(
        &mut self,
        called: Result<v1::CosignOrderResponse, Status>,
        field: &str,
    ) -> Result<(), Failure> {
        let status = orders::WRONG_FIELD.refuses(called)?;
        let fitting = self
            .rows
            .iter()
            .find(|row| fits(row.text, status.message()));
        let row = fitting.ok_or_else(|| Failure::new(status.message()))?;
        row.blames(Err::<(), _>(status.clone()), field)?;
        self.met.insert(row.name);
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| &bad.field_violations);
        for violation in violations.into_iter().flatten() {
            let is = |(field, rule, _): &Member| {
                fits(field, &violation.field) && fits(rule, &violation.description)
            };
            let unknown = || Failure::new(format!("{violation:?} is not among the members"));
            let index = MEMBERS.iter().position(is).ok_or_else(unknown)?;
            self.members.insert(index);
        }
        Ok(())
    }

    /// Demands that every member and row was met.
    pub(crate) fn all(&self) -> Result<(), Failure> {
        let members = MEMBERS.iter().enumerate();
        let members = members.filter(|(index, _)| !self.members.contains(index));
        let rows = self.rows.iter().filter(|row| !self.met.contains(row.name));
        let unmet: Vec<String> = members
            .map(|(_, member)| format!("{member:?}"))
            .chain(rows.map(|row| row.name.to_owned()))
            .collect();
        if unmet.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("not met: {}", unmet.join(", "))))
    }
}
