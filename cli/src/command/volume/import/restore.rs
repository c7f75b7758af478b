//! Members to a volume.
//!
//! Every path is walked name by name from the target's directory, by inodes: a symbolic link in the
//! way is an error, never followed, so nothing outside of the target can be reached. Nothing is
//! replaced. What a directory has of its own (owner, permissions, default access list, times) it gets at
//! the end, so that it does not rub off on what is put into it: one table grows, of directories.

use std::collections::HashMap;
use std::io::Read;

use bytes::Bytes;
use holdfast_archive::path::{components, show};
use holdfast_archive::{Kind, Member, Reader};
use holdfast_core::attr::{Attr, FileKind, Mode, SetAttr, SetTime};
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::op::{Caller, NewNode, Op, OpReply, XattrMode};

use super::super::transfer::Remote;
use super::settle::{Changes, Need, about};

/// Permissions of directories that the archive does not name though it has something in them.
const UNNAMED_MODE: u32 = 0o755;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restored {
    pub(super) members: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) warnings: u64,
}

/// A directory that is there by now.
struct Directory {
    ino: InodeId,
    /// What it gets at the end; `None`: the archive did not say.
    own: Option<Box<Own>>,
}

/// What a member has beside its content.
struct Own {
    mode: Mode,
    uid: u32,
    gid: u32,
    times: SetAttr,
    xattrs: Vec<(Vec<u8>, Bytes)>,
}

/// See the module.
pub(super) struct Restore<'a> {
    remote: &'a Remote,
    changes: Changes<'a>,
    directories: HashMap<Box<[u8]>, Directory>,
    /// Only who has the volume alone may say when inodes were changed.
    alone: bool,
    done: &'a mut Restored,
    warn: &'a mut dyn FnMut(&str),
}

impl<'a> Restore<'a> {
    /// Begins to restore into the root, or a directory below it that is made if it is absent.
    ///
    /// # Errors
    /// It is not empty, or no directory.
    pub(super) fn new(
        remote: &'a Remote,
        into: Option<&[u8]>,
        done: &'a mut Restored,
        warn: &'a mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut changes = Changes::new(remote);
        let mut ino = InodeId::ROOT;
        for name in into.map(components).transpose()?.unwrap_or_default() {
            let path = into.unwrap_or_default();
            ino = match remote.wait(remote.session().lookup(ino, &name)) {
                Ok(attr) if attr.kind == FileKind::Directory => attr.ino,
                Ok(attr) => {
                    let what = format!("{name} is {}", noun(attr.kind));
                    return Err(about(path, &what, &PosixError::NotDirectory.into()));
                }
                Err(error) if error.kind() == ErrorKind::Posix(PosixError::NoEntry) => {
                    make(&mut changes, path, Caller::default(), ino, name, &Kind::Directory, UNNAMED_MODE)?.ino
                }
                Err(error) => return Err(about(path, "look it up", &error)),
            };
        }
        let page = remote.wait(remote.session().readdir(ino, DirCookie(0), 1, false))?;
        if !page.entries.is_empty() {
            let (what, name) = match into {
                None => ("the volume", remote.volume().spec.name.to_string()),
                Some(path) => ("the directory", show(path)),
            };
            return Err(Error::new(
                ErrorKind::InUse,
                format!("{what} {name} is not empty; name another one, or --into a new directory"),
            ));
        }
        let directories = HashMap::from([(Box::default(), Directory { ino, own: None })]);
        Ok(Self { remote, changes, directories, alone: into.is_none(), done, warn })
    }

    /// Restores a member, and reads its content.
    ///
    /// # Errors
    /// The member is refused, its content cannot be read, or the server fails: each names it.
    pub(super) fn member<R: Read>(&mut self, member: &Member, reader: &mut Reader<R>) -> Result<()> {
        let names = components(&member.path)?;
        let Some((name, above)) = names.split_last() else {
            if member.kind != Kind::Directory {
                return Err(refused(member, "the target itself can only be a directory"));
            }
            return self.directory(Box::default(), member);
        };
        let parent = self.parent(member, above)?;
        let path = joined(&names);
        match &member.kind {
            Kind::Directory if self.directories.contains_key(&path) => self.directory(path, member)?,
            Kind::Link { target } => self.link(member, parent, name, target)?,
            kind => {
                let caller = Caller { uid: member.uid, gid: member.gid };
                let mode = u32::from(member.mode.bits());
                let attr = make(&mut self.changes, &member.path, caller, parent, name.clone(), kind, mode)?;
                self.inherits_nothing(member, &attr)?;
                if *kind == Kind::Directory {
                    self.directories.insert(path.clone(), Directory { ino: attr.ino, own: None });
                    self.directory(path, member)?;
                } else {
                    self.content(member, attr.ino, reader)?;
                    let own = own(member, self.alone);
                    self.give(&member.path, &attr, own)?;
                }
            }
        }
        self.done.members += 1;
        self.tell();
        Ok(())
    }

    /// Directories get what is their own, and all is waited for.
    ///
    /// # Errors
    /// What a change failed with.
    pub(super) fn finish(&mut self) -> Result<()> {
        for (path, Directory { ino, own }) in std::mem::take(&mut self.directories) {
            let Some(own) = own else { continue };
            let path: &[u8] = if path.is_empty() { b"." } else { &path };
            let attr = self.remote.wait(self.remote.session().getattr(ino))?;
            self.give(path, &attr, *own)?;
        }
        self.changes.settle()?;
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        for line in self.changes.take_warnings() {
            self.done.warnings += 1;
            (self.warn)(&line);
        }
    }

    /// The directory that these names lead to; those that are not there are made.
    fn parent(&mut self, member: &Member, names: &[FileName]) -> Result<InodeId> {
        if let Some(directory) = self.directories.get(&joined(names)) {
            return Ok(directory.ino);
        }
        let mut at = self.directories.get(&[][..]).map_or(InodeId::ROOT, |root| root.ino);
        for depth in 1..=names.len() {
            let path = joined(&names[..depth]);
            if let Some(directory) = self.directories.get(&path) {
                at = directory.ino;
                continue;
            }
            let name = names[depth - 1].clone();
            match self.remote.wait(self.remote.session().lookup(at, &name)) {
                Err(error) if error.kind() == ErrorKind::Posix(PosixError::NoEntry) => {}
                Err(error) => return Err(about(&member.path, "look up its directory", &error)),
                Ok(attr) => {
                    let what = format!("{} is {}, nothing is put into or behind it", show(&path), noun(attr.kind));
                    return Err(refused(member, &what));
                }
            }
            let made = make(&mut self.changes, &path, Caller::default(), at, name, &Kind::Directory, UNNAMED_MODE)?;
            self.inherits_nothing(member, &made)?;
            at = made.ino;
            self.directories.insert(path, Directory { ino: at, own: None });
        }
        Ok(at)
    }

    /// What the target's directory passes on is not the archive's.
    fn inherits_nothing(&mut self, member: &Member, attr: &Attr) -> Result<()> {
        if attr.no_xattrs {
            return Ok(());
        }
        let lists = [XattrName::access_list(), XattrName::default_list()];
        let count = if attr.kind == FileKind::Directory { 2 } else { 1 };
        for name in lists.into_iter().take(count) {
            let op = Op::RemoveXattr { ino: attr.ino, name };
            self.changes.send(&member.path, "remove an inherited access list", Need::Must, op)?;
        }
        Ok(())
    }

    /// A directory that is there: it gets its own at the end, the last time that the archive says something counts.
    fn directory(&mut self, path: Box<[u8]>, member: &Member) -> Result<()> {
        if path.is_empty() {
            self.done.members += 1;
        }
        if let Some(directory) = self.directories.get_mut(&path) {
            directory.own = Some(Box::new(own(member, self.alone)));
        }
        Ok(())
    }

    fn link(&mut self, member: &Member, parent: InodeId, name: &FileName, target: &[u8]) -> Result<()> {
        let unknown = || refused(member, &format!("it is another name of {}, which is not there", show(target)));
        let names = components(target)?;
        let Some((last, above)) = names.split_last() else { return Err(unknown()) };
        let Some(directory) = self.directories.get(&joined(above)).map(|directory| directory.ino) else {
            return Err(unknown());
        };
        let attr = match self.remote.wait(self.remote.session().lookup(directory, last)) {
            Ok(attr) => attr,
            Err(error) if error.kind() == ErrorKind::Posix(PosixError::NoEntry) => return Err(unknown()),
            Err(error) => return Err(about(&member.path, "look up its first name", &error)),
        };
        let op = Op::Link { ino: attr.ino, parent, name: name.clone() };
        self.changes.carry_out(&member.path, "link", Caller::default(), op)?;
        let times = own(member, self.alone).times;
        if times.ctime.is_some() {
            // The link has changed it.
            self.changes.send(&member.path, "its times", Need::Must, Op::SetAttr { ino: attr.ino, set: times })?;
        }
        Ok(())
    }

    fn content<R: Read>(&mut self, member: &Member, ino: InodeId, reader: &mut Reader<R>) -> Result<()> {
        let Kind::File { size, .. } = &member.kind else { return Ok(()) };
        let mut end = 0;
        while let Some((offset, data)) = reader.data()? {
            end = offset + data.len() as u64;
            self.done.bytes += data.len() as u64;
            self.changes.write(&member.path, ino, offset, data)?;
        }
        self.done.files += 1;
        if end < *size {
            let set = SetAttr { size: Some(*size), ..SetAttr::default() };
            self.changes.send(&member.path, "its length", Need::Must, Op::SetAttr { ino, set })?;
        }
        Ok(())
    }

    /// Owner and permissions first, which take capabilities away; access lists then, which change permissions; times
    /// last.
    fn give(&mut self, path: &[u8], attr: &Attr, own: Own) -> Result<()> {
        let ino = attr.ino;
        if (attr.uid, attr.gid, attr.mode) != (own.uid, own.gid, own.mode) && attr.kind != FileKind::Symlink
            || (attr.uid, attr.gid) != (own.uid, own.gid)
        {
            let set = SetAttr {
                uid: Some(own.uid),
                gid: Some(own.gid),
                mode: Some(own.mode).filter(|_| attr.kind != FileKind::Symlink),
                ..SetAttr::default()
            };
            self.changes.send(path, "its owner and permissions", Need::Must, Op::SetAttr { ino, set })?;
        }
        for (name, value) in own.xattrs {
            let what = format!("the attribute {}", show(&name));
            let Ok(name) = XattrName::new(name) else {
                self.done.warnings += 1;
                (self.warn)(&format!("{}: {what} is not kept: no attribute can have this name", show(path)));
                continue;
            };
            let op = Op::SetXattr { ino, name, value, mode: XattrMode::Either, kill_setgid: false };
            self.changes.send(path, &what, Need::May, op)?;
        }
        self.changes.send(path, "its times", Need::Must, Op::SetAttr { ino, set: own.times })
    }
}

/// A new inode under a new name.
fn make(
    changes: &mut Changes<'_>,
    path: &[u8],
    caller: Caller,
    parent: InodeId,
    name: FileName,
    kind: &Kind,
    mode: u32,
) -> Result<Attr> {
    let node = match kind {
        Kind::File { .. } | Kind::Link { .. } => NewNode::File { open: false },
        Kind::Symlink { target } => NewNode::Symlink { target: target.clone() },
        Kind::Directory => NewNode::Directory,
        Kind::Fifo => NewNode::Special { kind: FileKind::Fifo, rdev: 0 },
        Kind::Socket => NewNode::Special { kind: FileKind::Socket, rdev: 0 },
        Kind::CharDevice { rdev } => NewNode::Special { kind: FileKind::CharDevice, rdev: *rdev },
        Kind::BlockDevice { rdev } => NewNode::Special { kind: FileKind::BlockDevice, rdev: *rdev },
    };
    let op = Op::Create { parent, name, node, mode: Mode::from_bits(mode).into(), ino: None };
    match changes.carry_out(path, "create", caller, op) {
        Ok(OpReply::Attr(attr)) => Ok(attr),
        Ok(_) => Err(Error::new(ErrorKind::Internal, "the server's answer to a create makes no sense")),
        Err(error) if error.kind() == ErrorKind::Posix(PosixError::Exists) => Err(Error::new(
            error.kind(),
            format!("{}: it is there already: the archive has the name twice, and nothing is replaced", show(path)),
        )),
        Err(error) => Err(error),
    }
}

fn own(member: &Member, alone: bool) -> Own {
    let times = SetAttr {
        atime: Some(SetTime::To(member.atime.unwrap_or(member.mtime))),
        mtime: Some(SetTime::To(member.mtime)),
        ctime: member.ctime.filter(|_| alone),
        ..SetAttr::default()
    };
    Own { mode: member.mode, uid: member.uid, gid: member.gid, times, xattrs: member.xattrs.clone() }
}

fn refused(member: &Member, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{}: {why}", show(&member.path)))
}

fn joined(names: &[FileName]) -> Box<[u8]> {
    names.iter().map(FileName::as_bytes).collect::<Vec<_>>().join(&b'/').into()
}

const fn noun(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "a file",
        FileKind::Directory => "a directory",
        FileKind::Symlink => "a symbolic link",
        FileKind::Fifo => "a named pipe",
        FileKind::Socket => "a socket",
        FileKind::CharDevice | FileKind::BlockDevice => "a device",
    }
}
