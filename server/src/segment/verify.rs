//! Comparing frames with what the disk has of them.

use holdfast_core::error::Result;
use holdfast_core::id::SegmentId;
use holdfast_core::integrity::Fault;

use super::Segments;
use super::frame::{self, HEADER_BYTES, encode_header};
use super::store::DiskFile;
use crate::meta::record::extent::Frame;

impl Segments {
    /// Reads frames of one segment, in order of their places, and answers which are bad, by index. The
    /// disk is asked for all of it at once, so the caller keeps the span short.
    ///
    /// # Errors
    /// `Unavailable` when the segment cannot be opened, for another reason than that it is missing.
    pub fn verify(&self, frames: &[Frame]) -> Result<Vec<(usize, Fault)>> {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(Vec::new()) };
        let all = |fault| (0..frames.len()).map(|index| (index, fault)).collect();
        let Some(mut file) = self.store.open_disk(first.segment)? else { return Ok(all(Fault::Missing)) };
        let len = frame::end(last).saturating_sub(first.position);
        let Ok(bytes) = file.read(first.position, len) else {
            return Ok(one_by_one(&mut *file, frames));
        };
        let judged = frames.iter().enumerate().filter_map(|(index, frame)| {
            let at = usize::try_from(frame.position - first.position).unwrap_or(usize::MAX);
            Some((index, judge(frame, bytes.get(at..).unwrap_or_default())?))
        });
        Ok(judged.collect())
    }

    /// The segments that there are, with their lengths.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn lengths(&self) -> Result<std::collections::BTreeMap<SegmentId, u64>> {
        self.store.list()
    }
}

/// The disk failed somewhere in the span: where.
fn one_by_one(file: &mut dyn DiskFile, frames: &[Frame]) -> Vec<(usize, Fault)> {
    let bad = frames.iter().enumerate().filter_map(|(index, frame)| {
        let fault = match file.read(frame.position, frame::end(frame) - frame.position) {
            Ok(bytes) => judge(frame, bytes)?,
            Err(error) => {
                tracing::warn!(segment = frame.segment.0, position = frame.position, ?error, "the disk cannot read");
                Fault::Disk
            }
        };
        Some((index, fault))
    });
    bad.collect()
}

/// What is wrong with a frame, by the bytes from its header on.
#[must_use]
pub(super) fn judge(frame: &Frame, bytes: &[u8]) -> Option<Fault> {
    let (Some(header), Some(content)) =
        (bytes.get(..HEADER_BYTES), bytes.get(HEADER_BYTES..HEADER_BYTES + frame.len as usize))
    else {
        return Some(Fault::Short);
    };
    if !frame.hash.matches(content) {
        return Some(Fault::Content);
    }
    (header != encode_header(frame)).then_some(Fault::Header)
}
