//! Makes the calls: a [`Call`] in, what the kernel answered as an [`Outcome`] out.
//!
//! Runs on the thread of the caller, so identity, umask, root directory and table of handles are
//! the caller's. What a file system may answer in more than one right way is brought into one
//! form here (order of names, holes, times near now), the same way on both sides.

mod attributes;
mod data;
mod handles;
mod locks;
mod maps;
mod names;
mod xattrs;

pub(crate) use attributes::{Times, changed_times, time_text, times_of};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use crate::call::Call;
use crate::outcome::{Fact, Outcome};
use crate::sys::Mapping;
use crate::word::{At, MAPS, MapSlot, SLOTS, Slot};

/// An open file of a process.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    fd: Arc<OwnedFd>,
    /// Reads and writes must be aligned.
    direct: bool,
    /// Not a directory.
    is_file: bool,
    /// Its number on its side, as of open: to look later would change what the kernel knows.
    ino: u64,
}

/// What a process holds.
#[derive(Debug, Default)]
pub(crate) struct Process {
    handles: [Option<Handle>; SLOTS as usize],
    maps: [Option<Mapping>; MAPS as usize],
}

/// Why a call was not answered with facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Failed(Errno),
    Skipped(&'static str),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

type Facts = Result<Vec<Fact>, Stop>;

/// The directory that a path begins at.
#[derive(Debug)]
enum Base {
    Root,
    Handle(Handle),
}

impl AsFd for Base {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root => AT_FDCWD,
            Self::Handle(handle) => handle.fd.as_fd(),
        }
    }
}

impl Process {
    /// Makes a call.
    pub(crate) fn call(&mut self, call: &Call) -> Outcome {
        let facts = match call {
            Call::Open { slot, at, flags, mode } => self.open(*slot, at, *flags, *mode),
            Call::Close { slot } => self.close(*slot),
            Call::Dup { slot, to } => self.dup(*slot, *to),
            Call::SetFl { slot, flag } => self.set_flags(*slot, *flag),
            Call::Read { .. }
            | Call::Pread { .. }
            | Call::Write { .. }
            | Call::Pwrite { .. }
            | Call::Lseek { .. }
            | Call::Ftruncate { .. }
            | Call::Truncate { .. }
            | Call::Fallocate { .. }
            | Call::CopyRange { .. }
            | Call::Sendfile { .. }
            | Call::Fsync { .. }
            | Call::Fdatasync { .. }
            | Call::Syncfs { .. } => self.data(call),
            Call::Mkdir { .. }
            | Call::Rmdir { .. }
            | Call::Unlink { .. }
            | Call::Link { .. }
            | Call::LinkHandle { .. }
            | Call::Symlink { .. }
            | Call::Readlink { .. }
            | Call::Rename { .. }
            | Call::Mknod { .. }
            | Call::List { .. }
            | Call::Getdents { .. } => self.names(call),
            Call::Chmod { .. }
            | Call::Fchmod { .. }
            | Call::Chown { .. }
            | Call::Fchown { .. }
            | Call::Utimens { .. }
            | Call::Futimens { .. }
            | Call::Stat { .. }
            | Call::Fstat { .. }
            | Call::Access { .. }
            | Call::Statfs { .. }
            | Call::Umask { .. } => self.attributes(call),
            Call::SetXattr { .. }
            | Call::FsetXattr { .. }
            | Call::GetXattr { .. }
            | Call::FgetXattr { .. }
            | Call::ListXattr { .. }
            | Call::FlistXattr { .. }
            | Call::RemoveXattr { .. }
            | Call::FremoveXattr { .. }
            | Call::SetAcl { .. }
            | Call::GetAcl { .. }
            | Call::RemoveAcl { .. } => self.xattrs(call),
            Call::Flock { .. } | Call::SetLock { .. } | Call::GetLock { .. } => self.locks(call),
            Call::Map { .. } | Call::MapRead { .. } | Call::MapWrite { .. } | Call::Unmap { .. } => self.maps(call),
        };
        match facts {
            Ok(facts) => Outcome::Done(facts),
            Err(Stop::Failed(errno)) => Outcome::Failed(errno),
            Err(Stop::Skipped(reason)) => Outcome::Skipped(reason),
        }
    }

    fn handle(&self, slot: Slot) -> Result<Handle, Stop> {
        self.handles[usize::from(slot.0)].clone().ok_or(Stop::Skipped("no such handle"))
    }

    fn map(&self, map: MapSlot) -> Result<&Mapping, Stop> {
        self.maps[usize::from(map.0)].as_ref().ok_or(Stop::Skipped("no such mapping"))
    }

    fn base(&self, at: &At) -> Result<Base, Stop> {
        at.base.map_or(Ok(Base::Root), |slot| self.handle(slot).map(Base::Handle))
    }

    /// Closes and unmaps everything.
    pub(crate) fn close_all(&mut self) {
        *self = Self::default();
    }
}

/// A call that tells nothing but that it succeeded.
fn nothing(result: Result<(), Errno>) -> Facts {
    result.map(|()| Vec::new()).map_err(Stop::Failed)
}
