//! What a process and a directory take, and how long something takes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Memory of a process in MB: now, and at most so far.
pub(crate) fn memory(pid: i32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("a process is gone")?;
    let kib = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.with_context(|| format!("/proc says no {name}"))?;
        Ok(words.split_whitespace().next().unwrap_or_default().parse::<f64>()?)
    };
    Ok((kib("VmRSS:")? * 1024.0 / 1e6, kib("VmHWM:")? * 1024.0 / 1e6))
}

/// Bytes that everything below a directory takes on its disk.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    let Ok(stat) = fs::symlink_metadata(path) else { return 0 };
    // Files that go meanwhile take nothing.
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    stat.blocks() * 512 + if stat.is_dir() { below.map(|entry| disk_bytes(&entry.path())).sum() } else { 0 }
}

/// How many a second.
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The time within which so many percent of these ended, in milliseconds. Sorts them.
pub(crate) fn within(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
