//! When one reader that follows its requesters is not enough. Pure.
//!
//! - It *starves*: it could run and does not, because the processors are busy with others.
//! - It is *full*: it runs all the time.
//!
//! Then all readers read for a while, as normal threads; longer each time that this comes again soon.

use std::time::Duration;

/// Looks in a row that must say the same.
const STARVED_LOOKS: u32 = 2;
const FULL_LOOKS: u32 = 5;
/// How long all read: at first, and at most.
const HOLD_MIN: Duration = Duration::from_millis(100);
const HOLD_MAX: Duration = Duration::from_millis(1600);
/// After so long without a need it begins anew with the shortest time.
const CALM: Duration = Duration::from_secs(1);

/// What the first reader had of the processors since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) elapsed: Duration,
    pub(super) ran: Duration,
    pub(super) delayed: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    starved: u32,
    full: u32,
    /// All read for so long; none: one follows.
    left: Option<Duration>,
    hold: Duration,
    /// Since one follows again.
    calm: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { starved: 0, full: 0, left: None, hold: HOLD_MIN, calm: CALM }
    }
}

impl Watch {
    /// Takes a look; whether all are to read now.
    pub(super) fn look(&mut self, look: Look) -> bool {
        if let Some(left) = self.left {
            self.left = left.checked_sub(look.elapsed).filter(|left| !left.is_zero());
            return self.left.is_some();
        }
        self.calm += look.elapsed;
        let starves = look.delayed * 10 > look.elapsed * 6 && look.ran * 10 < look.elapsed * 2;
        self.starved = if starves { self.starved + 1 } else { 0 };
        self.full = if look.ran * 10 > look.elapsed * 9 { self.full + 1 } else { 0 };
        if self.starved < STARVED_LOOKS && self.full < FULL_LOOKS {
            return false;
        }
        self.hold = if self.calm >= CALM { HOLD_MIN } else { (self.hold * 2).min(HOLD_MAX) };
        self.left = Some(self.hold);
        (self.starved, self.full, self.calm) = (0, 0, Duration::ZERO);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(4);

    fn look(ran: u32, delayed: u32) -> Look {
        Look { elapsed: TICK, ran: TICK * ran / 100, delayed: TICK * delayed / 100 }
    }

    /// How long all read, in looks.
    fn spread(watch: &mut Watch) -> u32 {
        (0..).find(|_| !watch.look(look(50, 0))).unwrap_or(0)
    }

    #[test]
    fn one_follows_while_it_gets_what_it_needs() {
        let mut watch = Watch::default();
        // Preempted by whom it has just answered: it is delayed, and runs.
        assert!((0..10_000).all(|_| !watch.look(look(40, 60))));
        assert!((0..10_000).all(|_| !watch.look(look(0, 0))));
        // Once is nothing.
        assert!((0..1000).all(|turn| !watch.look(look(0, if turn % 2 == 0 { 100 } else { 0 }))));
    }

    #[test]
    fn all_read_when_one_starves_and_longer_each_time() {
        let mut watch = Watch::default();
        for looks in [25, 50, 100, 200, 400, 400] {
            assert!(!watch.look(look(0, 100)));
            assert!(watch.look(look(0, 100)));
            assert_eq!(spread(&mut watch) + 1, looks);
        }
        for _ in 0..250 {
            watch.look(look(50, 0));
        }
        watch.look(look(0, 100));
        assert!(watch.look(look(0, 100)));
        assert_eq!(spread(&mut watch) + 1, 25, "after a calm time it is short again");
    }

    #[test]
    fn all_read_when_one_is_full() {
        let mut watch = Watch::default();
        assert!((0..4).all(|_| !watch.look(look(95, 5))));
        assert!(watch.look(look(95, 5)));
    }
}
