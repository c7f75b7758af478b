//! Which findings are safe to mend: decided from all of them together, before anything is changed.
//!
//! Safe is what follows from other records alone and takes nothing away that anybody could miss: sums
//! and counts, the listing beside the names, marks. Everything else is only told. Pure.

use std::collections::HashSet;

use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Finding, FindingKind as Kind, Mending, Subject};

/// What all findings say together.
struct Whole {
    /// Something cannot be read, or not all is known: nobody can say what is true.
    unknown: bool,
    /// An inode is missing: what seems to be nobody's may be its.
    missing: bool,
    /// Directories that will get a name back, and the directories around them: counts there are
    /// looked at again afterwards.
    unsettled: HashSet<InodeId>,
    /// A name will come back: counts of links are looked at again afterwards.
    names_come_back: bool,
}

/// Marks each finding as safe to mend, or not. `cut`: there are more than these.
pub fn decide(findings: &mut [Finding], cut: bool) {
    let whole = Whole::of(findings, cut);
    for finding in findings {
        finding.mending = if whole.is_safe(finding) { Mending::Safe } else { Mending::Told };
    }
}

impl Whole {
    fn of(findings: &[Finding], cut: bool) -> Self {
        let has = |kinds: &[Kind]| findings.iter().any(|finding| kinds.contains(&finding.kind));
        let unsettled = findings.iter().filter(|finding| finding.kind == Kind::NameLost);
        Self {
            unknown: cut || has(&[Kind::Unreadable]),
            missing: has(&[Kind::EntryToNothing, Kind::NoRoot, Kind::DataShared]),
            names_come_back: has(&[Kind::NameLost]),
            unsettled: unsettled.filter_map(directory_of).collect(),
        }
    }

    fn is_safe(&self, finding: &Finding) -> bool {
        if self.unknown {
            return false;
        }
        match finding.kind {
            Kind::NotListed
            | Kind::NameLost
            | Kind::XattrBytes
            | Kind::WrongMark
            | Kind::OrphanLeft
            | Kind::AllocatedBytes
            | Kind::ExtentEnd
            | Kind::UsageBytes
            | Kind::UsageInodes
            | Kind::SegmentLive
            | Kind::SegmentLength => true,
            Kind::LinkCount | Kind::NoMark => !self.names_come_back,
            Kind::SubdirectoryCount | Kind::EntryCount => {
                directory_of(finding).is_none_or(|directory| !self.unsettled.contains(&directory))
            }
            Kind::ListedLeft | Kind::DataOfNobody => !self.missing,
            Kind::Unreadable
            | Kind::NoRoot
            | Kind::EntryToNothing
            | Kind::EntryType
            | Kind::EntryOutside
            | Kind::ListedWrongly
            | Kind::Nameless
            | Kind::ManyNames
            | Kind::DirectoryPlace
            | Kind::Detached
            | Kind::StrayXattrs
            | Kind::Target
            | Kind::DataPastSize
            | Kind::ExtentOverlap
            | Kind::DataShared
            | Kind::DataDoomed => false,
        }
    }
}

/// The directory that a finding is about or stands in.
fn directory_of(finding: &Finding) -> Option<InodeId> {
    match &finding.subject {
        Subject::Inode(ino) => Some(*ino),
        Subject::Name { directory, .. } | Subject::Place { directory, .. } => Some(*directory),
        Subject::Content { .. } | Subject::Volume | Subject::Data(_) | Subject::Segment(_) | Subject::Record(_) => None,
    }
}

/// Inodes whose copies clients must have given back before a finding is mended.
#[must_use]
pub fn touches(finding: &Finding) -> Vec<InodeId> {
    match &finding.subject {
        Subject::Inode(ino) | Subject::Content { ino, .. } => vec![*ino],
        Subject::Name { directory, .. } | Subject::Place { directory, .. } => vec![*directory],
        Subject::Volume | Subject::Data(_) | Subject::Segment(_) | Subject::Record(_) => Vec::new(),
    }
}
