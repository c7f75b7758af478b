//! Opening, duplicating, closing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::close;

use super::{Facts, Handle, Process, Stop};
use crate::outcome::Value;
use crate::word::{At, OpenFlags, Perm, SetFlag, Slot};

impl Process {
    pub(super) fn open(&mut self, slot: Slot, at: &At, flags: OpenFlags, mode: Perm) -> Facts {
        let flags = OFlag::from_bits_retain(flags.0) | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let base = self.base(at)?;
        let fd = openat(&base, at.path.bytes().as_slice(), flags, Mode::from_bits_retain(mode.0))?;
        let stat = fstat(&fd)?;
        let kind = stat.st_mode & libc::S_IFMT;
        let name = kind_name(kind);
        let is_file = kind == libc::S_IFREG;
        let keep = is_file || kind == libc::S_IFDIR || flags.contains(OFlag::O_PATH);
        let handle = Handle { fd: Arc::new(fd), direct: flags.contains(OFlag::O_DIRECT), is_file, ino: stat.st_ino };
        // What was here is closed after the new one is open, as in dup2(2).
        self.handles[usize::from(slot.0)] = keep.then_some(handle);
        Ok(vec![("kind", Value::text(name))])
    }

    pub(super) fn close(&mut self, slot: Slot) -> Facts {
        let handle = self.handles[usize::from(slot.0)].take().ok_or(Stop::Skipped("no such handle"))?;
        match Arc::into_inner(handle.fd) {
            Some(fd) => super::nothing(close(fd)),
            None => Err(Stop::Failed(Errno::EBUSY)),
        }
    }

    pub(super) fn dup(&mut self, slot: Slot, to: Slot) -> Facts {
        let handle = self.handle(slot)?;
        let fd: OwnedFd = handle.fd.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        self.handles[usize::from(to.0)] = Some(Handle { fd: Arc::new(fd), ..handle });
        Ok(Vec::new())
    }

    pub(super) fn set_flags(&self, slot: Slot, flag: SetFlag) -> Facts {
        let handle = self.handle(slot)?;
        if handle.direct && matches!(flag, SetFlag::Append) {
            // Where an append goes is not known before, and so neither whether that is aligned.
            return Err(Stop::Skipped("O_DIRECT, and appending"));
        }
        let now = OFlag::from_bits_retain(fcntl(&handle.fd, FcntlArg::F_GETFL)?);
        let append = match flag {
            SetFlag::Append => now | OFlag::O_APPEND,
            SetFlag::Plain => now - OFlag::O_APPEND,
        };
        fcntl(&handle.fd, FcntlArg::F_SETFL(append))?;
        Ok(Vec::new())
    }
}

/// What a type of file is called.
pub(super) fn kind_name(kind: libc::mode_t) -> &'static str {
    match kind {
        libc::S_IFREG => "file",
        libc::S_IFDIR => "directory",
        libc::S_IFLNK => "symlink",
        libc::S_IFIFO => "fifo",
        libc::S_IFSOCK => "socket",
        libc::S_IFCHR => "char",
        libc::S_IFBLK => "block",
        _ => "unknown",
    }
}
