//! Owns the life of a key (NIST SP 800-57 part 1 rev. 5 s7): one total function over what may happen to it.
//!
//! | in state | may be | and is then |
//! |---|---|---|
//! | pre-activation | activated when its time comes, called off before | active; pre-activation without a time |
//! | active | suspended, deactivated | suspended, deactivated |
//! | suspended | resumed, deactivated | active, deactivated |
//! | any but compromised and destroyed | marked compromised | compromised |
//! | deactivated, compromised, pre-activation without a time | destroyed, by schedule | destroyed when its time comes |
//!
//! Whatever is not in the table is refused. From destroyed nothing leads anywhere.

use super::operation::{Publication, Rotation};
use super::{DESTRUCTION_WINDOW, KEYS_OF_A_PURPOSE};
use crate::key::{KeyId, KeyState, Purpose};

const ROTATE: &str = "rotate-key";

/// What is done to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyOperation {
    /// It may not sign for now.
    Suspend,
    /// It may sign again.
    Resume,
    /// It may sign no more.
    Deactivate,
    /// Others may know it: it may sign no more, and what it signed is in doubt.
    MarkCompromised,
    /// Its private half is to be destroyed.
    ScheduleDestruction {
        /// When, in Unix seconds.
        at: u64,
    },
    /// It is not to be destroyed after all.
    CallOffDestruction,
}

impl KeyOperation {
    /// Its name in proposals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend-key",
            Self::Resume => "resume-key",
            Self::Deactivate => "deactivate-key",
            Self::MarkCompromised => "mark-compromised",
            Self::ScheduleDestruction { .. } => "schedule-destruction",
            Self::CallOffDestruction => "call-off-destruction",
        }
    }

    /// The operation with this name, of those that need no time.
    pub(super) fn named(word: &str) -> Option<Self> {
        let timeless = [
            Self::Suspend,
            Self::Resume,
            Self::Deactivate,
            Self::MarkCompromised,
            Self::CallOffDestruction,
        ];
        timeless.into_iter().find(|one| one.name() == word)
    }

    /// The time that it names.
    pub(super) const fn time(self) -> Option<u64> {
        match self {
            Self::ScheduleDestruction { at } => Some(at),
            _ => None,
        }
    }
}

/// Why something cannot be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleKeyChange {
    /// Not in this state.
    #[error("{operation} is not possible in state {state}")]
    State {
        /// The key's state.
        state: KeyState,
        /// What was asked for.
        operation: &'static str,
    },
    /// Its end is planned already.
    #[error("the key is to be deactivated at {at} already: call that rotation off first")]
    Retiring {
        /// When, in Unix seconds.
        at: u64,
    },
    /// It is to be destroyed already.
    #[error("the key is to be destroyed at {at} already")]
    Scheduled {
        /// When, in Unix seconds.
        at: u64,
    },
    /// There is nothing to call off.
    #[error("nothing is planned that {operation} could call off")]
    NothingPlanned {
        /// What was asked for.
        operation: &'static str,
    },
    /// Too little time to call a destruction off.
    #[error("the destruction must leave 7 days to call it off: at {earliest} or later")]
    TooSoon {
        /// The earliest time, in Unix seconds.
        earliest: u64,
    },
    /// As many keys of the purpose sign, or are to, as may.
    #[error("{KEYS_OF_A_PURPOSE} {} keys sign or are to sign: rotate or deactivate one of them", .0.name())]
    TooMany(Purpose),
    /// The new key stands there with another purpose.
    #[error("the key stands for {} already", .0.name())]
    Purpose(Purpose),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Usable,
    Suspended,
    Deactivated,
    Compromised,
}

/// When a key begins to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    /// With the ceremony.
    Ceremony,
    /// At a time, in the place of another key or beside the others.
    At { at: u64, replaces: Option<KeyId> },
    /// That was called off.
    CalledOff,
}

/// When a key may sign no more, and which key is there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retirement {
    at: u64,
    replaced_by: KeyId,
}

/// The life of one key so far, and what is planned for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLife {
    purpose: Purpose,
    certificate: Option<[u8; 32]>,
    phase: Phase,
    activation: Activation,
    retirement: Option<Retirement>,
    destruction_at: Option<u64>,
}

impl KeyLife {
    /// That of a key that the ceremony puts into use.
    pub fn of_ceremony(purpose: Purpose) -> Self {
        Self {
            purpose,
            certificate: None,
            phase: Phase::Usable,
            activation: Activation::Ceremony,
            retirement: None,
            destruction_at: None,
        }
    }

    /// What the key may sign.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// SHA-256 of the DER of its certificate, if a rotation or an addition named it. The ceremony names none.
    pub fn certificate(&self) -> Option<&[u8; 32]> {
        self.certificate.as_ref()
    }

    /// When it begins to sign; nothing for a key of the ceremony, and for one whose rotation or addition was called off.
    pub fn activates_at(&self) -> Option<u64> {
        match self.activation {
            Activation::At { at, .. } => Some(at),
            Activation::Ceremony | Activation::CalledOff => None,
        }
    }

    /// When it is deactivated because another replaces it.
    pub fn retires_at(&self) -> Option<u64> {
        self.retirement.map(|retirement| retirement.at)
    }

    /// When its private half is to be destroyed.
    pub fn destruction_at(&self) -> Option<u64> {
        self.destruction_at
    }

    /// Its state at `now`.
    pub fn state(&self, now: u64) -> KeyState {
        let reached = |time: Option<u64>| time.is_some_and(|time| time <= now);
        let retired = reached(self.retires_at());
        match self.phase {
            _ if reached(self.destruction_at) => KeyState::Destroyed,
            Phase::Compromised => KeyState::Compromised,
            Phase::Deactivated => KeyState::Deactivated,
            Phase::Usable | Phase::Suspended if retired => KeyState::Deactivated,
            Phase::Suspended => KeyState::Suspended,
            Phase::Usable if self.is_activated(now) => KeyState::Active,
            Phase::Usable => KeyState::PreActivation,
        }
    }

    fn is_activated(&self, now: u64) -> bool {
        match self.activation {
            Activation::Ceremony => true,
            Activation::At { at, .. } => at <= now,
            Activation::CalledOff => false,
        }
    }

    /// Its life after `operation` at `now`.
    pub fn after(&self, operation: KeyOperation, now: u64) -> Result<Self, ImpossibleKeyChange> {
        use KeyOperation as O;
        use KeyState as S;
        let state = self.state(now);
        match (operation, state) {
            (O::Suspend, S::Active) => Ok(self.in_phase(Phase::Suspended)),
            (O::Resume, S::Suspended) => Ok(self.in_phase(Phase::Usable)),
            (O::Deactivate, S::Active | S::Suspended) => Ok(self.in_phase(Phase::Deactivated)),
            (O::MarkCompromised, S::PreActivation | S::Active | S::Suspended | S::Deactivated) => {
                Ok(self.in_phase(Phase::Compromised))
            }
            (O::ScheduleDestruction { at }, S::Deactivated | S::Compromised) => {
                self.destroyed_at(at, now)
            }
            // SP 800-57 part 1 rev. 5 s7.1: what will not be needed is destroyed before it is ever activated.
            (O::ScheduleDestruction { at }, S::PreActivation)
                if self.activation == Activation::CalledOff =>
            {
                self.destroyed_at(at, now)
            }
            (O::CallOffDestruction, S::PreActivation | S::Deactivated | S::Compromised) => {
                self.spared()
            }
            (operation, state) => Err(ImpossibleKeyChange::State {
                state,
                operation: operation.name(),
            }),
        }
    }

    fn in_phase(&self, phase: Phase) -> Self {
        let mut changed = self.clone();
        changed.phase = phase;
        changed
    }

    fn destroyed_at(&self, at: u64, now: u64) -> Result<Self, ImpossibleKeyChange> {
        if let Some(at) = self.destruction_at {
            return Err(ImpossibleKeyChange::Scheduled { at });
        }
        let earliest = now.saturating_add(DESTRUCTION_WINDOW);
        if at < earliest {
            return Err(ImpossibleKeyChange::TooSoon { earliest });
        }
        let mut changed = self.clone();
        changed.destruction_at = Some(at);
        Ok(changed)
    }

    fn spared(&self) -> Result<Self, ImpossibleKeyChange> {
        let mut changed = self.clone();
        match changed.destruction_at.take() {
            Some(_) => Ok(changed),
            None => Err(ImpossibleKeyChange::NothingPlanned {
                operation: KeyOperation::CallOffDestruction.name(),
            }),
        }
    }

    /// That of a key from its publication at `now` on, by `operation`. `before` is its life so far: that of a key whose
    /// rotation or addition was called off.
    pub(super) fn published(
        before: Option<&Self>,
        publication: &Publication,
        purpose: Purpose,
        operation: &'static str,
        now: u64,
    ) -> Result<Self, ImpossibleKeyChange> {
        if let Some(before) = before {
            let unused = before.activation == Activation::CalledOff
                && before.phase == Phase::Usable
                && before.destruction_at.is_none();
            if !unused {
                return Err(before.refused_in_state(operation, now));
            }
            if before.purpose != purpose {
                return Err(ImpossibleKeyChange::Purpose(before.purpose));
            }
        }
        Ok(Self {
            certificate: Some(publication.certificate),
            // No key was active before the change that made it so.
            activation: Activation::At {
                at: publication.activate_at.max(now),
                replaces: publication.replaces,
            },
            ..Self::of_ceremony(purpose)
        })
    }

    /// Whether it signs at `now` or may come to sign later.
    pub(super) fn counts(&self, now: u64) -> bool {
        match self.state(now) {
            KeyState::PreActivation => self.activates_at().is_some(),
            KeyState::Active | KeyState::Suspended => true,
            KeyState::Deactivated | KeyState::Compromised | KeyState::Destroyed => false,
        }
    }

    /// That of the key from which a rotation goes: one that may sign retires in its time.
    pub(super) fn retiring(
        &self,
        rotation: &Rotation,
        now: u64,
    ) -> Result<Self, ImpossibleKeyChange> {
        let mut changed = self.clone();
        match (self.state(now), self.retires_at()) {
            (KeyState::Active | KeyState::Suspended, None) => {
                changed.retirement = Some(Retirement {
                    at: rotation.retire_at.max(now),
                    replaced_by: rotation.to,
                });
                Ok(changed)
            }
            (KeyState::Active | KeyState::Suspended, Some(at)) => {
                Err(ImpossibleKeyChange::Retiring { at })
            }
            (KeyState::Deactivated | KeyState::Compromised, _) => Ok(changed),
            (KeyState::PreActivation | KeyState::Destroyed, _) => {
                Err(self.refused_in_state(ROTATE, now))
            }
        }
    }

    /// Its life once it is not to be activated after all, and the key that it was to replace, if there is one.
    pub(super) fn called_off(
        &self,
        now: u64,
    ) -> Result<(Self, Option<KeyId>), ImpossibleKeyChange> {
        let operation = "call-off-rotation";
        match self.activation {
            Activation::At { at, replaces } if now < at => {
                let mut changed = self.clone();
                changed.activation = Activation::CalledOff;
                Ok((changed, replaces))
            }
            Activation::At { .. } => Err(self.refused_in_state(operation, now)),
            Activation::Ceremony | Activation::CalledOff => {
                Err(ImpossibleKeyChange::NothingPlanned { operation })
            }
        }
    }

    /// Its life once `by` does not replace it after all. What another key has ended stays ended.
    pub(super) fn staying(&self, by: KeyId) -> Self {
        let mut changed = self.clone();
        changed.retirement = self.retirement.filter(|planned| planned.replaced_by != by);
        changed
    }

    fn refused_in_state(&self, operation: &'static str, now: u64) -> ImpossibleKeyChange {
        ImpossibleKeyChange::State {
            state: self.state(now),
            operation,
        }
    }
}
