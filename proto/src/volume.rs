//! Volumes and the server, as their users see them.

use holdfast_core::error::{Error, Result};
use holdfast_core::id::VolumeId;
use holdfast_core::name::VolumeName;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::{MountPolicy, Quota, Usage, VolumeInfo, VolumeSpec};

use crate::error::invalid;
use crate::v1;

/// Which volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeRef {
    /// By its id, which never changes.
    Id(VolumeId),
    /// By its name.
    Name(VolumeName),
}

impl std::fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl From<&VolumeRef> for v1::VolumeRef {
    fn from(volume: &VolumeRef) -> Self {
        let by = match volume {
            VolumeRef::Id(id) => v1::volume_ref::By::Id(id.to_string()),
            VolumeRef::Name(name) => v1::volume_ref::By::Name(name.as_str().to_owned()),
        };
        Self { by: Some(by) }
    }
}

impl TryFrom<v1::VolumeRef> for VolumeRef {
    type Error = Error;

    fn try_from(wire: v1::VolumeRef) -> Result<Self> {
        match wire.by {
            Some(v1::volume_ref::By::Id(id)) => volume_id(&id).map(Self::Id),
            Some(v1::volume_ref::By::Name(name)) => volume_name(&name).map(Self::Name),
            None => Err(invalid("the request names no volume; give its name or id")),
        }
    }
}

/// The volume that a request must name.
///
/// # Errors
/// `Invalid` when it names none, or not as a volume can be named.
pub fn required(wire: Option<v1::VolumeRef>) -> Result<VolumeRef> {
    wire.unwrap_or_default().try_into()
}

/// A volume's id.
///
/// # Errors
/// `Invalid` unless it has 32 lower-case hexadecimal digits.
pub fn volume_id(text: &str) -> Result<VolumeId> {
    text.parse().map_err(|error| invalid(format!("volume id: {error}")))
}

/// A volume's name.
///
/// # Errors
/// `Invalid` when no volume can have it.
pub fn volume_name(text: &str) -> Result<VolumeName> {
    text.parse().map_err(|error: holdfast_core::name::VolumeNameError| invalid(error.to_string()))
}

impl From<Quota> for v1::Quota {
    fn from(quota: Quota) -> Self {
        Self { bytes: quota.bytes.unwrap_or(0), inodes: quota.inodes.unwrap_or(0) }
    }
}

impl TryFrom<v1::Quota> for Quota {
    type Error = Error;

    fn try_from(wire: v1::Quota) -> Result<Self> {
        let limit = |number: u64| (number != 0).then_some(number);
        let quota = Self { bytes: limit(wire.bytes), inodes: limit(wire.inodes) };
        quota.check()?;
        Ok(quota)
    }
}

impl From<Usage> for v1::Usage {
    fn from(usage: Usage) -> Self {
        Self { bytes: usage.bytes, inodes: usage.inodes }
    }
}

impl From<v1::Usage> for Usage {
    fn from(wire: v1::Usage) -> Self {
        Self { bytes: wire.bytes, inodes: wire.inodes }
    }
}

impl From<MountPolicy> for v1::MountPolicy {
    fn from(policy: MountPolicy) -> Self {
        Self { allow_suid: policy.allow_suid, allow_dev: policy.allow_dev }
    }
}

impl From<v1::MountPolicy> for MountPolicy {
    fn from(wire: v1::MountPolicy) -> Self {
        Self { allow_suid: wire.allow_suid, allow_dev: wire.allow_dev }
    }
}

impl From<&VolumeSpec> for v1::VolumeSpec {
    fn from(spec: &VolumeSpec) -> Self {
        Self {
            name: spec.name.as_str().to_owned(),
            quota: Some(spec.quota.into()),
            labels: spec.labels.clone().into_iter().collect(),
            policy: Some(spec.policy.into()),
        }
    }
}

impl TryFrom<v1::VolumeSpec> for VolumeSpec {
    type Error = Error;

    fn try_from(wire: v1::VolumeSpec) -> Result<Self> {
        let spec = Self {
            name: volume_name(&wire.name)?,
            quota: wire.quota.unwrap_or_default().try_into()?,
            labels: wire.labels.into_iter().collect(),
            policy: wire.policy.unwrap_or_default().into(),
        };
        spec.check()?;
        Ok(spec)
    }
}

impl From<&VolumeInfo> for v1::Volume {
    fn from(info: &VolumeInfo) -> Self {
        Self {
            id: info.id.to_string(),
            spec: Some((&info.spec).into()),
            created: Some(info.created.into()),
            usage: Some(info.usage.into()),
            sessions: info.sessions,
        }
    }
}

impl TryFrom<v1::Volume> for VolumeInfo {
    type Error = Error;

    fn try_from(wire: v1::Volume) -> Result<Self> {
        Ok(Self {
            id: volume_id(&wire.id)?,
            spec: wire.spec.ok_or_else(|| invalid("a volume lacks its specification"))?.try_into()?,
            created: wire.created.unwrap_or_default().try_into()?,
            usage: wire.usage.unwrap_or_default().into(),
            sessions: wire.sessions,
        })
    }
}

/// A server, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version of the program.
    pub version: String,
    /// Newest protocol version that it speaks.
    pub protocol: u32,
    /// Oldest protocol version that it speaks.
    pub protocol_oldest: u32,
    /// When it was started.
    pub started: Timestamp,
    /// Size of the file system of its data directory, in bytes.
    pub disk_bytes_total: u64,
    /// What is free of that, in bytes.
    pub disk_bytes_free: u64,
    /// Volumes that it keeps.
    pub volumes: u32,
    /// Sessions (mounts) that it serves.
    pub sessions: u32,
    /// Whether connections to it are encrypted.
    pub tls: bool,
}

impl From<&ServerInfo> for v1::GetServerResponse {
    fn from(info: &ServerInfo) -> Self {
        Self {
            version: info.version.clone(),
            protocol: info.protocol,
            protocol_oldest: info.protocol_oldest,
            started: Some(info.started.into()),
            disk_bytes_total: info.disk_bytes_total,
            disk_bytes_free: info.disk_bytes_free,
            volumes: info.volumes,
            sessions: info.sessions,
            tls: info.tls,
        }
    }
}

impl TryFrom<v1::GetServerResponse> for ServerInfo {
    type Error = Error;

    fn try_from(wire: v1::GetServerResponse) -> Result<Self> {
        Ok(Self {
            version: wire.version,
            protocol: wire.protocol,
            protocol_oldest: wire.protocol_oldest,
            started: wire.started.unwrap_or_default().try_into()?,
            disk_bytes_total: wire.disk_bytes_total,
            disk_bytes_free: wire.disk_bytes_free,
            volumes: wire.volumes,
            sessions: wire.sessions,
            tls: wire.tls,
        })
    }
}

#[cfg(test)]
mod tests;
