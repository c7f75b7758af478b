//! From a tree to an archive, whatever the tree is read from.
//!
//! Depth first, a directory before what is in it. Memory stays bounded: a part of the listing of
//! each directory on the way down, one piece of a file, and one table, of files that have names that
//! are still to come. What is damaged or gone is told and left out; the rest goes on.

mod content;
pub mod source;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Write;

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::InodeId;

use self::source::{Listed, Place, Source};
use crate::file::written;
use crate::member::{Kind, Member};
use crate::path::{PATH_BYTES_MAX, show};
use crate::progress::Progress;
use crate::write::Writer;

/// Below this depth only one entry of each listing is kept, and it is read on from there.
const LISTINGS_KEPT: usize = 64;

/// What an archive holds and what it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Members.
    pub members: u64,
    /// Of these regular files, further names not counted.
    pub files: u64,
    /// Bytes of their content, without holes.
    pub bytes: u64,
    /// Files that changed while they were read: a mixture.
    pub changed: u64,
    /// Ranges that are zeros because what was there is damaged.
    pub damaged: u64,
    /// Things that are not there, or not whole, because of damage.
    pub lost: u64,
    /// Names that were removed before they were reached: no fault.
    pub removed: u64,
}

impl Tally {
    /// What the person was warned of.
    #[must_use]
    pub const fn warnings(&self) -> u64 {
        self.changed + self.damaged + self.lost
    }
}

/// Something that the archive does not hold as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A file was changed while it was read.
    Changed {
        /// Its path.
        path: Vec<u8>,
        /// What happened.
        how: &'static str,
    },
    /// Bytes of a file are zeros.
    Damaged {
        /// Its path.
        path: Vec<u8>,
        /// First byte.
        from: u64,
        /// The byte after the last.
        to: u64,
        /// What was found.
        why: String,
    },
    /// Something is missing.
    Lost {
        /// What it is, or is in.
        path: Vec<u8>,
        /// What was found.
        why: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { path, how } => write!(f, "{}: {how}", show(path)),
            Self::Damaged { path, from, to, why } => {
                write!(
                    f,
                    "{}: bytes {from} to {} are damaged, and zeros in the archive: {why}",
                    show(path),
                    to.saturating_sub(1)
                )
            }
            Self::Lost { path, why } => write!(f, "{}: {why}", show(path)),
        }
    }
}

/// Writes the whole tree below the root.
///
/// # Errors
/// Those of `source` but for damage and what is gone, and those of the output. The archive is not whole then.
pub fn walk<W: Write>(
    source: &mut dyn Source,
    writer: &mut Writer<W>,
    progress: &Progress,
    warn: &mut dyn FnMut(&Warning),
) -> Result<Tally> {
    let mut walk =
        Walk { source, writer, progress, warn, tally: Tally::default(), links: HashMap::new(), levels: Vec::new() };
    walk.tree()?;
    Ok(walk.tally)
}

/// A directory on the way down.
struct Level {
    directory: InodeId,
    entries: VecDeque<Listed>,
    next: Option<Place>,
    /// Length of its path, with the slash.
    path: usize,
}

struct Walk<'a, W> {
    source: &'a mut dyn Source,
    writer: &'a mut Writer<W>,
    progress: &'a Progress,
    warn: &'a mut dyn FnMut(&Warning),
    tally: Tally,
    /// Paths of files that have more names, and how many are still to come.
    links: HashMap<InodeId, (Box<[u8]>, u32)>,
    levels: Vec<Level>,
}

/// What an error of the source means for the whole.
enum Fate {
    /// It is not there any more.
    Gone,
    /// It is damaged.
    Damaged(String),
}

/// Damage and what is gone concern one thing; all else is for the caller.
fn fate(error: Error) -> Result<Fate> {
    match error.kind() {
        ErrorKind::Posix(PosixError::NoEntry) => Ok(Fate::Gone),
        ErrorKind::Damaged => Ok(Fate::Damaged(error.message().to_owned())),
        _ => Err(error),
    }
}

impl<W: Write> Walk<'_, W> {
    fn tree(&mut self) -> Result<()> {
        let root = self.source.attr(InodeId::ROOT)?;
        self.directory(b".", &root)?;
        self.levels.push(Level { directory: root.ino, entries: VecDeque::new(), next: Some(Place::Start), path: 0 });
        let mut path = Vec::new();
        while let Some(level) = self.levels.last_mut() {
            path.truncate(level.path);
            if let Some(entry) = level.entries.pop_front() {
                path.extend_from_slice(entry.name.as_bytes());
                self.entry(&mut path, entry)?;
            } else if let Some(place) = level.next.take() {
                self.page(&path, place)?;
            } else {
                self.levels.pop();
            }
        }
        Ok(())
    }

    /// Reads on in the listing of the directory that the walk is in.
    fn page(&mut self, path: &[u8], place: Place) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let page = match self.source.list(level.directory, &place) {
            Ok(page) => page,
            Err(error) => match fate(error)? {
                // What it held went with it.
                Fate::Gone => return Ok(()),
                Fate::Damaged(why) => {
                    let why = format!("its listing is damaged, what follows in it is missing: {why}");
                    self.lost(if path.is_empty() { b"." } else { path }, why);
                    return Ok(());
                }
            },
        };
        level.entries = page.entries;
        level.next = page.next;
        self.source.expect(&self.levels[self.levels.len() - 1].entries);
        for why in page.lost {
            self.lost(if path.is_empty() { b"." } else { path }, why);
        }
        Ok(())
    }

    fn entry(&mut self, path: &mut Vec<u8>, entry: Listed) -> Result<()> {
        let attr = entry.attr;
        if path.len() > PATH_BYTES_MAX {
            self.lost(path, format!("its path has {} bytes, too many for an archive", path.len()));
            return Ok(());
        }
        if attr.kind != FileKind::Directory {
            return self.named(path, &attr);
        }
        if self.levels.iter().any(|level| level.directory == attr.ino) {
            self.lost(path, "the directory leads back to one that it is in".to_owned());
            return Ok(());
        }
        if !self.directory(path, &attr)? {
            return Ok(());
        }
        if self.levels.len() > LISTINGS_KEPT
            && let Some(level) = self.levels.last_mut()
        {
            level.entries.clear();
            level.next = Some(entry.place);
        }
        path.push(b'/');
        self.levels.push(Level {
            directory: attr.ino,
            entries: VecDeque::new(),
            next: Some(Place::Start),
            path: path.len(),
        });
        Ok(())
    }

    /// A directory's own member; `false`: it is gone.
    fn directory(&mut self, path: &[u8], attr: &Attr) -> Result<bool> {
        let Some(member) = self.member(path, Kind::Directory, attr)? else { return Ok(false) };
        self.begin(&member)?;
        Ok(true)
    }

    /// Something that may have several names.
    fn named(&mut self, path: &[u8], attr: &Attr) -> Result<()> {
        if let Some((first, left)) = self.links.get_mut(&attr.ino) {
            let member = Member::new(path, Kind::Link { target: first.to_vec() }, attr);
            *left -= 1;
            if *left == 0 {
                self.links.remove(&attr.ino);
            }
            return self.begin(&member);
        }
        let kind = match attr.kind {
            FileKind::Regular => None,
            FileKind::Symlink => match self.source.target(attr.ino) {
                Ok(target) => Some(Kind::Symlink { target }),
                Err(error) => return self.missing(path, error),
            },
            FileKind::Fifo => Some(Kind::Fifo),
            FileKind::Socket => Some(Kind::Socket),
            FileKind::CharDevice => Some(Kind::CharDevice { rdev: attr.rdev }),
            FileKind::BlockDevice => Some(Kind::BlockDevice { rdev: attr.rdev }),
            FileKind::Directory => return Ok(()),
        };
        let there = match kind {
            None => self.file(path, *attr)?,
            Some(kind) => match self.member(path, kind, attr)? {
                Some(member) => self.begin(&member).map(|()| true)?,
                None => false,
            },
        };
        if there && attr.nlink > 1 {
            self.links.insert(attr.ino, (path.into(), attr.nlink - 1));
        }
        Ok(())
    }

    /// A member with the xattrs of its inode; `None`: that is gone.
    fn member(&mut self, path: &[u8], kind: Kind, attr: &Attr) -> Result<Option<Member>> {
        let mut member = Member::new(path, kind, attr);
        if !attr.no_xattrs {
            match self.source.xattrs(attr.ino) {
                Ok(found) => {
                    let pairs = found.xattrs.into_iter();
                    member.xattrs = pairs.map(|(name, value)| (name.as_bytes().to_vec(), value)).collect();
                    found.lost.into_iter().for_each(|why| self.lost(path, why));
                }
                Err(error) => match fate(error)? {
                    Fate::Gone => {
                        self.tally.removed += 1;
                        return Ok(None);
                    }
                    Fate::Damaged(why) => self.lost(path, format!("its extended attributes are missing: {why}")),
                },
            }
        }
        if !Writer::<W>::fits(&member) {
            self.lost(path, "its extended attributes are missing: they are too large for an archive".to_owned());
            member.xattrs.clear();
        }
        Ok(Some(member))
    }

    fn begin(&mut self, member: &Member) -> Result<()> {
        self.tally.members += 1;
        self.progress.file();
        self.writer.member(member).map_err(|error| written(&error))
    }

    fn data(&mut self, data: &Bytes) -> Result<()> {
        self.tally.bytes += data.len() as u64;
        self.progress.bytes(data.len() as u64);
        self.writer.data(data).map_err(|error| written(&error))
    }

    /// Something that was to be a member is not.
    fn missing(&mut self, path: &[u8], error: Error) -> Result<()> {
        match fate(error)? {
            Fate::Gone => self.tally.removed += 1,
            Fate::Damaged(why) => self.lost(path, format!("it is missing: {why}")),
        }
        Ok(())
    }

    fn lost(&mut self, path: &[u8], why: String) {
        self.tally.lost += 1;
        (self.warn)(&Warning::Lost { path: path.to_vec(), why });
    }
}

#[cfg(test)]
mod tests;
