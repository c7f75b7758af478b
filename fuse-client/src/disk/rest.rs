//! A disk that does not work is left alone for a while, and one line of the log says so.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// For how long.
const REST: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Mutex<Option<Instant>>,
    /// Somebody was told, and nothing has worked since.
    told: AtomicBool,
}

impl Rest {
    /// Whether it is left alone now.
    pub(super) fn is_on(&self) -> bool {
        self.told.load(Ordering::Relaxed) && self.until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// It does not work.
    pub(super) fn begin(&self, what: &str, why: &dyn Display) {
        *self.until.lock() = Some(Instant::now() + REST);
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%why, "{what}; the server has everything, and the disk is tried again every {REST:?}");
        }
    }

    /// It works.
    pub(super) fn end(&self) {
        if self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::Relaxed) {
            *self.until.lock() = None;
            tracing::info!("the disk cache works again");
        }
    }
}
