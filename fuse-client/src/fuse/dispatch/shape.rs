//! The shape of single arguments and answers, between the kernel's numbers and the file system's types.

use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::id::LockOwner;
use holdfast_core::lock::{LockMode, LockRange, LockSpace};
use holdfast_core::op::XattrMode;

use crate::fs::{Bypass, Caching, FsStat, Handle, Listing, LockConflict, LockRequest};
use crate::fuse::abi;
use crate::fuse::aliases::{Aliases, NodeId};
use crate::fuse::decode::Lock;
use crate::fuse::encode::{Output, PlusEntry, Ttl};
use crate::fuse::places::{Place, Places};

pub(super) const fn open_flags(caching: Caching) -> u32 {
    match caching {
        Caching::Bypass(Bypass::Parallel) => abi::fopen::DIRECT_IO | abi::fopen::PARALLEL_DIRECT_WRITES,
        Caching::Bypass(Bypass::InOrder) => abi::fopen::DIRECT_IO,
        Caching::Fresh => 0,
        Caching::Keep => abi::fopen::KEEP_CACHE,
    }
}

pub(super) const fn xattr_mode(flags: i32) -> Option<XattrMode> {
    match flags {
        0 => Some(XattrMode::Either),
        libc::XATTR_CREATE => Some(XattrMode::Create),
        libc::XATTR_REPLACE => Some(XattrMode::Replace),
        both if both == libc::XATTR_CREATE | libc::XATTR_REPLACE => Some(XattrMode::Both),
        _ => None,
    }
}

pub(super) fn lock_request(lock: Lock) -> Option<LockRequest> {
    Some(LockRequest {
        handle: Handle(lock.handle),
        space: if lock.flock { LockSpace::Flock } else { LockSpace::Record },
        owner: LockOwner(lock.owner),
        mode: lock.mode,
        range: LockRange::new(lock.start, lock.end)?,
        pid: lock.pid,
        open_file: false,
    })
}

pub(super) fn lock_out(conflict: Option<LockConflict>, asked: Lock) -> Output {
    let (start, end, kind, pid) = match conflict {
        None => (asked.start, asked.end, libc::F_UNLCK, 0),
        Some(held) => {
            let kind = match held.mode {
                LockMode::Shared => libc::F_RDLCK,
                LockMode::Exclusive => libc::F_WRLCK,
            };
            (held.range.start(), held.range.end(), kind, held.pid)
        }
    };
    let mut out = Output::default();
    out.u64(start).u64(end).u32(kind.unsigned_abs()).u32(pid);
    out
}

pub(super) fn statfs_out(stat: FsStat) -> Output {
    const BLOCK: u64 = 4096;
    let mut out = Output::default();
    let free = stat.bytes_free / BLOCK;
    out.u64(stat.bytes_total / BLOCK).u64(free).u64(free).u64(stat.inodes_total).u64(stat.inodes_free);
    out.u32(4096).u32(255).u32(4096).u32(0);
    for _ in 0..6 {
        out.u32(0);
    }
    out
}

/// A part of the listing of `directory`. Of directories that the kernel knows elsewhere it hears only
/// the names.
pub(super) fn listing_out(
    listing: &Listing,
    directory: NodeId,
    (room, plus): (usize, bool),
    ttl: impl Fn(&[u8], &Attr) -> Ttl,
    (aliases, places): (&Aliases, &Places),
) -> Output {
    let mut out = Output::with_capacity(room.min(64 << 10));
    for entry in listing.entries() {
        let (node, offset, kind, name) = (entry.node.0, entry.offset, entry.kind, &entry.name[..]);
        let fits = if plus {
            let known = |node| kind != FileKind::Directory || places.listed(node, Place::new(directory, name));
            let attr = entry.attr.as_ref().filter(|_| known(entry.node));
            let id = if attr.is_some() { aliases.tell(entry.node) } else { node };
            let ttl = attr.map_or_else(Ttl::default, |attr| ttl(name, attr));
            let fits = out.dirent_plus(room, PlusEntry { id, node, offset, kind, name, attr }, ttl);
            if !fits && attr.is_some() {
                aliases.forget(id, 1);
            }
            fits
        } else {
            out.dirent(room, node, offset, kind, name)
        };
        if !fits {
            break;
        }
    }
    out
}
