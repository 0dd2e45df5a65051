//! Owns how the domain's types are read from PostgreSQL's columns.

use std::{error::Error, str::FromStr};

use semops_pki::algorithm::PublicKey;
use tokio_postgres::types::{FromSql, Type};
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

type Read<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// Octets of a known number.
pub(super) struct Octets<const N: usize>(pub(super) [u8; N]);

/// Reads a type through another that PostgreSQL's crate knows.
macro_rules! read_through {
    ($($type:ty: $inner:ty => $read:expr),* $(,)?) => {
        $(impl<'a> FromSql<'a> for $type {
            fn from_sql(column: &Type, raw: &'a [u8]) -> Read<Self> {
                let read: fn($inner) -> Read<Self> = $read;
                read(<$inner>::from_sql(column, raw)?)
            }

            fn accepts(column: &Type) -> bool {
                <$inner as FromSql>::accepts(column)
            }
        })*
    };
}

read_through! {
    Timestamp: i64 => |micros| Ok(Self::from_micros(micros)),
    DeviceId: Uuid => |uuid| Ok(uuid.into()),
    ChangeState: &str => word,
    Enclosed: &str => word,
    State: &str => word,
    Kind: &str => word,
    Sec1: &[u8] => |point| Ok(Self(PublicKey::from_sec1(point)?)),
    Count: i64 => |number| Ok(Self(number.try_into()?)),
    ReasonCode: i64 => |code| Self::of(code).ok_or_else(|| format!("{code} is no CRLReason").into()),
}

fn word<T: Word>(word: &str) -> Read<T> {
    T::of(word).ok_or_else(|| format!("{word:?} is not one of its words").into())
}

impl<'a, T: Word> FromSql<'a> for Named<T> {
    fn from_sql(column: &Type, raw: &'a [u8]) -> Read<Self> {
        word(<&str>::from_sql(column, raw)?).map(Self)
    }

    fn accepts(column: &Type) -> bool {
        <&str as FromSql>::accepts(column)
    }
}

impl<'a, const N: usize> FromSql<'a> for Octets<N> {
    fn from_sql(column: &Type, raw: &'a [u8]) -> Read<Self> {
        Ok(Self(<&[u8]>::from_sql(column, raw)?.try_into()?))
    }

    fn accepts(column: &Type) -> bool {
        <&[u8] as FromSql>::accepts(column)
    }
}

impl<'a, T: FromStr<Err: Error + Send + Sync + 'static>> FromSql<'a> for Text<T> {
    fn from_sql(column: &Type, raw: &'a [u8]) -> Read<Self> {
        Ok(Self(<&str>::from_sql(column, raw)?.parse()?))
    }

    fn accepts(column: &Type) -> bool {
        <&str as FromSql>::accepts(column)
    }
}
