//! How long things took, in buckets that grow with the time: a fixed size, one relaxed addition a
//! time, and percentiles that are at most an eighth too high.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bits of a time that its bucket keeps, below the highest one.
const FINE_BITS: u32 = 3;
const FINE: u64 = 1 << FINE_BITS;
const FINE_BUCKETS: usize = 1 << FINE_BITS;
/// Times below 2^`LOW` nanoseconds share the first buckets.
const LOW: u32 = 8;
/// Times from 2^`HIGH` nanoseconds on (about 70 s) share the last one.
const HIGH: u32 = 36;
const BUCKETS: usize = ((HIGH - LOW) as usize + 1) * FINE_BUCKETS;

/// Times, counted by size. Nobody waits for it.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    pub(super) fn add(&self, nanos: u64) {
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn times(&self) -> Times {
        let counted = self.0.iter().enumerate().filter_map(|(bucket, count)| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then(|| (bound(bucket), count))
        });
        Times(counted.collect())
    }
}

/// Which bucket a time falls into.
fn bucket(nanos: u64) -> usize {
    // Of the smallest ones only the size in steps of the first octave counts.
    let octave = nanos.max(1).ilog2().clamp(LOW, HIGH);
    let fine = if nanos >> octave == 0 { 0 } else { (nanos >> (octave - FINE_BITS)) - FINE };
    let place = u64::from(octave - LOW) * FINE + fine.min(FINE - 1);
    usize::try_from(place).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The first time that is too long for a bucket.
fn bound(bucket: usize) -> u64 {
    let (octave, fine) = (bucket as u64 / FINE, bucket as u64 % FINE);
    (FINE + fine + 1) << (octave + u64::from(LOW - FINE_BITS))
}

/// Times as they were counted: how many were shorter than so many nanoseconds, and not shorter than
/// the bound before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times(BTreeMap<u64, u64>);

impl Times {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// What at least this share of them did not pass, at most an eighth too high.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let rank = (self.count() * u64::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        let found = self.0.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        found.map(|(bound, _)| Duration::from_nanos(*bound))
    }

    /// Those that came since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let left = |(bound, count): (&u64, &u64)| {
            let left = count.saturating_sub(earlier.0.get(bound).copied().unwrap_or(0));
            (left > 0).then_some((*bound, left))
        };
        Self(self.0.iter().filter_map(left).collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn a_time_is_below_its_bound_and_not_far() {
        let mut last = 0;
        for nanos in (0..64).flat_map(|shift| [1_u64 << shift, (1 << shift) + 1, (1 << shift) / 3 * 4]) {
            let (bucket, bound) = (bucket(nanos), bound(bucket(nanos)));
            assert!(bucket < BUCKETS, "{nanos}");
            if (1 << LOW..1 << HIGH).contains(&nanos) {
                assert!(nanos < bound && bound - nanos <= nanos / 8 + 1, "{nanos} in {bucket}, below {bound}");
            }
        }
        for bucket in 0..BUCKETS {
            assert!(bound(bucket) > last);
            last = bound(bucket);
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_and_differences() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times().percentile(50), None);
        (1..=98).for_each(|_| histogram.add(10_000));
        let before = histogram.times();
        (1..=2).for_each(|_| histogram.add(5_000_000));
        let times = histogram.times();
        let near = |percent, nanos: u64| {
            let found = u64::try_from(times.percentile(percent).unwrap().as_nanos()).unwrap();
            assert!((nanos..=nanos + nanos / 8).contains(&found), "{percent}: {found}");
        };
        near(50, 10_000);
        near(98, 10_000);
        near(99, 5_000_000);
        assert_eq!((times.count(), times.since(&before).count()), (100, 2));
        let text = serde_json::to_string(&times).unwrap();
        assert_eq!(serde_json::from_str::<Times>(&text).unwrap(), times);
    }
}
