//! Listings of directories whose records may be damaged.
//!
//! Each entry is stored twice, by cookie and by name. The listing goes by cookie, and then by name
//! over what the first round did not give.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use holdfast_archive::walk::source::{Listed, Page, Place};
use holdfast_core::attr::FileKind;
use holdfast_core::error::Result;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;

use super::source::StoredVolume;
use crate::meta::keys::{self, describe};
use crate::meta::record::decode;
use crate::meta::record::entry::{Entry, Listed as ByCookie};

/// Records that one page looks at.
const PAGE_RECORDS: usize = 256;

/// An entry before its inode is looked at.
struct Raw {
    name: FileName,
    ino: InodeId,
    kind: FileKind,
    place: Place,
}

impl StoredVolume {
    /// See [`holdfast_archive::walk::source::Source::list`].
    pub(super) fn page(&mut self, directory: InodeId, place: &Place) -> Page {
        let mut page = Page { lost: std::mem::take(&mut self.problems), ..Page::default() };
        let mut raw = VecDeque::new();
        match place {
            Place::Start => self.by_cookie(directory, DirCookie(0), &mut raw, &mut page),
            Place::Cookie(cookie) => self.by_cookie(directory, *cookie, &mut raw, &mut page),
            Place::Name(after) => self.by_name(directory, after.as_ref(), &mut raw, &mut page),
        }
        for Raw { name, ino, kind, place } in raw {
            match self.attr_of(directory, ino, kind) {
                Ok((attr, problem)) => {
                    page.lost.extend(problem.map(|why| format!("{name}: {why}")));
                    page.entries.push_back(Listed { name, attr, place });
                }
                Err(why) => page.lost.push(format!("{name} is missing: {why}")),
            }
        }
        page
    }

    fn by_cookie(&mut self, directory: InodeId, after: DirCookie, raw: &mut VecDeque<Raw>, page: &mut Page) {
        let (mut reached, mut seen) = (after, 0);
        // After the last of these come those that are only found by name.
        page.next = Some(Place::Name(None));
        let scanned = self.view().scan(&keys::entries_after(directory, after), |key, value| {
            if seen == PAGE_RECORDS {
                page.next = Some(Place::Cookie(reached));
                return Ok(ControlFlow::Break(()));
            }
            seen += 1;
            let cookie = keys::split_pair(key).map(|(_, cookie)| DirCookie(cookie));
            match (cookie, decode::<ByCookie>(key, &value)) {
                (Some(cookie), Ok(ByCookie { ino, kind, name })) => {
                    reached = cookie;
                    raw.push_back(Raw { name, ino, kind, place: Place::Cookie(cookie) });
                }
                (cookie, Err(error)) => {
                    reached = cookie.unwrap_or(reached);
                    page.lost.push(format!("an entry of its listing is damaged, its name is looked for: {error}"));
                }
                (None, Ok(_)) => page.lost.push(format!("key {} has the wrong length", describe(key))),
            }
            Ok(ControlFlow::Continue(()))
        });
        if let Err(error) = scanned {
            page.lost.push(format!("its listing breaks off, names are looked for: {error:?}"));
            page.next = Some(Place::Name(None));
            self.broken.insert(directory, reached);
        }
    }

    fn by_name(&mut self, directory: InodeId, after: Option<&FileName>, raw: &mut VecDeque<Raw>, page: &mut Page) {
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut last = after.cloned();
        let scanned = self.view().scan(&keys::entries_by_name(directory, after), |key, value| {
            if seen == PAGE_RECORDS {
                page.next = Some(Place::Name(last.clone()));
                return Ok(ControlFlow::Break(()));
            }
            seen += 1;
            let name = keys::split(key).and_then(|(_, name)| FileName::new(name.to_vec()).ok());
            match (name, decode::<Entry>(key, &value)) {
                (Some(name), Ok(entry)) => {
                    last = Some(name.clone());
                    found.push((name, entry));
                }
                (Some(name), Err(error)) => {
                    last = Some(name.clone());
                    // Not lost if its other record is sound: that one was listed.
                    page.lost.push(format!("{name}: one of the two records of this name is damaged: {error}"));
                }
                (None, _) => page.lost.push(format!("key {} is no name", describe(key))),
            }
            Ok(ControlFlow::Continue(()))
        });
        if let Err(error) = scanned {
            page.lost.push(format!("its names break off: {error:?}"));
        }
        for (name, entry) in found {
            if !self.was_listed(directory, &name, &entry) {
                let place = Place::Name(Some(name.clone()));
                raw.push_back(Raw { name, ino: entry.ino, kind: entry.kind, place });
            }
        }
    }

    /// Whether the round by cookie gave this entry.
    fn was_listed(&self, directory: InodeId, name: &FileName, entry: &Entry) -> bool {
        if self.broken.get(&directory).is_some_and(|reached| entry.cookie > *reached) {
            return false;
        }
        let key = keys::cookie(directory, entry.cookie);
        let found: Result<Option<ByCookie>> =
            self.view().get(&key).and_then(|value| value.map(|value| decode(&key, &value)).transpose());
        found.is_ok_and(|found| found.is_some_and(|found| found.name == *name))
    }
}
