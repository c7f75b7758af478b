//! When and how fast volumes are compacted.

use std::time::Duration;

use holdfast_core::error::Result;

use super::{duration, invalid, setting, size};

/// When volumes are compacted, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactPolicy {
    /// How often open volumes are looked at; `None`: never.
    pub interval: Option<Duration>,
    /// A segment is worth it when so many of a hundred bytes are dead.
    pub dead_percent: u64,
    /// Bytes a second that are moved, while the disk is not nearly full.
    pub bytes_per_second: u64,
}

impl Default for CompactPolicy {
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(10)), dead_percent: 40, bytes_per_second: 32 << 20 }
    }
}

impl CompactPolicy {
    /// As people write it.
    pub(super) fn read(interval: Option<String>, dead: Option<u64>, rate: Option<String>) -> Result<Self> {
        let default = Self::default();
        let interval = match interval.as_deref() {
            Some("off") => None,
            _ => setting("compaction interval", interval, default.interval, |text| duration::parse(text).map(Some))?,
        };
        let bytes_per_second = setting("compaction rate", rate, default.bytes_per_second, size)?;
        Ok(Self { interval, dead_percent: dead.unwrap_or(default.dead_percent), bytes_per_second })
    }

    /// Checks what the types leave open.
    ///
    /// # Errors
    /// `Invalid`, naming the setting and what is allowed.
    pub(super) fn check(&self) -> Result<()> {
        if self.interval.is_some_and(|interval| interval < Duration::from_millis(100)) {
            return Err(invalid("a compaction interval under 100ms is not allowed; write 10s, 1m or off"));
        }
        if !(5..=95).contains(&self.dead_percent) {
            let dead = self.dead_percent;
            return Err(invalid(format!("compaction from {dead} percent dead is not allowed; 5 to 95")));
        }
        if self.bytes_per_second < 64 << 10 {
            return Err(invalid("a compaction rate under 64KiB a second is not allowed: it would never end"));
        }
        Ok(())
    }
}
