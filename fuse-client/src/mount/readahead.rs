//! How far ahead the kernel reads. FUSE's own limit is 128 KiB, far too little for a server that is
//! a round trip away; the kernel lets it be raised for each mount.

use std::path::Path;

use holdfast_core::size::ByteSize;

/// Sets it for the mount with this device number. Without `/sys` it stays as it is, and sequential
/// reads are slower.
pub(super) fn set(minor: u32, readahead: ByteSize) {
    let path = format!("/sys/class/bdi/0:{minor}/read_ahead_kb");
    if let Err(error) = std::fs::write(Path::new(&path), (readahead.bytes() / 1024).to_string()) {
        tracing::info!(path, %error, "cannot raise the kernel's readahead; sequential reads will be slower");
    }
}
