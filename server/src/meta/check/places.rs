//! Directories whose entries by name and by cookie differ: which ones, and who is right.

use std::collections::HashMap;
use std::ops::ControlFlow;

use holdfast_core::error::Result;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::integrity::{Finding, FindingKind as Kind, Subject};

use super::Check;
use super::names::subject;
use super::tree::unreadable;
use crate::meta::keys::{self, tag};
use crate::meta::record::Record as _;
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::inode::Inode;
use crate::meta::view::View;

/// A place in a listing whose name is nowhere else.
#[derive(Debug)]
pub(super) struct Left {
    directory: InodeId,
    cookie: DirCookie,
    listed: Listed,
}

fn listed_at(view: View<'_>, directory: InodeId, cookie: DirCookie) -> Result<Option<Listed>> {
    Ok(view.get(&keys::cookie(directory, cookie))?.and_then(|value| Listed::decode(&value).ok()))
}

/// Whether the name of a directory stands where its inode says.
pub(super) fn stands_where_it_says(view: View<'_>, ino: InodeId, inode: &Inode) -> Result<bool> {
    let Some(named) = inode.named else { return Ok(false) };
    let listed = listed_at(view, named.directory, named.cookie)?;
    Ok(inode.parent == Some(named.directory) && listed.is_some_and(|listed| listed.ino == ino))
}

/// Compares one directory entry by entry. What is only in the listing is left for [`judge`].
pub(super) fn compare(check: &mut Check<'_, '_>, directory: InodeId, left: &mut Vec<Left>) -> Result<()> {
    let (view, found, watch) = (check.view, &mut check.found, &mut check.watch);
    view.scan(&keys::between(tag::ENTRY, directory.0, directory.0.checked_add(1)), |key, value| {
        watch.look()?;
        let (Ok(entry), Some(subject)) = (Entry::decode(&value), subject(key)) else {
            return Ok(ControlFlow::Continue(()));
        };
        match view.get(&keys::cookie(directory, entry.cookie))? {
            None => {
                found.add(Finding::new(Kind::NotListed, subject).detail(format!("its place is {}", entry.cookie)));
            }
            Some(value) => {
                let same = Listed::decode(&value).is_ok_and(|listed| {
                    listed.ino == entry.ino && listed.kind == entry.kind && key.ends_with(listed.name.as_bytes())
                });
                if !same {
                    found.add(Finding::new(Kind::ListedWrongly, subject));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let max = check.bounds.findings;
    view.scan(&keys::between(tag::COOKIE, directory.0, directory.0.checked_add(1)), |key, value| {
        watch.look()?;
        let (Ok(listed), Some((_, cookie))) = (Listed::decode(&value), keys::split_pair(key)) else {
            return Ok(ControlFlow::Continue(()));
        };
        // A name that is there and stands elsewhere was found above; its old place is left over.
        let entry = view.get(&keys::entry(directory, &listed.name))?.and_then(|value| Entry::decode(&value).ok());
        let is_there = entry.is_some_and(|entry| entry.cookie == DirCookie(cookie));
        if !is_there && left.len() < max {
            left.push(Left { directory, cookie: DirCookie(cookie), listed });
        } else if !is_there {
            found.cut = true;
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Says of each place that is left over whether its name was lost or the place forgotten.
pub(super) fn judge(check: &mut Check<'_, '_>, left: Vec<Left>) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let (view, watch) = (check.view, &mut check.watch);
    let mut names: HashMap<InodeId, u64> = left.iter().map(|left| (left.listed.ino, 0)).collect();
    view.scan(&keys::all(tag::ENTRY), |_, value| {
        watch.look()?;
        if let Ok(entry) = Entry::decode(&value)
            && let Some(count) = names.get_mut(&entry.ino)
        {
            *count += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for Left { directory, cookie, listed } in left {
        let inode = view.inode(listed.ino).or_else(unreadable)?;
        let is_taken = view.get(&keys::entry(directory, &listed.name))?.is_some();
        let count = names.get(&listed.ino).copied().unwrap_or(0);
        let misses = inode.is_some_and(|inode| {
            let wanted = if inode.is_directory() { u64::from(inode.nlink > 0) } else { u64::from(inode.nlink) };
            inode.kind == listed.kind && count < wanted
        });
        let kind = if misses && !is_taken { Kind::NameLost } else { Kind::ListedLeft };
        let detail = format!("\"{}\", inode {}", listed.name, listed.ino);
        check.found.add(Finding::new(kind, Subject::Place { directory, cookie }).detail(detail));
    }
    Ok(())
}
