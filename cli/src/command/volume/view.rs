//! A volume as people and scripts see it. The JSON field names are part of the interface.

use std::collections::BTreeMap;

use holdfast_core::size::ByteSize;
use holdfast_core::volume::VolumeInfo;
use serde::Serialize;

use super::segments::{CompactionShown, DataShown};
use crate::date;
use crate::output::Report;
use crate::output::table::{Align, Table, pairs};

/// One volume.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeView {
    /// Its name.
    pub name: String,
    id: String,
    size_bytes: Option<u64>,
    used_bytes: u64,
    inodes: Option<u64>,
    used_inodes: u64,
    mounts: u32,
    allow_suid: bool,
    allow_dev: bool,
    labels: BTreeMap<String, String>,
    created: String,
}

impl From<VolumeInfo> for VolumeView {
    fn from(volume: VolumeInfo) -> Self {
        Self {
            name: volume.spec.name.to_string(),
            id: volume.id.to_string(),
            size_bytes: volume.spec.quota.bytes,
            used_bytes: volume.usage.bytes,
            inodes: volume.spec.quota.inodes,
            used_inodes: volume.usage.inodes,
            mounts: volume.sessions,
            allow_suid: volume.spec.policy.allow_suid,
            allow_dev: volume.spec.policy.allow_dev,
            labels: volume.spec.labels,
            created: date::rfc3339(volume.created),
        }
    }
}

/// One volume, with what is known of its scrubs and its data on the disk.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The volume.
    #[serde(flatten)]
    pub volume: VolumeView,
    /// When it was scrubbed, and what was found.
    pub scrubbed: String,
    /// What its data takes up on the server's disk; absent: it is not open.
    pub data: Option<DataShown>,
    /// What compaction did there since the server was started; absent: the server is too old to say.
    pub compaction: Option<CompactionShown>,
}

impl Report for Shown {
    fn text(&self) -> String {
        let mut lines = self.volume.lines();
        lines.push(("scrubbed", self.scrubbed.clone()));
        if let Some(compaction) = &self.compaction {
            lines.push(("data", self.data.as_ref().map_or_else(|| "not open now".to_owned(), DataShown::words)));
            lines.push(("compacted", compaction.words()));
        }
        pairs(&lines)
    }
}

/// A path for people: text where it is that, else with its other bytes escaped.
#[must_use]
pub fn path_text(path: &[u8]) -> String {
    str::from_utf8(path).map_or_else(|_| path.escape_ascii().to_string(), str::to_owned)
}

impl VolumeView {
    /// Its limits in words.
    #[must_use]
    pub fn limits(&self) -> String {
        match (self.size_bytes, self.inodes) {
            (None, None) => "no limit but the server's disk".into(),
            (Some(bytes), None) => ByteSize(bytes).to_string(),
            (None, Some(inodes)) => format!("{inodes} inodes"),
            (Some(bytes), Some(inodes)) => format!("{}, {inodes} inodes", ByteSize(bytes)),
        }
    }

    /// Used bytes in percent of the limit, rounded up as df(1) does.
    fn percent(&self) -> Option<u128> {
        let size = self.size_bytes.filter(|size| *size > 0)?;
        Some((u128::from(self.used_bytes) * 100).div_ceil(u128::from(size)))
    }

    fn used_of(&self) -> String {
        match (self.size_bytes, self.percent()) {
            (Some(size), Some(percent)) => {
                format!("{} of {} ({percent}%)", ByteSize(self.used_bytes), ByteSize(size))
            }
            _ => format!("{} (no limit)", ByteSize(self.used_bytes)),
        }
    }
}

impl VolumeView {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let inodes = match self.inodes {
            Some(limit) => format!("{} of {limit}", self.used_inodes),
            None => format!("{} (no limit)", self.used_inodes),
        };
        let allowed: Vec<&str> = [(self.allow_suid, "suid"), (self.allow_dev, "dev")]
            .iter()
            .filter_map(|(allowed, word)| allowed.then_some(*word))
            .collect();
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let or_none = |words: String| if words.is_empty() { "none".to_owned() } else { words };
        vec![
            ("name", self.name.clone()),
            ("id", self.id.clone()),
            ("used", self.used_of()),
            ("inodes", inodes),
            ("mounts", self.mounts.to_string()),
            ("allows", or_none(allowed.join(", "))),
            ("labels", or_none(labels.join(", "))),
            ("created", self.created.clone()),
        ]
    }
}

impl Report for VolumeView {
    fn text(&self) -> String {
        pairs(&self.lines())
    }
}

/// All volumes of a server.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct VolumeList(Vec<VolumeView>);

impl VolumeList {
    /// In the order given.
    #[must_use]
    pub fn new(volumes: Vec<VolumeInfo>) -> Self {
        Self(volumes.into_iter().map(VolumeView::from).collect())
    }

    /// The table alone, indented.
    #[must_use]
    pub fn table(&self, indent: usize) -> String {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("SIZE", Align::Right),
            ("USED", Align::Right),
            ("USE%", Align::Right),
            ("INODES", Align::Right),
            ("MOUNTS", Align::Right),
            ("CREATED", Align::Left),
        ]);
        for volume in &self.0 {
            table.row([
                volume.name.clone(),
                volume.size_bytes.map_or_else(|| "-".into(), |size| ByteSize(size).to_string()),
                ByteSize(volume.used_bytes).to_string(),
                volume.percent().map_or_else(|| "-".into(), |percent| format!("{percent}%")),
                volume.used_inodes.to_string(),
                volume.mounts.to_string(),
                volume.created.clone(),
            ]);
        }
        table.text(indent)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Report for VolumeList {
    fn text(&self) -> String {
        if self.is_empty() {
            return "no volumes; make one: holdfast volume create NAME --size 10GiB\n".into();
        }
        self.table(0)
    }
}
