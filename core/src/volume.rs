//! What a volume is, as its users see it.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::id::VolumeId;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX, QUOTA_BYTES_MAX, QUOTA_BYTES_MIN};
use crate::name::VolumeName;
use crate::time::Timestamp;

/// How much a volume may hold. `None`: no limit but the server's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes allocated to files.
    pub bytes: Option<u64>,
    /// Inodes, the root directory included.
    pub inodes: Option<u64>,
}

/// How much it holds. Exact: changed in the same batch as the operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes allocated to files.
    pub bytes: u64,
    /// Inodes, the root directory included, and files that are deleted but open.
    pub inodes: u64,
}

/// What a mount of the volume may do that is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountPolicy {
    /// Set-user-id and set-group-id bits count (no `nosuid`).
    pub allow_suid: bool,
    /// Device inodes work (no `nodev`).
    pub allow_dev: bool,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Name, unique on the server.
    pub name: VolumeName,
    /// Its limits.
    pub quota: Quota,
    /// Free text pairs.
    pub labels: BTreeMap<String, String>,
    /// What mounts may do.
    pub policy: MountPolicy,
}

/// A volume as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its id, for ever.
    pub id: VolumeId,
    /// What was asked for, and since then changed.
    pub spec: VolumeSpec,
    /// When it was made.
    pub created: Timestamp,
    /// What it holds.
    pub usage: Usage,
    /// Sessions (mounts) on it now.
    pub sessions: u32,
}

impl Quota {
    /// Checks the limits of the limits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming the figure and what is allowed.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        match (self.bytes, self.inodes) {
            (Some(bytes), _) if !(QUOTA_BYTES_MIN..=QUOTA_BYTES_MAX).contains(&bytes) => {
                invalid(format!("a size of {bytes} bytes is not allowed; use 1 MiB to 1 EiB, or no size for no limit"))
            }
            (_, Some(0)) => invalid("a limit of 0 inodes is not allowed; a volume needs at least 1".into()),
            _ => Ok(()),
        }
    }
}

impl VolumeSpec {
    /// Checks what the types leave open.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming what is wrong.
    pub fn check(&self) -> Result<()> {
        self.quota.check()?;
        let long = |text: &String| text.len() > LABEL_BYTES_MAX;
        if self.labels.len() > LABELS_MAX {
            return Err(Error::new(ErrorKind::Invalid, format!("a volume has at most {LABELS_MAX} labels")));
        }
        match self.labels.iter().find(|(key, value)| key.is_empty() || long(key) || long(value)) {
            Some((key, _)) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "label {:?} is not allowed: keys have 1 to {LABEL_BYTES_MAX} bytes, values at most {LABEL_BYTES_MAX}",
                    key.chars().take(32).collect::<String>()
                ),
            )),
            None => Ok(()),
        }
    }
}
