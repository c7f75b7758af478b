//! Appending data to the active segment, ahead of the operation that names it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::{FrameHash, Framed};
use holdfast_core::id::SegmentId;
use holdfast_core::limits::{FRAME_BYTES_MAX, IO_BYTES_MAX};
use parking_lot::Mutex;

use super::frame::{self, HEADER_BYTES};
use super::{Active, Segments, Written};
use crate::meta::record::extent::Frame;

/// Frames that are appended in one go, at most: a system call takes 1024 parts, and a frame is two.
pub const FRAMES_MAX: usize = 512;
/// Written bytes after which the disk is told to begin with them, so that a sync finds little left.
const WRITEBACK_BYTES: u64 = 4 << 20;

/// Data that is in a segment and not yet part of any file. Dropped unused, it is dead bytes.
pub struct StagedData {
    frames: Vec<Frame>,
    _pin: Pin,
}

impl StagedData {
    /// The frames, in order of their data.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Number of bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.len)).sum()
    }
}

impl fmt::Debug for StagedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedData").field("frames", &self.frames.len()).field("bytes", &self.bytes()).finish()
    }
}

/// Keeps a segment from being removed while staged data waits in it.
struct Pin {
    pins: Arc<Mutex<HashMap<SegmentId, usize>>>,
    id: SegmentId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.id);
            }
        }
    }
}

impl Segments {
    /// Appends the frames of data. Not durable until the segment is synced.
    /// Several callers work in parallel.
    ///
    /// # Errors
    /// `Invalid` for no data or more than 1 MiB, `NoSpace` when the disk is full, `Unavailable`
    /// when it fails.
    pub fn stage(&self, data: &Framed) -> Result<StagedData> {
        let len = data.data().len();
        if !(1..=IO_BYTES_MAX).contains(&len) {
            let message = format!("{len} bytes cannot be staged at a time; send 1 byte to 1 MiB");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.append(&data.frames().collect::<Vec<_>>())
    }

    /// Appends contents that were verified and have their checksums, each as a frame of its own. With their
    /// headers they take 1 MiB at most, and there are at most [`FRAMES_MAX`].
    ///
    /// # Errors
    /// As [`stage`](Self::stage); `Invalid` for more than that.
    pub fn stage_frames(&self, contents: &[(Bytes, FrameHash)]) -> Result<StagedData> {
        let parts: Vec<(&[u8], FrameHash)> = contents.iter().map(|(content, hash)| (&content[..], *hash)).collect();
        let bytes: usize = parts.iter().map(|(content, _)| content.len() + HEADER_BYTES).sum();
        let is_frame = |part: &(&[u8], FrameHash)| (1..=FRAME_BYTES_MAX).contains(&part.0.len());
        if !(1..=FRAMES_MAX).contains(&parts.len()) || bytes > IO_BYTES_MAX || !parts.iter().all(is_frame) {
            let message = format!("{} frames of {bytes} bytes cannot be staged at a time", parts.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.append(&parts)
    }

    fn append(&self, contents: &[(&[u8], FrameHash)]) -> Result<StagedData> {
        let bytes: usize = contents.iter().map(|(content, _)| content.len() + HEADER_BYTES).sum();
        let (segment, start, pin) = self.reserve(bytes as u64)?;
        let mut position = start;
        let mut frames = Vec::with_capacity(contents.len());
        for (content, hash) in contents {
            let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
            let frame = Frame { segment: segment.id, position, len, hash: *hash };
            position = frame::end(&frame);
            frames.push(frame);
        }
        let headers: Vec<[u8; HEADER_BYTES]> = frames.iter().map(frame::encode_header).collect();
        let parts: Vec<&[u8]> =
            headers.iter().zip(contents).flat_map(|(header, (content, _))| [&header[..], content]).collect();
        {
            let _one = segment.writing.lock();
            segment.file.write_at(start, &parts)?;
        }
        segment.writes.fetch_add(1, Ordering::AcqRel);
        self.written.lock().entry(segment.id).or_insert_with(|| Arc::clone(&segment));
        start_writeback(&segment, position);
        Ok(StagedData { frames, _pin: pin })
    }

    /// Sets room aside at the end of the active segment, or of a new one where it is full.
    fn reserve(&self, len: u64) -> Result<(Arc<Written>, u64, Pin)> {
        let mut tail = self.tail.lock();
        let fits = tail.active.as_ref().is_some_and(|active| active.end + len <= self.bytes_max);
        if !fits {
            let id = tail.next;
            let file = self.store.create(id)?;
            tail.next = id.next();
            let segment = Arc::new(Written::new(id, file, 0, false));
            if let Some(full) = tail.active.replace(Active { segment, end: 0 }) {
                tail.sealed.insert(full.segment.id);
            }
        }
        let Some(active) = tail.active.as_mut() else {
            return Err(Error::new(ErrorKind::Internal, "there is no active segment"));
        };
        let start = active.end;
        active.end += len;
        let segment = Arc::clone(&active.segment);
        *self.pins.lock().entry(segment.id).or_default() += 1;
        let pin = Pin { pins: Arc::clone(&self.pins), id: segment.id };
        Ok((segment, start, pin))
    }
}

/// Gives whole stretches of a segment to the disk early. A hint: it promises nothing.
fn start_writeback(segment: &Written, end: u64) {
    let from = segment.written_back.load(Ordering::Relaxed);
    let due = end.saturating_sub(from) >= WRITEBACK_BYTES;
    if due && segment.written_back.compare_exchange(from, end, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        segment.file.start_writeback(from, end - from);
    }
}
