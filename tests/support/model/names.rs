//! Paths and names: walking, and everything that makes, moves and removes an entry.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::step::{Answer, Kind, Outcome, Path, Rename};
use super::{Body, Model, NAME_MAX, Node, ROOT};

impl Model {
    /// Every path, the root first.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut paths: Vec<Path> = vec![Vec::new()];
        let mut at = 0;
        while at < paths.len() {
            let path = paths[at].clone();
            if let Ok(node) = self.lookup(&path)
                && let Body::Directory(entries) = &self.nodes[&node].body
            {
                paths.extend(entries.keys().map(|name| path.iter().cloned().chain([name.clone()]).collect()));
            }
            at += 1;
        }
        paths
    }

    /// The type of what is at a path.
    #[must_use]
    pub fn kind(&self, path: &Path) -> Option<Kind> {
        self.lookup(path).ok().map(|node| self.nodes[&node].kind())
    }

    fn entries(&self, dir: u64) -> Result<&BTreeMap<String, u64>, Errno> {
        match &self.nodes[&dir].body {
            Body::Directory(entries) => Ok(entries),
            // Symbolic links lead nowhere in this model: their targets are never made.
            Body::Symlink(_) => Err(Errno::ENOENT),
            Body::File(_) | Body::Fifo => Err(Errno::ENOTDIR),
        }
    }

    /// The directory of a path's last name, and that name.
    pub(super) fn parent(&self, path: &Path) -> Result<(u64, String), Errno> {
        let (name, above) = path.split_last().ok_or(Errno::EBUSY)?;
        let dir = self.lookup(&above.to_vec())?;
        self.entries(dir)?;
        if name.len() > NAME_MAX { Err(Errno::ENAMETOOLONG) } else { Ok((dir, name.clone())) }
    }

    fn child(&self, dir: u64, name: &str) -> Option<u64> {
        self.entries(dir).ok()?.get(name).copied()
    }

    /// What is at a path; a symbolic link at its end is not followed.
    pub(super) fn lookup(&self, path: &Path) -> Result<u64, Errno> {
        if path.is_empty() {
            return Ok(ROOT);
        }
        let (dir, name) = self.parent(path)?;
        self.child(dir, &name).ok_or(Errno::ENOENT)
    }

    /// The same, followed: links lead nowhere.
    pub(super) fn followed(&self, path: &Path) -> Result<u64, Errno> {
        let node = self.lookup(path)?;
        if self.nodes[&node].kind() == Kind::Symlink { Err(Errno::ENOENT) } else { Ok(node) }
    }

    fn insert(&mut self, dir: u64, name: &str, node: u64) {
        let dir = self.node(dir);
        (dir.mtime, dir.atime) = (None, dir.atime);
        if let Body::Directory(entries) = &mut dir.body {
            entries.insert(name.to_owned(), node);
        }
    }

    fn remove(&mut self, dir: u64, name: &str) {
        let dir = self.node(dir);
        dir.mtime = None;
        if let Body::Directory(entries) = &mut dir.body {
            entries.remove(name);
        }
    }

    /// A new inode at a path; it takes the group of a set-group-id directory.
    pub(super) fn make(&mut self, path: &Path, mut node: Node) -> Result<u64, Errno> {
        let (dir, name) =
            self.parent(path).map_err(|error| if error == Errno::EBUSY { Errno::EEXIST } else { error })?;
        if self.child(dir, &name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.nodes[&dir].mode & 0o2000 != 0 {
            node.gid = self.nodes[&dir].gid;
        }
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.insert(dir, &name, id);
        Ok(id)
    }

    pub(super) fn link(&mut self, old: &Path, new: &Path) -> Outcome {
        let node = self.lookup(old)?;
        let (dir, name) = self.parent(new)?;
        if self.child(dir, &name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.nodes[&node].kind() == Kind::Directory {
            return Err(Errno::EPERM);
        }
        self.insert(dir, &name, node);
        self.node(node).nlink += 1;
        Ok(Answer::Done)
    }

    pub(super) fn unlink(&mut self, path: &Path) -> Outcome {
        let (dir, name) = self.parent(path)?;
        let node = self.child(dir, &name).ok_or(Errno::ENOENT)?;
        if self.nodes[&node].kind() == Kind::Directory {
            return Err(Errno::EISDIR);
        }
        self.remove(dir, &name);
        self.node(node).nlink -= 1;
        Ok(Answer::Done)
    }

    pub(super) fn rmdir(&mut self, path: &Path) -> Outcome {
        let (dir, name) = self.parent(path)?;
        let node = self.child(dir, &name).ok_or(Errno::ENOENT)?;
        match &self.nodes[&node].body {
            Body::Directory(entries) if entries.is_empty() => {
                self.remove(dir, &name);
                self.node(node).nlink = 0;
                Ok(Answer::Done)
            }
            Body::Directory(_) => Err(Errno::ENOTEMPTY),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// rename(2) and renameat2(2), with their checks in Linux's order.
    pub(super) fn rename(&mut self, old: &Path, new: &Path, how: Rename) -> Outcome {
        let (old_dir, new_dir) = (self.parent_of_rename(old)?, self.parent_of_rename(new)?);
        let (old_dir, old_name) = (old_dir, old.last().ok_or(Errno::EBUSY)?);
        let new_name = new.last().ok_or(Errno::EBUSY)?;
        if old_name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let source = self.child(old_dir, old_name).ok_or(Errno::ENOENT)?;
        if new_name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let target = self.child(new_dir, new_name);
        match (how, target) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (Rename::Exchange, None) => return Err(Errno::ENOENT),
            _ => {}
        }
        if new.len() > old.len() && new.starts_with(old) {
            return Err(Errno::EINVAL);
        }
        if old.len() > new.len() && old.starts_with(new) {
            return Err(if how == Rename::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if target == Some(source) {
            return Ok(Answer::Done);
        }
        if let (Some(target), true) = (target, how != Rename::Exchange) {
            self.check_replace(source, target)?;
            self.remove(new_dir, new_name);
            let target = self.node(target);
            target.nlink = if matches!(target.body, Body::Directory(_)) { 0 } else { target.nlink - 1 };
        }
        self.remove(old_dir, old_name);
        self.insert(new_dir, new_name, source);
        if let (Some(target), Rename::Exchange) = (target, how) {
            self.insert(old_dir, old_name, target);
        }
        Ok(Answer::Done)
    }

    /// As [`Model::parent`], but the length of the last name is looked at later.
    fn parent_of_rename(&self, path: &Path) -> Result<u64, Errno> {
        let (_, above) = path.split_last().ok_or(Errno::EBUSY)?;
        let dir = self.lookup(&above.to_vec())?;
        self.entries(dir).map(|_| dir)
    }

    fn check_replace(&self, source: u64, target: u64) -> Result<(), Errno> {
        let directory = |node: u64| self.nodes[&node].kind() == Kind::Directory;
        match (directory(source), directory(target)) {
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            (true, true) if self.entries(target).is_ok_and(|entries| !entries.is_empty()) => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }
}
