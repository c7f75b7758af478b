//! What the data of a volume takes up on the server's disk, and what compaction did.

use holdfast_core::error::{Error, Result};
use holdfast_core::time::Timestamp;

use crate::v1;

/// The segments of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentsView {
    /// What they come to; `None`: the volume is not open.
    pub sums: Option<SegmentSums>,
    /// What compaction did there.
    pub compaction: CompactionView,
}

/// What segments come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentSums {
    /// How many there are.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes that files use; what copies share counts for each.
    pub live_bytes: u64,
    /// Bytes that no file uses, and headers of frames.
    pub dead_bytes: u64,
}

/// What compaction did since the server was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionView {
    /// It is at work.
    pub running: bool,
    /// Segments that it freed.
    pub freed_segments: u64,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Frames that it wrote anew.
    pub moved_frames: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// What went wrong last, and when.
    pub failure: Option<(Timestamp, String)>,
}

impl From<SegmentSums> for v1::SegmentSums {
    fn from(sums: SegmentSums) -> Self {
        let SegmentSums { segments, bytes, live_bytes, dead_bytes } = sums;
        Self { segments, bytes, live_bytes, dead_bytes }
    }
}

impl From<v1::SegmentSums> for SegmentSums {
    fn from(wire: v1::SegmentSums) -> Self {
        let v1::SegmentSums { segments, bytes, live_bytes, dead_bytes } = wire;
        Self { segments, bytes, live_bytes, dead_bytes }
    }
}

impl From<&CompactionView> for v1::Compaction {
    fn from(view: &CompactionView) -> Self {
        let CompactionView { running, freed_segments, freed_bytes, moved_frames, moved_bytes, failure } = view.clone();
        let (failed, failure) = failure.map_or((None, String::new()), |(at, why)| (Some(at.into()), why));
        Self { running, freed_segments, freed_bytes, moved_frames, moved_bytes, failure, failed }
    }
}

impl TryFrom<v1::Compaction> for CompactionView {
    type Error = Error;

    fn try_from(wire: v1::Compaction) -> Result<Self> {
        let v1::Compaction { running, freed_segments, freed_bytes, moved_frames, moved_bytes, failure, failed } = wire;
        let at: Timestamp = failed.unwrap_or_default().try_into()?;
        let failure = (!failure.is_empty()).then_some((at, failure));
        Ok(Self { running, freed_segments, freed_bytes, moved_frames, moved_bytes, failure })
    }
}

impl From<&SegmentsView> for v1::GetSegmentsResponse {
    fn from(view: &SegmentsView) -> Self {
        Self { sums: view.sums.map(Into::into), compaction: Some((&view.compaction).into()) }
    }
}

impl TryFrom<v1::GetSegmentsResponse> for SegmentsView {
    type Error = Error;

    fn try_from(wire: v1::GetSegmentsResponse) -> Result<Self> {
        let compaction = wire.compaction.unwrap_or_default().try_into()?;
        Ok(Self { sums: wire.sums.map(Into::into), compaction })
    }
}

#[cfg(test)]
mod tests;
