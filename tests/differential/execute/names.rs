//! Names: making, removing, linking, renaming, listing.

use std::collections::BTreeMap;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, readlinkat, renameat2};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, Whence, linkat, lseek, symlinkat, unlinkat};

use super::{Facts, Process, Stop, nothing};
use crate::call::Call;
use crate::outcome::{Fact, Value};
use crate::word::{Follow, NodeKind, Rename};

impl Process {
    pub(super) fn names(&self, call: &Call) -> Facts {
        match call {
            Call::Mkdir { at, mode } => {
                nothing(mkdirat(self.base(at)?, at.path.bytes().as_slice(), Mode::from_bits_retain(mode.0)))
            }
            Call::Rmdir { at } => {
                nothing(unlinkat(self.base(at)?, at.path.bytes().as_slice(), UnlinkatFlags::RemoveDir))
            }
            Call::Unlink { at } => {
                nothing(unlinkat(self.base(at)?, at.path.bytes().as_slice(), UnlinkatFlags::NoRemoveDir))
            }
            Call::Link { from, to, follow } => {
                let flags = if *follow == Follow::Yes { AtFlags::AT_SYMLINK_FOLLOW } else { AtFlags::empty() };
                let (old, new) = (from.path.bytes(), to.path.bytes());
                nothing(linkat(self.base(from)?, old.as_slice(), self.base(to)?, new.as_slice(), flags))
            }
            Call::LinkHandle { slot, to } => {
                let (handle, new) = (self.handle(*slot)?, to.path.bytes());
                nothing(linkat(&handle.fd, c"", self.base(to)?, new.as_slice(), AtFlags::AT_EMPTY_PATH))
            }
            Call::Symlink { target, at } => {
                nothing(symlinkat(target.bytes().as_slice(), self.base(at)?, at.path.bytes().as_slice()))
            }
            Call::Readlink { at } => {
                let target = readlinkat(self.base(at)?, at.path.bytes().as_slice())?;
                Ok(vec![("target", Value::text(target.to_string_lossy()))])
            }
            Call::Rename { from, to, mode } => {
                let flags = match mode {
                    Rename::Plain => RenameFlags::empty(),
                    Rename::NoReplace => RenameFlags::RENAME_NOREPLACE,
                    Rename::Exchange => RenameFlags::RENAME_EXCHANGE,
                    Rename::Whiteout => RenameFlags::RENAME_WHITEOUT,
                    Rename::Both => RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE,
                };
                let (old, new) = (from.path.bytes(), to.path.bytes());
                nothing(renameat2(self.base(from)?, old.as_slice(), self.base(to)?, new.as_slice(), flags))
            }
            Call::Mknod { at, kind, mode, major, minor } => {
                let kind = match kind {
                    NodeKind::Regular => SFlag::S_IFREG,
                    NodeKind::Fifo => SFlag::S_IFIFO,
                    NodeKind::Socket => SFlag::S_IFSOCK,
                    NodeKind::Char => SFlag::S_IFCHR,
                    NodeKind::Block => SFlag::S_IFBLK,
                    NodeKind::Directory => SFlag::S_IFDIR,
                };
                let (path, device) = (at.path.bytes(), makedev(u64::from(*major), u64::from(*minor)));
                nothing(mknodat(self.base(at)?, path.as_slice(), kind, Mode::from_bits_retain(mode.0), device))
            }
            Call::List { at } => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                listing(Dir::openat(self.base(at)?, at.path.bytes().as_slice(), flags, Mode::empty())?)
            }
            Call::Getdents { slot } => {
                let handle = self.handle(*slot)?;
                if handle.is_file {
                    return Err(Stop::Skipped("listing of what is not a directory"));
                }
                let fd = handle.fd.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
                lseek(&fd, 0, Whence::SeekSet)?;
                listing(Dir::from_fd(fd)?)
            }
            _ => Err(Stop::Skipped("not about names")),
        }
    }
}

/// Names and types, in order of names; how often a name came when it came more than once.
fn listing(mut dir: Dir) -> Facts {
    let mut names: BTreeMap<String, (Option<Type>, usize)> = BTreeMap::new();
    for entry in dir.iter() {
        let entry = entry?;
        let seen = names.entry(entry.file_name().to_string_lossy().into_owned()).or_insert((entry.file_type(), 0));
        seen.1 += 1;
    }
    let show = |(name, (kind, times)): (String, (Option<Type>, usize))| {
        let kind = match kind {
            Some(Type::File) => "file",
            Some(Type::Directory) => "directory",
            Some(Type::Symlink) => "symlink",
            Some(Type::Fifo) => "fifo",
            Some(Type::Socket) => "socket",
            Some(Type::CharacterDevice) => "char",
            Some(Type::BlockDevice) => "block",
            None => "unknown",
        };
        if times == 1 { format!("{name}={kind}") } else { format!("{name}={kind}, {times} times") }
    };
    let names: Vec<String> = names.into_iter().map(show).collect();
    let facts: Vec<Fact> = vec![("names", Value::text(names.join(" ")))];
    Ok(facts)
}
