//! `volume.json`: what a volume is, beside what it holds.

use std::collections::BTreeMap;
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::time::Timestamp;
use holdfast_core::volume::{MountPolicy, Quota, Usage, VolumeSpec};
use serde::{Deserialize, Serialize};

use crate::data_dir::{cannot, replace_file};

/// The version that this program writes.
const VERSION: u32 = 1;
const FILE: &str = "volume.json";

/// What is known of a volume without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) spec: VolumeSpec,
    pub(crate) created: Timestamp,
    /// As it was when the volume was last closed.
    pub(crate) usage: Usage,
}

/// The file, field by field.
#[derive(Deserialize, Serialize)]
struct OnDisk {
    version: u32,
    name: String,
    quota_bytes: Option<u64>,
    quota_inodes: Option<u64>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    allow_suid: bool,
    #[serde(default)]
    allow_dev: bool,
    created_secs: i64,
    created_nanos: u32,
    used_bytes: u64,
    used_inodes: u64,
}

/// Reads the record of a volume's directory; `None` when there is none.
pub(crate) fn read(dir: &Path) -> Result<Option<Record>> {
    let path = dir.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", &path, error)),
    };
    let damaged = |why: String| Error::new(ErrorKind::Damaged, format!("{} cannot be used: {why}", path.display()));
    let disk: OnDisk = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if disk.version != VERSION {
        return Err(Error::new(
            ErrorKind::Version,
            format!("{} has version {}, this holdfastd reads {VERSION}", path.display(), disk.version),
        ));
    }
    let spec = VolumeSpec {
        name: disk.name.parse().map_err(|error| damaged(format!("name: {error}")))?,
        quota: Quota { bytes: disk.quota_bytes, inodes: disk.quota_inodes },
        labels: disk.labels,
        policy: MountPolicy { allow_suid: disk.allow_suid, allow_dev: disk.allow_dev },
    };
    spec.check().map_err(|error| damaged(error.message().to_owned()))?;
    let created =
        Timestamp::new(disk.created_secs, disk.created_nanos).ok_or_else(|| damaged("created_nanos".into()))?;
    let usage = Usage { bytes: disk.used_bytes, inodes: disk.used_inodes };
    Ok(Some(Record { spec, created, usage }))
}

/// Writes the record, durably and as a whole.
pub(super) fn write(dir: &Path, record: &Record) -> Result<()> {
    let Record { spec, created, usage } = record;
    let disk = OnDisk {
        version: VERSION,
        name: spec.name.to_string(),
        quota_bytes: spec.quota.bytes,
        quota_inodes: spec.quota.inodes,
        labels: spec.labels.clone(),
        allow_suid: spec.policy.allow_suid,
        allow_dev: spec.policy.allow_dev,
        created_secs: created.secs,
        created_nanos: created.nanos,
        used_bytes: usage.bytes,
        used_inodes: usage.inodes,
    };
    let text = serde_json::to_vec_pretty(&disk)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot write a volume's record: {error}")))?;
    replace_file(&dir.join(FILE), &text)
}
