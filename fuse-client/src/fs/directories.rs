//! Listings.
//!
//! A handle keeps one page of the listing, so that one request to the server answers many of the
//! kernel, and asks for the next one when it has one. A listing that starts anew (offset 0: opendir,
//! rewinddir) asks anew, or takes what was listed ahead under a lease and still holds. Offsets are the
//! server's cookies, so a listing goes on from any of them whatever changed meanwhile: an entry that stays is
//! listed exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use holdfast_client::{DirPage, Question, Reply as Answer};
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::PosixError;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::op::Caller;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::handles::Owner;
use super::open::Pin;
use super::{FileSystem, Handle, Node, Outcome, Reply, Shared, misfit};
use crate::errno;
use crate::memory::Wanted;

/// Entries asked for at a time; with attributes fewer, to bound a handle's memory (about 400 KiB).
const PAGE_ENTRIES: u32 = 2048;
const PAGE_ENTRIES_PLUS: u32 = 1024;

/// Entries of one listing whose attributes are asked for to be remembered; the rest of a huge
/// directory would only drive out what is in use.
const REMEMBERED_MAX: usize = 16_384;

/// Offset of an entry: where the listing goes on after it. `.` and `..` take the first two.
const OFFSET_DOT: u64 = 1;
const OFFSET_DOT_DOT: u64 = 2;

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingEntry {
    /// The name; also `.` and `..`.
    pub name: Bytes,
    /// What it leads to.
    pub node: Node,
    /// Its type.
    pub kind: FileKind,
    /// Where the listing goes on after it.
    pub offset: u64,
    /// Its attributes, when they were asked for; never of `.` and `..`.
    pub attr: Option<Attr>,
}

/// Entries from an offset on, in order. Empty: the end. Take as many as there is room for and go
/// on from the last one's offset.
#[derive(Clone, Debug)]
pub struct Listing {
    page: Arc<Page>,
    from: usize,
}

impl Listing {
    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[ListingEntry] {
        &self.page.entries[self.from..]
    }
}

#[derive(Debug)]
struct Page {
    /// Offset that it begins behind.
    after: u64,
    entries: Vec<ListingEntry>,
    /// Nothing comes behind it.
    end: bool,
}

impl Page {
    /// The part behind an offset; `None`: the server has to be asked.
    fn behind(self: &Arc<Self>, offset: u64) -> Option<Listing> {
        let from = if offset == self.after {
            0
        } else {
            self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()? + 1
        };
        (from < self.entries.len() || self.end).then(|| Listing { page: Arc::clone(self), from })
    }
}

/// Directories that are open here.
#[derive(Debug, Default)]
pub(super) struct OpenDirs {
    last_number: u64,
    dirs: HashMap<Handle, Arc<OpenDir>>,
}

/// A page that was asked for before somebody wants it.
#[derive(Debug)]
struct Coming {
    after: u64,
    page: JoinHandle<Outcome<Page>>,
}

#[derive(Debug)]
struct OpenDir {
    ino: InodeId,
    page: Mutex<Option<Arc<Page>>>,
    /// The page behind that one, on its way.
    next: Mutex<Option<Coming>>,
    /// Entries that came so far.
    listed: AtomicUsize,
    /// It lives on without a name while it is open.
    _pin: Pin,
}

impl OpenDirs {
    fn open(&mut self, ino: InodeId, pin: Pin) -> Handle {
        self.last_number += 1;
        let handle = Handle(self.last_number);
        let (page, next) = (Mutex::default(), Mutex::default());
        self.dirs.insert(handle, Arc::new(OpenDir { ino, page, next, listed: AtomicUsize::new(0), _pin: pin }));
        handle
    }
}

impl FileSystem {
    /// opendir(3). The handle is of a number space of its own.
    pub fn opendir(&self, caller: Caller, node: Node) -> Reply<Handle> {
        let shared = Arc::clone(&self.shared);
        let ino = shared.ino(node);
        if let Some((pin, attr)) = shared.pin_here(caller, ino) {
            return Reply::Now(Ok(shared.opened_directory(&attr, pin)));
        }
        let pinning = shared.pin(caller, ino);
        Reply::later(async move {
            let (pin, attr) = pinning.await?;
            Ok(shared.opened_directory(&attr, pin))
        })
    }

    /// closedir(3).
    pub fn releasedir(&self, handle: Handle) -> Reply<()> {
        let known = self.shared.dirs.lock().dirs.remove(&handle);
        Reply::Now(known.map(drop).ok_or(PosixError::BadHandle))
    }

    /// readdir(3): entries behind `offset` (0: from the start).
    pub fn readdir(&self, handle: Handle, offset: u64, with_attributes: bool) -> Reply<Listing> {
        let dir = self.shared.dirs.lock().dirs.get(&handle).cloned();
        let Some(dir) = dir else { return Reply::Now(Err(PosixError::BadHandle)) };
        if offset != 0 {
            let kept = dir.page.lock().as_ref().and_then(|page| page.behind(offset));
            if let Some(listing) = kept {
                return Reply::Now(Ok(listing));
            }
        }
        let shared = Arc::clone(&self.shared);
        // Who lists mostly looks at what is listed.
        let with_attributes = with_attributes || dir.listed.load(Ordering::Relaxed) < REMEMBERED_MAX;
        Reply::later(async move {
            let coming = dir.next.lock().take().filter(|coming| coming.after == offset);
            let come = match coming {
                Some(coming) => coming.page.await.ok(),
                None => None,
            };
            let page = match come {
                Some(page) => page?,
                None if offset == 0 => shared.first_page(dir.ino, with_attributes).await?,
                None => shared.page(dir.ino, offset, with_attributes).await?,
            };
            let page = Arc::new(page);
            dir.listed.fetch_add(page.entries.len(), Ordering::Relaxed);
            *dir.page.lock() = Some(Arc::clone(&page));
            if let Some(after) = page.entries.last().map(|last| last.offset).filter(|_| !page.end) {
                let ino = dir.ino;
                let page = tokio::spawn(async move { shared.page(ino, after, with_attributes).await });
                *dir.next.lock() = Some(Coming { after, page });
            }
            Ok(Listing { page, from: 0 })
        })
    }
}

impl Shared {
    /// A directory was opened, which then had these attributes.
    fn opened_directory(&self, attr: &Attr, pin: Pin) -> Handle {
        self.files.lock().note_owner(attr.ino, Owner::of(attr));
        self.dirs.lock().open(attr.ino, pin)
    }

    /// A name in a directory is about to be asked for. Who asks for several will ask for more: reads the
    /// listing on, in the background, so that the rest is remembered.
    pub(super) fn read_on(self: &Arc<Self>, ino: InodeId) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Some((mut after, pages)) = self.memory.missed(ino) else { return };
        let weak = Arc::downgrade(self);
        // Ends by itself after so many pages, or with the session.
        runtime.spawn(async move {
            for _ in 0..pages {
                let question = listing(ino, after, true);
                let Some(asked) = weak.upgrade().map(|shared| shared.session.ask(question)) else { return };
                // What is remembered was told to the memory.
                match asked.await {
                    Ok(Answer::ReadDir(page)) if !page.end => {
                        after = page.entries.last().map_or(after, |entry| entry.cookie);
                    }
                    _ => break,
                }
            }
            if let Some(shared) = weak.upgrade() {
                shared.memory.has_read_on(ino);
            }
        });
    }

    /// The beginning of a listing, from memory if it was listed ahead.
    async fn first_page(self: &Arc<Self>, ino: InodeId, with_attributes: bool) -> Outcome<Page> {
        let mut settles = self.memory.on_listing_settled();
        let listed = loop {
            match self.memory.list(ino) {
                Wanted::Here(page) => break page,
                Wanted::Nothing => break self.list(ino, 0, with_attributes).await?,
                // The sender lives as long as the memory.
                Wanted::Coming => _ = settles.changed().await,
            }
        };
        self.walk_on(ino, &listed);
        Ok(Page { after: 0, end: listed.end, entries: self.entries(ino, 0, listed) })
    }

    /// A listing is given to who wanted it: what will be wanted next is asked for.
    fn walk_on(self: &Arc<Self>, ino: InodeId, listed: &DirPage) {
        let (directories, files) = self.memory.has_listed(ino, listed);
        for ino in directories {
            let (asked, weak) = (self.session.ask(listing(ino, DirCookie(0), true)), Arc::downgrade(self));
            self.session.spawn(async move {
                // What is remembered was told to the memory.
                let _ = asked.await;
                if let Some(shared) = weak.upgrade() {
                    shared.memory.listing_settled(ino);
                }
            });
        }
        if let Some(files) = files {
            self.read_beginnings(files);
        }
    }

    async fn page(&self, ino: InodeId, after: u64, with_attributes: bool) -> Outcome<Page> {
        let listed = self.list(ino, after, with_attributes).await?;
        Ok(Page { after, end: listed.end, entries: self.entries(ino, after, listed) })
    }

    async fn list(&self, ino: InodeId, after: u64, with_attributes: bool) -> Outcome<DirPage> {
        let after = DirCookie(after.saturating_sub(OFFSET_DOT_DOT));
        match self.session.ask(listing(ino, after, with_attributes)).await {
            Ok(Answer::ReadDir(page)) => Ok(page),
            Ok(other) => Err(misfit("a listing", &other)),
            Err(error) => Err(errno::answer(&error)),
        }
    }

    fn entries(&self, ino: InodeId, after: u64, listed: DirPage) -> Vec<ListingEntry> {
        let node = self.node(ino);
        let parent = if node == Node::ROOT { node } else { self.node(listed.parent) };
        let dot = |name: &'static [u8], node, offset| ListingEntry {
            name: Bytes::from_static(name),
            node,
            kind: FileKind::Directory,
            offset,
            attr: None,
        };
        let dots = [dot(b".", node, OFFSET_DOT), dot(b"..", parent, OFFSET_DOT_DOT)];
        let dots = dots.into_iter().filter(|entry| entry.offset > after);
        let entries = listed.entries.into_iter().map(|entry| ListingEntry {
            node: self.node(entry.ino),
            kind: entry.kind,
            offset: entry.cookie.0.saturating_add(OFFSET_DOT_DOT),
            name: entry.name.into_bytes(),
            attr: entry.attr,
        });
        dots.chain(entries).collect()
    }
}

/// A page of a directory's listing is asked for.
const fn listing(ino: InodeId, after: DirCookie, with_attributes: bool) -> Question {
    let entries_max = if with_attributes { PAGE_ENTRIES_PLUS } else { PAGE_ENTRIES };
    Question::ReadDir { ino, after, entries_max, with_attributes }
}

#[cfg(test)]
mod tests;
