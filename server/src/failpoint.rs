//! Steps on the way to the disk, and of fencing, that a test leaves out, to show that it would notice.
//!
//! For tests only. The code is in every build, so that the tests run the program that users run, and does
//! nothing until [`arm`] is called with what `HOLDFAST_FAILPOINTS` says: then what the server acknowledges
//! may be lost, and what others did written over. Never set outside a test; the server logs loudly when it is.

use std::sync::atomic::{AtomicU32, Ordering};

use holdfast_core::error::{Error, ErrorKind, Result};
use tracing::error;

/// The environment variable: names of [`Failpoint`]s with commas between them.
pub const VARIABLE: &str = "HOLDFAST_FAILPOINTS";

/// A step that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The sync of a segment before the batch that points into it.
    SegmentSync,
    /// The sync of the directory `segments` after a new segment in it.
    SegmentDirectorySync,
    /// The sync of the engine's write-ahead log with a batch.
    BatchSync,
    /// The commit before a wish for the disk is answered.
    CommitFirst,
    /// The end of a session whose lease is over: others get what it had, and what it did late is carried
    /// out when it comes back.
    Fence,
    /// The same, and when it comes back it is believed that it has the leases and locks that it claims.
    StaleReclaim,
    /// The recall of what others have been lent, before an operation changes it.
    Recall,
    /// The wait until what one session has changed is on the disk, before another one is shown it.
    Settle,
}

/// One bit for each failpoint that is armed.
static ARMED: AtomicU32 = AtomicU32::new(0);

impl Failpoint {
    const ALL: [Self; 8] = [
        Self::SegmentSync,
        Self::SegmentDirectorySync,
        Self::BatchSync,
        Self::CommitFirst,
        Self::Fence,
        Self::StaleReclaim,
        Self::Recall,
        Self::Settle,
    ];

    /// Its name in [`VARIABLE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SegmentSync => "segment-sync",
            Self::SegmentDirectorySync => "segment-directory-sync",
            Self::BatchSync => "batch-sync",
            Self::CommitFirst => "commit-first",
            Self::Fence => "fence",
            Self::StaleReclaim => "stale-reclaim",
            Self::Recall => "recall",
            Self::Settle => "settle",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Whether the step is to be left out.
    pub(crate) fn is_armed(self) -> bool {
        ARMED.load(Ordering::Relaxed) & self.bit() != 0
    }
}

/// Reads a list of names.
///
/// # Errors
/// `Invalid` for a name that is none.
fn parse(list: &str) -> Result<Vec<Failpoint>> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let find = |name: &str| {
        Failpoint::ALL.into_iter().find(|point| point.name() == name).ok_or_else(|| {
            let known = Failpoint::ALL.map(Failpoint::name).join(", ");
            Error::new(
                ErrorKind::Invalid,
                format!("{VARIABLE} names {name:?}; it is for tests only, and knows {known}: unset it"),
            )
        })
    };
    names.map(find).collect()
}

/// Leaves these steps out from now on, in the whole process.
///
/// # Errors
/// `Invalid` for a name that is none; nothing is left out then.
pub fn arm(list: &str) -> Result<()> {
    let points = parse(list)?;
    for point in &points {
        error!(
            failpoint = point.name(),
            "THIS SERVER BREAKS ITS PROMISES: a failpoint is armed, for a test; unset {VARIABLE}"
        );
    }
    ARMED.store(points.iter().fold(0, |bits, point| bits | point.bit()), Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests;
