//! How much of everything: bounded by what is asked for, and by what is free.

use std::time::Duration;

use holdfast_core::size::ByteSize;

use crate::failure::{Failure, Result};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const PAGE: u64 = 4096;
/// Directories that small files are spread over.
pub(super) const DIRS: u64 = 10;
/// Of what is free, no more than one part in so many is ever written.
const FREE_SHARE: u64 = 4;
/// What a small file takes on the disk, its share of the metadata included.
const FILE_COST: u64 = 2 * PAGE;

const LARGE_MIN: u64 = 4 * MIB;
const FILES_MIN: u64 = 40;
const APPENDS_MIN: u64 = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) time: Duration,
    large: u64,
    files: u64,
    rounds: u64,
}

impl Scale {
    pub(super) fn new(quick: bool, seconds: Option<f64>) -> Self {
        let time = |default| Duration::from_secs_f64(seconds.unwrap_or(default));
        if quick {
            Self { time: time(0.5), large: 64 * MIB, files: 400, rounds: 50 }
        } else {
            Self { time: time(5.0), large: 1024 * MIB, files: 5000, rounds: 200 }
        }
    }
}

/// What a file system has free, for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Free {
    pub(super) bytes: u64,
    /// `None`: it does not count inodes.
    pub(super) inodes: Option<u64>,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Longest time of a row.
    pub(super) time: Duration,
    /// Of the large file.
    pub(super) large: u64,
    pub(super) files: u64,
    pub(super) appends: u64,
    /// Changes that the second directory has to see.
    pub(super) rounds: u64,
    /// Less than was asked for, because there is not more room.
    pub(super) cut: bool,
}

impl Sizes {
    /// # Errors
    /// When too little is free even for the smallest sizes.
    pub(super) fn fit(scale: Scale, free: Free) -> Result<Self> {
        let budget = free.bytes / FREE_SHARE;
        let inodes = free.inodes.map_or(u64::MAX, |inodes| inodes / FREE_SHARE);
        let large = scale.large.min(budget / 2 / MIB * MIB);
        let files = scale.files.min(budget / 4 / FILE_COST).min(inodes);
        // A row of appends lasts its time, whatever the disk can do.
        let appends = budget / 4 / PAGE;
        if large < LARGE_MIN || files < FILES_MIN || appends < APPENDS_MIN {
            let inodes = free.inodes.map_or(String::new(), |inodes| format!(" and {inodes} inodes"));
            let (bytes, need) = (ByteSize(free.bytes), ByteSize(2 * LARGE_MIN * FREE_SHARE));
            return Err(Failure::new(format!("only {bytes}{inodes} are free there, too little to measure with")).hint(
                format!(
                    "it takes a quarter of what is free at most, and needs {need} and {} inodes free",
                    FILES_MIN * FREE_SHARE
                ),
            ));
        }
        let cut = large < scale.large || files < scale.files;
        Ok(Self { time: scale.time, large, files, appends, rounds: scale.rounds, cut })
    }
}
