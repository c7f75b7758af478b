//! A whole tree as somebody sees it, and whether it is what the model holds after some of its steps.
//!
//! [`Prefix`] is the question that a crash asks: is what is left what a client had done up to some
//! moment, with nothing missing before it and nothing there from after it?

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path as FilePath;

use super::step::{Kind, Path, Stat, Step};
use super::{Body, Model, disk};
use crate::sys;

/// The kernel may give a write to the file system in parts, which then end with a page.
const PAGE_BYTES: u64 = 4096;
/// Differences that are shown.
const SHOWN_MAX: usize = 6;

/// One inode, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its attributes.
    pub stat: Stat,
    /// Content of a file, target of a link; else nothing.
    pub content: Vec<u8>,
    /// Its extended attributes, of the names that the model knows.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// Everything below a directory, itself included under the empty path.
pub type Tree = BTreeMap<Path, Seen>;

/// Whether an attribute is one that the model knows; the machine adds others by itself.
#[must_use]
pub fn is_known_xattr(name: &str) -> bool {
    name.starts_with("user.") || name.starts_with("trusted.")
}

/// The tree below a directory of a mount or a local disk.
///
/// # Errors
/// Those of the file system, with the place.
pub fn of_directory(root: &FilePath) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut left: Vec<Path> = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let at = path.iter().fold(root.to_owned(), |at, name| at.join(name));
        let seen = look(&at).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", at.display())))?;
        if seen.stat.kind == Kind::Directory {
            for entry in fs::read_dir(&at)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                left.push(path.iter().cloned().chain([name]).collect());
            }
        }
        tree.insert(path, seen);
    }
    Ok(tree)
}

fn look(at: &FilePath) -> io::Result<Seen> {
    let stat = disk::stat(&fs::symlink_metadata(at)?);
    let mut xattrs = BTreeMap::new();
    for name in sys::list_xattr(at)?.into_iter().filter(|name| is_known_xattr(name)) {
        let value = sys::get_xattr(at, &name)?;
        xattrs.insert(name, value);
    }
    let content = match stat.kind {
        Kind::File => fs::read(at)?,
        Kind::Symlink => fs::read_link(at)?.into_os_string().into_encoded_bytes(),
        Kind::Directory | Kind::Fifo => Vec::new(),
    };
    Ok(Seen { stat, content, xattrs })
}

impl Model {
    /// Everything in which a tree is not what this model holds. Access times are left out, since looking
    /// moves them.
    #[must_use]
    pub fn differences(&self, tree: &Tree) -> Vec<String> {
        let new = tree.keys().filter(|path| self.lookup(path).is_err());
        let mut differences: Vec<String> = new.map(|path| format!("{} is there", show(path))).collect();
        let mut pairs: BTreeMap<u64, u64> = BTreeMap::new();
        for path in self.paths() {
            let (Some(seen), Ok(id)) = (tree.get(&path), self.lookup(&path)) else {
                differences.push(format!("{} is not there", show(&path)));
                continue;
            };
            if *pairs.entry(id).or_insert(seen.stat.ino) != seen.stat.ino {
                differences.push(format!("{} is another inode than its other names", show(&path)));
            }
            differences.extend(self.differs(id, seen).map(|difference| format!("{}: {difference}", show(&path))));
        }
        differences
    }

    /// Whether a tree is what this model holds after the first pages of a write: over several pages it may be
    /// more than one operation, in order.
    fn after_part_of(&self, step: &Step, tree: &Tree) -> bool {
        let Step::Write { slot, offset, len, tag } = step else { return false };
        let Some(handle) = self.handles.get(&(0, *slot)) else { return false };
        let Body::File(before) = &self.nodes[&handle.node].body else { return false };
        let start = if handle.append { before.len() as u64 } else { *offset };
        let Some(path) = self.paths().into_iter().find(|path| self.lookup(path) == Ok(handle.node)) else {
            return false;
        };
        let Some(seen) = tree.get(&path) else { return false };
        let mut whole = self.clone();
        let _ = whole.run(0, step);
        let Body::File(after) = &whole.nodes[&handle.node].body else { return false };
        let equal = after.iter().zip(&seen.content).take_while(|(after, seen)| after == seen).count() as u64;
        let mut part = self.clone();
        let done = equal.saturating_sub(start);
        let written = part.run(0, &Step::Write { slot: *slot, offset: *offset, len: done, tag: *tag });
        let pages = (start + done).is_multiple_of(PAGE_BYTES);
        (1..*len).contains(&done) && pages && written.is_ok() && part.differences(tree).is_empty()
    }

    fn differs(&self, id: u64, seen: &Seen) -> Option<String> {
        let (node, stat) = (&self.nodes[&id], self.stat(id));
        let same = Stat { ino: stat.ino, atime: stat.atime, mtime: stat.mtime, ..seen.stat.clone() };
        if same != stat {
            return Some(format!("has {:?}, not {stat:?}", seen.stat));
        }
        if stat.mtime.is_some() && stat.mtime != seen.stat.mtime {
            return Some(format!("was changed at {:?}, not at {:?}", seen.stat.mtime, stat.mtime));
        }
        if node.xattrs != seen.xattrs {
            return Some("has other attributes".to_owned());
        }
        match &node.body {
            Body::File(bytes) => bytes_differ(bytes, &seen.content),
            Body::Symlink(target) => bytes_differ(target.as_bytes(), &seen.content),
            Body::Directory(_) | Body::Fifo => None,
        }
    }
}

/// Where content is not what it should be; zeros that nobody wrote are called by their name.
fn bytes_differ(wanted: &[u8], found: &[u8]) -> Option<String> {
    if wanted.len() != found.len() {
        return Some(format!("{} bytes, not {}", found.len(), wanted.len()));
    }
    let at = wanted.iter().zip(found).position(|(wanted, found)| wanted != found)?;
    let hole = found[at..].iter().take_while(|byte| **byte == 0).count();
    let hole = if hole > 0 { format!(", {hole} zeros") } else { String::new() };
    Some(format!("differs from byte {at} on{hole}"))
}

fn show(path: &Path) -> String {
    let names = path.iter().map(|name| if name.len() > 20 { format!("<{} bytes>", name.len()) } else { name.clone() });
    format!("/{}", names.collect::<Vec<_>>().join("/"))
}

/// Looks for the moment of a client's history that a tree shows.
#[derive(Debug, Default)]
pub struct Prefix {
    /// The model after the first `done` steps.
    model: Model,
    done: usize,
}

impl Prefix {
    /// How many steps are behind it: they are not looked at again.
    #[must_use]
    pub const fn behind(&self) -> usize {
        self.done
    }

    /// The largest number of steps after which the model is this tree: at least `least`, at most all. `steps`
    /// are those that are not behind it; afterwards the first `least` of all are.
    ///
    /// # Errors
    /// When there is none: how the tree differs from the model that is nearest to it.
    ///
    /// # Panics
    /// When `least` is smaller than what is behind, or larger than all.
    pub fn find(&mut self, steps: &[Step], least: usize, tree: &Tree) -> Result<usize, String> {
        let all = self.done + steps.len();
        assert!(self.done <= least && least <= all, "{} <= {least} <= {all}", self.done);
        let (behind, tail) = steps.split_at(least - self.done);
        for step in behind {
            let _ = self.model.run(0, step);
        }
        self.done = least;
        let mut model = self.model.clone();
        let (mut found, mut nearest) = (None, (least, model.differences(tree)));
        for done in least..=all {
            let differences = if done == least { nearest.1.clone() } else { model.differences(tree) };
            let next = tail.get(done - least);
            if differences.is_empty() || next.is_some_and(|next| model.after_part_of(next, tree)) {
                found = Some(done);
            }
            if differences.len() <= nearest.1.len() {
                nearest = (done, differences);
            }
            if let Some(next) = next {
                let _ = model.run(0, next);
            }
        }
        found.ok_or_else(|| {
            let ((done, differences), more) = (&nearest, nearest.1.len().saturating_sub(SHOWN_MAX));
            let shown = differences[..differences.len() - more].join("; ");
            let next: Vec<&Step> = tail.iter().skip(done - least).take(3).collect();
            format!(
                "no prefix of {all} steps, {least} of them synced, leaves this. Nearest is {done}: {shown} and {more} \
                 more. The next steps were {next:?}"
            )
        })
    }
}

#[cfg(test)]
mod tests;
