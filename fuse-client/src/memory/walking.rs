//! Listings ahead of need, between what is remembered and who follows walks.

use holdfast_client::DirPage;
use holdfast_core::attr::FileKind;
use holdfast_core::id::{InodeId, Seq};
use holdfast_core::lease::Mode;

use super::Memory;
use super::reading::ReadAhead;
use super::state::State;
use super::walks::Wanted;

impl State {
    /// A listing from its start, with the attributes that are known by now.
    pub(super) fn list(&mut self, directory: InodeId) -> Wanted {
        if !self.holdings().may(directory, Mode::Shared) {
            return Wanted::Nothing;
        }
        let mut wanted = self.walks.take(directory);
        if let Wanted::Here(page) = &mut wanted {
            for entry in &mut page.entries {
                entry.attr = self.peek(entry.ino).copied();
            }
        }
        wanted
    }

    /// A listing is given to who wanted it: the directories to list now, and the files to read.
    pub(super) fn has_listed(&mut self, directory: InodeId, page: &DirPage) -> (Vec<InodeId>, Option<ReadAhead>) {
        let directories = page.entries.iter().filter(|entry| entry.kind == FileKind::Directory);
        let above = self.above(directory);
        let next = self.walks.listed(directory, above, directories.map(|entry| entry.ino));
        // Who reads what he lists begins before he asks.
        let files = if self.ahead.is_sure() && !next.is_empty() {
            let first = self.ahead.missed(directory);
            self.next(directory, InodeId(0), first)
        } else {
            None
        };
        (next, files)
    }

    /// A page of a listing from its start has come that was asked for behind this operation.
    pub(super) fn keep_page(&mut self, directory: InodeId, behind: Seq, page: &DirPage) {
        if self.walks.is_coming(directory) && self.is_as_of(directory, behind) {
            self.walks.came(directory, page);
        }
    }
}

impl Memory {
    /// A listing from its start, if it was listed ahead. Then [`has_listed`](Self::has_listed) is due. Coming:
    /// wait for the next [`listing_settled`](Self::listing_settled).
    pub(crate) fn list(&self, directory: InodeId) -> Wanted {
        if self.trusted().is_none() {
            return Wanted::Nothing;
        }
        self.inner.state.lock().list(directory)
    }

    /// A listing is given to who wanted it. What is worth doing now: directories to list, for each of which
    /// [`listing_settled`](Self::listing_settled) is due, and files to read.
    pub(crate) fn has_listed(&self, directory: InodeId, page: &DirPage) -> (Vec<InodeId>, Option<ReadAhead>) {
        self.inner.state.lock().has_listed(directory, page)
    }

    /// A directory was listed ahead, or could not be.
    pub(crate) fn listing_settled(&self, directory: InodeId) {
        self.inner.state.lock().walks.settle(directory);
        self.inner.listed_ahead.send_modify(|count| *count += 1);
    }

    /// Hears of every [`listing_settled`](Self::listing_settled) from here on.
    pub(crate) fn on_listing_settled(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.listed_ahead.subscribe()
    }
}
