//! Reading a file as the disk has it, past the page cache.
//!
//! The cache may hold what the disk has lost since, and who reads everything once must not push out
//! what others read again. So the file is opened with `O_DIRECT`, which wants whole blocks in memory at
//! the right place. Where the file system refuses that, the range is dropped from the cache before it
//! is read and after.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// What disks want: a multiple of every block size in use.
const BLOCK: u64 = 4096;

/// A file for reading past the cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// Opened past the cache; else the cache is told to forget.
    direct: bool,
    buffer: Vec<u8>,
}

/// The whole blocks around a range: where they begin, and how many bytes they are.
fn around(position: u64, len: u64) -> (u64, u64) {
    let start = position - position % BLOCK;
    let end = position.saturating_add(len).div_ceil(BLOCK).saturating_mul(BLOCK);
    (start, end - start)
}

fn refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

impl Direct {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let (file, direct) = match open(libc::O_DIRECT) {
            Err(error) if refused(&error) => (open(0)?, false),
            opened => (opened?, true),
        };
        Ok(Self { file, direct, buffer: Vec::new() })
    }

    /// The bytes of a range; fewer only at the end of the file.
    pub(super) fn read(&mut self, path: &Path, position: u64, len: u64) -> io::Result<&[u8]> {
        if self.direct {
            match self.read_blocks(position, len) {
                Err(error) if refused(&error) => {
                    (self.file, self.direct) = (File::open(path)?, false);
                }
                range => return range.map(|range| &self.buffer[range]),
            }
        }
        self.read_forgetting(position, len).map(|range| &self.buffer[range])
    }

    fn read_blocks(&mut self, position: u64, len: u64) -> io::Result<std::ops::Range<usize>> {
        let (start, blocks) = around(position, len);
        let (bytes, block) = (index(blocks), index(BLOCK));
        self.buffer.resize(bytes + block, 0);
        let skip = self.buffer.as_ptr().align_offset(block).min(block);
        let mut done = 0;
        while done < bytes {
            match self.file.read_at(&mut self.buffer[skip + done..skip + bytes], start + done as u64) {
                Ok(0) => break,
                // Less than a block is the end of the file: to go on from there would not be allowed.
                Ok(read) if read % block != 0 => {
                    done += read;
                    break;
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let from = index(position - start).min(done);
        Ok(skip + from..skip + done.min(from + index(len)))
    }

    fn read_forgetting(&mut self, position: u64, len: u64) -> io::Result<std::ops::Range<usize>> {
        self.forget(position, len);
        self.buffer.resize(index(len), 0);
        let mut done = 0;
        while done < self.buffer.len() {
            match self.file.read_at(&mut self.buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.forget(position, len);
        Ok(0..done)
    }

    fn forget(&self, position: u64, len: u64) {
        let (start, blocks) = around(position, len);
        if let (Ok(start), Ok(blocks)) = (i64::try_from(start), i64::try_from(blocks)) {
            // What comes of a hint is nobody's concern.
            let _ = posix_fadvise(&self.file, start, blocks, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
