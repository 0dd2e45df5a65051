//! Owns reading and writing the scheme's object identifiers, each usage with one of its own.

use std::fmt::Write as _;

use const_oid::ObjectIdentifier;
use semops_pki::profile::Oids;

use crate::reader::{Mistakes, Reader};

pub(super) fn read(mut table: Reader, mistakes: &mut Mistakes) -> Option<Oids> {
    // The X.509 library holds arcs of 32 bits, so a UUID as an arc (X.667) has no place here.
    let parse = |text: &str| {
        ObjectIdentifier::new(text)
            .map_err(|error| format!("must be an OID with arcs below 2^32: {error}"))
    };
    let mut oid = |name| table.parse(name, mistakes, parse);
    let (device, authorization, policy) = (
        oid("device_eku"),
        oid("authorization_eku"),
        oid("device_policy"),
    );
    // A scheme may do without keys for audit records and for statements.
    let mut optional = |name| match table.has(name) {
        true => table.parse(name, mistakes, parse).map(Some),
        false => Some(None),
    };
    let (audit, statement) = (optional("audit_eku"), optional("statement_eku"));
    let path = |name| table.at(name);
    let oids = || {
        Some(Oids {
            device_eku: device?,
            authorization_eku: authorization?,
            audit_eku: audit?,
            statement_eku: statement?,
            device_policy: policy?,
        })
    };
    let oids = oids();
    if let Some((one, other)) = oids.as_ref().and_then(Oids::same_usage) {
        let what = format!("is the same as {one}: a key of one purpose would pass for another's");
        mistakes.note(&path(other), what);
    }
    table.finish(mistakes);
    oids
}

/// The lines of those that a scheme may do without.
pub(crate) fn optional_lines(oids: &Oids) -> String {
    let named = [
        ("audit_eku", oids.audit_eku),
        ("statement_eku", oids.statement_eku),
    ];
    let mut lines = String::new();
    for (name, oid) in named {
        if let Some(oid) = oid {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{name} = \"{oid}\"");
        }
    }
    lines
}
