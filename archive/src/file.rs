//! Where an archive goes: a file that is there as a whole or not at all, or standard output.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use holdfast_core::error::{Error, ErrorKind, Result};

/// A place for an archive. Dropped without [`Target::finish`], it leaves no file.
#[derive(Debug)]
pub enum Target {
    /// Standard output, or what is there under the name and no file: a pipe, a device.
    Stream(File),
    /// A file.
    File(NewFile),
}

/// A file under a name for the time being.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    done: bool,
}

impl Target {
    /// Standard output (`None`, or `-`) or a file of this name, which may replace another.
    ///
    /// # Errors
    /// `Invalid` when standard output is a terminal; and when the file cannot be made.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            let out = io::stdout();
            if out.is_terminal() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "an archive is not for a terminal; give a file with -o FILE, or pipe it to a program",
                ));
            }
            // Past the standard library's buffer, which looks for line feeds.
            let own = out.as_fd().try_clone_to_owned().map_err(|error| written(&error))?;
            return Ok(Self::Stream(own.into()));
        };
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let opened = File::options().write(true).open(path);
            return opened.map(Self::Stream).map_err(|error| cannot("open", path, error));
        }
        let name = path.file_name().filter(|_| !path.is_dir());
        let Some(name) = name else {
            return Err(Error::new(ErrorKind::Invalid, format!("{} is a directory; give a file", path.display())));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(hidden);
        let made = File::options().write(true).create(true).truncate(true).open(&temporary);
        let file = made.map_err(|error| cannot("make", &temporary, error))?;
        // It holds what only the volume's users may see.
        let private = fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(0o600));
        private.map_err(|error| cannot("protect", &temporary, error))?;
        Ok(Self::File(NewFile { file, path: path.to_owned(), temporary, done: false }))
    }

    /// The file that is there for the time being.
    #[must_use]
    pub fn temporary(&self) -> Option<&Path> {
        match self {
            Self::Stream(_) => None,
            Self::File(file) => Some(&file.temporary),
        }
    }

    /// All is written: makes it durable, and gives it its name.
    ///
    /// # Errors
    /// What the disk fails with; then there is no file.
    pub fn finish(self) -> Result<()> {
        match self {
            // Its bytes are where they belong, and more cannot be known.
            Self::Stream(_) => Ok(()),
            Self::File(mut file) => {
                file.file.sync_all().map_err(|error| cannot("sync", &file.temporary, error))?;
                fs::rename(&file.temporary, &file.path).map_err(|error| cannot("name", &file.path, error))?;
                file.done = true;
                let parent = file.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = parent.unwrap_or(Path::new("."));
                let synced = File::open(directory).and_then(|directory| directory.sync_all());
                synced.map_err(|error| cannot("sync the directory of", &file.path, error))
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(out) => out.write(bytes),
            Self::File(file) => file.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(out) => out.flush(),
            Self::File(file) => file.file.flush(),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed has a name that says what it is.
            let _left = fs::remove_file(&self.temporary);
        }
    }
}

/// The error of ours that a stream of ours failed with, if it is one.
pub(crate) fn own(error: &io::Error) -> Option<Error> {
    let own = error.get_ref()?.downcast_ref::<Error>()?;
    Some(Error::new(own.kind(), own.message()))
}

/// An archive could not be written.
#[must_use]
pub fn written(error: &io::Error) -> Error {
    if let Some(own) = own(error) {
        return own;
    }
    Error::new(kind(error), format!("cannot write the archive: {error}"))
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(kind(&error), format!("cannot {what} {}: {error}", path.display())).because(error)
}

fn kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        fs::write(&path, "old").unwrap();
        let mut target = Target::open(Some(&path)).unwrap();
        target.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the rest is gone");
        let mut target = Target::open(Some(&path)).unwrap();
        target.write_all(b"new").unwrap();
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Target::open(Some(dir.path())).is_err(), "a directory");
        assert!(Target::open(Some(&dir.path().join("absent/a.tar"))).is_err());
        assert!(matches!(Target::open(Some(Path::new("/dev/null"))).unwrap(), Target::Stream(_)), "never replaced");
    }
}
