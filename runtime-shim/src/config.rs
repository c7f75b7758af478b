//! The bundle's `config.json` on disk: read whole, replaced whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use serde_json::Value;
use tempfile::NamedTempFile;

/// Longest `config.json` that is read, in bytes. Those of engines have some tens of kilobytes.
const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// Reads a specification.
///
/// # Errors
/// [`ErrorKind::NotFound`] when the file cannot be opened, [`ErrorKind::Invalid`] when it is too
/// long or no JSON.
pub fn read(path: &Path) -> Result<Value> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::new(ErrorKind::NotFound, format!("cannot read {shown}")).because(error))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        let message = format!("{shown} is too long for a container's specification: over {CONFIG_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("{shown} is not valid JSON")).because(error))
}

/// Replaces a specification: readers see the old or the new one, owner and mode stay.
///
/// # Errors
/// When the bundle cannot be written; the old one is whole then.
pub fn write(path: &Path, spec: &Value) -> Result<()> {
    replace(path, spec)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot write {}", path.display())).because(error))
}

fn replace(path: &Path, spec: &Value) -> io::Result<()> {
    // A link stays a link; the file that it leads to is the one that is replaced.
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut new = NamedTempFile::with_prefix_in(".config.json.", dir)?;
    new.write_all(&serde_json::to_vec(spec)?)?;
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
    }
    new.as_file().set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    new.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
