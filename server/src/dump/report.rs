//! What a dump says when it is done, for people and for machines.

use std::fmt::Write as _;

use holdfast_archive::Ending;
use holdfast_archive::walk::Tally;
use holdfast_core::error::Error;
use holdfast_core::id::VolumeId;
use holdfast_core::size::ByteSize;
use serde::Serialize;

use crate::registry::record::Record;

/// A result in two forms.
pub trait Report: Serialize {
    /// For people, each line with its line feed.
    fn text(&self) -> String;

    /// For machines.
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
    }
}

/// The volumes of a data directory.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Listing(Vec<Row>);

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    name: Option<String>,
    used_bytes: Option<u64>,
    used_inodes: Option<u64>,
    /// Why its record cannot be read.
    problem: Option<String>,
}

impl Listing {
    pub(super) fn new<'a>(volumes: impl Iterator<Item = (VolumeId, Result<&'a Record, &'a Error>)>) -> Self {
        let row = |(id, record): (VolumeId, Result<&Record, &Error>)| Row {
            id: id.to_string(),
            name: record.ok().map(|record| record.spec.name.to_string()),
            used_bytes: record.ok().map(|record| record.usage.bytes),
            used_inodes: record.ok().map(|record| record.usage.inodes),
            problem: record.err().map(ToString::to_string),
        };
        Self(volumes.map(row).collect())
    }
}

impl Report for Listing {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "no volumes\n".to_owned();
        }
        let width = self.0.iter().filter_map(|row| row.name.as_deref().map(str::len)).max().unwrap_or(0).max(4);
        let mut text = format!("{:width$}  {:32}  USED AT ITS LAST STOP\n", "NAME", "ID");
        for row in &self.0 {
            let name = row.name.as_deref().unwrap_or("?");
            let about = match (row.used_bytes, row.used_inodes, &row.problem) {
                (Some(bytes), Some(inodes), _) => format!("{} in {inodes} inodes", ByteSize(bytes)),
                (_, _, problem) => problem.clone().unwrap_or_default(),
            };
            let _infallible = writeln!(text, "{name:width$}  {:32}  {about}", row.id);
        }
        text
    }
}

/// A dump that came to its end.
#[derive(Debug, Serialize)]
pub struct Dumped {
    volume: String,
    id: String,
    members: u64,
    files: u64,
    bytes: u64,
    archive_bytes: u64,
    blake3: String,
    /// Ranges of files that are zeros in the archive.
    damaged_ranges: u64,
    /// Things that are missing, or not whole.
    lost: u64,
    /// What was found damaged beside single files.
    pub(super) metadata_damaged: u64,
}

impl Dumped {
    pub(super) fn new(id: VolumeId, volume: String) -> Self {
        Self {
            volume,
            id: id.to_string(),
            members: 0,
            files: 0,
            bytes: 0,
            archive_bytes: 0,
            blake3: String::new(),
            damaged_ranges: 0,
            lost: 0,
            metadata_damaged: 0,
        }
    }

    pub(super) fn ended(&mut self, tally: Tally, ending: Ending) {
        self.members = tally.members;
        self.files = tally.files;
        self.bytes = tally.bytes;
        self.archive_bytes = ending.bytes;
        self.blake3 = ending.blake3.to_string();
        self.damaged_ranges = tally.damaged;
        self.lost = tally.lost;
    }

    /// Whether all was there as it was written.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damaged_ranges == 0 && self.lost == 0 && self.metadata_damaged == 0
    }
}

impl Report for Dumped {
    fn text(&self) -> String {
        let mut text = format!(
            "volume {}: {} members, {} files with {} of data\n",
            self.volume,
            self.members,
            self.files,
            ByteSize(self.bytes)
        );
        if !self.is_sound() {
            let _infallible = writeln!(
                text,
                "not as it was: {} damaged ranges, {} things missing, {} other places damaged; all are named above",
                self.damaged_ranges, self.lost, self.metadata_damaged
            );
        }
        text
    }
}
