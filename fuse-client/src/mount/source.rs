//! What to mount: a server, a volume, and a directory in it.

use std::fmt;
use std::str::FromStr as _;

use holdfast_client::{PORT_DEFAULT, ServerAddress, VolumeRef};
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::VolumeId;
use holdfast_core::name::{FileName, VolumeName};

/// A directory of a volume, from its root; empty: the root. Links on the way are not followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subdirectory(Vec<FileName>);

impl Subdirectory {
    /// Reads a path. Slashes at the ends and doubled ones mean nothing.
    ///
    /// # Errors
    /// `Invalid`: a name in it is too long, or `.` or `..`.
    pub fn parse(path: &str) -> Result<Self> {
        let names = path.split('/').filter(|name| !name.is_empty());
        let names = names.map(|name| {
            FileName::new(name.as_bytes().to_vec())
                .map_err(|error| invalid(format!("subdirectory {path:?}: {name:?}: {error}")))
        });
        names.collect::<Result<_>>().map(Self)
    }

    /// Its names, from the root on.
    #[must_use]
    pub fn names(&self) -> &[FileName] {
        &self.0
    }
}

impl fmt::Display for Subdirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// What to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSource {
    /// The server; `None` where the text names none.
    pub server: Option<ServerAddress>,
    /// The volume.
    pub volume: VolumeRef,
    /// The directory in it that becomes the mount's root.
    pub subdir: Subdirectory,
}

impl MountSource {
    /// Reads `SERVER:/VOLUME[/SUBDIR]`, `SERVER/VOLUME[/SUBDIR]` or `VOLUME[/SUBDIR]`.
    ///
    /// `A/B` can be read in two ways. Where there is a default server, `A` is a server only if it
    /// can be nothing else (it has a port or is an address), or is the default one; otherwise it is
    /// a volume. Without a default server it is a server. `SERVER:/VOLUME` is never in doubt.
    ///
    /// # Errors
    /// `Invalid`, naming what is wrong and the forms that there are.
    pub fn parse(text: &str, default_server: Option<&ServerAddress>) -> Result<Self> {
        if text.is_empty() {
            return Err(wrong(text, "it is empty"));
        }
        if let Some((server, path)) = text.split_once(":/") {
            return Self::of(text, Some(ServerAddress::from_str(server)?), path);
        }
        let Some((first, rest)) = text.split_once('/') else {
            return Self::of(text, default_server.cloned(), text);
        };
        if first.is_empty() {
            return Err(wrong(text, "it begins with '/'"));
        }
        if rest.trim_matches('/').is_empty() {
            return Self::of(text, default_server.cloned(), first);
        }
        let is_server = match default_server {
            None => true,
            Some(default) => is_surely_a_server(first) || ServerAddress::from_str(first).is_ok_and(|it| it == *default),
        };
        if is_server {
            Self::of(text, Some(ServerAddress::from_str(first)?), rest)
        } else {
            Self::of(text, default_server.cloned(), text)
        }
    }

    fn of(text: &str, server: Option<ServerAddress>, path: &str) -> Result<Self> {
        let path = path.trim_start_matches('/');
        let (volume, subdir) = path.split_once('/').unwrap_or((path, ""));
        let volume = match VolumeName::from_str(volume) {
            Ok(name) => VolumeId::from_str(volume).map_or(VolumeRef::Name(name), VolumeRef::Id),
            Err(error) => return Err(wrong(text, &format!("volume {volume:?}: {error}"))),
        };
        Ok(Self { server, volume, subdir: Subdirectory::parse(subdir)? })
    }
}

impl fmt::Display for MountSource {
    /// As fstab has it, so that mount(8) knows its lines again: `SERVER:/VOLUME[/SUBDIR]`, without
    /// the port where it is the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) if server.port() == PORT_DEFAULT => {
                let shown = server.to_string();
                write!(f, "{}:/", shown.strip_suffix(&format!(":{PORT_DEFAULT}")).unwrap_or(&shown))?;
            }
            Some(server) => write!(f, "{server}:/")?,
            None => {}
        }
        write!(f, "{}{}", self.volume, self.subdir)
    }
}

fn is_surely_a_server(text: &str) -> bool {
    text.contains(':') || text.starts_with('[') || text == "localhost" || text.parse::<std::net::IpAddr>().is_ok()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn wrong(text: &str, why: &str) -> Error {
    invalid(format!(
        "cannot mount {text:?}: {why}; write SERVER/VOLUME, SERVER:/VOLUME or VOLUME, each with /SUBDIR behind it if needed"
    ))
}

#[cfg(test)]
mod tests;
