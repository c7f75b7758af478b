//! Points in time as files carry them. Nothing here reads a clock.

use std::time::Duration;

/// Seconds and nanoseconds since 1970-01-01 UTC, as stat(2) shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds; negative before 1970.
    pub secs: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: u32,
}

impl Timestamp {
    /// A checked timestamp; `None` when `nanos` is a second or more.
    #[must_use]
    pub const fn new(secs: i64, nanos: u32) -> Option<Self> {
        if nanos < 1_000_000_000 { Some(Self { secs, nanos }) } else { None }
    }

    /// The time so long after.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let nanos = self.nanos + span.subsec_nanos();
        let carry = nanos >= 1_000_000_000;
        let secs = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let nanos = if carry { nanos - 1_000_000_000 } else { nanos };
        Self { secs: self.secs.saturating_add(secs).saturating_add(i64::from(carry)), nanos }
    }

    /// The time of a change at this time of what changed last at `last`: two changes never have the
    /// same, whatever the clock says.
    #[must_use]
    pub fn behind(self, last: Self) -> Self {
        self.max(last.after(Duration::from_nanos(1)))
    }

    /// The time so long before.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let borrow = span.subsec_nanos() > self.nanos;
        let secs = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let nanos = self.nanos + if borrow { 1_000_000_000 } else { 0 } - span.subsec_nanos();
        Self { secs: self.secs.saturating_sub(secs).saturating_sub(i64::from(borrow)), nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_after_others() {
        let time = Timestamp { secs: 10, nanos: 5 };
        assert_eq!(time.after(Duration::new(3, 5)), Timestamp { secs: 13, nanos: 10 });
        assert_eq!(time.after(Duration::new(0, 999_999_996)), Timestamp { secs: 11, nanos: 1 });
        assert_eq!(time.after(Duration::from_secs(u64::MAX)), Timestamp { secs: i64::MAX, nanos: 5 });
    }

    #[test]
    fn no_change_has_the_time_of_the_one_before() {
        let time = Timestamp { secs: 10, nanos: 999_999_999 };
        let next = Timestamp { secs: 11, nanos: 0 };
        assert_eq!((time.behind(time), next.behind(time)), (next, next));
        assert_eq!(time.behind(Timestamp::default()), time);
        assert_eq!(time.behind(next), Timestamp { secs: 11, nanos: 1 });
    }

    #[test]
    fn times_before_others() {
        let time = Timestamp { secs: 10, nanos: 5 };
        assert_eq!(time.before(Duration::new(3, 5)), Timestamp { secs: 7, nanos: 0 });
        assert_eq!(time.before(Duration::new(0, 6)), Timestamp { secs: 9, nanos: 999_999_999 });
        assert_eq!(time.before(Duration::from_secs(u64::MAX)), Timestamp { secs: i64::MIN + 11, nanos: 5 });
    }
}
