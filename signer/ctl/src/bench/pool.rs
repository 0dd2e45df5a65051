//! The phones of the load: enrolled ones that wait to be accepted, accepted ones that order in turn. Bounded, and pure:
//! times are counted from the start of the load.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// As many phones are kept at most; of more, the oldest are let go.
const PHONES: usize = 16_384;

/// The phones that are not under way.
#[derive(Debug)]
pub struct Pool<P> {
    enrolled: VecDeque<P>,
    ready: VecDeque<Held<P>>,
    /// By the moment from which they may order again; the number keeps two of the same moment apart.
    parked: BTreeMap<(Duration, u64), Held<P>>,
    parked_so_far: u64,
}

/// An accepted phone and how many orders are left to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Held<P> {
    /// The phone.
    pub phone: P,
    /// Its orders to come.
    pub left: u32,
}

/// What became of a phone's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The order counts, or may.
    Ordered,
    /// It was refused and does not count.
    Refused,
    /// The phone itself is to wait until this moment.
    Wait(Duration),
    /// The phone is of no use any more.
    Useless,
}

impl<P> Default for Pool<P> {
    fn default() -> Self {
        Self {
            enrolled: VecDeque::new(),
            ready: VecDeque::new(),
            parked: BTreeMap::new(),
            parked_so_far: 0,
        }
    }
}

impl<P> Pool<P> {
    /// A phone that was enrolled.
    pub fn enrolled(&mut self, phone: P) {
        if self.enrolled.len() >= PHONES {
            self.enrolled.pop_front();
        }
        self.enrolled.push_back(phone);
    }

    /// A phone to be accepted.
    pub fn take_enrolled(&mut self) -> Option<P> {
        self.enrolled.pop_front()
    }

    /// A phone that was accepted and has `left` orders to come.
    pub fn accepted(&mut self, phone: P, left: u32) {
        self.make_ready(Held { phone, left });
    }

    fn make_ready(&mut self, held: Held<P>) {
        if held.left == 0 {
            return;
        }
        if self.ready.len().saturating_add(self.parked.len()) >= PHONES {
            self.ready.pop_front();
        }
        self.ready.push_back(held);
    }

    /// The phone that has not ordered for longest, at `now`.
    pub fn take(&mut self, now: Duration) -> Option<Held<P>> {
        while let Some(first) = self.parked.first_entry()
            && first.key().0 <= now
        {
            self.ready.push_back(first.remove());
        }
        self.ready.pop_front()
    }

    /// A phone comes back from its order.
    pub fn give_back(&mut self, mut held: Held<P>, fate: Fate) {
        match fate {
            Fate::Ordered => {
                held.left = held.left.saturating_sub(1);
                self.make_ready(held);
            }
            Fate::Refused => self.make_ready(held),
            Fate::Wait(until) => {
                if self.ready.len().saturating_add(self.parked.len()) < PHONES {
                    self.parked_so_far = self.parked_so_far.saturating_add(1);
                    self.parked.insert((until, self.parked_so_far), held);
                }
            }
            Fate::Useless => {}
        }
    }

    /// A phone that was taken and did not order goes back to where it was.
    pub fn put_back(&mut self, held: Held<P>) {
        self.ready.push_front(held);
    }
}

/// Spreads the ends of the first phones, so that they do not all give out together: phone `number` of `phones` has this
/// many of `orders` to come.
#[must_use]
pub fn staggered(number: u32, phones: u32, orders: u32) -> u32 {
    let share = u64::from(orders).saturating_mul(u64::from(number).saturating_add(1));
    let left = share.div_ceil(u64::from(phones.max(1)));
    u32::try_from(left)
        .unwrap_or(orders)
        .clamp(1, orders.max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    #[test]
    fn phones_take_turns_and_give_out() {
        let mut pool = Pool::default();
        pool.accepted("a", 2);
        pool.accepted("b", 1);
        let mut ordered = Vec::new();
        while let Some(held) = pool.take(NOW) {
            ordered.push(held.phone);
            pool.give_back(held, Fate::Ordered);
        }
        assert_eq!(ordered, ["a", "b", "a"]);
    }

    #[test]
    fn a_refused_order_does_not_count_and_a_useless_phone_goes() {
        let mut pool = Pool::default();
        pool.accepted("a", 1);
        let held = pool.take(NOW).unwrap();
        pool.give_back(held, Fate::Refused);
        let held = pool.take(NOW).unwrap();
        assert_eq!((held.phone, held.left), ("a", 1));
        pool.give_back(held, Fate::Useless);
        assert_eq!(pool.take(NOW), None);
    }

    #[test]
    fn a_phone_that_must_wait_is_passed_over_until_then() {
        let mut pool = Pool::default();
        pool.accepted("a", 5);
        pool.accepted("b", 5);
        let held = pool.take(NOW).unwrap();
        pool.give_back(held, Fate::Wait(NOW + Duration::from_secs(2)));
        let held = pool.take(NOW).unwrap();
        assert_eq!(held.phone, "b");
        pool.give_back(held, Fate::Useless);
        assert_eq!(pool.take(NOW + Duration::from_secs(1)), None);
        assert_eq!(pool.take(NOW + Duration::from_secs(2)).unwrap().left, 5);
    }

    #[test]
    fn two_phones_of_one_moment_are_both_kept() {
        let mut pool = Pool::default();
        for name in ["a", "b"] {
            pool.give_back(
                Held {
                    phone: name,
                    left: 1,
                },
                Fate::Wait(NOW),
            );
        }
        assert!(pool.take(NOW).is_some() && pool.take(NOW).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let mut pool = Pool::default();
        for phone in 0..PHONES + 10 {
            pool.enrolled(phone);
            pool.accepted(phone, 1);
        }
        assert_eq!(pool.enrolled.len(), PHONES);
        assert_eq!(pool.ready.len(), PHONES);
        assert_eq!(pool.take(NOW).unwrap().phone, 10);
        assert_eq!(pool.take_enrolled(), Some(10));
        for phone in 0..10 {
            let held = Held { phone, left: 1 };
            pool.give_back(held, Fate::Wait(NOW));
        }
        assert!(pool.ready.len() + pool.parked.len() <= PHONES);
    }

    #[test]
    fn the_first_phones_end_one_after_the_other() {
        let ends: Vec<u32> = (0..4).map(|number| staggered(number, 4, 40)).collect();
        assert_eq!(ends, [10, 20, 30, 40]);
        assert_eq!(staggered(0, 100, 40), 1);
        assert_eq!(staggered(99, 100, 40), 40);
        assert_eq!(staggered(0, 1, 1), 1);
    }
}
