//! Names, checked once: a value of one of these types is valid, so nothing behind it checks again.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::acl::{ACCESS_XATTR, DEFAULT_XATTR};
use crate::limits::{NAME_BYTES_MAX, VOLUME_NAME_BYTES_MAX};

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name has at least one byte.
    #[error("a name cannot be empty")]
    Empty,
    /// Over 255 bytes (`ENAMETOOLONG`).
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// `/`, NUL, `.` or `..` cannot name a directory entry.
    #[error("a name cannot be '.' or '..' and cannot contain '/' or NUL")]
    Forbidden,
}

/// The name of a directory entry: 1 to 255 bytes, any but `/` and NUL, not `.` or `..`.
///
/// Bytes, not text: Linux file names have no encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Bytes);

impl FileName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, NameError> {
        let name = name.into();
        match &name[..] {
            [] => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Forbidden),
            bytes if bytes.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
            bytes if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Forbidden),
            _ => Ok(Self(name)),
        }
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as shared bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Borrow<[u8]> for FileName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The name of an extended attribute with its name space (`user.`, `trusted.`, `security.` or
/// `system.`), 1 to 255 bytes without NUL (xattr(7)).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XattrName(Bytes);

impl XattrName {
    /// Checks a name. Which name spaces a volume serves is the server's decision.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, NameError> {
        let name = name.into();
        match &name[..] {
            [] => Err(NameError::Empty),
            bytes if bytes.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
            bytes if bytes.contains(&0) => Err(NameError::Forbidden),
            _ => Ok(Self(name)),
        }
    }

    /// The access list of an inode.
    #[must_use]
    pub const fn access_list() -> Self {
        Self(Bytes::from_static(ACCESS_XATTR))
    }

    /// The default list of a directory.
    #[must_use]
    pub const fn default_list() -> Self {
        Self(Bytes::from_static(DEFAULT_XATTR))
    }

    /// The capabilities that a program gets when it is run; they go when its file is changed.
    #[must_use]
    pub const fn capability() -> Self {
        Self(Bytes::from_static(b"security.capability"))
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as shared bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for XattrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Why a volume name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a volume name has 1 to {VOLUME_NAME_BYTES_MAX} characters: letters, digits, '.', '_' and '-', the first a letter or digit"
)]
pub struct VolumeNameError;

/// The name of a volume: 1 to 128 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
///
/// It never becomes a path: volumes live on disk under their id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = VolumeNameError;

    fn from_str(name: &str) -> Result<Self, VolumeNameError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let bytes = name.as_bytes();
        let valid = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.len() <= VOLUME_NAME_BYTES_MAX
            && bytes.iter().copied().all(word);
        if valid { Ok(Self(name.to_owned())) } else { Err(VolumeNameError) }
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
