//! Findings of a check of metadata, and where a check stands.

use std::fmt;

use super::FindingKind;
use crate::id::{DirCookie, InodeId, SegmentId};
use crate::name::FileName;

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The volume as a whole.
    Volume,
    /// An inode.
    Inode(InodeId),
    /// A name in a directory.
    Name {
        /// The directory.
        directory: InodeId,
        /// The name.
        name: FileName,
    },
    /// A place in the listing of a directory.
    Place {
        /// The directory.
        directory: InodeId,
        /// The place.
        cookie: DirCookie,
    },
    /// What a file holds.
    Content {
        /// The file.
        ino: InodeId,
        /// The data id of its extents.
        data: u64,
    },
    /// Extents that belong together, by their data id.
    Data(u64),
    /// A segment.
    Segment(SegmentId),
    /// A record that is none, as its key reads.
    Record(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume => f.write_str("the volume"),
            Self::Inode(ino) => write!(f, "inode {ino}"),
            Self::Name { directory, name } => write!(f, "the name \"{name}\" in directory {directory}"),
            Self::Place { directory, cookie } => write!(f, "place {cookie} of the listing of directory {directory}"),
            Self::Content { ino, data } => write!(f, "inode {ino} (data {data})"),
            Self::Data(data) => write!(f, "data {data}"),
            Self::Segment(segment) => write!(f, "segment {segment}"),
            Self::Record(key) => write!(f, "record {key}"),
        }
    }
}

/// What is stored, and what is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Figures {
    /// What the record says.
    pub stored: u64,
    /// What the other records come to.
    pub truth: u64,
}

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mending {
    /// It is not safe to mend by itself: a person decides.
    #[default]
    Told,
    /// It is safe to mend.
    Safe,
    /// It was mended.
    Done,
    /// It was not mended: it has changed since it was found. Another check tells.
    Changed,
    /// It was not mended: a client has it in use and did not give it back.
    InUse,
}

impl Mending {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Told, Self::Safe, Self::Done, Self::Changed, Self::InUse];

    /// The word for it. Never changed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Safe => "safe",
            Self::Done => "mended",
            Self::Changed => "changed",
            Self::InUse => "in-use",
        }
    }
}

/// A record that contradicts others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// With what.
    pub subject: Subject,
    /// What is stored and what is true, where both are numbers.
    pub figures: Option<Figures>,
    /// More about it, for people; may be empty.
    pub detail: String,
    /// The path from the volume's root, with a slash; `None`: not known, or there is none.
    pub path: Option<Vec<u8>>,
    /// What becomes of it.
    pub mending: Mending,
}

impl Finding {
    /// A finding without figures.
    #[must_use]
    pub fn new(kind: FindingKind, subject: Subject) -> Self {
        Self { kind, subject, figures: None, detail: String::new(), path: None, mending: Mending::Told }
    }

    /// With these figures.
    #[must_use]
    pub fn figures(self, stored: u64, truth: u64) -> Self {
        Self { figures: Some(Figures { stored, truth }), ..self }
    }

    /// With more words.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// Whether it is the same thing, whatever became of it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.kind.means())?;
        if let Some(Figures { stored, truth }) = self.figures {
            write!(f, ": {stored} is stored, {truth} is true")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// What a check has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Inodes.
    pub inodes: u64,
    /// Names.
    pub names: u64,
    /// Extents.
    pub extents: u64,
}

/// The end of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What was looked at, the last time.
    pub counted: Counted,
    /// Findings that are there now.
    pub left: u64,
    /// Findings that were mended.
    pub mended: u64,
    /// There are more than were told.
    pub cut: bool,
}

/// What a check is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckPhase {
    /// It counts names.
    #[default]
    Names,
    /// It compares inodes.
    Inodes,
    /// It compares extents.
    Extents,
    /// It mends.
    Mending,
}

impl CheckPhase {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Names, Self::Inodes, Self::Extents, Self::Mending];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Inodes => "inodes",
            Self::Extents => "extents",
            Self::Mending => "mending",
        }
    }
}

/// Where a check stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckProgress {
    /// What it is doing.
    pub phase: CheckPhase,
    /// How much of it is done.
    pub done: u64,
    /// Of how much, about.
    pub total: u64,
}
