//! Frames of segments that nobody writes to, each verified.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::id::SegmentId;

use crate::meta::record::extent::Frame;
use crate::segment::frame::content_start;
use crate::segment::store::files::FileSegments;
use crate::segment::store::{SegmentFile, SegmentStore as _};

/// Segment files that are kept open.
const OPEN_MAX: usize = 32;
/// The disk is told of so much ahead.
const AHEAD_BYTES: u64 = 4 << 20;

/// What is needed to read frames.
#[derive(Debug)]
pub(super) struct Frames {
    store: FileSegments,
    open: HashMap<SegmentId, Arc<dyn SegmentFile>>,
    /// The last one: the next extent is often another part of it.
    last: Option<(Frame, Bytes)>,
}

impl Frames {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { store: FileSegments::read_only(dir), open: HashMap::new(), last: None }
    }

    /// The content of a frame, or in words what is wrong with it.
    pub(super) fn content(&mut self, frame: &Frame) -> Result<Bytes, String> {
        if let Some((last, content)) = &self.last
            && last == frame
        {
            return Ok(content.clone());
        }
        let file = self.file(frame.segment)?;
        let mut content = vec![0; frame.len as usize];
        let start = content_start(frame);
        file.expect(start, AHEAD_BYTES);
        let place = || format!("segment {}, position {}", frame.segment, frame.position);
        let read = file.read_at(start, &mut content).map_err(|error| format!("{}: {error:?}", place()))?;
        if read < content.len() {
            return Err(format!("{}: the segment ends before", place()));
        }
        if !frame.hash.matches(&content) {
            return Err(format!("{}: the BLAKE3 of what is there is another one", place()));
        }
        let content = Bytes::from(content);
        self.last = Some((*frame, content.clone()));
        Ok(content)
    }

    fn file(&mut self, id: SegmentId) -> Result<Arc<dyn SegmentFile>, String> {
        if let Some(file) = self.open.get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = self.store.open(id).map_err(|error| format!("segment {id}: {error:?}"))?;
        let file = file.ok_or_else(|| format!("segment {id} is missing"))?;
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        self.open.insert(id, Arc::clone(&file));
        Ok(file)
    }
}
