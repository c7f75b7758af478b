//! What is asked of the registry and what it answers: plain values, each checked when it is made.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use holdfast_client::ServerAddress;
use holdfast_core::error::Error;
use holdfast_core::name::{FileName, NameError, VolumeName, VolumeNameError};

/// Longest text that is read as a server's address, in bytes: a DNS name (253), a colon, a port.
const SERVER_BYTES_MAX: usize = 259;
/// Longest directory path inside a volume, in bytes (Linux `PATH_MAX` without the NUL).
const SUBDIR_BYTES_MAX: usize = 4095;
/// Longest reference id, in bytes.
const REF_BYTES_MAX: usize = 4096;

/// Why the path of a directory inside a volume was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubdirError {
    /// More than 4,095 bytes.
    #[error("a directory inside a volume has a path of at most {SUBDIR_BYTES_MAX} bytes")]
    TooLong,
    /// One of its names cannot be a name.
    #[error("the path of a directory inside a volume is names with single '/' between them: {0}")]
    Name(#[from] NameError),
}

/// The path of a directory inside a volume: names with `/` between them, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdir(String);

impl Subdir {
    /// The path as text, without a leading `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path, relative to the volume's root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for Subdir {
    type Err = SubdirError;

    fn from_str(text: &str) -> Result<Self, SubdirError> {
        if text.len() > SUBDIR_BYTES_MAX {
            return Err(SubdirError::TooLong);
        }
        for name in text.split('/') {
            FileName::new(name.as_bytes().to_vec())?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Subdir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_debug().fmt(f)
    }
}

/// A volume on a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteVolume {
    /// Where it is.
    pub server: ServerAddress,
    /// Its name there.
    pub volume: VolumeName,
}

impl fmt::Display for RemoteVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.volume)
    }
}

/// Why a text does not say which volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumePathError {
    /// The part before the first `/` looks like a server and is none.
    #[error(transparent)]
    Server(#[from] Error),
    /// It is far too long for one.
    #[error("the address of a server has at most {SERVER_BYTES_MAX} bytes")]
    ServerTooLong,
    /// There is a server and nothing after it.
    #[error("the volume is missing: write SERVER/VOLUME or SERVER/VOLUME/DIRECTORY")]
    VolumeMissing,
    /// The name cannot be a volume's.
    #[error(transparent)]
    Volume(#[from] VolumeNameError),
    /// The rest cannot be a directory's.
    #[error(transparent)]
    Subdir(#[from] SubdirError),
}

/// What people write for a volume: `[SERVER/]VOLUME[/DIRECTORY]`.
///
/// The first part is a server when it contains a `:`, which no volume name does.
/// `SERVER:/VOLUME`, as in fstab(5), is the same with a `:` after the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePath {
    /// The server, where one is named.
    pub server: Option<ServerAddress>,
    /// The volume.
    pub volume: VolumeName,
    /// The directory inside it, where one is named.
    pub subdir: Option<Subdir>,
}

impl FromStr for VolumePath {
    type Err = VolumePathError;

    fn from_str(text: &str) -> Result<Self, VolumePathError> {
        let (server, rest) = match text.split_once('/') {
            Some((first, rest)) if first.contains(':') => {
                (Some(parse_server(first.strip_suffix(':').unwrap_or(first))?), rest)
            }
            None if text.contains(':') => return Err(VolumePathError::VolumeMissing),
            _ => (None, text),
        };
        let (volume, subdir) = match rest.split_once('/') {
            Some((volume, subdir)) => (volume, Some(subdir.parse()?)),
            None => (rest, None),
        };
        Ok(Self { server, volume: volume.parse()?, subdir })
    }
}

/// Reads a server's address; port 7440 where none is named.
///
/// # Errors
/// What is wrong with it, without repeating a text of any length.
pub fn parse_server(text: &str) -> Result<ServerAddress, VolumePathError> {
    if text.len() > SERVER_BYTES_MAX {
        return Err(VolumePathError::ServerTooLong);
    }
    Ok(text.parse()?)
}

/// Why a reference id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reference has 1 to {REF_BYTES_MAX} bytes and no control characters")]
pub struct RefIdError;

/// Who holds a volume: a container's id with what makes it unique on the host. Unique text to the registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefId(String);

impl RefId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefId {
    type Err = RefIdError;

    fn from_str(text: &str) -> Result<Self, RefIdError> {
        let valid = (1..=REF_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if valid { Ok(Self(text.to_owned())) } else { Err(RefIdError) }
    }
}

impl fmt::Display for RefId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Asks for a volume on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// The volume.
    pub volume: RemoteVolume,
    /// A directory inside it instead of its root. It must exist.
    pub subdir: Option<Subdir>,
    /// The mount refuses every change.
    pub read_only: bool,
    /// Who asks.
    pub reference: RefId,
    /// A path that exists for as long as the holder does (a runtime's state directory). Without it
    /// the reference is never taken for stale.
    pub witness: Option<PathBuf>,
}

/// The volume is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// Where, on the host. All directories above it belong to the registry.
    pub path: PathBuf,
    /// False when the reference held exactly this before.
    pub created: bool,
    /// Set-user-id bits are ignored on the mount. Whoever binds it with flags must repeat this one.
    pub nosuid: bool,
    /// Device inodes do not work on the mount. Whoever binds it with flags must repeat this one.
    pub nodev: bool,
}

/// Gives up everything that a reference holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Who.
    pub reference: RefId,
}

/// What a release did. Nothing at all is no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Mounts that the reference held.
    pub released: usize,
    /// Those that nobody else held and that are gone now.
    pub unmounted: usize,
}

#[cfg(test)]
mod tests;
