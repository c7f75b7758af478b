//! Telling the kernel that a file is longer, and nothing else.
//!
//! The kernel learns a file's length from answers to its own requests. A mapping, sendfile(2) and
//! copy_file_range(2) ask nothing, so they would not see what another host has appended.
//! `FUSE_NOTIFY_STORE` is the only message that makes a file longer. It also brings bytes, and any
//! byte that it brings is wrong as soon as somebody writes another one there. So this one brings
//! none: the last byte of the message lies where this process may not read. The kernel takes the
//! length up first, cannot fetch the byte (`EFAULT`), and leaves its pages as they are.
//!
//! Never makes a file shorter. A kernel that fetched the byte first would say `EFAULT` and change
//! nothing. May wait for a page that is locked for a read, so it is for threads that may.
#![expect(unsafe_code, reason = "nothing safe names memory that cannot be read")]

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::errno::Errno;

use super::abi;
use super::device::Device;
use super::encode::Output;

/// Bytes of the page; the system's may be larger, and then all of that is.
const PAGE: usize = 4096;

/// A page that nobody can read.
#[derive(Debug)]
pub(super) struct Unreadable(*mut libc::c_void);

// SAFETY: it is an address, behind which nothing is read or written until `drop` unmaps it.
unsafe impl Send for Unreadable {}
// SAFETY: as above.
unsafe impl Sync for Unreadable {}

impl Unreadable {
    /// Reserves it.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(super) fn new() -> nix::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, where nothing else is.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_NONE, flags, -1, 0) };
        if page == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(Self(page)) }
    }

    /// Has the kernel know that a file is at least `size` bytes long.
    ///
    /// # Errors
    /// `ENOENT`: it does not know the file. `ENODEV` and its like: there is no kernel any more.
    pub(super) fn grow(&self, device: &Device, node: u64, size: u64) -> nix::Result<()> {
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        let mut store = Output::default();
        store.u64(node).u64(last).u32(1).u32(0);
        let mut header = Output::default();
        let len = abi::OUT_HEADER + store.bytes().len() + 1;
        header.u32(u32::try_from(len).map_err(|_| Errno::EMSGSIZE)?).u32(abi::NOTIFY_STORE.unsigned_abs()).u64(0);
        let pieces = [readable(header.bytes()), readable(store.bytes()), libc::iovec { iov_base: self.0, iov_len: 1 }];
        // SAFETY: the first two pieces outlive the call; the third is mapped without the right to read,
        // which the kernel answers with EFAULT. Nothing is written to any of them.
        let result = unsafe { libc::writev(device.as_fd().as_raw_fd(), pieces.as_ptr(), 3) };
        match Errno::result(result) {
            Ok(_) | Err(Errno::EFAULT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn readable(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has its address any more.
        unsafe { libc::munmap(self.0, PAGE) };
    }
}

#[cfg(test)]
mod tests;
