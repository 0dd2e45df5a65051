//! Owns the probe at start: that a token and its keys are what the configuration says, and safe to use.
//!
//! No trial signature is made: a real key signs recorded bytes only, and whoever asks for a signature verifies
//! it with the public key, every time, which shows more than one trial at start.

pub(super) mod key;

use std::path::Path;

use cryptoki::mechanism::MechanismType;
use cryptoki::slot::{Limit, Slot, TokenInfo};

use super::login::Login;
use super::module::{Access, Module, Session};
use super::refusal::Refusal;
use crate::hsm::failure::{Class, Failure};
use crate::hsm::report::{KeyReport, TokenReport};
use crate::hsm::{Key, Token};

/// A token that passed.
pub(super) struct Probed {
    pub(super) login: Login,
    pub(super) slot: Slot,
    pub(super) report: TokenReport,
}

/// How many sessions are asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Threads, with a session each.
    pub(super) threads: usize,
    /// Worker processes that share the token's sessions.
    pub(super) workers: u64,
}

/// Finds and probes `token`.
pub(super) fn probe(
    module: &Module,
    path: &Path,
    wanted: Wanted,
    token: Token,
) -> Result<Probed, Refusal> {
    let (slot, info) = find_slot(module, path, &token)?;
    let on = format!("token \"{}\" (slot {})", token.label, slot.id());
    let failed = |failure: Failure| call(&on, failure);
    let mechanisms = mechanisms(module, slot, &on)?;
    let session_limit = Option::<u64>::from(info.max_session_count());
    let threads = sessions(wanted, info.max_session_count(), &on)?;
    let access = access(module, slot).map_err(failed)?;
    let login = Login::new(slot, access, token.pin);
    let epoch = login.epoch();
    login.login(module, epoch).map_err(failed)?;
    let session = Session::open(module, slot, access).map_err(failed)?;
    let keys = probe_session(&session, &on, &token.keys);
    session.close();
    let keys = keys?;
    let library = library(module).map_err(|failure| call(&path.display().to_string(), failure))?;
    let report = TokenReport {
        institution: token.institution,
        module: path.to_owned(),
        library,
        slot: slot.id(),
        label: token.label,
        token: describe(&info),
        session_limit,
        threads,
        read_only: access == Access::ReadOnly,
        mechanisms,
        keys,
    };
    Ok(Probed {
        login,
        slot,
        report,
    })
}

pub(super) fn call(on: &str, failure: Failure) -> Refusal {
    Refusal::Call {
        on: on.to_owned(),
        failure,
    }
}

fn find_slot(module: &Module, path: &Path, token: &Token) -> Result<(Slot, TokenInfo), Refusal> {
    let on = path.display().to_string();
    let slots = module.raw().get_slots_with_token();
    let slots = slots.map_err(|error| call(&on, error.into()))?;
    let (mut matching, mut found) = (Vec::new(), Vec::new());
    for slot in slots {
        match module.raw().get_token_info(slot) {
            Ok(info) if !info.token_initialized() => {}
            Ok(info) if info.label() == token.label => matching.push((slot, info)),
            Ok(info) => found.push(info.label().to_owned()),
            Err(error) => {
                let fault = Failure::from(error).fault;
                found.push(format!("(slot {}: {fault})", slot.id()));
            }
        }
    }
    let several: Vec<u64> = matching.iter().map(|(slot, _)| slot.id()).collect();
    match matching.pop() {
        None => Err(Refusal::NoToken {
            module: on,
            institution: token.institution.clone(),
            label: token.label.clone(),
            found,
        }),
        Some(only) if matching.is_empty() => Ok(only),
        Some(_) => Err(Refusal::AmbiguousToken(token.label.clone(), several)),
    }
}

fn mechanisms(module: &Module, slot: Slot, on: &str) -> Result<Vec<String>, Refusal> {
    let listed = module.raw().get_mechanism_list(slot);
    let listed = listed.map_err(|error| call(on, error.into()))?;
    let signs = || {
        let info = module.raw().get_mechanism_info(slot, MechanismType::ECDSA);
        info.is_ok_and(|info| info.sign())
    };
    if !listed.contains(&MechanismType::ECDSA) || !signs() {
        return Err(Refusal::Mechanism { on: on.to_owned() });
    }
    Ok(listed.iter().map(ToString::to_string).collect())
}

/// The number of threads: the worker processes share the limit, and one session of each is the login's.
fn sessions(wanted: Wanted, limit: Limit, on: &str) -> Result<usize, Refusal> {
    let Some(limit) = Option::<u64>::from(limit) else {
        return Ok(wanted.threads);
    };
    let (workers, threads) = (wanted.workers.max(1), wanted.threads);
    match limit / workers {
        0 | 1 => Err(Refusal::Sessions {
            on: on.to_owned(),
            limit,
            needed: 2 * workers,
        }),
        share => Ok(usize::try_from(share - 1).map_or(threads, |free| threads.min(free))),
    }
}

/// Read-only, unless the module refuses to open such a session.
fn access(module: &Module, slot: Slot) -> Result<Access, Failure> {
    for access in [Access::ReadOnly, Access::ReadWrite] {
        match Session::open(module, slot, access) {
            Ok(session) => {
                session.close();
                return Ok(access);
            }
            Err(f) if access == Access::ReadOnly && f.class == Class::Reject => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Access::ReadWrite)
}

fn library(module: &Module) -> Result<String, Failure> {
    let info = module.raw().get_library_info()?;
    Ok(format!(
        "{}, {} {}, PKCS#11 {}",
        info.manufacturer_id(),
        info.library_description(),
        info.library_version(),
        info.cryptoki_version()
    ))
}

fn describe(info: &TokenInfo) -> String {
    format!(
        "{} {}, serial number {}, firmware {}",
        info.manufacturer_id(),
        info.model(),
        info.serial_number(),
        info.firmware_version()
    )
}

/// The part of the probe that needs the login.
fn probe_session(session: &Session, on: &str, keys: &[Key]) -> Result<Vec<KeyReport>, Refusal> {
    let draw = || session.random(16).map_err(|failure| call(on, failure));
    if draw()? == draw()? {
        return Err(Refusal::Random { on: on.to_owned() });
    }
    keys.iter()
        .map(|key| key::probe(session, on, key))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_of_the_limit_is_the_logins() {
        let shared = |limit, workers| {
            let wanted = Wanted {
                threads: 4,
                workers,
            };
            sessions(wanted, limit, "token").map_err(|e| e.to_string())
        };
        let threads = |limit| shared(limit, 1);
        assert_eq!(threads(Limit::Infinite), Ok(4));
        assert_eq!(threads(Limit::Unavailable), Ok(4));
        assert_eq!(threads(Limit::Max(5)), Ok(4));
        assert_eq!(threads(Limit::Max(4)), Ok(3));
        assert_eq!(threads(Limit::Max(2)), Ok(1));
        assert_eq!(shared(Limit::Max(10), 2), Ok(4));
        assert_eq!(shared(Limit::Max(7), 2), Ok(2));
        for (too_few, workers) in [(0, 1), (1, 1), (3, 2)] {
            let refused = shared(Limit::Max(too_few), workers);
            assert!(refused.is_err_and(|text| text.contains("ulMaxSessionCount")));
        }
    }
}
