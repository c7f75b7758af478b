//! System calls that neither the standard library nor nix wraps: identities of single threads,
//! extended attributes, flock(2), mappings.
//!
//! The only module of this program with `unsafe`.
#![expect(unsafe_code, reason = "libc has no safe wrappers for these calls")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::{pread, pwrite};

use crate::call::User;

type Outcome<T> = Result<T, Errno>;

fn length(result: isize) -> Outcome<usize> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// Gives the calling thread alone this user's identity, for ever: ids, groups, and for an ordinary
/// user no capability. (libc's functions would change every thread of the program.)
pub(crate) fn become_user(user: &User) -> Outcome<()> {
    // SAFETY: the list of groups is as long as said and outlives the call; the other two calls
    // take numbers. That libc does not know of the change matters only to its own set*id functions,
    // which this program never calls.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()))?;
        Errno::result(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid))?;
    }
    Ok(())
}

/// flock(2).
pub(crate) fn flock(fd: BorrowedFd<'_>, operation: i32) -> Outcome<()> {
    // SAFETY: takes numbers only, and the descriptor is open.
    Errno::result(unsafe { libc::flock(fd.as_raw_fd(), operation) }).map(drop)
}

/// What an extended attribute belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    /// The file at a path.
    Path(&'a CStr),
    /// The file or symbolic link at a path.
    Link(&'a CStr),
    /// An open file.
    Handle(BorrowedFd<'a>),
}

/// setxattr(2) and its like.
pub(crate) fn set_xattr(of: Of<'_>, name: &CStr, value: &[u8], flags: i32) -> Outcome<()> {
    let (name, len, value) = (name.as_ptr(), value.len(), value.as_ptr().cast());
    // SAFETY: strings end with NUL, and value is as long as said; all outlive the call.
    let result = unsafe {
        match of {
            Of::Path(path) => libc::setxattr(path.as_ptr(), name, value, len, flags),
            Of::Link(path) => libc::lsetxattr(path.as_ptr(), name, value, len, flags),
            Of::Handle(fd) => libc::fsetxattr(fd.as_raw_fd(), name, value, len, flags),
        }
    };
    Errno::result(result).map(drop)
}

/// getxattr(2) and its like. With `buffer` 0 the length comes back as that many zeros.
pub(crate) fn get_xattr(of: Of<'_>, name: &CStr, buffer: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0_u8; buffer];
    let (name, value) = (name.as_ptr(), bytes.as_mut_ptr().cast());
    // SAFETY: strings end with NUL, and the buffer is as long as said; all outlive the call.
    let result = unsafe {
        match of {
            Of::Path(path) => libc::getxattr(path.as_ptr(), name, value, buffer),
            Of::Link(path) => libc::lgetxattr(path.as_ptr(), name, value, buffer),
            Of::Handle(fd) => libc::fgetxattr(fd.as_raw_fd(), name, value, buffer),
        }
    };
    bytes.resize(length(result)?, 0);
    Ok(bytes)
}

/// listxattr(2) and its like. With `buffer` 0 the length comes back as that many zeros.
pub(crate) fn list_xattr(of: Of<'_>, buffer: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0_u8; buffer];
    let names = bytes.as_mut_ptr().cast();
    // SAFETY: paths end with NUL, and the buffer is as long as said; both outlive the call.
    let result = unsafe {
        match of {
            Of::Path(path) => libc::listxattr(path.as_ptr(), names, buffer),
            Of::Link(path) => libc::llistxattr(path.as_ptr(), names, buffer),
            Of::Handle(fd) => libc::flistxattr(fd.as_raw_fd(), names, buffer),
        }
    };
    bytes.resize(length(result)?, 0);
    Ok(bytes)
}

/// removexattr(2) and its like.
pub(crate) fn remove_xattr(of: Of<'_>, name: &CStr) -> Outcome<()> {
    let name = name.as_ptr();
    // SAFETY: strings end with NUL and outlive the call.
    let result = unsafe {
        match of {
            Of::Path(path) => libc::removexattr(path.as_ptr(), name),
            Of::Link(path) => libc::lremovexattr(path.as_ptr(), name),
            Of::Handle(fd) => libc::fremovexattr(fd.as_raw_fd(), name),
        }
    };
    Errno::result(result).map(drop)
}

/// A mapping of a file. The kernel copies into and out of it, so that an address without a page
/// behind it (past the end of the file) is `EFAULT` and not a signal.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// Where the kernel copies from and to.
    other_side: OwnedFd,
}

// SAFETY: an address and a length; the memory belongs to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// mmap(2).
    pub(crate) fn new(fd: BorrowedFd<'_>, offset: i64, len: usize, write: bool, shared: bool) -> Outcome<Self> {
        let protection = if write { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let flags = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let other_side = memfd_create(c"mapping", MFdFlags::MFD_CLOEXEC)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(start.cast()).map(|start| Self { start, len, other_side }).ok_or(Errno::EFAULT)
    }

    fn within(&self, at: usize, len: usize) -> Outcome<*mut u8> {
        let fits = at.checked_add(len).is_some_and(|end| end <= self.len);
        // SAFETY: at is within the mapping.
        if fits { Ok(unsafe { self.start.as_ptr().add(at) }) } else { Err(Errno::EDOM) }
    }

    /// Reads; fewer bytes where the file ends before. `EDOM`: not within the mapping.
    pub(crate) fn read(&self, at: usize, len: usize) -> Outcome<Vec<u8>> {
        let start = self.within(at, len)?;
        // SAFETY: within the mapping; the kernel reads it, and answers EFAULT where nothing is.
        let count = unsafe { libc::pwrite(self.other_side.as_raw_fd(), start.cast(), len, 0) };
        let mut bytes = vec![0; length(count)?];
        pread(&self.other_side, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes; returns how much was written. `EDOM`: not within the mapping.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) -> Outcome<usize> {
        let start = self.within(at, bytes.len())?;
        pwrite(&self.other_side, bytes, 0)?;
        // SAFETY: within the mapping, to which no Rust reference exists; the kernel writes it, and
        // answers EFAULT where nothing is or it must not be written.
        length(unsafe { libc::pread(self.other_side.as_raw_fd(), start.cast(), bytes.len(), 0) })
    }

    /// msync(2), `MS_SYNC`.
    pub(crate) fn sync(&self) -> Outcome<()> {
        // SAFETY: exactly the mapping.
        Errno::result(unsafe { libc::msync(self.start.as_ptr().cast(), self.len, libc::MS_SYNC) }).map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping, which nobody can use after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
