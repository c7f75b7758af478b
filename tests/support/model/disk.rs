//! A driver for directories: the steps as system calls, in mounts or on a local disk.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, OFlag, RenameFlags, copy_file_range, fallocate, open, renameat2};
use nix::sys::stat::{Mode, UtimensatFlags, fchmodat, umask, utimensat};
use nix::sys::time::TimeSpec;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{Gid, Uid, Whence, fchownat, ftruncate, lseek, mkfifo, truncate};

use super::harness::Driver;
use super::step::{Access, Allocate, Answer, Disturb, Kind, Outcome, Path, Rename, Stat, Step, Time, fill};
use crate::sys;

/// Does the steps below one root directory for each client.
pub struct Disk<F> {
    roots: Vec<PathBuf>,
    open: HashMap<(usize, usize), File>,
    disturb: F,
    syncs: bool,
}

impl<F> std::fmt::Debug for Disk<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("roots", &self.roots).finish_non_exhaustive()
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(0)
}

pub(super) fn kind(meta: &fs::Metadata) -> Kind {
    match meta.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Symlink,
        kind if kind.is_fifo() => Kind::Fifo,
        kind => panic!("an inode of a kind that nobody made: {kind:?}"),
    }
}

pub(super) fn stat(meta: &fs::Metadata) -> Stat {
    let time = |secs, nanos| Some(Time { secs, nanos: u32::try_from(nanos).unwrap_or(u32::MAX) });
    Stat {
        ino: meta.ino(),
        kind: kind(meta),
        mode: meta.mode() & 0o7777,
        nlink: meta.nlink(),
        uid: meta.uid(),
        gid: meta.gid(),
        size: if meta.is_dir() { 0 } else { meta.len() },
        atime: time(meta.atime(), meta.atime_nsec()),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
    }
}

impl<F: FnMut(Disturb)> Disk<F> {
    /// Below these roots; `disturb` is told to disturb the server.
    pub fn new(roots: Vec<PathBuf>, disturb: F) -> Self {
        umask(Mode::empty());
        let rights = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&roots[0], rights).unwrap_or_else(|error| panic!("{}: {error}", roots[0].display()));
        Self { roots, open: HashMap::new(), disturb, syncs: false }
    }

    /// On mounts whose kernel keeps writes back: open files are synced before the server is disturbed. What
    /// begins a program closes what the test has open first, and that would wait for what was kept back,
    /// and so for the very server that is to be begun.
    #[must_use]
    pub fn syncing(self) -> Self {
        Self { syncs: true, ..self }
    }

    fn at(&self, client: usize, path: &Path) -> PathBuf {
        path.iter().fold(self.roots[client].clone(), |at, name| at.join(name))
    }

    fn file(&self, client: usize, slot: usize) -> Result<&File, Errno> {
        self.open.get(&(client, slot)).ok_or(Errno::EBADF)
    }

    fn names(&mut self, client: usize, step: &Step) -> io::Result<Answer> {
        let roots = self.roots[client].clone();
        let at = |path: &Path| path.iter().fold(roots.clone(), |at, name| at.join(name));
        match step {
            Step::Mkdir { path, mode } => nix::unistd::mkdir(&at(path), Mode::from_bits_truncate(*mode))?,
            Step::Mkfifo { path, mode } => mkfifo(&at(path), Mode::from_bits_truncate(*mode))?,
            Step::Symlink { path, target } => std::os::unix::fs::symlink(target, at(path))?,
            Step::Link { old, new } => fs::hard_link(at(old), at(new))?,
            Step::Unlink { path } => fs::remove_file(at(path))?,
            Step::Rmdir { path } => fs::remove_dir(at(path))?,
            Step::Rename { old, new, how } => {
                let flags = match how {
                    Rename::Replace => RenameFlags::empty(),
                    Rename::NoReplace => RenameFlags::RENAME_NOREPLACE,
                    Rename::Exchange => RenameFlags::RENAME_EXCHANGE,
                };
                renameat2(AT_FDCWD, &at(old), AT_FDCWD, &at(new), flags)?;
            }
            Step::Stat { path } => return Ok(Answer::Stat(stat(&fs::symlink_metadata(at(path))?))),
            Step::Readdir { path } => {
                let mut names = Vec::new();
                for entry in fs::read_dir(at(path))? {
                    let entry = entry?;
                    let name = String::from_utf8_lossy(entry.file_name().as_bytes()).into_owned();
                    names.push((name, kind(&entry.metadata()?)));
                }
                names.sort();
                return Ok(Answer::Names(names));
            }
            Step::Readlink { path } => return Ok(Answer::Bytes(fs::read_link(at(path))?.into_os_string().into_vec())),
            Step::ReadFile { path } => return self.read_file(client, path),
            Step::Chmod { path, mode } => {
                let mode = Mode::from_bits_truncate(*mode);
                fchmodat(AT_FDCWD, &at(path), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
            }
            Step::Chown { path, uid, gid } => {
                let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                fchownat(AT_FDCWD, &at(path), uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            }
            Step::Utimens { path, atime, mtime } => {
                let spec = |time: &Time| TimeSpec::new(time.secs, i64::from(time.nanos));
                utimensat(AT_FDCWD, &at(path), &spec(atime), &spec(mtime), UtimensatFlags::NoFollowSymlink)?;
            }
            Step::Truncate { path, size } => truncate(&at(path), signed(*size))?,
            Step::SetXattr { path, name, len, tag, create, replace } => {
                let flags = i32::from(*create) * libc::XATTR_CREATE + i32::from(*replace) * libc::XATTR_REPLACE;
                sys::set_xattr(&at(path), name, &fill(*tag, 0, *len), flags)?;
            }
            Step::GetXattr { path, name } => return Ok(Answer::Bytes(sys::get_xattr(&at(path), name)?)),
            Step::ListXattr { path } => {
                let mut names = sys::list_xattr(&at(path))?;
                // What the machine adds by itself (security modules, ACL) is not ours to compare.
                names.retain(|name| name.starts_with("user.") || name.starts_with("trusted."));
                return Ok(Answer::Words(names));
            }
            Step::RemoveXattr { path, name } => sys::remove_xattr(&at(path), name)?,
            other => panic!("not a step on names: {other:?}"),
        }
        Ok(Answer::Done)
    }

    fn read_file(&self, client: usize, path: &Path) -> io::Result<Answer> {
        let path = self.at(client, path);
        match kind(&fs::symlink_metadata(&path)?) {
            Kind::Directory => return Err(Errno::EISDIR.into()),
            Kind::Fifo => return Err(Errno::ENXIO.into()),
            Kind::File | Kind::Symlink => {}
        }
        let mut file = File::from(open(&path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Answer::Bytes(bytes))
    }

    fn open(&mut self, client: usize, slot: usize, path: &Path, mode: u32, access: Access) -> Outcome {
        self.open.remove(&(client, slot));
        let path = self.at(client, path);
        // A pipe would wait for its other end, and the steps open no directories.
        if !(access.create && access.exclusive)
            && let Ok(meta) = fs::symlink_metadata(&path)
        {
            match kind(&meta) {
                Kind::Fifo => return Err(Errno::ENXIO),
                Kind::Directory if !access.create && !access.write => return Err(Errno::EISDIR),
                _ => {}
            }
        }
        let mut flags = OFlag::O_NOFOLLOW
            | match (access.read, access.write) {
                (true, true) => OFlag::O_RDWR,
                (false, true) => OFlag::O_WRONLY,
                _ => OFlag::O_RDONLY,
            };
        flags.set(OFlag::O_APPEND, access.append);
        flags.set(OFlag::O_TRUNC, access.truncate);
        // A server that is started must not have it.
        flags.insert(OFlag::O_CLOEXEC);
        flags.set(OFlag::O_CREAT, access.create);
        flags.set(OFlag::O_EXCL, access.exclusive);
        let file =
            File::from(open(OsStr::from_bytes(path.as_os_str().as_bytes()), flags, Mode::from_bits_truncate(mode))?);
        self.open.insert((client, slot), file);
        Ok(Answer::Done)
    }

    fn handles(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            Step::Open { slot, path, mode, access } => self.open(client, *slot, path, *mode, *access),
            Step::Close { slot } => match self.open.remove(&(client, *slot)) {
                Some(file) => nix::unistd::close(file).map(|()| Answer::Done),
                None => Err(Errno::EBADF),
            },
            Step::Read { slot, offset, len } => {
                let file = self.file(client, *slot)?;
                let mut bytes = vec![0; size(*len)];
                let mut read = 0;
                while read < bytes.len() {
                    match pread(file, &mut bytes[read..], signed(offset + read as u64))? {
                        0 => break,
                        count => read += count,
                    }
                }
                bytes.truncate(read);
                Ok(Answer::Bytes(bytes))
            }
            Step::Write { slot, offset, len, tag } => {
                let count = pwrite(self.file(client, *slot)?, &fill(*tag, *offset, *len), signed(*offset))?;
                Ok(Answer::Count(count as u64))
            }
            Step::Resize { slot, size } => ftruncate(self.file(client, *slot)?, signed(*size)).map(|()| Answer::Done),
            Step::Allocate { slot, how, offset, len, keep_size } => {
                let mut flags = match how {
                    Allocate::Reserve => FallocateFlags::empty(),
                    Allocate::Punch => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
                    Allocate::Zero => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                };
                flags.set(FallocateFlags::FALLOC_FL_KEEP_SIZE, *keep_size);
                fallocate(self.file(client, *slot)?, flags, signed(*offset), signed(*len)).map(|()| Answer::Done)
            }
            Step::Copy { from, from_offset, to, to_offset, len } => {
                let (from, to) = (self.file(client, *from)?, self.file(client, *to)?);
                // What is there to copy; a file copied into itself grows meanwhile.
                let there = from.metadata().map_err(|error| errno(&error))?.len().saturating_sub(*from_offset);
                let mut copied = 0;
                loop {
                    let (mut at, mut into) = (signed(from_offset + copied), signed(to_offset + copied));
                    let count = copy_file_range(from, Some(&mut at), to, Some(&mut into), size(len - copied))?;
                    copied += count as u64;
                    if count == 0 || copied >= there.min(*len) {
                        break;
                    }
                }
                Ok(Answer::Count(copied))
            }
            Step::Seek { slot, offset, hole } => {
                let whence = if *hole { Whence::SeekHole } else { Whence::SeekData };
                let at = lseek(self.file(client, *slot)?.as_fd(), signed(*offset), whence)?;
                Ok(Answer::Offset(u64::try_from(at).unwrap_or(0)))
            }
            Step::StatOpen { slot } => {
                let meta = self.file(client, *slot)?.metadata().map_err(|error| errno(&error))?;
                Ok(Answer::Stat(stat(&meta)))
            }
            Step::Sync { slot } => {
                self.file(client, *slot)?.sync_all().map_err(|error| errno(&error))?;
                Ok(Answer::Done)
            }
            other => panic!("not a step on open files: {other:?}"),
        }
    }
}

impl<F: FnMut(Disturb)> Driver for Disk<F> {
    fn run(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            Step::Disturb(how) => {
                for file in self.open.values().filter(|_| self.syncs) {
                    file.sync_all().map_err(|error| errno(&error))?;
                }
                (self.disturb)(*how);
                Ok(Answer::Done)
            }
            _ if step.slot().is_some() => self.handles(client, step),
            _ => self.names(client, step).map_err(|error| errno(&error)),
        }
    }
}
