//! A rule: which calls it disturbs, how often, and how; read strictly from its table.

use std::{fmt, time::Duration};

use cryptoki_sys::{CK_FLAGS, CK_RV, CK_ULONG};
use serde::Deserialize;

use crate::{calls::NAMES, codes};

/// A rule that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// CKA_LABEL of the token; any, if there is none.
    pub(crate) token: Option<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) count: Count,
    pub(crate) effect: Effect,
}

/// Which of the calls that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Always,
    /// The first so many that the log will have, of whatever process.
    First(usize),
    /// One in so many.
    Every(u64),
    /// All but the first so many.
    After(u64),
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Return(String, CK_RV),
    Delay(Duration),
    Hang,
    Drop(Whose),
    LogOut,
    Abort,
    Pass,
    Signature(Wrong),
    Remove,
    MaxSessions(CK_ULONG),
    Flags(CK_FLAGS),
}

/// Whose session is dropped.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whose {
    Session,
    Token,
}

/// How a signature is wrong. It always has the right length.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wrong {
    Bit,
    Zero,
    Other,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    name: String,
    token: Option<String>,
    #[serde(default)]
    calls: Vec<String>,
    first: Option<usize>,
    every: Option<u64>,
    after: Option<u64>,
    effect: Written,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Return(String),
    #[serde(rename = "delay_ms")]
    Delay(u64),
    Hang,
    Drop(Whose),
    LogOut,
    Abort,
    Pass,
    Signature(Wrong),
    Remove,
    #[serde(rename = "max_sessions")]
    MaxSessions(u32),
    Flags(Vec<String>),
}

impl Rule {
    /// The rule of a table, or what is wrong with it.
    pub(crate) fn of(table: Table) -> Result<Self, String> {
        let name = table.name.clone();
        Self::sensible(table).map_err(|mistake| format!("fault \"{name}\": {mistake}"))
    }

    fn sensible(table: Table) -> Result<Self, String> {
        let fits =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        if !(1..=40).contains(&table.name.len()) || !table.name.bytes().all(fits) {
            return Err("`name` is not 1-40 of a-z 0-9 -".to_owned());
        }
        let count = match (table.first, table.every, table.after) {
            (None, None, None) => Count::Always,
            (Some(first @ 1..), None, None) => Count::First(first),
            (None, Some(every @ 1..), None) => Count::Every(every),
            (None, None, Some(after @ 1..)) => Count::After(after),
            _ => return Err("takes one of `first`, `every`, `after`, at least 1".to_owned()),
        };
        let effect = Effect::of(table.effect)?;
        if effect.is_state() && count != Count::Always {
            return Err("a state has no count".to_owned());
        }
        match effect.is_state() || matches!(effect, Effect::Signature(_)) {
            true if !table.calls.is_empty() => return Err("this effect has no `calls`".to_owned()),
            false if table.calls.is_empty() => return Err("`calls` names no call".to_owned()),
            _ => {}
        }
        if let Some(unknown) = table
            .calls
            .iter()
            .find(|call| !NAMES.contains(&call.as_str()))
        {
            return Err(format!("{unknown} is no function of PKCS#11 v2.40"));
        }
        let Table {
            name, token, calls, ..
        } = table;
        Ok(Self {
            name,
            token,
            calls,
            count,
            effect,
        })
    }

    /// Whether it is about this call of this token.
    pub(crate) fn is_about(&self, call: &str, token: Option<&str>) -> bool {
        self.is_of(token) && self.calls.iter().any(|named| named == call)
    }

    /// Whether it is about this token.
    pub(crate) fn is_of(&self, token: Option<&str>) -> bool {
        self.token
            .as_deref()
            .is_none_or(|label| token == Some(label))
    }
}

impl Effect {
    fn of(written: Written) -> Result<Self, String> {
        Ok(match written {
            Written::Return(name) => {
                let code = codes::code(&name)
                    .ok_or_else(|| format!("{name} is no error of PKCS#11 (CKR_...)"))?;
                Self::Return(name, code)
            }
            Written::Delay(milliseconds) => Self::Delay(Duration::from_millis(milliseconds)),
            Written::Hang => Self::Hang,
            Written::Drop(whose) => Self::Drop(whose),
            Written::LogOut => Self::LogOut,
            Written::Abort => Self::Abort,
            Written::Pass => Self::Pass,
            Written::Signature(wrong) => Self::Signature(wrong),
            Written::Remove => Self::Remove,
            Written::MaxSessions(most) => Self::MaxSessions(most.into()),
            Written::Flags(names) => {
                let mut flags = 0;
                for name in names {
                    flags |= codes::flag(&name)
                        .ok_or_else(|| format!("{name} is no flag that can be shown (CKF_...)"))?;
                }
                Self::Flags(flags)
            }
        })
    }

    /// Whether it lasts for as long as the rule stands there.
    fn is_state(&self) -> bool {
        matches!(self, Self::Remove | Self::MaxSessions(_) | Self::Flags(_))
    }
}

/// As it stands in the log.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return(name, _) => write!(f, "return {name}"),
            Self::Delay(time) => write!(f, "delay {} ms", time.as_millis()),
            Self::Hang => f.write_str("hang"),
            Self::Drop(Whose::Session) => f.write_str("drop session"),
            Self::Drop(Whose::Token) => f.write_str("drop token"),
            Self::LogOut => f.write_str("log-out"),
            Self::Abort => f.write_str("abort"),
            Self::Pass => f.write_str("pass"),
            Self::Signature(Wrong::Bit) => f.write_str("signature bit"),
            Self::Signature(Wrong::Zero) => f.write_str("signature zero"),
            Self::Signature(Wrong::Other) => f.write_str("signature other"),
            Self::Remove => f.write_str("remove"),
            Self::MaxSessions(most) => write!(f, "max_sessions {most}"),
            Self::Flags(flags) => write!(f, "flags 0x{flags:x}"),
        }
    }
}
