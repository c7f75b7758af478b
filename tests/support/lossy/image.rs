//! What is on a disk: files and directories, as far as a storage server uses them. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use nix::errno::Errno;

/// A file or directory, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root directory.
    pub const ROOT: Self = Self(1);
}

/// A name in a directory.
pub type Slot = (NodeId, String);

/// What was asked of the disk, in order.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// A new file without content.
    Create(Slot, NodeId),
    /// A new, empty directory.
    MakeDirectory(Slot, NodeId),
    /// One more name for a file.
    Link(Slot, NodeId),
    /// A name that is gone, of a file or of an empty directory.
    Remove(Slot),
    /// A name that moved, over what was there.
    Rename(Slot, Slot),
    /// Bytes of a file, from an offset on.
    Write(NodeId, u64, Arc<[u8]>),
    /// The size of a file: shorter, or longer with zeros.
    Resize(NodeId, u64),
    /// fsync(2) or fdatasync(2) of a file.
    SyncFile(NodeId),
    /// fsync(2) of a directory.
    SyncDirectory(NodeId),
}

impl fmt::Debug for Change {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create((above, name), node) => write!(f, "create {name:?} in {} as {}", above.0, node.0),
            Self::MakeDirectory((above, name), node) => write!(f, "mkdir {name:?} in {} as {}", above.0, node.0),
            Self::Link((above, name), node) => write!(f, "link {name:?} in {} to {}", above.0, node.0),
            Self::Remove((above, name)) => write!(f, "remove {name:?} in {}", above.0),
            Self::Rename((from, name), (to, new)) => {
                write!(f, "rename {name:?} in {} to {new:?} in {}", from.0, to.0)
            }
            Self::Write(node, offset, data) => write!(f, "write {} at {offset}, {} bytes", node.0, data.len()),
            Self::Resize(node, size) => write!(f, "resize {} to {size}", node.0),
            Self::SyncFile(node) => write!(f, "sync {}", node.0),
            Self::SyncDirectory(node) => write!(f, "sync directory {}", node.0),
        }
    }
}

/// A file's bytes, or a directory's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Copied when it is changed and somebody else has it.
    File(Arc<Vec<u8>>),
    /// By name.
    Directory(BTreeMap<String, NodeId>),
}

/// A disk. What has no name any more stays until [`Image::reachable`] leaves it out: it may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    nodes: BTreeMap<NodeId, Body>,
}

impl Default for Image {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(NodeId::ROOT, Body::Directory(BTreeMap::new()))]) }
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Puts bytes at an offset; what lies between the end and them reads as zeros.
pub(super) fn put(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = index(offset);
    if content.len() < start + data.len() {
        content.resize(start + data.len(), 0);
    }
    content[start..start + data.len()].copy_from_slice(data);
}

impl Image {
    /// The number that the next new node gets.
    #[must_use]
    pub fn next(&self) -> NodeId {
        NodeId(self.nodes.last_key_value().map_or(1, |(last, _)| last.0) + 1)
    }

    /// A node.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn body(&self, node: NodeId) -> Result<&Body, Errno> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn entries(&self, node: NodeId) -> Result<&BTreeMap<String, NodeId>, Errno> {
        match self.body(node)? {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`.
    pub fn content(&self, node: NodeId) -> Result<&Arc<Vec<u8>>, Errno> {
        match self.body(node)? {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// What a name leads to.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    pub fn find(&self, (directory, name): &Slot) -> Result<NodeId, Errno> {
        self.entries(*directory)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// How many names a node has.
    #[must_use]
    pub fn names_of(&self, node: NodeId) -> usize {
        let directories = self.nodes.values().filter_map(|body| match body {
            Body::Directory(entries) => Some(entries),
            Body::File(_) => None,
        });
        directories.map(|entries| entries.values().filter(|found| **found == node).count()).sum()
    }

    /// Does a change, as Linux would.
    ///
    /// # Errors
    /// The errno of the call; nothing is changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), Errno> {
        match change {
            Change::Create(slot, node) => self.enter_new(slot, *node, Body::File(Arc::default())),
            Change::MakeDirectory(slot, node) => self.enter_new(slot, *node, Body::Directory(BTreeMap::new())),
            Change::Link(slot, node) => {
                self.content(*node)?;
                self.enter_new(slot, *node, self.body(*node)?.clone())
            }
            Change::Remove(slot) => {
                if let Ok(below) = self.entries(self.find(slot)?)
                    && !below.is_empty()
                {
                    return Err(Errno::ENOTEMPTY);
                }
                self.set_name(slot, None)
            }
            Change::Rename(from, to) => {
                let node = self.find(from)?;
                match self.find(to).map(|there| (there == node, self.entries(there).map(BTreeMap::is_empty))) {
                    Ok((true, _)) => return Ok(()),
                    Ok((false, Ok(false))) => return Err(Errno::ENOTEMPTY),
                    Ok((false, _)) | Err(Errno::ENOENT) => {}
                    Err(error) => return Err(error),
                }
                self.set_name(to, Some(node))?;
                self.set_name(from, None)
            }
            Change::Write(node, offset, data) => self.change_content(*node, |content| put(content, *offset, data)),
            Change::Resize(node, size) => self.change_content(*node, |content| content.resize(index(*size), 0)),
            Change::SyncFile(node) => self.content(*node).map(drop),
            Change::SyncDirectory(node) => self.entries(*node).map(drop),
        }
    }

    fn enter_new(&mut self, slot: &Slot, node: NodeId, body: Body) -> Result<(), Errno> {
        match self.find(slot) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {
                self.nodes.entry(node).or_insert(body);
                self.set_name(slot, Some(node))
            }
            Err(error) => Err(error),
        }
    }

    /// Lets a name lead to a node or to nothing, whatever is there.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR` when there is no such directory.
    pub(super) fn set_name(&mut self, (directory, name): &Slot, node: Option<NodeId>) -> Result<(), Errno> {
        let Body::Directory(entries) = self.nodes.get_mut(directory).ok_or(Errno::ENOENT)? else {
            return Err(Errno::ENOTDIR);
        };
        match node {
            Some(node) => entries.insert(name.clone(), node),
            None => entries.remove(name),
        };
        Ok(())
    }

    /// Makes a node without a name, unless it is there.
    pub(super) fn set_node(&mut self, node: NodeId, body: Body) {
        self.nodes.entry(node).or_insert(body);
    }

    /// Changes the bytes of a file.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`.
    pub(super) fn change_content(&mut self, node: NodeId, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Errno> {
        match self.nodes.get_mut(&node).ok_or(Errno::ENOENT)? {
            Body::File(content) => {
                change(Arc::make_mut(content));
                Ok(())
            }
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// The disk without what no name leads to.
    #[must_use]
    pub fn reachable(mut self) -> Self {
        let mut kept = BTreeMap::new();
        let mut todo = vec![NodeId::ROOT];
        while let Some(node) = todo.pop() {
            if let Some(body) = self.nodes.remove(&node) {
                if let Body::Directory(entries) = &body {
                    todo.extend(entries.values());
                }
                kept.insert(node, body);
            }
        }
        Self { nodes: kept }
    }

    /// A number that is the same for disks that look the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (node, body) in &self.nodes {
            node.hash(&mut hasher);
            match body {
                Body::File(content) => content.hash(&mut hasher),
                Body::Directory(entries) => entries.hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}
