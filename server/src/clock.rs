//! The two clocks of a server: the wall clock, for times that files bear, and the boot-time clock,
//! for leases. Nothing else in this crate reads the time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::session::BootTime;
use holdfast_core::time::Timestamp;
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;

/// Where a server reads the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall clock, UTC.
    fn now(&self) -> Timestamp;
    /// Time since boot, suspend included: it never jumps.
    fn boot(&self) -> BootTime;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let (secs, nanos) = read(ClockId::CLOCK_REALTIME);
        Timestamp { secs, nanos }
    }

    fn boot(&self) -> BootTime {
        let (secs, nanos) = read(ClockId::CLOCK_BOOTTIME);
        BootTime(Duration::new(secs.unsigned_abs(), nanos))
    }
}

fn read(clock: ClockId) -> (i64, u32) {
    // These two clocks exist on every Linux since 2.6.39; reading one cannot fail.
    clock_gettime(clock).map_or((0, 0), |time| (time.tv_sec(), u32::try_from(time.tv_nsec()).unwrap_or(0)))
}

/// A clock that stands still until it is told to go on: for tests of leases and deadlines.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Duration>>);

impl ManualClock {
    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        *self.0.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let elapsed = *self.0.lock();
        let secs = 1_800_000_000 + i64::try_from(elapsed.as_secs()).unwrap_or(0);
        Timestamp { secs, nanos: elapsed.subsec_nanos() }
    }

    fn boot(&self) -> BootTime {
        BootTime(Duration::from_secs(1000) + *self.0.lock())
    }
}
