//! Each inode beside everything that hangs on its number: names, listing, attributes, target, mark.

use holdfast_core::attr::FileKind;
use holdfast_core::error::Result;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::integrity::{CheckPhase, Finding, FindingKind as Kind, Subject};

use super::cursor::Cursor;
use super::names::{self, Part};
use super::tree::Tree;
use super::{Check, Found, places};
use crate::meta::keys::{self, Key, PREFIX_BYTES, tag};
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::inode::Inode;
use crate::meta::record::text::Text;

/// All kinds of records that have an inode's number, side by side.
struct Beside<'a> {
    inodes: Cursor<'a, Inode>,
    entries: Cursor<'a, Entry>,
    listed: Cursor<'a, Listed>,
    targets: Cursor<'a, Text>,
    xattrs: Cursor<'a, Text>,
    orphans: Cursor<'a, Text>,
}

/// What hangs on one number.
#[derive(Debug, Default)]
struct Hanging {
    /// There is a record of the inode, readable or not.
    is_there: bool,
    inode: Option<Inode>,
    entries: u64,
    subdirectories: u64,
    listed: u64,
    /// Sums over the entries by name and by cookie: the same if and only if they are.
    sums: (u128, u128),
    target: Option<u64>,
    xattr_bytes: u64,
    xattrs: u64,
    marked: bool,
}

/// Compares all inodes; `inodes` is how many there are, about.
pub(super) fn check(check: &mut Check<'_, '_>, inodes: u64) -> Result<()> {
    let (mut from, mut tree, mut left) = (0, Tree::default(), Vec::new());
    let mut root = false;
    loop {
        check.watch.phase(CheckPhase::Names, inodes)?;
        let mut part = Part::load(check.view, from, check.bounds.inodes, &mut check.watch)?;
        names::count(check, &mut part)?;
        check.watch.phase(CheckPhase::Inodes, inodes)?;
        check.watch.progress.done = check.counted.inodes;
        let mut beside = Beside::new(check, &part);
        while let Some(number) = beside.next(&mut check.found)? {
            let ino = InodeId(number);
            let hanging = beside.take(number, check)?;
            root |= ino == InodeId::ROOT && hanging.is_there;
            compare(check, ino, &hanging, part.names(ino), &mut tree)?;
            if hanging.sums.0 != hanging.sums.1 || hanging.entries != hanging.listed {
                places::compare(check, ino, &mut left)?;
            }
        }
        match part.to {
            Some(to) => from = to,
            None => break,
        }
    }
    if !root {
        check.found.add(Finding::new(Kind::NoRoot, Subject::Volume));
    }
    places::judge(check, left)
}

impl<'a> Beside<'a> {
    fn new(check: &Check<'a, '_>, part: &Part) -> Self {
        let (view, from, to) = (check.view, part.from, part.to);
        Self {
            inodes: Cursor::new(view, tag::INODE, from, to),
            entries: Cursor::new(view, tag::ENTRY, from, to),
            listed: Cursor::new(view, tag::COOKIE, from, to),
            targets: Cursor::new(view, tag::SYMLINK, from, to),
            xattrs: Cursor::new(view, tag::XATTR, from, to),
            orphans: Cursor::new(view, tag::ORPHAN, from, to),
        }
    }

    /// The smallest number that anything has.
    fn next(&mut self, found: &mut Found) -> Result<Option<u64>> {
        let heads = [
            self.inodes.peek(found)?,
            self.entries.peek(found)?,
            self.listed.peek(found)?,
            self.targets.peek(found)?,
            self.xattrs.peek(found)?,
            self.orphans.peek(found)?,
        ];
        Ok(heads.into_iter().flatten().min())
    }

    fn take(&mut self, number: u64, check: &mut Check<'_, '_>) -> Result<Hanging> {
        let mut hanging = Hanging::default();
        let (found, watch) = (&mut check.found, &mut check.watch);
        if let Some((_, inode)) = self.inodes.take(number, found)? {
            check.counted.inodes += 1;
            watch.step()?;
            (hanging.is_there, hanging.inode) = (true, inode);
        }
        while let Some((key, entry)) = self.entries.take(number, found)? {
            check.counted.names += 1;
            watch.look()?;
            let Some(entry) = entry else { continue };
            hanging.entries += 1;
            hanging.subdirectories += u64::from(entry.kind == FileKind::Directory);
            let sum = fingerprint(name_of(&key), entry.ino, entry.kind, entry.cookie);
            hanging.sums.0 = hanging.sums.0.wrapping_add(sum);
        }
        while let Some((key, listed)) = self.listed.take(number, found)? {
            watch.look()?;
            let Some(listed) = listed else { continue };
            hanging.listed += 1;
            let Some((_, cookie)) = keys::split_pair(&key) else {
                found.unreadable(&key, "its key has the wrong length");
                continue;
            };
            let sum = fingerprint(listed.name.as_bytes(), listed.ino, listed.kind, DirCookie(cookie));
            hanging.sums.1 = hanging.sums.1.wrapping_add(sum);
        }
        while let Some((_, target)) = self.targets.take(number, found)? {
            hanging.target = target.map(|target| target.0.len() as u64);
        }
        while let Some((key, _)) = self.xattrs.take(number, found)? {
            watch.look()?;
            hanging.xattrs += 1;
            hanging.xattr_bytes += name_of(&key).len() as u64 + 1;
        }
        while self.orphans.take(number, found)?.is_some() {
            hanging.marked = true;
        }
        Ok(hanging)
    }
}

fn name_of(key: &Key) -> &[u8] {
    key.get(PREFIX_BYTES..).unwrap_or_default()
}

/// 128 bits that stand for an entry; their sum over a directory does not depend on the order.
fn fingerprint(name: &[u8], ino: InodeId, kind: FileKind, cookie: DirCookie) -> u128 {
    let mut bytes = Vec::with_capacity(17 + name.len());
    bytes.extend_from_slice(&ino.0.to_le_bytes());
    bytes.extend_from_slice(&cookie.0.to_le_bytes());
    bytes.push(kind as u8);
    bytes.extend_from_slice(name);
    let hash = holdfast_core::hash::FrameHash::of(&bytes).0;
    hash.first_chunk::<16>().map_or(0, |half| u128::from_le_bytes(*half))
}

fn compare(check: &mut Check<'_, '_>, ino: InodeId, hanging: &Hanging, names: u64, tree: &mut Tree) -> Result<()> {
    let found = &mut check.found;
    let Some(inode) = &hanging.inode else {
        if !hanging.is_there {
            without_inode(found, ino, hanging);
        }
        return Ok(());
    };
    let directory = inode.is_directory();
    if !directory && (hanging.entries > 0 || hanging.listed > 0) {
        found.of(Kind::EntryOutside, ino);
    }
    let nlink = u64::from(inode.nlink);
    let subject = || Subject::Inode(ino);
    let is_named = names > 0 || ino == InodeId::ROOT;
    match (directory, is_named) {
        (_, false) if nlink > 0 => found.of(Kind::Nameless, ino),
        (_, false) => {}
        (true, true) => found.counts(Kind::SubdirectoryCount, subject(), nlink, 2 + hanging.subdirectories),
        (false, true) => found.counts(Kind::LinkCount, subject(), nlink, names),
    }
    match (hanging.marked, nlink) {
        (true, 0) if !is_named && check.orphans.len() < check.bounds.orphans => check.orphans.push(ino),
        (true, 0) => {}
        (true, _) => found.of(Kind::WrongMark, ino),
        (false, 0) if !is_named => found.of(Kind::NoMark, ino),
        (false, _) => {}
    }
    if directory {
        found.counts(Kind::EntryCount, subject(), inode.entries, hanging.entries);
        if names > 1 {
            found.of(Kind::ManyNames, ino);
        } else if names == 1 && !places::stands_where_it_says(check.view, ino, inode)? {
            found.of(Kind::DirectoryPlace, ino);
        }
        if names > 0 && !tree.reaches_root(check.view, ino, inode.parent)? {
            found.of(Kind::Detached, ino);
        }
    }
    found.counts(Kind::XattrBytes, subject(), u64::from(inode.xattr_bytes), hanging.xattr_bytes);
    if hanging.target != (inode.kind == FileKind::Symlink).then_some(inode.size) {
        found.of(Kind::Target, ino);
    }
    Ok(())
}

fn without_inode(found: &mut Found, ino: InodeId, hanging: &Hanging) {
    if hanging.entries > 0 || hanging.listed > 0 {
        found.of(Kind::EntryOutside, ino);
    }
    if hanging.xattrs > 0 {
        found.of(Kind::StrayXattrs, ino);
    }
    if hanging.target.is_some() {
        found.of(Kind::Target, ino);
    }
    if hanging.marked {
        found.of(Kind::WrongMark, ino);
    }
}
