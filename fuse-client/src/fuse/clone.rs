//! A second queue on the same connection, so that threads do not wait for each other in the kernel.
#![expect(unsafe_code, reason = "the one ioctl of the FUSE device")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

nix::ioctl_read!(fuse_dev_ioc_clone, 229, 0, u32);

/// Makes `queue`, a freshly opened `/dev/fuse`, a queue of the connection behind `device`.
pub(super) fn clone_queue(queue: BorrowedFd<'_>, device: BorrowedFd<'_>) -> nix::Result<()> {
    let mut source = u32::try_from(device.as_raw_fd()).map_err(|_| nix::Error::EBADF)?;
    // SAFETY: both descriptors are open for the length of the call, and the kernel reads one u32,
    // which outlives it.
    unsafe { fuse_dev_ioc_clone(queue.as_raw_fd(), &raw mut source) }.map(drop)
}
