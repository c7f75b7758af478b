//! What a scrub of data finds, and where it stands.

use crate::id::{InodeId, SegmentId};
use crate::time::Timestamp;

kinds! {
    /// What is wrong with a frame.
    Fault {
        /// Its content is not what was written.
        Content = 1 "content",
        /// Its content is right, its header is not. Reads do not need the header.
        Header = 2 "header",
        /// Its segment ends before it does.
        Short = 3 "cut-off",
        /// Its segment is not there.
        Missing = 4 "segment-missing",
        /// The disk gives an error where it is.
        Disk = 5 "disk-error",
    }
}

impl Fault {
    /// Whether reads of the bytes in the frame fail.
    #[must_use]
    pub const fn loses_data(self) -> bool {
        !matches!(self, Self::Header)
    }

    /// What it means, of a frame.
    #[must_use]
    pub const fn means(self) -> &'static str {
        match self {
            Self::Content => "fails its checksum",
            Self::Header => "has a damaged header; its data is right",
            Self::Short => "lies past the end of its segment",
            Self::Missing => "is in a segment that is missing",
            Self::Disk => "cannot be read: the disk gives an error",
        }
    }
}

/// Bytes of a file that lie in a bad frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BadRange {
    /// The file.
    pub ino: InodeId,
    /// All its paths from the volume's root, with a slash; none: it has no name.
    pub paths: Vec<Vec<u8>>,
    /// First byte.
    pub start: u64,
    /// How many.
    pub len: u64,
}

/// A frame that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame {
    /// Its segment.
    pub segment: SegmentId,
    /// Where its header begins there.
    pub position: u64,
    /// Bytes of its content.
    pub len: u32,
    /// What is wrong.
    pub fault: Fault,
    /// Which files have bytes in it.
    pub files: Vec<BadRange>,
}

/// A segment whose file is missing or too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSegment {
    /// Which.
    pub segment: SegmentId,
    /// Bytes that it must have by its account.
    pub expected: u64,
    /// Bytes that it has; `None`: there is no such file.
    pub found: Option<u64>,
}

/// Where a scrub is: everything before this place is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrubPlace {
    /// Segment.
    pub segment: SegmentId,
    /// Position in it.
    pub position: u64,
}

/// One scrub of a volume, over or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubRun {
    /// When it began.
    pub begun: Timestamp,
    /// When it had looked at everything; `None`: it has not yet.
    pub ended: Option<Timestamp>,
    /// Up to where it is.
    pub place: ScrubPlace,
    /// The first segment that is not part of it: made after it began.
    pub until: SegmentId,
    /// Frames verified.
    pub frames: u64,
    /// Bytes of content verified.
    pub bytes: u64,
    /// Bytes there were when it began, about.
    pub bytes_total: u64,
    /// Bad frames found.
    pub bad_frames: u64,
    /// Those of them that are kept: the first ones.
    pub bad: Vec<BadFrame>,
    /// Segments that are missing or too short.
    pub segments: Vec<BadSegment>,
}

impl ScrubRun {
    /// Whether anything is bad.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.bad_frames == 0 && self.segments.is_empty()
    }
}

/// What is known of the scrubs of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// One is running now.
    pub running: bool,
    /// The one that has begun and not ended: running, or to be gone on with.
    pub current: Option<ScrubRun>,
    /// The last that has ended.
    pub last: Option<ScrubRun>,
}
