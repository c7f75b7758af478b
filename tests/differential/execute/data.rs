//! Bytes: reading, writing, positions, sizes, ranges.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use nix::sys::stat::fstat;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{Whence as Seek, fdatasync, fsync, ftruncate, lseek, read, syncfs, truncate, write};

use holdfast_tests::random::Random;

use super::{Facts, Handle, Process, Stop};
use crate::call::Call;
use crate::outcome::Value;
use crate::word::{Allocate, Slot, Whence};

/// What `O_DIRECT` wants memory, offsets and lengths to be multiples of.
const ALIGNED: usize = 4096;
/// Most bytes that are read to see that they are zeros.
const ZEROS_MAX: i64 = 8 << 20;

/// The bytes of a seed; of 0 they are zeros.
pub(crate) fn fill(seed: u64, len: usize) -> Vec<u8> {
    if seed == 0 { vec![0; len] } else { Random::new(seed).bytes(len) }
}

/// Memory as `O_DIRECT` wants it.
struct Aligned {
    memory: Vec<u8>,
    skip: usize,
}

impl Aligned {
    fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGNED];
        let skip = memory.as_ptr().align_offset(ALIGNED);
        Self { memory, skip }
    }

    fn bytes(&mut self, len: usize) -> &mut [u8] {
        &mut self.memory[self.skip..self.skip + len]
    }

    fn read(len: usize, ask: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
        let mut buffer = Self::new(len);
        let got = ask(buffer.bytes(len))?;
        Ok(buffer.bytes(got).to_vec())
    }

    fn filled(seed: u64, len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.bytes(len).copy_from_slice(&fill(seed, len));
        buffer
    }
}

impl Handle {
    /// Refuses what only file systems without `O_DIRECT`'s rules would do.
    fn aligned(&self, offset: i64, len: usize) -> Result<(), Stop> {
        let is_aligned = offset % 4096 == 0 && len.is_multiple_of(ALIGNED);
        if !self.direct || is_aligned { Ok(()) } else { Err(Stop::Skipped("O_DIRECT, and not aligned")) }
    }

    fn position(&self) -> i64 {
        lseek(&self.fd, 0, Seek::SeekCur).unwrap_or(0)
    }
}

fn count(result: Result<usize, Errno>) -> Facts {
    Ok(vec![("count", Value::number(result?))])
}

impl Process {
    pub(super) fn data(&self, call: &Call) -> Facts {
        match call {
            Call::Read { slot, len } => {
                let handle = self.handle(*slot)?;
                handle.aligned(handle.position(), *len)?;
                let bytes = Aligned::read(*len, |buffer| read(&handle.fd, buffer))?;
                Ok(vec![("bytes", Value::bytes(bytes))])
            }
            Call::Pread { slot, offset, len } => {
                let handle = self.handle(*slot)?;
                handle.aligned(*offset, *len)?;
                let bytes = Aligned::read(*len, |buffer| pread(&handle.fd, buffer, *offset))?;
                Ok(vec![("bytes", Value::bytes(bytes))])
            }
            Call::Write { slot, len, seed } => {
                let handle = self.handle(*slot)?;
                handle.aligned(handle.position(), *len)?;
                count(write(&handle.fd, Aligned::filled(*seed, *len).bytes(*len)))
            }
            Call::Pwrite { slot, offset, len, seed } => {
                let handle = self.handle(*slot)?;
                handle.aligned(*offset, *len)?;
                count(pwrite(&handle.fd, Aligned::filled(*seed, *len).bytes(*len), *offset))
            }
            Call::Lseek { slot, whence, offset } => self.seek(*slot, *whence, *offset),
            Call::Ftruncate { slot, len } => super::nothing(ftruncate(&self.handle(*slot)?.fd, *len)),
            Call::Truncate { path, len } => super::nothing(truncate(path.bytes().as_slice(), *len)),
            Call::Fallocate { slot, mode, offset, len } => {
                super::nothing(fallocate(&self.handle(*slot)?.fd, allocate_flags(*mode), *offset, *len))
            }
            Call::CopyRange { from, from_offset, to, to_offset, len } => {
                let (from, to) = (self.handle(*from)?, self.handle(*to)?);
                if from.direct || to.direct {
                    return Err(Stop::Skipped("O_DIRECT, and not aligned"));
                }
                let (mut from_offset, mut to_offset) = (*from_offset, *to_offset);
                count(copy_file_range(&from.fd, Some(&mut from_offset), &to.fd, Some(&mut to_offset), *len))
            }
            Call::Sendfile { from, from_offset, to, len } => self.sendfile(*from, *from_offset, *to, *len),
            Call::Fsync { slot } => super::nothing(fsync(&self.handle(*slot)?.fd)),
            Call::Fdatasync { slot } => super::nothing(fdatasync(&self.handle(*slot)?.fd)),
            Call::Syncfs { slot } => super::nothing(syncfs(&self.handle(*slot)?.fd)),
            _ => Err(Stop::Skipped("not about data")),
        }
    }

    /// To the same file: into memory. So sequences also send where no second handle is; and what comes
    /// of a file that is sent over itself depends on how many of its pages are in a pipe at a time.
    fn sendfile(&self, from: Slot, from_offset: i64, to: Slot, len: usize) -> Facts {
        let (source, target) = (self.handle(from)?, self.handle(to)?);
        if source.direct || target.direct {
            return Err(Stop::Skipped("O_DIRECT, and not aligned"));
        }
        let mut offset = from_offset;
        if source.ino != target.ino {
            let sent = sendfile(&target.fd, &source.fd, Some(&mut offset), len)?;
            return Ok(vec![("count", Value::number(sent)), ("offset", Value::number(offset))]);
        }
        let sink = memfd_create(c"sendfile", MFdFlags::MFD_CLOEXEC)?;
        let sent = sendfile(&sink, &source.fd, Some(&mut offset), len)?;
        let mut bytes = vec![0; sent];
        pread(&sink, &mut bytes, 0)?;
        Ok(vec![("bytes", Value::bytes(bytes)), ("offset", Value::number(offset))])
    }

    /// Where data and holes are is a file system's own business; that what it skips reads as zeros
    /// and that its answers lie in the file is not. The position is put back.
    fn seek(&self, slot: Slot, whence: Whence, offset: i64) -> Facts {
        let handle = self.handle(slot)?;
        let fd = &handle.fd;
        let plain = match whence {
            Whence::Set => Seek::SeekSet,
            Whence::Current => Seek::SeekCur,
            Whence::End => Seek::SeekEnd,
            Whence::Data | Whence::Hole => {
                if !handle.is_file {
                    return Err(Stop::Skipped("holes of what is not a file"));
                }
                return sound_holes(&handle, whence, offset);
            }
        };
        // Positions in a directory mean nothing but to the file system that gave them.
        if !handle.is_file && (whence != Whence::Set || offset != 0) {
            return Err(Stop::Skipped("a position in a directory"));
        }
        Ok(vec![("position", Value::number(lseek(fd, offset, plain)?))])
    }
}

fn sound_holes(handle: &Handle, whence: Whence, offset: i64) -> Facts {
    let (fd, size) = (&handle.fd, fstat(&handle.fd)?.st_size);
    let before = lseek(fd, 0, Seek::SeekCur)?;
    let seek = if whence == Whence::Data { Seek::SeekData } else { Seek::SeekHole };
    let found = lseek(fd, offset, seek);
    lseek(fd, before, Seek::SeekSet)?;
    let verdict = |text: String| Ok(vec![("holes", Value::Text(text))]);
    let sound = || verdict("sound".to_owned());
    match (whence, found) {
        (Whence::Data, Err(Errno::ENXIO)) if (0..size).contains(&offset) => match zeros(handle, offset, size) {
            true => sound(),
            false => verdict(format!("no data after {offset}, but there are bytes")),
        },
        (_, Err(errno)) => Err(errno.into()),
        (Whence::Data, Ok(at)) if at < offset || at >= size => {
            verdict(format!("data at {at}, outside of {offset}..{size}"))
        }
        (Whence::Data, Ok(at)) if !zeros(handle, offset, at) => {
            verdict(format!("data at {at}, but there are bytes before"))
        }
        (Whence::Hole, Ok(at)) if at < offset || at > size => {
            verdict(format!("hole at {at}, outside of {offset}..={size}"))
        }
        (_, Ok(_)) => sound(),
    }
}

/// Whether a range reads as zeros; true where it cannot be read. Reads at least one byte, so that
/// both sides have read the file.
fn zeros(handle: &Handle, from: i64, to: i64) -> bool {
    let end = to.min(from.saturating_add(ZEROS_MAX)).max(from + 1);
    let (mut at, mut clean) = (from, true);
    while at < end {
        let mut buffer = vec![0; usize::try_from((end - at).min(1 << 20)).unwrap_or(1)];
        match pread(&handle.fd, &mut buffer, at) {
            Ok(0) | Err(_) => break,
            Ok(got) => {
                clean &= at >= to || buffer[..got].iter().all(|byte| *byte == 0);
                at += i64::try_from(got).unwrap_or(i64::MAX);
            }
        }
    }
    clean
}

fn allocate_flags(mode: Allocate) -> FallocateFlags {
    let (keep, punch) = (FallocateFlags::FALLOC_FL_KEEP_SIZE, FallocateFlags::FALLOC_FL_PUNCH_HOLE);
    let zero = FallocateFlags::FALLOC_FL_ZERO_RANGE;
    match mode {
        Allocate::Reserve => FallocateFlags::empty(),
        Allocate::ReserveKeep => keep,
        Allocate::Punch => punch | keep,
        Allocate::PunchAlone => punch,
        Allocate::Zero => zero,
        Allocate::ZeroKeep => zero | keep,
        Allocate::Both => punch | zero | keep,
    }
}
