//! The directory in which a server keeps everything: whose it is, and of which version.
//!
//! ```text
//! DATA/format          "holdfast data 1\n"
//! DATA/lock            held (flock) by the one server that uses it; its pid in text
//! DATA/volumes/<id>/   one directory a volume
//! DATA/trash/          what is being deleted
//! ```
//!
//! A directory that holds anything else, or is of another version, is left as it is.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;

/// What `format` begins with; the version follows.
const FORMAT_WORDS: &str = "holdfast data ";
/// The version that this program reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// A data directory that this process has to itself, until it is released or the value dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: Mutex<Option<Flock<File>>>,
}

impl DataDir {
    /// Takes a directory into use; makes it, and what belongs into it, where it is absent.
    ///
    /// # Errors
    /// `InUse` when another process has it; `Version` when its format is of another version;
    /// `Invalid` when it holds something else, or cannot be used at all.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        make(path)?;
        let found = fs::read_dir(path).map_err(|error| cannot("read the data directory", path, error))?;
        let names: Vec<_> = found.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect();
        // A directory in which a first start was cut short has these and nothing else.
        let begun = |name: &OsString| ["lock", "format.new", "lost+found"].iter().any(|ours| name == ours);
        let ours = names.iter().any(|name| name == "format") || names.iter().all(begun);
        if !ours {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is not empty and not a holdfast data directory; give another with --data", path.display()),
            ));
        }
        let lock = lock(path)?;
        check_format(path)?;
        for part in [volumes(path), trash(path)] {
            fs::create_dir_all(&part).map_err(|error| cannot("make", &part, error))?;
        }
        sync_dir(path)?;
        Ok(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)) })
    }

    /// Lets the directory go to whoever wants it next. Connections that are still ending may hold
    /// this value; nothing may be written after this.
    pub(crate) fn release(&self) {
        self.lock.lock().take();
    }

    /// The directory itself.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where volumes live.
    #[must_use]
    pub(crate) fn volumes(&self) -> PathBuf {
        volumes(&self.path)
    }

    /// Where what is being deleted waits.
    #[must_use]
    pub(crate) fn trash(&self) -> PathBuf {
        trash(&self.path)
    }
}

/// Makes the directory, and durable the names that it makes on the way. Until a first start is over it does
/// not know whether an earlier one came to that.
fn make(path: &Path) -> Result<()> {
    let failed = |error| cannot("make the data directory", path, error);
    let absent = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
    let made = path.ancestors().take_while(absent).count();
    fs::create_dir_all(path).map_err(failed)?;
    if path.join("format").exists() {
        return Ok(());
    }
    let path = fs::canonicalize(path).map_err(failed)?;
    for (at, above) in path.ancestors().skip(1).take(made.max(1)).enumerate() {
        match sync_dir(above) {
            // One that was there may be another's, who lets nobody look.
            Err(error) if at < made => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A data directory that is read while no server uses it. Nothing in it is changed.
#[derive(Debug)]
pub(crate) struct ReadOnlyDir {
    path: PathBuf,
    /// `None`: there was no lock, so no server was ever here: a copy.
    _lock: Option<Flock<File>>,
}

impl ReadOnlyDir {
    /// Keeps servers out of a data directory; others may read it too.
    ///
    /// # Errors
    /// `InUse` when a server has it; `Version` when its format is of another version; `Invalid` when it is no
    /// data directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = match File::open(path.join("lock")) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot("open", &path.join("lock"), error)),
        };
        let lock = match file.map(|file| Flock::lock(file, FlockArg::LockSharedNonblock)) {
            None => None,
            Some(Ok(lock)) => Some(lock),
            Some(Err((mut file, nix::errno::Errno::EWOULDBLOCK))) => return Err(in_use(path, &mut file)),
            Some(Err((_, error))) => return Err(cannot("lock", &path.join("lock"), error.into())),
        };
        let format = path.join("format");
        match fs::read_to_string(&format) {
            Ok(text) => check_version(path, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{} is not a holdfast data directory: it has no file `format`", path.display()),
                ));
            }
            Err(error) => return Err(cannot("read", &format, error)),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where volumes live.
    #[must_use]
    pub(crate) fn volumes(&self) -> PathBuf {
        volumes(&self.path)
    }
}

fn volumes(path: &Path) -> PathBuf {
    path.join("volumes")
}

fn trash(path: &Path) -> PathBuf {
    path.join("trash")
}

fn lock(dir: &Path) -> Result<Flock<File>> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| cannot("open", &path, error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            let pid = format!("{}\n", std::process::id());
            let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(pid.as_bytes()));
            written.map_err(|error| cannot("write", &path, error))?;
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => Err(in_use(dir, &mut file)),
        Err((_, error)) => Err(cannot("lock", &path, error.into())),
    }
}

fn in_use(dir: &Path, lock: &mut File) -> Error {
    let mut pid = String::new();
    // Only for the message: the one who holds it may be writing it right now, or only reads here and has none.
    let known = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
    let alive = known && Path::new("/proc").join(pid.trim()).exists();
    let holder = if alive { format!("pid {}", pid.trim()) } else { "another process".to_owned() };
    Error::new(
        ErrorKind::InUse,
        format!("the data directory {} is in use by {holder}; stop that server first", dir.display()),
    )
}

fn check_format(dir: &Path) -> Result<()> {
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return replace_file(&path, format!("{FORMAT_WORDS}{FORMAT_VERSION}\n").as_bytes());
        }
        Err(error) => return Err(cannot("read", &path, error)),
    };
    check_version(dir, &text)
}

fn check_version(dir: &Path, text: &str) -> Result<()> {
    match text.strip_prefix(FORMAT_WORDS).and_then(|version| version.trim().parse::<u32>().ok()) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(other) => {
            let advice = if other > FORMAT_VERSION { "use a newer holdfastd" } else { "use an older holdfastd" };
            Err(Error::new(
                ErrorKind::Version,
                format!(
                    "the data directory {} has format {other}, this holdfastd reads {FORMAT_VERSION}; {advice}",
                    dir.display()
                ),
            ))
        }
        None => Err(Error::new(
            ErrorKind::Invalid,
            format!("{} is not a holdfast data directory: its file `format` says something else", dir.display()),
        )),
    }
}

/// Puts a file in place as a whole: after a crash it has the old content or the new.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| cannot("write", path, error))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| cannot("sync the directory", path, error))
}

/// An error of the operating system, with what was tried on which file.
pub(crate) fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display())).because(error)
}

#[cfg(test)]
mod tests;
