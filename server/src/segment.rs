//! File data: append-only segments of frames.

/// Data that is in a segment and not yet part of any file.
#[derive(Debug)]
pub struct StagedData(());
