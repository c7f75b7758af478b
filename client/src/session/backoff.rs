//! How long to wait before trying again: at first not at all, then 50 ms to 2 s, with jitter, so
//! that many clients do not come back at the same moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// A delay of half to all of the present step; the next step is twice as long.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(LONGEST);
        delay / 2 + delay * u32::from(jitter()) / 510
    }
}

/// 0 to 255. Without randomness there is none, which only costs politeness.
fn jitter() -> u8 {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop")]

    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn grows_to_a_bound() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST);
        assert!(*delays.last().unwrap() >= LONGEST / 2);
        assert!(delays.iter().all(|&delay| delay <= LONGEST));
    }
}
