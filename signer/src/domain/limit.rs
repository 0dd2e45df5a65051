//! Owns the words of rate limits: a window, the limits of an institution, and whose a limit is. Data alone: `limits` keeps
//! count, and may forget. Money limits are promises and are elsewhere, in the record.

use std::{fmt, num::NonZeroU32, time::Duration};

use semops_objects::institution::InstitutionId;

use crate::domain::{actor::SpiffeId, device::DeviceId};

/// The most windows of one scope.
pub const MAX_WINDOWS: usize = 4;
/// The longest that a whole burst may take to come back. A longer limit is not one for memory that may forget.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
const MAX_BURST: u64 = 1_000_000;
const MAX_REQUESTS: u64 = 1_000_000;
const MAX_SECONDS: u64 = 86_400;
const MAX_IN_FLIGHT: u64 = 4_096;

/// Lets `burst` requests through at once and gives `requests` of them back per `seconds`, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    burst: NonZeroU32,
    requests: NonZeroU32,
    seconds: NonZeroU32,
}

/// Why numbers are no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// One of them is out of range.
    #[error("{name} = {value}: from 1 to {most}")]
    Range {
        /// Which.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The most that it may be.
        most: u64,
    },
    /// Together they give a burst back too slowly.
    #[error("a burst takes more than 31 days to come back: lower burst or raise requests")]
    Slow,
}

impl Window {
    /// The window of these numbers.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(burst: u64, requests: u64, seconds: u64) -> Result<Self, Vec<BadWindow>> {
        let mut bad = Vec::new();
        let mut within = |name, value: u64, most| {
            let number = u32::try_from(value).ok().and_then(NonZeroU32::new);
            let number = number.filter(|_| value <= most);
            if number.is_none() {
                bad.push(BadWindow::Range { name, value, most });
            }
            number
        };
        let burst = within("burst", burst, MAX_BURST);
        let requests = within("requests", requests, MAX_REQUESTS);
        let seconds = within("seconds", seconds, MAX_SECONDS);
        let (Some(burst), Some(requests), Some(seconds)) = (burst, requests, seconds) else {
            return Err(bad);
        };
        let window = Self {
            burst,
            requests,
            seconds,
        };
        if window.interval() > LONGEST / burst.get() {
            return Err(vec![BadWindow::Slow]);
        }
        Ok(window)
    }

    /// How many it lets through at once.
    pub const fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// How many it gives back in its seconds.
    pub const fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// In which time, seconds.
    pub const fn seconds(self) -> NonZeroU32 {
        self.seconds
    }

    /// From one request given back to the next, to the nanosecond above: it never gives back more than it says.
    pub fn interval(self) -> Duration {
        let nanos = u64::from(self.seconds.get()).saturating_mul(1_000_000_000);
        Duration::from_nanos(nanos.div_ceil(u64::from(self.requests.get())))
    }

    /// For the constants below.
    #[expect(
        clippy::unwrap_used,
        reason = "evaluated when it is compiled: a zero does not compile"
    )]
    const fn known(burst: u32, requests: u32, seconds: u32) -> Self {
        Self {
            burst: NonZeroU32::new(burst).unwrap(),
            requests: NonZeroU32::new(requests).unwrap(),
            seconds: NonZeroU32::new(seconds).unwrap(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (burst, requests, seconds) = (self.burst, self.requests, self.seconds);
        write!(
            f,
            "{burst} at once, of which {requests} come back in {seconds} s"
        )
    }
}

/// One to four windows. A request passes if it passes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    first: Window,
    others: [Option<Window>; MAX_WINDOWS - 1],
}

/// A scope has one to four windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} windows: from 1 to {MAX_WINDOWS}")]
pub struct BadWindows(usize);

impl Windows {
    /// These windows together.
    ///
    /// # Errors
    /// They are none, or too many.
    pub fn new(windows: &[Window]) -> Result<Self, BadWindows> {
        let bad = || BadWindows(windows.len());
        let (first, rest) = windows.split_first().ok_or_else(bad)?;
        let mut others = [None; MAX_WINDOWS - 1];
        if rest.len() > others.len() {
            return Err(bad());
        }
        for (place, window) in others.iter_mut().zip(rest) {
            *place = Some(*window);
        }
        Ok(Self {
            first: *first,
            others,
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Window> {
        std::iter::once(self.first).chain(self.others.into_iter().flatten())
    }
}

/// A number of requests under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight(u32);

impl InFlight {
    /// So many.
    ///
    /// # Errors
    /// They are none, or too many.
    pub fn new(value: u64) -> Result<Self, BadWindow> {
        let number = u32::try_from(value).ok();
        let number = number.filter(|_| (1..=MAX_IN_FLIGHT).contains(&value));
        number.map(Self).ok_or(BadWindow::Range {
            name: "in_flight",
            value,
            most: MAX_IN_FLIGHT,
        })
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What an institution and those who call for it may ask for, as its policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// How many requests of the institution may be under way at a time.
    pub in_flight: InFlight,
    /// All requests of all its callers together.
    pub institution: Windows,
    /// The requests of each caller.
    pub caller: Windows,
    /// The new orders of each device.
    pub device: Windows,
}

impl RateLimits {
    /// Those of a policy that names none.
    pub const DEFAULT: Self = Self {
        in_flight: InFlight(256),
        institution: Windows {
            first: Window::known(2_000, 1_000, 1),
            others: [None; MAX_WINDOWS - 1],
        },
        caller: Windows {
            first: Window::known(1_000, 500, 1),
            others: [None; MAX_WINDOWS - 1],
        },
        device: Windows {
            first: Window::known(5, 1, 2),
            others: [Some(Window::known(60, 60, 3_600)), None, None],
        },
    };
}

/// What strangers may ask for over plain HTTP, all together: what could tell one from another, each could change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicLimits {
    /// How many requests may be under way at a time.
    pub in_flight: InFlight,
    /// All requests.
    pub windows: Windows,
}

impl PublicLimits {
    /// Below those of an institution: what strangers ask for has been signed and is kept by caches.
    pub const DEFAULT: Self = Self {
        in_flight: InFlight(32),
        windows: Windows {
            first: Window::known(400, 200, 1),
            others: [None; MAX_WINDOWS - 1],
        },
    };
}

/// Whose limit it is; an identity that was authenticated, or proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All strangers together.
    Public,
    /// An institution, over all its callers.
    Institution(InstitutionId),
    /// One caller.
    Caller(SpiffeId),
    /// One device's new orders to one institution.
    Device(DeviceId),
}

impl Scope {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Institution(_) => "institution",
            Self::Caller(_) => "caller",
            Self::Device(_) => "device",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Public => f.write_str(kind),
            Self::Institution(id) => write!(f, "{kind}:{id}"),
            Self::Caller(id) => write!(f, "{kind}:{id}"),
            Self::Device(id) => write!(f, "{kind}:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_window_has_its_ranges_and_tells_every_mistake() {
        assert!(Window::new(MAX_BURST, MAX_REQUESTS, 1).is_ok());
        assert!(Window::new(1, 1, MAX_SECONDS).is_ok());
        let range = |name, value, most| BadWindow::Range { name, value, most };
        assert_eq!(
            Window::new(0, 1_000_001, u64::MAX),
            Err(vec![
                range("burst", 0, 1_000_000),
                range("requests", 1_000_001, 1_000_000),
                range("seconds", u64::MAX, 86_400)
            ])
        );
        assert!(Window::new(31, 1, 86_400).is_ok());
        assert_eq!(Window::new(32, 1, 86_400), Err(vec![BadWindow::Slow]));
    }

    #[test]
    fn what_comes_back_is_never_more_than_said() {
        let window = Window::new(1, 3, 1).unwrap();
        assert_eq!(window.interval(), Duration::from_nanos(333_333_334));
        assert!(window.interval() * 3 >= Duration::from_secs(1));
    }

    #[test]
    fn one_to_four_windows() {
        let window = Window::new(1, 1, 1).unwrap();
        assert_eq!(Windows::new(&[]), Err(BadWindows(0)));
        assert_eq!(Windows::new(&[window; 5]), Err(BadWindows(5)));
        for count in 1..=MAX_WINDOWS {
            let windows = Windows::new(&vec![window; count]).unwrap();
            assert_eq!(windows.iter().count(), count);
        }
    }

    #[test]
    fn the_defaults_are_windows_that_a_policy_could_name() {
        let d = RateLimits::DEFAULT;
        let all = [
            d.institution,
            d.caller,
            d.device,
            PublicLimits::DEFAULT.windows,
        ];
        for window in all.iter().flat_map(Windows::iter) {
            let [burst, requests, seconds] =
                [window.burst, window.requests, window.seconds].map(|n| u64::from(n.get()));
            assert_eq!(Window::new(burst, requests, seconds), Ok(window));
        }
        assert_eq!(InFlight::new(256), Ok(d.in_flight));
        assert!(InFlight::new(0).is_err() && InFlight::new(4_097).is_err());
    }
}
