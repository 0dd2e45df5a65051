//! Owns how the domain's types stand in columns.

use std::{error::Error, str::FromStr};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use semops_pki::algorithm::PublicKey;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    domain::{
        change::{ChangeState, Enclosed},
        device::DeviceId,
        operation::Kind,
        outcome::State,
    },
    store::columns::Word,
};

pub(super) use crate::store::columns::{Count, Named, ReasonCode, Sec1, Text};

impl FromSql for Sec1 {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        PublicKey::from_sec1(value.as_blob()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self::from_micros)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.micros().into())
    }
}

impl FromSql for DeviceId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|octets| Uuid::from_bytes(octets).into())
    }
}

impl ToSql for DeviceId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.uuid().into_bytes().to_vec().into())
    }
}

/// Reads types that stand in their columns as words.
macro_rules! words {
    ($($type:ty),*) => {
        $(impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                word(value)
            }
        })*
    };
}

words!(State, Kind, ChangeState, Enclosed);

impl<T: Word> FromSql for Named<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        word(value).map(Self)
    }
}

fn word<T: Word>(value: ValueRef<'_>) -> FromSqlResult<T> {
    T::of(value.as_str()?).ok_or(FromSqlError::InvalidType)
}

impl<T: FromStr<Err: Error + Send + Sync + 'static>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value
            .as_str()?
            .parse()
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        u64::try_from(number)
            .map(Self)
            .map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(number.into())
    }
}

impl FromSql for ReasonCode {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        Self::of(number).ok_or(FromSqlError::OutOfRange(number))
    }
}

impl ToSql for ReasonCode {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.code().into())
    }
}
