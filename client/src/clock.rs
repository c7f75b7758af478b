//! The clock that sessions are timed with.

use std::fmt;
use std::time::Duration;

use holdfast_core::session::BootTime;
use nix::time::{ClockId, clock_gettime};

/// A clock that counts during suspend. Injected, so that tests move it by hand.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time since some origin.
    fn now(&self) -> BootTime;
}

/// The machine's `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> BootTime {
        // The call fails only for a clock that the kernel does not have; ours came with Linux 2.6.39.
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        BootTime(now.unwrap_or_default())
    }
}
