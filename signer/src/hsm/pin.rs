//! Owns the change of a token's PIN while the service runs: the new one is tried once, in a worker process that serves
//! nobody. If the token takes it, the worker processes give way one after the other to such as are told the new one.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use semops_objects::institution::InstitutionId;

use super::error::{Fault, WORKER};
use super::failure::Class;
use super::place::Place;
use super::process::Process;
use super::supervisor::{NoStart, begun};
use super::token::TokenPool;
use super::wire::LONGEST;
use super::{Settings, Token};

/// How often it is looked at whether all worker processes are replaced.
const TICK: Duration = Duration::from_millis(20);
/// The longest that is waited for it; they are replaced all the same.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to change the PINs of the tokens.
#[derive(Clone)]
pub struct Pins {
    pub(super) tokens: Arc<[Arc<TokenPool>]>,
    pub(super) settings: Arc<Settings>,
}

/// What became of a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPin {
    /// It is the one in use.
    Same,
    /// The token takes it, and all worker processes know no other.
    Taken,
    /// The token takes it; some worker processes are not replaced yet.
    Spreading,
}

/// Why the PIN in use stays.
#[derive(Debug, thiserror::Error)]
pub enum PinRefused {
    /// There is no such token.
    #[error("the service was started without this token")]
    NoToken,
    /// Nothing is tried with the token any more.
    #[error(
        "the token serves no more until the service is started again, and the start sends this PIN"
    )]
    Over,
    /// The token refused it before.
    #[error("the token has refused this PIN before, and it is not sent again")]
    Before,
    /// The token refuses it.
    #[error("{0}; it is not sent again")]
    ByToken(Fault),
    /// It could not be tried.
    #[error("it could not be tried: {0}")]
    Untried(String),
}

impl Pins {
    /// Changes the PIN of a token to `pin`, which the token has already. Blocks.
    ///
    /// # Errors
    /// [`PinRefused`]: the service goes on as it was.
    pub fn change(
        &self,
        institution: &InstitutionId,
        label: &str,
        pin: SecretString,
    ) -> Result<NewPin, PinRefused> {
        let mut tokens = self.tokens.iter();
        let is_meant = |token: &&Arc<TokenPool>| {
            token.institution == *institution && token.told.token().label == label
        };
        let token = tokens.find(is_meant).ok_or(PinRefused::NoToken)?;
        // No other process is started meanwhile: it would send the one or the other.
        let starting = token.starting.lock();
        let starting = starting.unwrap_or_else(PoisonError::into_inner);
        if token.told.has_pin(&pin) {
            return Ok(NewPin::Same);
        }
        if token.told.has_refused(&pin) {
            return Err(PinRefused::Before);
        }
        if token.is_over() {
            return Err(PinRefused::Over);
        }
        self.try_once(token, &pin)?;
        token.told.change_pin(pin);
        drop(starting);
        Ok(token.spread())
    }

    fn try_once(&self, token: &TokenPool, pin: &SecretString) -> Result<(), PinRefused> {
        // One session more is as few as there can be.
        let settings = Settings {
            threads: 1,
            ..Settings::clone(&self.settings)
        };
        let trial = Token {
            pin: pin.clone(),
            ..Token::clone(&token.told.token())
        };
        let started = Process::start(&settings, &trial, TICK).map_err(NoStart::Process);
        let mut buffer = vec![0; LONGEST];
        let tried = started.and_then(|process| begun(process, &mut buffer, || token.is_stopping()));
        let tried = tried.and_then(|(process, begun)| {
            let report = begun.report(&trial, &settings);
            process.leave();
            report.map_err(NoStart::said)
        });
        let Err(no) = tried else {
            return Ok(());
        };
        match no.failure() {
            Some(failure) if failure.class == Class::Fatal => {
                token.told.refuse_pin(pin.clone());
                Err(PinRefused::ByToken(failure.fault))
            }
            Some(failure) => Err(PinRefused::Untried(failure.fault.to_string())),
            None => Err(PinRefused::Untried("the service ends".to_owned())),
        }
    }
}

impl TokenPool {
    /// What the worker process that is started at `place` now is told.
    pub(super) fn told_at(&self, place: usize) -> Arc<Token> {
        let (token, pin) = self.told.numbered();
        if let Some(place) = self.state().places.get_mut(place) {
            place.pin = pin;
        }
        token
    }

    /// Has the process at `place` do what it is at and end then, if it was told an earlier PIN and is the next to give way:
    /// one at a time, so that the others go on meanwhile.
    pub(super) fn gives_way(&self, place: usize) -> bool {
        let pin = self.told.pin();
        let mut state = self.state();
        let next = state.places.iter().position(|one| one.pin != pin);
        let mut before = state.places.iter().take(place);
        if next != Some(place) || !before.all(Place::serves) {
            return false;
        }
        if let Some(place) = state.places.get_mut(place) {
            place.close();
        }
        true
    }

    /// The process at `place` has given way.
    pub(super) fn gave_way(&self, place: usize) {
        let fault = Fault::new(WORKER, "is being replaced by one that is told the new PIN");
        self.vacated(place, &fault);
    }

    /// Waits until every process was told the PIN.
    fn spread(&self) -> NewPin {
        let end = Instant::now() + PATIENCE;
        let pin = self.told.pin();
        let serves = |place: &Place| place.serves() && place.pin == pin;
        while Instant::now() < end && !self.is_over() {
            if self.state().places.iter().all(serves) {
                return NewPin::Taken;
            }
            thread::sleep(TICK);
        }
        NewPin::Spreading
    }
}
