//! What a row came to: how many, how long each took, how fast that is.

use std::time::Duration;

use super::rows::Row;

/// How many times are kept of one row; of more every second one, every fourth, and so on.
const KEPT_MAX: usize = 1 << 20;

/// Times of single operations, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    kept: Vec<u64>,
    /// One in so many is kept.
    stride: u64,
    seen: u64,
    max: u64,
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Vec::new(), stride: 1, seen: 0, max: 0 }
    }
}

impl Samples {
    pub(super) fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.max = self.max.max(nanos);
        if self.seen.is_multiple_of(self.stride) {
            if self.kept.len() == KEPT_MAX {
                let mut place = 0;
                self.kept.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(nanos);
            }
        }
        self.seen += 1;
    }

    /// Puts another thread's times to these, weighed as they are.
    fn merge(&mut self, other: Self) {
        let stride = self.stride.max(other.stride);
        self.thin(stride);
        let mut other = other;
        other.thin(stride);
        self.kept.append(&mut other.kept);
        self.seen += other.seen;
        self.max = self.max.max(other.max);
    }

    fn thin(&mut self, stride: u64) {
        while self.stride < stride {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// The smallest time that at least this share of the operations did not pass.
    pub(super) fn percentile(&self, percent: u32) -> Option<Duration> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|nanos| Duration::from_nanos(*nanos))
    }

    fn max(&self) -> Option<Duration> {
        (self.seen > 0).then(|| Duration::from_nanos(self.max))
    }
}

/// Operations and the time that they took.
#[derive(Clone, Debug, Default)]
pub(super) struct Timed {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    pub(super) samples: Samples,
}

impl Timed {
    /// What several threads did at the same time.
    pub(super) fn together(parts: impl IntoIterator<Item = Self>, elapsed: Duration) -> Self {
        let mut all = Self { elapsed, ..Self::default() };
        for part in parts {
            all.count += part.count;
            all.bytes += part.bytes;
            all.samples.merge(part.samples);
        }
        all
    }
}

/// One row's result.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    pub(super) count: u64,
    /// Operations a second.
    pub(super) rate: f64,
    pub(super) bytes_per_second: f64,
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
    pub(super) max: Option<Duration>,
    /// Steps of the counter that are missing.
    pub(super) lost: u64,
    /// Times that a change was not seen at all.
    pub(super) unseen: u64,
}

impl From<Timed> for Figure {
    fn from(timed: Timed) -> Self {
        let seconds = timed.elapsed.as_secs_f64().max(1e-9);
        Self {
            count: timed.count,
            rate: timed.count as f64 / seconds,
            bytes_per_second: timed.bytes as f64 / seconds,
            p50: timed.samples.percentile(50),
            p99: timed.samples.percentile(99),
            max: timed.samples.max(),
            lost: 0,
            unseen: 0,
        }
    }
}

/// Of a row's runs the one with the middle rate (of latencies: the middle one), with what all of them lost.
pub(super) fn middle(all: &[(Row, Figure)], row: Row) -> Option<Figure> {
    let mut runs: Vec<&Figure> = all.iter().filter(|(of, _)| *of == row).map(|(_, figure)| figure).collect();
    let key = |figure: &Figure| {
        if row.has_rate() { figure.rate } else { figure.p50.map_or(f64::INFINITY, |p50| p50.as_secs_f64()) }
    };
    runs.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let mut middle = (*runs.get(runs.len() / 2)?).clone();
    middle.lost = runs.iter().map(|figure| figure.lost).sum();
    middle.unseen = runs.iter().map(|figure| figure.unseen).sum();
    Some(middle)
}

/// How many times as fast as the other.
pub(super) fn ratio(row: Row, figure: &Figure, other: &Figure) -> Option<f64> {
    let (ours, others) =
        if row.has_rate() { (figure.rate, other.rate) } else { (other.p50?.as_secs_f64(), figure.p50?.as_secs_f64()) };
    (others > 0.0).then_some(ours / others)
}
