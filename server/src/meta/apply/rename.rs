//! rename and renameat2: one name becomes another, at once.

use holdfast_core::attr::FileKind;
use holdfast_core::derive::AskedMode;
use holdfast_core::error::PosixError;
use holdfast_core::id::InodeId;
use holdfast_core::limits::LINKS_MAX;
use holdfast_core::name::FileName;
use holdfast_core::op::{NewNode, OpReply, RenameMode};

use super::{Decision, Failure, Txn, create};
use crate::meta::record::damaged;
use crate::meta::record::entry::Entry;
use crate::meta::record::inode::{Inode, NamedAt};

/// A name in a directory.
type Place<'n> = (InodeId, &'n FileName);

/// The directories of a rename, which may be one and the same.
struct Directories {
    from: InodeId,
    to: InodeId,
    source: Inode,
    /// `None`: it is the source.
    target: Option<Inode>,
}

impl Directories {
    fn target(&mut self) -> &mut Inode {
        self.target.as_mut().unwrap_or(&mut self.source)
    }

    fn store(mut self, txn: &mut Txn<'_>) {
        txn.touch_directory(&mut self.source);
        txn.put_inode(self.from, &self.source);
        if let Some(mut target) = self.target {
            txn.touch_directory(&mut target);
            txn.put_inode(self.to, &target);
        }
    }
}

/// Moves `from` to `to`.
pub(super) fn rename(txn: &mut Txn<'_>, from: Place<'_>, to: Place<'_>, mode: RenameMode) -> Decision {
    let source = txn.view().directory(from.0)?;
    let target = if from.0 == to.0 { None } else { Some(txn.view().directory(to.0)?) };
    let moved = txn.entry(from.0, from.1)?;
    let there = txn.view().entry(to.0, to.1)?;
    match (mode, there) {
        (RenameMode::NoReplace | RenameMode::WhiteoutNoReplace, Some(_)) => return Err(PosixError::Exists.into()),
        (RenameMode::Exchange, None) => return Err(PosixError::NoEntry.into()),
        _ => {}
    }
    refuse_loops(txn, (from.0, moved), (to.0, there), mode)?;
    if there.is_some_and(|there| there.ino == moved.ino) {
        return Ok(OpReply::Done);
    }
    if source.nlink == 0 || target.as_ref().is_some_and(|target| target.nlink == 0) {
        return Err(PosixError::NoEntry.into());
    }
    let directories = Directories { from: from.0, to: to.0, source, target };
    match (mode, there) {
        (RenameMode::Exchange, Some(there)) => exchange(txn, directories, (from.1, moved), (to.1, there)),
        (_, there) => {
            let whiteout = matches!(mode, RenameMode::Whiteout | RenameMode::WhiteoutNoReplace);
            replace(txn, directories, (from.1, moved), (to.1, there), whiteout)
        }
    }
}

/// A directory must not move into itself, nor onto one that it lies in.
fn refuse_loops(
    txn: &Txn<'_>,
    (from, moved): (InodeId, Entry),
    (to, there): (InodeId, Option<Entry>),
    mode: RenameMode,
) -> Decision<()> {
    if from == to {
        return Ok(());
    }
    if lies_within(txn, to, moved)? {
        return Err(PosixError::Invalid.into());
    }
    if let Some(there) = there
        && lies_within(txn, from, there)?
    {
        let error = if mode == RenameMode::Exchange { PosixError::Invalid } else { PosixError::NotEmpty };
        return Err(error.into());
    }
    Ok(())
}

/// What hides a name in the upper layer of an overlay.
const WHITEOUT: NewNode = NewNode::Special { kind: FileKind::CharDevice, rdev: 0 };

/// Depth of directories past which the parents can only be going round in a circle.
const DEPTH_MAX: usize = 1 << 20;

/// Whether `directory` is what `entry` leads to, or lies below it.
fn lies_within(txn: &Txn<'_>, directory: InodeId, entry: Entry) -> Decision<bool> {
    if entry.kind != FileKind::Directory {
        return Ok(false);
    }
    let mut at = directory;
    for _ in 0..DEPTH_MAX {
        if at == entry.ino {
            return Ok(true);
        }
        if at == InodeId::ROOT {
            return Ok(false);
        }
        // The parent of a removed directory may be gone too: then it lies nowhere.
        match txn.view().inode(at)?.and_then(|inode| inode.parent) {
            Some(parent) => at = parent,
            None => return Ok(false),
        }
    }
    Err(Failure::Store(damaged(&crate::meta::keys::inode(directory), "its parents form a circle")))
}

fn replace(
    txn: &mut Txn<'_>,
    mut directories: Directories,
    (name, moved): (&FileName, Entry),
    (new_name, there): (&FileName, Option<Entry>),
    whiteout: bool,
) -> Decision {
    let now = txn.context.now;
    let mut inode = txn.view().referenced(moved.ino)?;
    let is_directory = inode.is_directory();
    let across = directories.target.is_some();
    if let Some(there) = there {
        displace(txn, directories.target(), there, is_directory)?;
    } else {
        if is_directory && across && directories.target().nlink >= LINKS_MAX {
            return Err(PosixError::TooManyLinks.into());
        }
        directories.target().entries += 1;
    }
    txn.delete_entry(directories.from, name, moved.cookie);
    if whiteout {
        let parent = (directories.from, &directories.source);
        let ino = create::new_ino(txn);
        let made = create::make(txn, parent, ino, &WHITEOUT, AskedMode::default(), Some(moved.cookie))?;
        txn.put_entry(directories.from, name, Entry { ino, kind: made.kind, cookie: moved.cookie });
    } else {
        directories.source.entries = directories.source.entries.saturating_sub(1);
    }
    // A name that was there keeps its place in the listing, so that no reader sees it twice.
    let cookie = there.map_or_else(|| txn.new_cookie(), |there| there.cookie);
    txn.put_entry(directories.to, new_name, Entry { cookie, ..moved });
    if is_directory && across {
        directories.source.nlink = directories.source.nlink.saturating_sub(1);
        directories.target().nlink += 1;
        inode.parent = Some(directories.to);
    }
    inode.named = Some(NamedAt { directory: directories.to, cookie });
    inode.ctime = now;
    txn.put_inode(moved.ino, &inode);
    directories.store(txn);
    Ok(OpReply::Done)
}

/// What stood under the new name loses it.
fn displace(txn: &mut Txn<'_>, directory: &mut Inode, there: Entry, by_directory: bool) -> Decision<()> {
    let mut inode = txn.view().referenced(there.ino)?;
    match (by_directory, inode.is_directory()) {
        (true, false) => return Err(PosixError::NotDirectory.into()),
        (false, true) => return Err(PosixError::IsDirectory.into()),
        (true, true) if inode.entries > 0 => return Err(PosixError::NotEmpty.into()),
        (true, true) => {
            directory.nlink = directory.nlink.saturating_sub(1);
            inode.nlink = 0;
        }
        (false, false) => inode.nlink = inode.nlink.saturating_sub(1),
    }
    inode.ctime = txn.context.now;
    if inode.nlink == 0 {
        txn.release(there.ino, inode)?;
    } else {
        txn.put_inode(there.ino, &inode);
    }
    Ok(())
}

fn exchange(
    txn: &mut Txn<'_>,
    mut directories: Directories,
    (name, moved): (&FileName, Entry),
    (new_name, there): (&FileName, Entry),
) -> Decision {
    let (from, to) = (directories.from, directories.to);
    for (entry, parent, cookie) in [(moved, to, there.cookie), (there, from, moved.cookie)] {
        let mut inode = txn.view().referenced(entry.ino)?;
        inode.ctime = txn.context.now;
        if inode.is_directory() {
            inode.parent = Some(parent);
        }
        inode.named = Some(NamedAt { directory: parent, cookie });
        txn.put_inode(entry.ino, &inode);
    }
    txn.put_entry(from, name, Entry { cookie: moved.cookie, ..there });
    txn.put_entry(to, new_name, Entry { cookie: there.cookie, ..moved });
    let subdirectory = |entry: Entry| u32::from(entry.kind == FileKind::Directory);
    if directories.target.is_some() {
        let (leaves, comes) = (subdirectory(moved), subdirectory(there));
        directories.source.nlink = directories.source.nlink.saturating_sub(leaves) + comes;
        let target = directories.target();
        target.nlink = target.nlink.saturating_sub(comes) + leaves;
    }
    directories.store(txn);
    Ok(OpReply::Done)
}
