//! The one system call of the segments that has no safe wrapper.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Tells the kernel to begin writing a range of a file to the disk, without waiting for it
/// (sync_file_range(2)). A hint: failures do not matter, since only a later sync counts.
#[expect(unsafe_code, reason = "no safe wrapper of sync_file_range exists in nix")]
pub(super) fn start(file: &File, from: u64, len: u64) {
    let (Ok(from), Ok(len)) = (i64::try_from(from), i64::try_from(len)) else { return };
    // SAFETY: the descriptor is open for the whole call, since `file` is borrowed; the call takes
    // no pointer and touches no memory of this process.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), from, len, libc::SYNC_FILE_RANGE_WRITE) };
}
