//! `scrub.json`: where the scrub of a volume is, and what the last one found. It stands beside the
//! volume's store and is replaced as a whole.

use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::integrity::{BadFrame, BadRange, BadSegment, Fault, ScrubPlace, ScrubRun};
use holdfast_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::data_dir::{cannot, replace_file};

/// The version that this program writes.
const VERSION: u32 = 1;
const FILE: &str = "scrub.json";
/// Bad frames that are kept of one run.
pub(super) const BAD_KEPT_MAX: usize = 10_000;

/// What is kept of the scrubs of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The one that has not ended.
    pub(crate) current: Option<ScrubRun>,
    /// The last that has.
    pub(crate) last: Option<ScrubRun>,
}

#[derive(Deserialize, Serialize)]
struct OnDisk {
    version: u32,
    current: Option<Run>,
    last: Option<Run>,
}

#[derive(Deserialize, Serialize)]
struct Run {
    begun: (i64, u32),
    ended: Option<(i64, u32)>,
    /// Segment and position: everything before is verified.
    place: (u64, u64),
    until: u64,
    frames: u64,
    bytes: u64,
    bytes_total: u64,
    bad_frames: u64,
    bad: Vec<Bad>,
    segments: Vec<(u64, u64, Option<u64>)>,
}

#[derive(Deserialize, Serialize)]
struct Bad {
    segment: u64,
    position: u64,
    len: u32,
    fault: String,
    files: Vec<File>,
}

#[derive(Deserialize, Serialize)]
struct File {
    inode: u64,
    paths: Vec<StoredPath>,
    start: u64,
    len: u64,
}

/// A path: text where it is that, else its bytes.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Bytes(Vec<u8>),
}

/// Reads the record beside a volume's store; an empty one when there is none.
///
/// # Errors
/// `Damaged`, `Version`, `Internal`.
pub(crate) fn read(dir: &Path) -> Result<Record> {
    let path = dir.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(error) => return Err(cannot("read", &path, error)),
    };
    let damaged = |why: String| {
        let message = format!("{} cannot be used: {why}; remove it, and scrub from the start", path.display());
        Error::new(ErrorKind::Damaged, message)
    };
    let disk: OnDisk = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if disk.version != VERSION {
        let message = format!("{} has version {}, this holdfastd reads {VERSION}", path.display(), disk.version);
        return Err(Error::new(ErrorKind::Version, message));
    }
    let run = |run: Option<Run>| run.map(Run::read).transpose().map_err(damaged);
    Ok(Record { current: run(disk.current)?, last: run(disk.last)? })
}

/// Writes the record, durably and as a whole.
///
/// # Errors
/// `NoSpace`, `Internal`.
pub(super) fn write(dir: &Path, record: &Record) -> Result<()> {
    let run = |run: &Option<ScrubRun>| run.as_ref().map(Run::of);
    let disk = OnDisk { version: VERSION, current: run(&record.current), last: run(&record.last) };
    let text = serde_json::to_vec_pretty(&disk)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot write where a scrub is: {error}")))?;
    replace_file(&dir.join(FILE), &text)
}

impl Run {
    fn of(run: &ScrubRun) -> Self {
        let time = |time: Timestamp| (time.secs, time.nanos);
        Self {
            begun: time(run.begun),
            ended: run.ended.map(time),
            place: (run.place.segment.0, run.place.position),
            until: run.until.0,
            frames: run.frames,
            bytes: run.bytes,
            bytes_total: run.bytes_total,
            bad_frames: run.bad_frames,
            bad: run.bad.iter().map(Bad::of).collect(),
            segments: run.segments.iter().map(|bad| (bad.segment.0, bad.expected, bad.found)).collect(),
        }
    }

    fn read(self) -> std::result::Result<ScrubRun, String> {
        let time = |(secs, nanos)| Timestamp::new(secs, nanos).ok_or_else(|| format!("{nanos} are no nanoseconds"));
        Ok(ScrubRun {
            begun: time(self.begun)?,
            ended: self.ended.map(time).transpose()?,
            place: ScrubPlace { segment: SegmentId(self.place.0), position: self.place.1 },
            until: SegmentId(self.until),
            frames: self.frames,
            bytes: self.bytes,
            bytes_total: self.bytes_total,
            bad_frames: self.bad_frames,
            bad: self.bad.into_iter().map(Bad::read).collect::<std::result::Result<_, _>>()?,
            segments: self
                .segments
                .into_iter()
                .map(|(segment, expected, found)| BadSegment { segment: SegmentId(segment), expected, found })
                .collect(),
        })
    }
}

impl Bad {
    fn of(bad: &BadFrame) -> Self {
        let path = |path: &Vec<u8>| match String::from_utf8(path.clone()) {
            Ok(text) => StoredPath::Text(text),
            Err(error) => StoredPath::Bytes(error.into_bytes()),
        };
        let file = |file: &BadRange| File {
            inode: file.ino.0,
            paths: file.paths.iter().map(path).collect(),
            start: file.start,
            len: file.len,
        };
        Self {
            segment: bad.segment.0,
            position: bad.position,
            len: bad.len,
            fault: bad.fault.word().to_owned(),
            files: bad.files.iter().map(file).collect(),
        }
    }

    fn read(self) -> std::result::Result<BadFrame, String> {
        let fault = Fault::ALL.iter().copied().find(|fault| fault.word() == self.fault);
        let path = |path| match path {
            StoredPath::Text(text) => text.into_bytes(),
            StoredPath::Bytes(bytes) => bytes,
        };
        let file = |file: File| BadRange {
            ino: InodeId(file.inode),
            paths: file.paths.into_iter().map(path).collect(),
            start: file.start,
            len: file.len,
        };
        Ok(BadFrame {
            segment: SegmentId(self.segment),
            position: self.position,
            len: self.len,
            fault: fault.ok_or_else(|| format!("{:?} is no fault of a frame", self.fault))?,
            files: self.files.into_iter().map(file).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
