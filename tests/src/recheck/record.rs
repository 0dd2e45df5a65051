//! The database as it stands, read in one transaction. Columns as the migrations have them; moments in microseconds.

use std::{collections::BTreeMap, fmt, path::Path};

use rusqlite::{Connection, OpenFlags, Row, types::FromSql};

use super::{
    Checked,
    changes::{self, Change, Key},
    reissues,
    removed::Gone,
};
use crate::failure::Failure;

/// What a key was to sign.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: i64,
    pub(super) institution: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) key: Vec<u8>,
    pub(super) to_be_signed: Vec<u8>,
    pub(super) expires_at: i64,
    pub(super) object: String,
    pub(super) device: Option<Vec<u8>>,
    pub(super) policy: Option<Vec<u8>>,
    pub(super) begun_at: i64,
    pub(super) ended_at: Option<i64>,
    pub(super) artifact: Option<Vec<u8>>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "operation {} ({} {} of {})",
            self.id, self.kind, self.object, self.institution
        )
    }
}

impl Operation {
    /// The signed object, if it ended with one.
    pub(super) fn signed(&self) -> Option<&[u8]> {
        self.artifact
            .as_deref()
            .filter(|_| self.state == "AUTHORIZED")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) operation: i64,
    pub(super) institution: String,
    pub(super) device: Vec<u8>,
    pub(super) jti: Vec<u8>,
    pub(super) jws: String,
    pub(super) currency: String,
    pub(super) minor: i64,
    pub(super) reserved_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: Vec<u8>,
    pub(super) operation: i64,
    pub(super) issuer: String,
    pub(super) issuer_key: Vec<u8>,
    pub(super) subscriber: String,
    pub(super) serial: Vec<u8>,
    pub(super) not_after: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub(super) issuer_key: Vec<u8>,
    pub(super) sequence: i64,
    /// Nothing, if its certificate was replaced and the device is not revoked.
    pub(super) device: Option<Vec<u8>>,
    pub(super) serial: Vec<u8>,
    pub(super) not_after: i64,
    pub(super) revoked_at: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Crl {
    pub(super) issuer_key: Vec<u8>,
    pub(super) number: i64,
    pub(super) operation: i64,
    pub(super) revocations: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) institution: String,
    pub(super) kind: String,
    pub(super) version: i64,
    pub(super) bytes: Vec<u8>,
    pub(super) loaded_at: i64,
}

/// A key that was asked for, with what it is once it was made.
#[derive(Clone, Debug)]
pub(super) struct NewKey {
    pub(super) institution: String,
    pub(super) request: Vec<u8>,
    pub(super) purpose: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) public: Option<Vec<u8>>,
    pub(super) operation: Option<i64>,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) operations: BTreeMap<i64, Operation>,
    pub(super) orders: Vec<Order>,
    pub(super) devices: Vec<Device>,
    /// Where a device stands among them, by its id.
    by_id: BTreeMap<Vec<u8>, usize>,
    pub(super) revocations: Vec<Revocation>,
    pub(super) reissues: Vec<reissues::Reissue>,
    pub(super) crls: Vec<Crl>,
    /// Issuing key and serial number of what a restore found in a published CRL and nowhere else.
    pub(super) listed: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many signatures each key is said to have stored.
    pub(super) counters: BTreeMap<Vec<u8>, i64>,
    /// From when and until when a signature may be begun with each key, where there is a bound.
    pub(super) active: BTreeMap<Vec<u8>, (Option<i64>, Option<i64>)>,
    /// The certificates that changes brought along, by the ids of their keys.
    pub(super) certificates: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) documents: Vec<Document>,
    /// Keys that were asked for.
    pub(super) new_keys: Vec<NewKey>,
    pub(super) changes: Vec<Change>,
    pub(super) keys: Vec<Key>,
    /// Institution, device and moment of each acceptance that stands.
    pub(super) acceptances: Vec<(String, Vec<u8>, i64)>,
    /// What is not kept any longer.
    pub(super) gone: Gone,
    /// Leaves in their order.
    pub(super) audit: Vec<Vec<u8>>,
    /// What the database itself says against its rows.
    pub(super) faults: Vec<String>,
}

impl Record {
    /// Reads the database; a server may be writing it.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(Failure::during(path.display()))?;
        let transaction = connection.transaction()?;
        let record = Self::rows(&transaction).map_err(Failure::during(path.display()))?;
        Ok(record)
    }

    fn rows(c: &Connection) -> rusqlite::Result<Self> {
        let operations = "SELECT id, institution, kind, state, key_id, to_be_signed, expires_at, object, device, policy, \
                          begun_at, ended_at, artifact FROM operation";
        let orders = "SELECT operation, institution, device, jti, order_jws, currency, minor, reserved_at \
                      FROM cosigned_order";
        let devices =
            "SELECT id, operation, issuer, issuer_key, subscriber, serial, not_after FROM device";
        let revocations = "SELECT issuer_key, sequence, device, serial, not_after, revoked_at FROM revocation \
                           ORDER BY issuer_key, sequence";
        let crls = "SELECT issuer_key, number, operation, revocations FROM crl ORDER BY issuer_key, operation";
        let documents = "SELECT institution, kind, version, bytes, loaded_at FROM document ORDER BY institution, kind, version";
        let active = "SELECT id, active_from, active_until FROM key";
        let acceptances = "SELECT institution, device, accepted_at FROM acceptance";
        let devices = all(c, devices, device)?;
        Ok(Self {
            operations: all(c, operations, operation)?
                .into_iter()
                .map(|o| (o.id, o))
                .collect(),
            orders: all(c, orders, order)?,
            by_id: devices.iter().map(|d| d.id.clone()).zip(0..).collect(),
            devices,
            revocations: all(c, revocations, revocation)?,
            reissues: reissues::read(c)?,
            crls: all(c, crls, crl)?,
            listed: pairs(c, "SELECT issuer_key, serial FROM listed")?,
            counters: pairs(c, "SELECT id, signatures FROM key")?,
            active: collected(c, active, |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))))?,
            certificates: pairs(c, "SELECT key_id, der FROM key_certificate")?,
            documents: all(c, documents, document)?,
            new_keys: new_keys(c)?,
            changes: changes::read_changes(c)?,
            keys: changes::read_keys(c)?,
            acceptances: all(c, acceptances, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?,
            gone: Gone::read(c)?,
            audit: all(c, "SELECT leaf FROM audit ORDER BY seq", |r| r.get(0))?,
            faults: faults(c)?,
        })
    }

    /// The device with this id.
    pub(super) fn device(&self, id: &[u8]) -> Option<&Device> {
        self.devices.get(*self.by_id.get(id)?)
    }

    /// The operation that signed a device's certificate, with the certificate.
    pub(super) fn certificate(&self, device: &Device) -> Option<&[u8]> {
        self.operations
            .get(&device.operation)
            .and_then(Operation::signed)
    }

    /// The certificates of a device that were in force at a moment, or are now. What was read before one was replaced may be
    /// begun a little after.
    pub(super) fn certificates(&self, device: &[u8], at: i64) -> impl Iterator<Item = &[u8]> {
        const REQUEST_MICROS: i64 = 10_000_000;
        let now = self
            .device(device)
            .and_then(|device| self.certificate(device));
        let before = self.reissues.iter().filter(move |reissue| {
            let replaced_at = reissue.replaced_at.unwrap_or(i64::MIN);
            reissue.device == device && at <= replaced_at.saturating_add(REQUEST_MICROS)
        });
        let before = before.filter_map(|reissue| reissue.replaces);
        let before = before.filter_map(|id| self.operations.get(&id)?.signed());
        now.into_iter().chain(before)
    }

    /// Intents that should have ended.
    pub(super) fn overdue(&self, now: i64) -> impl Iterator<Item = &Operation> {
        self.operations
            .values()
            .filter(move |o| o.state == "PENDING" && o.expires_at <= now)
    }

    /// Whether nothing is overdue, and the newest CRL of each key goes up to the last revocation.
    pub(super) fn settled(&self, now: i64) -> bool {
        let listed = |revocation: &Revocation| {
            let newest = self.crls.iter().filter(|crl| {
                let signed = self
                    .operations
                    .get(&crl.operation)
                    .is_some_and(|o| o.signed().is_some());
                crl.issuer_key == revocation.issuer_key && signed
            });
            newest.map(|crl| crl.revocations).max() >= Some(revocation.sequence)
        };
        self.overdue(now).next().is_none() && self.revocations.iter().all(listed)
    }

    pub(super) fn counts(&self) -> Checked {
        let count = |kind: &str| {
            let of_kind = self.operations.values().filter(|o| o.kind == kind);
            of_kind.filter(|o| o.signed().is_some()).count()
        };
        let unsigned = |o: &&Operation| !["PENDING", "AUTHORIZED"].contains(&o.state.as_str());
        Checked {
            authorizations: count("authorization"),
            certificates: count("device-certificate"),
            crls: count("crl"),
            unsigned: self.operations.values().filter(unsigned).count(),
            events: self.audit.len(),
        }
    }
}

pub(super) fn all<T>(
    c: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    collected(c, sql, read)
}

/// Rows of two columns.
fn pairs<A: FromSql, B: FromSql, C: FromIterator<(A, B)>>(
    c: &Connection,
    sql: &str,
) -> rusqlite::Result<C> {
    collected(c, sql, |r| Ok((r.get(0)?, r.get(1)?)))
}

fn collected<T, C: FromIterator<T>>(
    c: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    c.prepare(sql)?.query_map([], |row| read(row))?.collect()
}

fn faults(c: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults: Vec<String> = all(c, "PRAGMA integrity_check", |r| r.get(0))?;
    faults.retain(|fault| fault != "ok");
    let broken = |r: &Row<'_>| {
        Ok(format!(
            "a row of {} refers to nothing",
            r.get::<_, String>(0)?
        ))
    };
    faults.extend(all(c, "PRAGMA foreign_key_check", broken)?);
    Ok(faults)
}

fn operation(r: &Row<'_>) -> rusqlite::Result<Operation> {
    Ok(Operation {
        id: r.get(0)?,
        institution: r.get(1)?,
        kind: r.get(2)?,
        state: r.get(3)?,
        key: r.get(4)?,
        to_be_signed: r.get(5)?,
        expires_at: r.get(6)?,
        object: r.get(7)?,
        device: r.get(8)?,
        policy: r.get(9)?,
        begun_at: r.get(10)?,
        ended_at: r.get(11)?,
        artifact: r.get(12)?,
    })
}

fn order(r: &Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order {
        operation: r.get(0)?,
        institution: r.get(1)?,
        device: r.get(2)?,
        jti: r.get(3)?,
        jws: r.get(4)?,
        currency: r.get(5)?,
        minor: r.get(6)?,
        reserved_at: r.get(7)?,
    })
}

fn device(r: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: r.get(0)?,
        operation: r.get(1)?,
        issuer: r.get(2)?,
        issuer_key: r.get(3)?,
        subscriber: r.get(4)?,
        serial: r.get(5)?,
        not_after: r.get(6)?,
    })
}

fn revocation(r: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation {
        issuer_key: r.get(0)?,
        sequence: r.get(1)?,
        device: r.get(2)?,
        serial: r.get(3)?,
        not_after: r.get(4)?,
        revoked_at: r.get(5)?,
    })
}

fn crl(r: &Row<'_>) -> rusqlite::Result<Crl> {
    Ok(Crl {
        issuer_key: r.get(0)?,
        number: r.get(1)?,
        operation: r.get(2)?,
        revocations: r.get(3)?,
    })
}

fn new_keys(c: &Connection) -> rusqlite::Result<Vec<NewKey>> {
    let sql = "SELECT institution, request, purpose, key_id, public_key, operation FROM new_key";
    all(c, sql, |r| {
        Ok(NewKey {
            institution: r.get(0)?,
            request: r.get(1)?,
            purpose: r.get(2)?,
            key: r.get(3)?,
            public: r.get(4)?,
            operation: r.get(5)?,
        })
    })
}

fn document(r: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        institution: r.get(0)?,
        kind: r.get(1)?,
        version: r.get(2)?,
        bytes: r.get(3)?,
        loaded_at: r.get(4)?,
    })
}
