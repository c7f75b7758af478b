//! A volume of a server as something that a walk reads from.
//!
//! Small files come many at a time, and of a long one some pieces are always under way.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use holdfast_archive::walk::source::{Listed, Page, Piece, Place, Source, Xattrs};
use holdfast_client::ReadData;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{Error, ErrorKind, PosixError, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::limits::IO_BYTES_MAX;
use tokio::task::JoinHandle;

use super::super::transfer::Remote;

/// Entries that are asked for at a time.
const PAGE_ENTRIES: u32 = 512;
/// Files up to this length are read many at a time.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// What one answer with many files holds.
const TOGETHER_BYTES_MAX: u64 = 900 << 10;
const TOGETHER_FILES_MAX: usize = 128;
/// Small files that are known to come.
const EXPECTED_MAX: usize = 2048;
/// How near to the front of those the next one is looked for.
const LOOK_AHEAD: usize = 16;
/// Pieces of a long file that are under way.
const PIECES_AHEAD: usize = 4;

type Reading = JoinHandle<Result<ReadData>>;

/// See the module.
pub(super) struct SessionSource<'a> {
    remote: &'a Remote,
    /// Small files that will be asked for, in order, with their lengths.
    expected: VecDeque<(InodeId, u64)>,
    small: HashMap<InodeId, ReadData>,
    /// Pieces of this file, from these offsets on, of these lengths.
    ahead_of: InodeId,
    ahead: VecDeque<(u64, u32, Reading)>,
}

impl<'a> SessionSource<'a> {
    pub(super) fn new(remote: &'a Remote) -> Self {
        Self { remote, expected: VecDeque::new(), small: HashMap::new(), ahead_of: InodeId(0), ahead: VecDeque::new() }
    }

    /// A small file that was read with others, or is now.
    fn together(&mut self, ino: InodeId) -> Result<Option<ReadData>> {
        if let Some(data) = self.small.remove(&ino) {
            return Ok(Some(data));
        }
        let near = self.expected.iter().take(LOOK_AHEAD).position(|(next, _)| *next == ino);
        let Some(near) = near else { return Ok(None) };
        self.expected.drain(..near);
        let (mut files, mut bytes) = (Vec::new(), 0);
        while let Some((next, size)) = self.expected.front().copied() {
            if !files.is_empty() && (bytes + size > TOGETHER_BYTES_MAX || files.len() == TOGETHER_FILES_MAX) {
                break;
            }
            bytes += size;
            files.push(next);
            self.expected.pop_front();
        }
        // What was read before and not asked for is of files that are gone.
        self.small = self.remote.wait(self.remote.session().read_files(files))?.into_iter().collect();
        Ok(self.small.remove(&ino))
    }

    /// A piece of a long file; those that follow it are on their way afterwards.
    fn piece(&mut self, ino: InodeId, offset: u64, len: u32, until: u64) -> Result<ReadData> {
        let fits = self.ahead_of == ino && self.ahead.front().is_some_and(|(at, has, _)| *at == offset && *has == len);
        if !fits {
            self.drop_ahead();
            self.ahead_of = ino;
            self.send(ino, offset, len);
        }
        let mut next = self.ahead.back().map_or(offset, |(at, len, _)| at + u64::from(*len));
        while self.ahead.len() < PIECES_AHEAD && next < until {
            let len = u32::try_from((until - next).min(IO_BYTES_MAX as u64)).unwrap_or(u32::MAX);
            self.send(ino, next, len);
            next += u64::from(len);
        }
        let Some((_, _, reading)) = self.ahead.pop_front() else { return Err(broken()) };
        self.remote.wait(async { reading.await.unwrap_or_else(|_| Err(broken())) })
    }

    fn send(&mut self, ino: InodeId, offset: u64, len: u32) {
        let session = self.remote.session().clone();
        let reading = self.remote.handle().spawn(async move { session.read(ino, offset, len).await });
        self.ahead.push_back((offset, len, reading));
    }

    fn drop_ahead(&mut self) {
        self.ahead.drain(..).for_each(|(_, _, reading)| reading.abort());
    }
}

impl Drop for SessionSource<'_> {
    fn drop(&mut self) {
        self.drop_ahead();
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Internal, "a read broke")
}

impl Source for SessionSource<'_> {
    fn attr(&mut self, ino: InodeId) -> Result<Attr> {
        self.remote.wait(self.remote.session().getattr(ino))
    }

    fn list(&mut self, directory: InodeId, place: &Place) -> Result<Page> {
        let after = match place {
            Place::Cookie(cookie) => *cookie,
            Place::Start | Place::Name(_) => DirCookie(0),
        };
        let page = self.remote.wait(self.remote.session().readdir(directory, after, PAGE_ENTRIES, true))?;
        let last = page.entries.last().map(|entry| entry.cookie);
        let next = last.filter(|_| !page.end).map(Place::Cookie);
        let listed = page.entries.into_iter().filter_map(|entry| {
            let place = Place::Cookie(entry.cookie);
            entry.attr.map(|attr| Listed { name: entry.name, attr, place })
        });
        Ok(Page { entries: listed.collect(), next, lost: Vec::new() })
    }

    fn expect(&mut self, entries: &VecDeque<Listed>) {
        let small =
            |entry: &&Listed| entry.attr.kind == FileKind::Regular && (1..=SMALL_BYTES_MAX).contains(&entry.attr.size);
        // Those of a directory come before what its parent has left.
        for entry in entries.iter().rev().filter(small) {
            self.expected.push_front((entry.attr.ino, entry.attr.size));
        }
        self.expected.truncate(EXPECTED_MAX);
    }

    fn target(&mut self, ino: InodeId) -> Result<Bytes> {
        self.remote.wait(self.remote.session().readlink(ino))
    }

    fn xattrs(&mut self, ino: InodeId) -> Result<Xattrs> {
        let session = self.remote.session();
        let mut found = Xattrs::default();
        for name in self.remote.wait(session.listxattr(ino))? {
            match self.remote.wait(session.getxattr(ino, &name)) {
                Ok(value) => found.xattrs.push((name, value)),
                // Removed since the names were listed.
                Err(error) if error.kind() == ErrorKind::Posix(PosixError::NoAttribute) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn read(&mut self, ino: InodeId, offset: u64, len: u32, until: u64) -> Result<Piece> {
        let small = if offset == 0 && u64::from(len) <= SMALL_BYTES_MAX { self.together(ino)? } else { None };
        let data = match small {
            Some(data) => data,
            None => self.piece(ino, offset, len, until)?,
        };
        let version = data.data_version;
        Ok(Piece { data: data.into_bytes(), version, damage: Vec::new() })
    }

    fn next_data(&mut self, ino: InodeId, from: u64, size: u64) -> Result<Option<(u64, u64)>> {
        let session = self.remote.session();
        let found = |result: Result<u64>| match result {
            Err(error) if error.kind() == ErrorKind::Posix(PosixError::NoData) => Ok(None),
            other => other.map(Some),
        };
        let start = found(self.remote.wait(session.seek(ino, from, false)))?.filter(|start| *start < size);
        let Some(start) = start else { return Ok(None) };
        let end = found(self.remote.wait(session.seek(ino, start, true)))?.unwrap_or(size);
        Ok(Some((start, end.min(size))))
    }
}
