//! `/dev/fuse`: one message in each read, one in each write.

use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::{Ended, abi, clone};

/// The device's path.
pub(crate) const PATH: &str = "/dev/fuse";

/// A queue of a FUSE connection.
#[derive(Debug)]
pub struct Device(OwnedFd);

/// What a read of the device gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A message of this many bytes.
    Request(usize),
    /// Nothing will come any more.
    Ended(Ended),
}

impl Device {
    /// Opens the device, not yet bound to a mount.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(PATH).map(|file| Self(file.into()))
    }

    /// Anything that keeps messages apart, in place of the device.
    #[cfg(test)]
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Another queue of the same connection.
    pub(super) fn clone_queue(&self) -> io::Result<Self> {
        let queue = Self::open()?;
        clone::clone_queue(queue.as_fd(), self.as_fd())?;
        Ok(queue)
    }

    /// Waits for the next message.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        loop {
            match nix::unistd::read(&self.0, buffer) {
                Ok(0) | Err(Errno::ENODEV) => return Received::Ended(Ended::Unmounted),
                Ok(len) => return Received::Request(len),
                // The request was taken back before it was read, or a signal came: go on.
                Err(Errno::ENOENT | Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::ECONNABORTED) => return Received::Ended(Ended::Aborted),
                Err(error) => {
                    tracing::error!(%error, "cannot read requests of the kernel");
                    return Received::Ended(Ended::Aborted);
                }
            }
        }
    }

    /// Sends an answer: `error` 0 or a negative error number, and its body in pieces.
    pub(super) fn answer(&self, unique: u64, error: i32, body: &[&[u8]]) -> nix::Result<()> {
        let len = abi::OUT_HEADER + body.iter().map(|piece| piece.len()).sum::<usize>();
        let mut header = [0; abi::OUT_HEADER];
        header[..4].copy_from_slice(&u32::try_from(len).map_err(|_| Errno::EMSGSIZE)?.to_ne_bytes());
        header[4..8].copy_from_slice(&error.to_ne_bytes());
        header[8..].copy_from_slice(&unique.to_ne_bytes());
        let mut pieces = Vec::with_capacity(body.len() + 1);
        pieces.push(IoSlice::new(&header));
        pieces.extend(body.iter().map(|piece| IoSlice::new(piece)));
        // The kernel takes a message whole or not at all.
        nix::sys::uio::writev(&self.0, &pieces).map(drop)
    }

    /// Sends a notification, which may wait for locks in the kernel.
    pub(super) fn notify(&self, code: i32, body: &[u8]) -> nix::Result<()> {
        self.answer(0, code, &[body])
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
