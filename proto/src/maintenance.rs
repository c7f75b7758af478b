//! Checks and scrubs: what the server tells of them.

use holdfast_core::error::{Error, Result};
use holdfast_core::id::{DirCookie, InodeId, SegmentId};
use holdfast_core::integrity::{
    BadFrame, BadRange, BadSegment, CheckPhase, CheckProgress, CheckReport, Counted, Fault, Figures, Finding,
    FindingKind, Mending, ScrubPlace, ScrubRun, ScrubStatus, Subject,
};
use holdfast_core::name::FileName;

use crate::attr::inode;
use crate::error::invalid;
use crate::v1;
use crate::v1::finding_subject::About;

impl From<CheckProgress> for v1::CheckProgress {
    fn from(progress: CheckProgress) -> Self {
        let phase = match progress.phase {
            CheckPhase::Names => v1::CheckPhase::Names,
            CheckPhase::Inodes => v1::CheckPhase::Inodes,
            CheckPhase::Extents => v1::CheckPhase::Extents,
            CheckPhase::Mending => v1::CheckPhase::Mending,
        };
        Self { phase: phase.into(), done: progress.done, total: progress.total }
    }
}

impl TryFrom<v1::CheckProgress> for CheckProgress {
    type Error = Error;

    fn try_from(wire: v1::CheckProgress) -> Result<Self> {
        let phase = match wire.phase() {
            v1::CheckPhase::Names => CheckPhase::Names,
            v1::CheckPhase::Inodes => CheckPhase::Inodes,
            v1::CheckPhase::Extents => CheckPhase::Extents,
            v1::CheckPhase::Mending => CheckPhase::Mending,
            v1::CheckPhase::Unspecified => return Err(invalid("a check is in no phase")),
        };
        Ok(Self { phase, done: wire.done, total: wire.total })
    }
}

impl From<CheckReport> for v1::CheckReport {
    fn from(report: CheckReport) -> Self {
        let CheckReport { counted: Counted { inodes, names, extents }, left, mended, cut } = report;
        Self { inodes, names, extents, left, mended, cut }
    }
}

impl From<v1::CheckReport> for CheckReport {
    fn from(wire: v1::CheckReport) -> Self {
        let v1::CheckReport { inodes, names, extents, left, mended, cut } = wire;
        Self { counted: Counted { inodes, names, extents }, left, mended, cut }
    }
}

impl From<&Subject> for v1::FindingSubject {
    fn from(subject: &Subject) -> Self {
        let about = match subject {
            Subject::Volume => None,
            Subject::Inode(ino) => Some(About::Ino(ino.0)),
            Subject::Name { directory, name } => {
                Some(About::Name(v1::EntryName { directory: directory.0, name: name.clone().into_bytes() }))
            }
            Subject::Place { directory, cookie } => {
                Some(About::Place(v1::EntryPlace { directory: directory.0, cookie: cookie.0 }))
            }
            Subject::Content { ino, data } => Some(About::Content(v1::FileContent { ino: ino.0, data: *data })),
            Subject::Data(data) => Some(About::Data(*data)),
            Subject::Segment(segment) => Some(About::Segment(segment.0)),
            Subject::Record(key) => Some(About::Record(key.clone())),
        };
        Self { about }
    }
}

impl TryFrom<v1::FindingSubject> for Subject {
    type Error = Error;

    fn try_from(wire: v1::FindingSubject) -> Result<Self> {
        Ok(match wire.about {
            None => Self::Volume,
            // A finding may be about an inode that cannot be: its number is not checked.
            Some(About::Ino(ino)) => Self::Inode(InodeId(ino)),
            Some(About::Name(v1::EntryName { directory, name })) => {
                let name = FileName::new(name).map_err(|error| invalid(error.to_string()))?;
                Self::Name { directory: InodeId(directory), name }
            }
            Some(About::Place(v1::EntryPlace { directory, cookie })) => {
                Self::Place { directory: InodeId(directory), cookie: DirCookie(cookie) }
            }
            Some(About::Content(v1::FileContent { ino, data })) => Self::Content { ino: InodeId(ino), data },
            Some(About::Data(data)) => Self::Data(data),
            Some(About::Segment(segment)) => Self::Segment(SegmentId(segment)),
            Some(About::Record(key)) => Self::Record(key),
        })
    }
}

impl From<Mending> for v1::Mending {
    fn from(mending: Mending) -> Self {
        match mending {
            Mending::Told => Self::Told,
            Mending::Safe => Self::Safe,
            Mending::Done => Self::Done,
            Mending::Changed => Self::Changed,
            Mending::InUse => Self::InUse,
        }
    }
}

impl From<v1::Mending> for Mending {
    fn from(wire: v1::Mending) -> Self {
        match wire {
            v1::Mending::Told => Self::Told,
            v1::Mending::Safe => Self::Safe,
            v1::Mending::Done => Self::Done,
            v1::Mending::Changed => Self::Changed,
            v1::Mending::InUse => Self::InUse,
        }
    }
}

impl From<&Finding> for v1::Finding {
    fn from(finding: &Finding) -> Self {
        let Figures { stored, truth } = finding.figures.unwrap_or(Figures { stored: 0, truth: 0 });
        Self {
            kind: finding.kind.number(),
            subject: Some((&finding.subject).into()),
            counted: finding.figures.is_some(),
            stored,
            truth,
            detail: finding.detail.clone(),
            path: finding.path.clone().unwrap_or_default().into(),
            mending: v1::Mending::from(finding.mending).into(),
        }
    }
}

impl TryFrom<v1::Finding> for Finding {
    type Error = Error;

    fn try_from(wire: v1::Finding) -> Result<Self> {
        let mending = wire.mending().into();
        let kind = FindingKind::of_number(wire.kind)
            .ok_or_else(|| invalid(format!("{} is no kind of finding that this program knows", wire.kind)))?;
        Ok(Self {
            kind,
            subject: wire.subject.unwrap_or_default().try_into()?,
            figures: wire.counted.then_some(Figures { stored: wire.stored, truth: wire.truth }),
            detail: wire.detail,
            path: Some(wire.path.to_vec()).filter(|path| !path.is_empty()),
            mending,
        })
    }
}

impl From<&BadFrame> for v1::BadFrame {
    fn from(bad: &BadFrame) -> Self {
        let fault = match bad.fault {
            Fault::Content => v1::Fault::Content,
            Fault::Header => v1::Fault::Header,
            Fault::Short => v1::Fault::Short,
            Fault::Missing => v1::Fault::Missing,
            Fault::Disk => v1::Fault::Disk,
        };
        let file = |file: &BadRange| v1::BadRange {
            ino: file.ino.0,
            paths: file.paths.iter().map(|path| path.clone().into()).collect(),
            start: file.start,
            len: file.len,
        };
        Self {
            segment: bad.segment.0,
            position: bad.position,
            len: bad.len,
            fault: fault.into(),
            files: bad.files.iter().map(file).collect(),
        }
    }
}

impl TryFrom<v1::BadFrame> for BadFrame {
    type Error = Error;

    fn try_from(wire: v1::BadFrame) -> Result<Self> {
        let fault = match wire.fault() {
            v1::Fault::Content => Fault::Content,
            v1::Fault::Header => Fault::Header,
            v1::Fault::Short => Fault::Short,
            v1::Fault::Missing => Fault::Missing,
            v1::Fault::Disk => Fault::Disk,
            v1::Fault::Unspecified => return Err(invalid("nothing is wrong with a frame that is told of")),
        };
        let file = |file: v1::BadRange| {
            let paths = file.paths.iter().map(|path| path.to_vec()).collect();
            Ok(BadRange { ino: inode(file.ino)?, paths, start: file.start, len: file.len })
        };
        Ok(Self {
            segment: SegmentId(wire.segment),
            position: wire.position,
            len: wire.len,
            fault,
            files: wire.files.into_iter().map(file).collect::<Result<_>>()?,
        })
    }
}

impl From<BadSegment> for v1::BadSegment {
    fn from(bad: BadSegment) -> Self {
        Self {
            segment: bad.segment.0,
            expected_bytes: bad.expected,
            there: bad.found.is_some(),
            found_bytes: bad.found.unwrap_or(0),
        }
    }
}

impl From<v1::BadSegment> for BadSegment {
    fn from(wire: v1::BadSegment) -> Self {
        let found = wire.there.then_some(wire.found_bytes);
        Self { segment: SegmentId(wire.segment), expected: wire.expected_bytes, found }
    }
}

impl From<&ScrubRun> for v1::ScrubRun {
    fn from(run: &ScrubRun) -> Self {
        Self {
            begun: Some(run.begun.into()),
            ended: run.ended.map(Into::into),
            segment: run.place.segment.0,
            position: run.place.position,
            until_segment: run.until.0,
            frames: run.frames,
            bytes: run.bytes,
            bytes_total: run.bytes_total,
            bad_frames: run.bad_frames,
            bad: run.bad.iter().map(Into::into).collect(),
            bad_segments: run.segments.iter().copied().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ScrubRun> for ScrubRun {
    type Error = Error;

    fn try_from(wire: v1::ScrubRun) -> Result<Self> {
        Ok(Self {
            begun: wire.begun.unwrap_or_default().try_into()?,
            ended: wire.ended.map(TryInto::try_into).transpose()?,
            place: ScrubPlace { segment: SegmentId(wire.segment), position: wire.position },
            until: SegmentId(wire.until_segment),
            frames: wire.frames,
            bytes: wire.bytes,
            bytes_total: wire.bytes_total,
            bad_frames: wire.bad_frames,
            bad: wire.bad.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
            segments: wire.bad_segments.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&ScrubStatus> for v1::ScrubStatusResponse {
    fn from(status: &ScrubStatus) -> Self {
        let run = |run: &Option<ScrubRun>| run.as_ref().map(Into::into);
        Self { running: status.running, current: run(&status.current), last: run(&status.last) }
    }
}

impl TryFrom<v1::ScrubStatusResponse> for ScrubStatus {
    type Error = Error;

    fn try_from(wire: v1::ScrubStatusResponse) -> Result<Self> {
        let run = |run: Option<v1::ScrubRun>| run.map(TryInto::try_into).transpose();
        Ok(Self { running: wire.running, current: run(wire.current)?, last: run(wire.last)? })
    }
}

#[cfg(test)]
mod tests;
