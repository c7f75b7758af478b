//! Segments as files of one directory: `<number>.seg`, the number in ten digits or more.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::SegmentId;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;
use nix::sys::uio::pwritev;

use super::super::writeback;
use super::direct::Direct;
use super::{DiskFile, SegmentFile, SegmentStore};
use crate::failpoint::Failpoint;

const SUFFIX: &str = ".seg";

/// A directory of segment files.
#[derive(Debug)]
pub struct FileSegments {
    dir: PathBuf,
    write: bool,
}

/// One file.
#[derive(Debug)]
struct OneFile {
    file: File,
    path: PathBuf,
}

/// One file past the page cache.
#[derive(Debug)]
struct OnDisk {
    file: Direct,
    path: PathBuf,
}

impl DiskFile for OnDisk {
    fn read(&mut self, position: u64, len: u64) -> Result<&[u8]> {
        self.file.read(&self.path, position, len).map_err(|error| failed("read", &self.path, error))
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {doing} {}; check its disk", path.display())).because(error)
}

impl FileSegments {
    /// Segments in an existing directory.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, write: true }
    }

    /// Segments that are only read: their files may be on a disk that cannot be written.
    #[must_use]
    pub fn read_only(dir: PathBuf) -> Self {
        Self { dir, write: false }
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        self.dir.join(format!("{:010}{SUFFIX}", id.0))
    }
}

impl SegmentStore for FileSegments {
    fn list(&self) -> Result<BTreeMap<SegmentId, u64>> {
        let failed = |error| failed("list", &self.dir, error);
        let mut lengths = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|number| number.parse().ok());
            if let Some(number) = number {
                lengths.insert(SegmentId(number), entry.metadata().map_err(failed)?.len());
            }
        }
        Ok(lengths)
    }

    fn create(&self, id: SegmentId) -> Result<Arc<dyn SegmentFile>> {
        let path = self.path(id);
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Arc::new(OneFile { file, path })),
            Err(error) => Err(failed("create", &path, error)),
        }
    }

    fn open(&self, id: SegmentId) -> Result<Option<Arc<dyn SegmentFile>>> {
        let path = self.path(id);
        match OpenOptions::new().read(true).write(self.write).open(&path) {
            Ok(file) => Ok(Some(Arc::new(OneFile { file, path }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    fn open_disk(&self, id: SegmentId) -> Result<Option<Box<dyn DiskFile>>> {
        let path = self.path(id);
        match Direct::open(&path) {
            Ok(file) => Ok(Some(Box::new(OnDisk { file, path }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    fn remove(&self, id: SegmentId) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self) -> Result<()> {
        if Failpoint::SegmentDirectorySync.is_armed() {
            return Ok(());
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|error| failed("sync", &self.dir, error))
    }

    fn free_bytes(&self) -> Result<u64> {
        match statvfs(&self.dir) {
            Ok(disk) => Ok(disk.blocks_available().saturating_mul(disk.fragment_size())),
            Err(error) => Err(failed("ask for the free space of", &self.dir, error.into())),
        }
    }
}

impl OneFile {
    fn write_all_at(&self, position: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        let mut at = position;
        while !rest.is_empty() {
            let offset = i64::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
            match pwritev(&self.file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl SegmentFile for OneFile {
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<()> {
        self.write_all_at(position, parts).map_err(|error| failed("write to", &self.path, error))
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &self.path, error)),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> Result<()> {
        if Failpoint::SegmentSync.is_armed() {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| failed("sync", &self.path, error))
    }

    fn expect(&self, position: u64, len: u64) {
        if let (Ok(position), Ok(len)) = (i64::try_from(position), i64::try_from(len)) {
            // What comes of a hint is nobody's concern.
            let _ = posix_fadvise(&self.file, position, len, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
    }

    fn start_writeback(&self, position: u64, len: u64) {
        writeback::start(&self.file, position, len);
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|error| failed("cut", &self.path, error))
    }
}
