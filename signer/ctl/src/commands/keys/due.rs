//! What happens to a key next, how much it has left to sign, and which purposes want a rotation before long. Pure.

use semops_objects::key::Purpose;
use semops_proto::v1::{self, KeyPurpose, KeyState};

use crate::output::{text::date, utc};

/// How long before the end of a cryptoperiod a successor is to be planned, seconds: as the service's alert has it.
fn notice(purpose: KeyPurpose) -> i64 {
    let of = PURPOSES.into_iter().find(|(sent, _)| *sent == purpose);
    of.map_or(0, |(_, purpose)| {
        i64::from(purpose.notice_days()).saturating_mul(86_400)
    })
}

const PURPOSES: [(KeyPurpose, Purpose); 6] = [
    (KeyPurpose::DeviceCa, Purpose::DeviceCa),
    (KeyPurpose::SigningCa, Purpose::SigningCa),
    (KeyPurpose::Authorization, Purpose::Authorization),
    (KeyPurpose::Ocsp, Purpose::Ocsp),
    (KeyPurpose::Audit, Purpose::Audit),
    (KeyPurpose::Statement, Purpose::Statement),
];

/// What happens to a key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// In a word or two.
    pub(super) what: &'static str,
    /// Unix seconds.
    pub(super) at: i64,
}

impl Due {
    /// The next one; nothing if all that is planned is past.
    pub(super) fn next(key: &v1::Key, now: i64) -> Option<Self> {
        let due = |what, at: Option<i64>| at.map(|at| Self { what, at });
        let destroyed = due(DESTROYED, key.destruction_at);
        let planned = match key.state() {
            KeyState::PreActivation => [due("activates", key.activates_at), destroyed],
            KeyState::Active | KeyState::Suspended => [
                due("retires", key.retires_at),
                due(SIGNS_UNTIL, key.signs_until),
            ],
            KeyState::Deactivated | KeyState::Compromised => [destroyed, None],
            KeyState::Destroyed | KeyState::Unspecified => [None, None],
        };
        let ahead = planned.into_iter().flatten().filter(|due| now < due.at);
        ahead.min_by_key(|due| due.at)
    }

    /// A moment that somebody chose is told to the second.
    pub(super) fn text(self) -> String {
        let at = match self.what {
            SIGNS_UNTIL => date(self.at),
            _ => utc(self.at),
        };
        format!("{} {at}", self.what)
    }
}

const DESTROYED: &str = "destroyed";
const SIGNS_UNTIL: &str = "signs until";

/// How many objects it may sign yet, if its lifetime is limited.
pub(super) fn left(key: &v1::Key) -> Option<u64> {
    let most = key.lifetime_signatures?;
    Some(most.saturating_sub(key.signatures))
}

/// Whether it has signed nine tenths of what it may, as the service's alert has it.
fn is_worn(key: &v1::Key) -> bool {
    let most = key.lifetime_signatures;
    most.zip(left(key))
        .is_some_and(|(most, left)| left <= most / 10)
}

/// The purposes whose keys all end within the notice, or are worn.
pub(super) fn to_rotate<'a>(
    keys: impl Iterator<Item = &'a v1::Key> + Clone,
    now: i64,
) -> Vec<KeyPurpose> {
    let lasts = |key: &v1::Key| {
        let last = last(key).is_some_and(|last| now.saturating_add(notice(key.purpose())) < last);
        last && !is_worn(key)
    };
    let is_due = |purpose: &KeyPurpose| {
        let mut of = keys.clone().filter(|key| key.purpose() == *purpose);
        of.clone().any(is_in_use) && !of.any(lasts)
    };
    let purposes = PURPOSES.into_iter().map(|(sent, _)| sent);
    purposes.filter(is_due).collect()
}

/// Whether it may sign, or might if it were resumed.
pub(super) fn is_in_use(key: &v1::Key) -> bool {
    matches!(key.state(), KeyState::Active | KeyState::Suspended)
}

/// When a key that signs now, or that a change has taken up, signs no more.
fn last(key: &v1::Key) -> Option<i64> {
    let planned = key.state() == KeyState::PreActivation && key.activates_at.is_some();
    if !planned && !is_in_use(key) {
        return None;
    }
    let ends = [key.retires_at, key.signs_until];
    ends.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn key(state: KeyState, days: i64) -> v1::Key {
        v1::Key {
            purpose: KeyPurpose::Authorization.into(),
            state: state.into(),
            signs_until: Some(NOW + days * DAY),
            ..v1::Key::default()
        }
    }

    fn next(key: &v1::Key) -> Option<(&'static str, i64)> {
        Due::next(key, NOW).map(|due| (due.what, due.at))
    }

    #[test]
    fn what_comes_first_is_due() {
        let active = key(KeyState::Active, 5);
        assert_eq!(next(&active), Some(("signs until", NOW + 5 * DAY)));
        for (at, expected) in [
            (NOW + 1, ("retires", NOW + 1)),
            (NOW + 6 * DAY, ("signs until", NOW + 5 * DAY)),
        ] {
            let retires_at = Some(at);
            let retiring = v1::Key {
                retires_at,
                ..active.clone()
            };
            assert_eq!(next(&retiring), Some(expected));
        }
        let waiting = key(KeyState::PreActivation, 5);
        assert_eq!(next(&waiting), None);
        let activates_at = Some(NOW + 7);
        let planned = v1::Key {
            activates_at,
            ..waiting
        };
        assert_eq!(next(&planned), Some(("activates", NOW + 7)));
        let old = key(KeyState::Deactivated, -1);
        assert_eq!(next(&old), None);
        let destruction_at = Some(NOW + DAY);
        let scheduled = v1::Key {
            destruction_at,
            ..old
        };
        assert_eq!(next(&scheduled), Some(("destroyed", NOW + DAY)));
        let past = v1::Key {
            destruction_at: Some(NOW),
            ..key(KeyState::Compromised, 5)
        };
        assert_eq!(next(&past), None);
    }

    #[test]
    fn each_purpose_has_its_notice() {
        let due = |purpose: KeyPurpose, days| {
            let key = v1::Key {
                purpose: purpose.into(),
                ..key(KeyState::Active, days)
            };
            to_rotate([&key].into_iter(), NOW)
        };
        for (sent, purpose) in PURPOSES {
            assert_eq!(
                format!(
                    "KEY_PURPOSE_{}",
                    purpose.name().replace('-', "_").to_ascii_uppercase()
                ),
                sent.as_str_name()
            );
            let notice = i64::from(purpose.notice_days());
            assert_eq!(due(sent, notice), [sent]);
            assert_eq!(due(sent, notice + 1), []);
        }
        assert_eq!(PURPOSES.map(|(_, purpose)| purpose), Purpose::ALL);
    }

    #[test]
    fn a_purpose_without_a_key_past_the_notice_is_to_be_rotated() {
        let is_due = |keys: &[v1::Key]| {
            let due = to_rotate(keys.iter(), NOW);
            assert!(due.iter().all(|one| *one == KeyPurpose::Authorization));
            !due.is_empty()
        };
        let [short, long] = [60, 61].map(|days| key(KeyState::Active, days));
        let made = key(KeyState::PreActivation, 700);
        let activates_at = Some(NOW + DAY);
        let planned = v1::Key {
            activates_at,
            ..made.clone()
        };
        let retires_at = Some(NOW + DAY);
        let retiring = v1::Key {
            retires_at,
            ..long.clone()
        };
        assert!(is_due(std::slice::from_ref(&short)) && !is_due(std::slice::from_ref(&long)));
        // Made is not planned; a key that is over needs no successor.
        assert!(is_due(&[short.clone(), made.clone()]));
        assert!(!is_due(&[short.clone(), planned]));
        assert!(!is_due(&[short.clone(), key(KeyState::Suspended, 700)]));
        assert!(is_due(&[retiring]));
        assert!(!is_due(&[key(KeyState::Deactivated, 5), made]));
        let of = |signatures| v1::Key {
            lifetime_signatures: Some(100),
            signatures,
            ..long.clone()
        };
        assert_eq!(
            [89, 90, 101].map(|signed| left(&of(signed))),
            [11, 10, 0].map(Some)
        );
        assert!(!is_due(&[of(89)]) && is_due(&[of(90)]) && is_due(&[of(101)]));
        assert!(!is_due(&[of(90), long.clone()]));
        let device_ca = v1::Key {
            purpose: KeyPurpose::DeviceCa.into(),
            ..long
        };
        assert!(is_due(&[short, device_ca]));
    }
}
