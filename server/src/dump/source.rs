//! A stored volume as something that a walk reads from.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use holdfast_archive::walk::source::{Damage, Page, Piece, Place, Source, Xattrs};
use holdfast_core::attr::{Attr, FileKind, Mode};
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{DataVersion, DirCookie, InodeId};
use holdfast_core::limits::DIRECTORY_BYTES;
use holdfast_core::name::XattrName;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Usage;

use super::frames::Frames;
use super::salvage::{Part, next_data, parts};
use crate::meta::engine::Reader as _;
use crate::meta::engine::rocksdb::{RocksEngine, SharedMemory};
use crate::meta::keys;
use crate::meta::record::decode;
use crate::meta::record::extent::Content;
use crate::meta::record::header::Header;
use crate::meta::record::text::Text;
use crate::meta::view::{Changes, View};

const CACHE_BYTES: usize = 64 << 20;
const BUFFER_BYTES: usize = 32 << 20;
const FILES_MAX: u32 = 256;

/// A volume that is only read.
#[derive(Debug)]
pub(super) struct StoredVolume {
    engine: RocksEngine,
    nothing: Changes,
    frames: Frames,
    header: Option<Header>,
    /// What was found and not yet told.
    pub(super) problems: Vec<String>,
    /// Directories whose listing by cookie breaks off, and where.
    pub(super) broken: HashMap<InodeId, DirCookie>,
}

impl StoredVolume {
    /// Opens the volume in `dir`; also tells what is wrong with it as a whole.
    ///
    /// # Errors
    /// `NotFound`: there is none; `Version`: it has another format; `Damaged`: its database cannot be opened
    /// at all.
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<String>)> {
        let memory = SharedMemory::new(CACHE_BYTES, BUFFER_BYTES);
        let mut problems = Vec::new();
        let meta = dir.join("meta");
        let engine = match RocksEngine::open_read_only(&meta, &memory, FILES_MAX, false) {
            Ok(engine) => engine,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
            Err(error) => {
                problems.push(format!("the metadata is damaged; what can be read of it is: {error:?}"));
                RocksEngine::open_read_only(&meta, &memory, FILES_MAX, true)?
            }
        };
        let header = match engine.get(&keys::header()) {
            Ok(Some(value)) => match Header::read(&value) {
                Ok(header) => Some(header),
                Err(error) if error.kind() == ErrorKind::Version => return Err(error),
                Err(error) => {
                    problems.push(error.to_string());
                    None
                }
            },
            Ok(None) => {
                let message = format!("there is a database but no volume in {}", dir.display());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            Err(error) => {
                problems.push(format!("the volume's header cannot be read: {error:?}"));
                None
            }
        };
        let frames = Frames::new(dir.join("segments"));
        let (nothing, broken) = (Changes::default(), HashMap::new());
        Ok((Self { engine, nothing, frames, header, problems: Vec::new(), broken }, problems))
    }

    /// What the volume holds, by its header.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.header.as_ref().map(|header| header.usage)
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(&self.nothing, None, &self.engine)
    }

    /// Attributes of what an entry leads to, and what is wrong with them; or why there are none.
    pub(super) fn attr_of(
        &self,
        directory: InodeId,
        ino: InodeId,
        kind: FileKind,
    ) -> std::result::Result<(Attr, Option<String>), String> {
        let why = match self.view().inode(ino) {
            Ok(Some(inode)) if inode.kind != kind => {
                format!("its entry has another type than its inode {ino}")
            }
            Ok(Some(inode)) if inode.is_directory() && inode.parent != Some(directory) => {
                format!("its inode {ino} says that it is in another directory")
            }
            Ok(Some(inode)) => return Ok((inode.attr(ino), None)),
            Ok(None) => format!("its inode {ino} is missing"),
            Err(error) => error.to_string(),
        };
        match kind {
            // What is in it, or its target, stands in records of its own.
            FileKind::Directory | FileKind::Symlink | FileKind::Fifo | FileKind::Socket => {
                let told = format!("owner, permissions and times are made up, the rest is as it was: {why}");
                Ok((made_up(ino, kind), Some(told)))
            }
            FileKind::Regular | FileKind::CharDevice | FileKind::BlockDevice => Err(why),
        }
    }
}

/// Attributes of an inode whose record is damaged: root's, and closed to others.
const fn made_up(ino: InodeId, kind: FileKind) -> Attr {
    let time = Timestamp { secs: 0, nanos: 0 };
    Attr {
        ino,
        kind,
        mode: Mode::from_bits(if matches!(kind, FileKind::Symlink) { 0o777 } else { 0o700 }),
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: if matches!(kind, FileKind::Directory) { DIRECTORY_BYTES } else { 0 },
        allocated: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(0),
        no_xattrs: false,
    }
}

impl Source for StoredVolume {
    fn attr(&mut self, ino: InodeId) -> Result<Attr> {
        let why = match self.view().inode(ino) {
            Ok(Some(inode)) => return Ok(inode.attr(ino)),
            Ok(None) if ino != InodeId::ROOT => return Err(PosixError::NoEntry.into()),
            Ok(None) => "its inode is missing".to_owned(),
            Err(error) if ino != InodeId::ROOT => return Err(error),
            Err(error) => error.to_string(),
        };
        self.problems.push(format!("owner, permissions and times are made up: {why}"));
        Ok(made_up(ino, FileKind::Directory))
    }

    fn list(&mut self, directory: InodeId, place: &Place) -> Result<Page> {
        Ok(self.page(directory, place))
    }

    fn target(&mut self, ino: InodeId) -> Result<Bytes> {
        let key = keys::symlink(ino);
        match self.view().get(&key)? {
            Some(value) => decode::<Text>(&key, &value).map(|text| text.0),
            None => Err(Error::new(ErrorKind::Damaged, "its target is missing")),
        }
    }

    fn xattrs(&mut self, ino: InodeId) -> Result<Xattrs> {
        let mut found = Xattrs::default();
        let scanned = self.view().scan(&keys::xattrs(ino), |key, value| {
            let name = keys::split(key).and_then(|(_, name)| XattrName::new(name.to_vec()).ok());
            match (name, decode::<Text>(key, &value)) {
                (Some(name), Ok(text)) => found.xattrs.push((name, text.0)),
                (_, Err(error)) => found.lost.push(format!("an extended attribute is missing: {error}")),
                (None, Ok(_)) => found.lost.push("an extended attribute has no name".to_owned()),
            }
            Ok(ControlFlow::Continue(()))
        });
        if let Err(error) = scanned {
            found.lost.push(format!("extended attributes are missing: {error:?}"));
        }
        Ok(found)
    }

    fn read(&mut self, ino: InodeId, offset: u64, len: u32, _until: u64) -> Result<Piece> {
        let inode = self.view().existing(ino)?;
        let end = offset.saturating_add(len.into()).min(inode.size);
        let all = match inode.data {
            Some(data) => parts(self.view(), data, offset, end),
            None => Vec::new(),
        };
        let len = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
        let (mut bytes, mut damage): (BytesMut, Vec<Damage>) = (BytesMut::zeroed(len), Vec::new());
        for Part { start, end, content } in all {
            let into = at(start - offset)..at(end - offset);
            let taken = content.and_then(|(content, skip)| self.bytes(&content, skip, end - start));
            match taken {
                Ok(Some(found)) => bytes[into].copy_from_slice(&found),
                Ok(None) => {}
                Err(why) => damage.push(Damage { from: start, to: end, why }),
            }
        }
        Ok(Piece { data: bytes.freeze(), version: inode.data_version, damage })
    }

    fn next_data(&mut self, ino: InodeId, from: u64, size: u64) -> Result<Option<(u64, u64)>> {
        let inode = self.view().existing(ino)?;
        Ok(inode.data.and_then(|data| next_data(self.view(), data, from, size)))
    }
}

impl StoredVolume {
    /// So many bytes of an extent; `None`: they are zeros.
    fn bytes(&mut self, content: &Content, skip: u64, len: u64) -> std::result::Result<Option<Bytes>, String> {
        let (from, to) = (at(skip), at(skip + len));
        match content {
            Content::Reserved { .. } => Ok(None),
            Content::Inline(bytes) => Ok(Some(bytes.slice(from..to))),
            Content::Framed { frame, skip, .. } => {
                let content = self.frames.content(frame)?;
                let skip = *skip as usize;
                Ok(Some(content.slice(skip + from..skip + to)))
            }
        }
    }
}

/// A position within one read, or within one extent with bytes: both are short.
fn at(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
