//! Reading frames: few reads of the disk, every frame verified, no byte copied.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::buffers::Buffers;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::SegmentId;
use holdfast_core::limits::{FRAME_BYTES_MAX, IO_BYTES_MAX};

use super::frame::HEADER_BYTES;
use super::store::SegmentFile;
use super::{Segments, frame};
use crate::meta::record::extent::Frame;

/// A read of the disk for the longest read of a file: its bytes, a frame more because it may begin
/// within one, and the headers between frames.
const BUFFER_BYTES: usize = IO_BYTES_MAX + FRAME_BYTES_MAX + (IO_BYTES_MAX / FRAME_BYTES_MAX + 2) * HEADER_BYTES;
/// Buffers that are kept for reads to come, at most.
const BUFFERS_KEPT: usize = 8;
/// Shorter reads get memory of their own length.
const POOLED_FROM: usize = BUFFER_BYTES / 2;

/// Buffers for long reads.
pub(super) fn buffers() -> Buffers {
    Buffers::new(BUFFER_BYTES, BUFFERS_KEPT)
}

/// A part of a frame that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The frame.
    pub frame: Frame,
    /// First byte of its content.
    pub skip: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Wanted {
    fn is_whole(&self) -> bool {
        self.skip == 0 && self.len == self.frame.len
    }
}

impl Segments {
    /// Reads parts of frames; the answer has one verified piece for each, with its own hash.
    ///
    /// # Errors
    /// `Damaged`, naming segment and position, when a frame is missing or fails its checksum;
    /// `Unavailable` when the disk fails.
    pub fn read(&self, wanted: &[Wanted]) -> Result<Vec<(Bytes, FrameHash)>> {
        let mut files: HashMap<SegmentId, Arc<dyn SegmentFile>> = HashMap::new();
        let mut pieces = Vec::with_capacity(wanted.len());
        for run in runs(wanted) {
            let run = &wanted[run];
            let id = run[0].frame.segment;
            let file = match files.get(&id) {
                Some(file) => Arc::clone(file),
                None => {
                    let file = self.handles.get(id)?;
                    files.insert(id, Arc::clone(&file));
                    file
                }
            };
            read_run(&*file, run, &self.buffers, &mut pieces)?;
        }
        Ok(pieces)
    }

    /// Parts of frames are going to be read: the disk may begin.
    pub fn expect(&self, wanted: &[Wanted]) {
        for run in runs(wanted) {
            let run = &wanted[run];
            // A segment that cannot be opened is for the read to tell of.
            if let Ok(file) = self.handles.get(run[0].frame.segment) {
                let (start, len) = span(run);
                file.expect(start, len);
            }
        }
    }
}

/// Cuts the list into runs that one read of the disk serves: frames that lie one after the other,
/// or the same one again.
fn runs(wanted: &[Wanted]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, next) in wanted.iter().enumerate() {
        let follows = index.checked_sub(1).map(|before| &wanted[before].frame).is_some_and(|before| {
            before.segment == next.frame.segment
                && (frame::end(before) == next.frame.position || before.position == next.frame.position)
        });
        match runs.last_mut() {
            Some(run) if follows => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

/// Where the content of a run begins in its segment, and how many bytes it goes on for.
fn span(run: &[Wanted]) -> (u64, u64) {
    let start = frame::content_start(&run[0].frame);
    (start, frame::end(&run[run.len() - 1].frame).saturating_sub(start))
}

fn read_run(
    file: &dyn SegmentFile,
    run: &[Wanted],
    buffers: &Buffers,
    pieces: &mut Vec<(Bytes, FrameHash)>,
) -> Result<()> {
    let (start, len) = span(run);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let buffer = if (POOLED_FROM..=BUFFER_BYTES).contains(&len) {
        let mut buffer = buffers.take();
        let read = file.read_at(start, &mut buffer.room()[..len])?;
        buffer.share(read)
    } else {
        let mut buffer = vec![0; len];
        let read = file.read_at(start, &mut buffer)?;
        buffer.truncate(read);
        Bytes::from(buffer)
    };
    let mut verified = None;
    for wanted in run {
        let at = usize::try_from(frame::content_start(&wanted.frame) - start).unwrap_or(usize::MAX);
        let content = at..at.saturating_add(wanted.frame.len as usize);
        if verified != Some(wanted.frame) {
            let sound = buffer.get(content.clone()).is_some_and(|content| wanted.frame.hash.matches(content));
            if !sound {
                return Err(damaged(&wanted.frame));
            }
            verified = Some(wanted.frame);
        }
        let from = content.start + wanted.skip as usize;
        let piece = buffer.slice(from..from + wanted.len as usize);
        let hash = if wanted.is_whole() { wanted.frame.hash } else { FrameHash::of(&piece) };
        pieces.push((piece, hash));
    }
    Ok(())
}

fn damaged(frame: &Frame) -> Error {
    let Frame { segment, position, len, .. } = frame;
    let message =
        format!("the frame of {len} bytes at {position} of segment {segment} is damaged: it fails its checksum");
    Error::new(ErrorKind::Damaged, message)
}
