//! A volume's data on the server's disk, as people and scripts see it. The JSON field names are part of the
//! interface.

use holdfast_client::{CompactionView, SegmentSums};
use holdfast_core::size::ByteSize;
use serde::Serialize;

use crate::date;
use crate::output::figures::count;

/// What it takes up.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DataShown {
    segments: u64,
    disk_bytes: u64,
    live_bytes: u64,
    dead_bytes: u64,
}

/// What compaction did since the server was started.
#[derive(Clone, Debug, Serialize)]
pub struct CompactionShown {
    running: bool,
    freed_segments: u64,
    freed_bytes: u64,
    moved_frames: u64,
    moved_bytes: u64,
    last_failure: Option<FailureShown>,
}

#[derive(Clone, Debug, Serialize)]
struct FailureShown {
    when: String,
    what: String,
}

impl From<SegmentSums> for DataShown {
    fn from(sums: SegmentSums) -> Self {
        let SegmentSums { segments, bytes: disk_bytes, live_bytes, dead_bytes } = sums;
        Self { segments, disk_bytes, live_bytes, dead_bytes }
    }
}

impl From<CompactionView> for CompactionShown {
    fn from(view: CompactionView) -> Self {
        let CompactionView { running, freed_segments, freed_bytes, moved_frames, moved_bytes, failure } = view;
        let last_failure = failure.map(|(when, what)| FailureShown { when: date::rfc3339(when), what });
        Self { running, freed_segments, freed_bytes, moved_frames, moved_bytes, last_failure }
    }
}

impl DataShown {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let (disk, live, dead) = (ByteSize(self.disk_bytes), ByteSize(self.live_bytes), ByteSize(self.dead_bytes));
        format!("{disk} on disk in {} segments: {live} in use, {dead} dead", count(self.segments))
    }
}

impl CompactionShown {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let (freed, moved) = (ByteSize(self.freed_bytes), ByteSize(self.moved_bytes));
        let done = match self.freed_segments {
            0 => "nothing since the server's start".to_owned(),
            segments => format!("{freed} in {} segments freed, {moved} moved", count(segments)),
        };
        let running = if self.running { "; running" } else { "" };
        let failure = self.last_failure.as_ref();
        let failure = failure.map_or_else(String::new, |last| format!("; failed {}: {}", last.when, last.what));
        format!("{done}{running}{failure}")
    }
}

#[cfg(test)]
mod tests;
