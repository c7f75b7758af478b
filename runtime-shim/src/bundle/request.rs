//! What somebody wants to run: plain values, each checked when it is made.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use holdfast_client::ServerAddress;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::size::ByteSize;

use crate::spec::VolumeArgument;

/// Least memory that a container starts with, in bytes.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
/// Longest container name, in bytes.
const NAME_BYTES_MAX: usize = 128;

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A container to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRequest {
    /// The directory that becomes its root.
    pub rootfs: PathBuf,
    /// Its root cannot be written to; volumes can.
    pub read_only: bool,
    /// Its volumes.
    pub volumes: Vec<VolumeArgument>,
    /// The server of volumes that name none.
    pub server: ServerAddress,
    /// Limit of its memory.
    pub memory: Option<Memory>,
    /// Limit of its processor time.
    pub cpus: Option<Cpus>,
    /// Its host name; its own name where none is given.
    pub hostname: Option<String>,
    /// Its environment, as `NAME=value`, besides `PATH` and `TERM`.
    pub environment: Vec<String>,
    /// The directory that the command starts in.
    pub workdir: PathBuf,
    /// Who the command runs as.
    pub user: User,
    /// Its name, unique among the host's containers; made up where none is given.
    pub name: Option<ContainerName>,
    /// Its network.
    pub network: Network,
    /// It gets a terminal, which our standard streams are then connected to.
    pub terminal: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
}

/// Memory in bytes, at least 6 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(i64);

impl Memory {
    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let size: ByteSize = text.parse().map_err(|error| invalid(format!("{error}")))?;
        let bytes = i64::try_from(size.bytes()).map_err(|_| invalid("that is more memory than any host has".into()))?;
        if size.bytes() < MEMORY_BYTES_MIN {
            return Err(invalid(format!("a container needs at least {} of memory", ByteSize(MEMORY_BYTES_MIN))));
        }
        Ok(Self(bytes))
    }
}

/// Processor time: how many processors' worth, in thousandths, from 0.01 to 8192.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(u32);

impl Cpus {
    /// The length of a scheduling period, in microseconds.
    pub(super) const PERIOD_MICROS: u64 = 100_000;

    /// The time in a period, in microseconds.
    pub(super) fn quota_micros(self) -> i64 {
        i64::from(self.0) * 100
    }
}

impl FromStr for Cpus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || invalid("processors are a number from 0.01 to 8192 with at most three digits after the point".into());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 || whole.len() > 4 {
            return Err(wrong());
        }
        let thousandths: u32 = format!("{whole}{fraction:0<3}").parse().map_err(|_| wrong())?;
        if (10..=8_192_000).contains(&thousandths) { Ok(Self(thousandths)) } else { Err(wrong()) }
    }
}

/// Who a command runs as: `UID` or `UID:GID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl FromStr for User {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            // The last number is what chown(2) takes for "leave as it is".
            digits.then(|| part.parse().ok()).flatten().filter(|id| *id != u32::MAX)
        };
        let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
        match (number(uid), number(gid)) {
            (Some(uid), Some(gid)) => Ok(Self { uid, gid }),
            _ => Err(invalid("a user is written as UID or UID:GID, in numbers".into())),
        }
    }
}

/// The name of a container: letters, digits, `_`, `.` and `-`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerName(String);

impl FromStr for ContainerName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
        let valid = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && text.len() <= NAME_BYTES_MAX
            && text.bytes().all(word);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(format!(
                "a container name has 1 to {NAME_BYTES_MAX} letters, digits, '_', '.' and '-', the first a letter or digit"
            )))
        }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a container sees of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Itself alone.
    #[default]
    None,
    /// All that the host sees.
    Host,
    /// What this network namespace sees.
    Namespace(PathBuf),
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            path if path.starts_with('/') => Ok(Self::Namespace(path.into())),
            _ => Err(invalid("a network is 'none', 'host' or the path of a network namespace".into())),
        }
    }
}

#[cfg(test)]
mod tests;
