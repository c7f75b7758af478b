//! The first exchange with the kernel: versions and features.

use std::io;
use std::sync::Arc;

use super::abi::{self, Opcode, init};
use super::decode::{self, Request};
use super::device::{Device, Received};
use super::encode::Output;
use super::{BUFFER_BYTES, IO_BYTES, Settings};

/// Always wanted. Not among them: the writeback cache (it ignores what other hosts do for good, so only a
/// mount that is alone has it), caching of symlinks, export by file handles.
const WANTED: u64 = init::ASYNC_READ
    | init::POSIX_LOCKS
    | init::ATOMIC_O_TRUNC
    | init::BIG_WRITES
    | init::DONT_MASK
    | init::FLOCK_LOCKS
    | init::AUTO_INVAL_DATA
    | init::ASYNC_DIO
    | init::PARALLEL_DIROPS
    | init::DO_READDIRPLUS
    | init::READDIRPLUS_AUTO
    | init::POSIX_ACL
    | init::ABORT_ERROR
    | init::MAX_PAGES
    | init::HANDLE_KILLPRIV_V2
    | init::SETXATTR_EXT
    | init::INIT_EXT
    | init::DIRECT_IO_ALLOW_MMAP
    | init::ALLOW_IDMAP;

/// Without these the promises do not hold.
const NEEDED: u64 = init::POSIX_LOCKS
    | init::FLOCK_LOCKS
    | init::ATOMIC_O_TRUNC
    | init::AUTO_INVAL_DATA
    | init::MAX_PAGES
    | init::HANDLE_KILLPRIV_V2
    | init::DONT_MASK
    | init::POSIX_ACL
    | init::SETXATTR_EXT;

/// Reads the kernel's offer and answers it.
///
/// # Errors
/// When the connection ends, or the kernel lacks something that is needed.
pub(super) fn agree(device: &Arc<Device>, settings: Settings) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let unsupported = |message: String| io::Error::new(io::ErrorKind::Unsupported, message);
    loop {
        let Received::Request(len) = device.receive(&mut buffer) else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the mount was taken away before it was ready"));
        };
        let offer = decode::header(&buffer[..len])
            .and_then(|(header, input)| Ok((header, decode::request(Opcode::Init, input)?)));
        let Ok((header, Request::Init { major, minor, max_readahead, flags })) = offer else {
            return Err(unsupported("the kernel's first message is not understood".to_owned()));
        };
        if header.opcode != Opcode::Init as u32 {
            return Err(unsupported("the kernel did not begin with FUSE_INIT".to_owned()));
        }
        if major > abi::MAJOR {
            // It will ask again with ours.
            let mut answer = Output::default();
            answer.u32(abi::MAJOR).u32(abi::MINOR);
            device.answer(header.unique, 0, &[answer.bytes()])?;
            continue;
        }
        if major < abi::MAJOR || minor < abi::MINOR_OLDEST || flags & NEEDED != NEEDED {
            device.answer(header.unique, -libc::EPROTO, &[])?;
            return Err(unsupported(format!(
                "this kernel's FUSE {major}.{minor} (features {flags:#x}) is too old; Linux 5.13 or newer is needed"
            )));
        }
        let answer = accept(minor, max_readahead, flags, settings);
        device.answer(header.unique, 0, &[answer.bytes()])?;
        return Ok(());
    }
}

fn accept(minor: u32, max_readahead: u32, offered: u64, settings: Settings) -> Output {
    let wanted = if settings.alone { WANTED | init::WRITEBACK_CACHE } else { WANTED };
    let flags = offered & wanted;
    let background = settings.max_background.max(1);
    let pages = IO_BYTES / 4096;
    tracing::debug!(minor, offered = format_args!("{offered:#x}"), taken = format_args!("{flags:#x}"), "FUSE agreed");
    let mut out = Output::default();
    #[expect(clippy::cast_possible_truncation, reason = "low and high half of the flags; 1 MiB and its pages fit")]
    {
        out.u32(abi::MAJOR).u32(minor.min(abi::MINOR)).u32(max_readahead).u32(flags as u32);
        out.u16(background).u16(background - background / 4).u32(IO_BYTES as u32);
        out.u32(1).u16(pages as u16).u16(0).u32((flags >> 32) as u32);
    }
    for _ in 0..7 {
        out.u32(0);
    }
    out
}

#[cfg(test)]
mod tests;
