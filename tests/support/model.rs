//! The reference model: a POSIX file system in memory, small enough to be read in one sitting.
//!
//! It is the definition of correct. [`Model::run`] does one [`Step`] as Linux would do it for
//! root, and says what the caller would see. `generate` makes random steps, `harness` does them
//! here and in a real file system and compares every answer, and at the end the whole tree.
//!
//! It knows nothing of time, space, permissions and concurrency: steps come one after the other.

pub mod disk;
pub mod generate;
mod handles;
pub mod harness;
mod names;
pub mod step;
pub mod tree;

use std::collections::BTreeMap;

use nix::errno::Errno;

use step::{Answer, Kind, Outcome, Path, Stat, Step, Time, fill};

/// An inode of the model.
#[derive(Clone, Debug)]
struct Node {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u64,
    /// Known after utimensat(2), unknown after anything else that changes it.
    atime: Option<Time>,
    mtime: Option<Time>,
    xattrs: BTreeMap<String, Vec<u8>>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<String, u64>),
    Symlink(String),
    Fifo,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
struct Handle {
    node: u64,
    read: bool,
    write: bool,
    append: bool,
}

/// A file system. The root directory is node 1.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    handles: BTreeMap<(usize, usize), Handle>,
}

const ROOT: u64 = 1;
/// Linux `NAME_MAX`.
const NAME_MAX: usize = 255;

impl Node {
    fn new(mode: u32, body: Body) -> Self {
        let nlink = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        Self { mode, uid: 0, gid: 0, nlink, atime: None, mtime: None, xattrs: BTreeMap::new(), body }
    }

    const fn kind(&self) -> Kind {
        match &self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Symlink(_) => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
        }
    }

    /// What a change of owner does to the bits that grant the owner's rights (chown(2)).
    fn drop_privileges(&mut self) {
        if !matches!(self.body, Body::Directory(_)) {
            self.mode &= !0o4000;
            if self.mode & 0o010 != 0 {
                self.mode &= !0o2000;
            }
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        let root = Node::new(0o755, Body::Directory(BTreeMap::new()));
        Self { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, handles: BTreeMap::new() }
    }

    /// Does one step for one client.
    ///
    /// # Errors
    /// The errno that Linux gives to it.
    pub fn run(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            Step::Mkdir { path, mode } => {
                let inherited = self.parent(path).map(|(dir, _)| self.nodes[&dir].mode & 0o2000).unwrap_or(0);
                self.make(path, Node::new(mode & 0o1777 | inherited, Body::Directory(BTreeMap::new()))).map(done)
            }
            Step::Mkfifo { path, mode } => self.make(path, Node::new(*mode, Body::Fifo)).map(done),
            Step::Symlink { path, target } => {
                self.make(path, Node::new(0o777, Body::Symlink(target.clone()))).map(done)
            }
            Step::Link { old, new } => self.link(old, new),
            Step::Unlink { path } => self.unlink(path),
            Step::Rmdir { path } => self.rmdir(path),
            Step::Rename { old, new, how } => self.rename(old, new, *how),
            Step::Stat { path } => self.lookup(path).map(|node| Answer::Stat(self.stat(node))),
            Step::Readdir { path } => self.readdir(path),
            Step::Readlink { path } => {
                let node = self.lookup(path)?;
                self.node(node).atime = None;
                match &self.nodes[&node].body {
                    Body::Symlink(target) => Ok(Answer::Bytes(target.clone().into_bytes())),
                    _ => Err(Errno::EINVAL),
                }
            }
            Step::ReadFile { path } => self.read_file(path),
            Step::Chmod { path, mode } => {
                let node = self.followed(path)?;
                self.node(node).mode = *mode;
                Ok(Answer::Done)
            }
            Step::Chown { path, uid, gid } => {
                let node = self.lookup(path)?;
                let node = self.node(node);
                (node.uid, node.gid) = (*uid, *gid);
                node.drop_privileges();
                Ok(Answer::Done)
            }
            Step::Utimens { path, atime, mtime } => {
                let node = self.lookup(path)?;
                let node = self.node(node);
                (node.atime, node.mtime) = (Some(*atime), Some(*mtime));
                Ok(Answer::Done)
            }
            Step::Truncate { path, size } => {
                let node = self.followed(path)?;
                match self.nodes[&node].kind() {
                    Kind::File => Ok(self.resize(node, *size)),
                    Kind::Directory => Err(Errno::EISDIR),
                    Kind::Symlink | Kind::Fifo => Err(Errno::EINVAL),
                }
            }
            Step::SetXattr { .. } | Step::GetXattr { .. } | Step::ListXattr { .. } | Step::RemoveXattr { .. } => {
                self.xattr(step)
            }
            Step::Disturb(_) => Ok(Answer::Done),
            Step::Open { .. }
            | Step::Close { .. }
            | Step::Read { .. }
            | Step::Write { .. }
            | Step::Resize { .. }
            | Step::Allocate { .. }
            | Step::Copy { .. }
            | Step::Seek { .. }
            | Step::StatOpen { .. }
            | Step::Sync { .. } => self.run_handle(client, step),
        }
    }

    fn node(&mut self, node: u64) -> &mut Node {
        self.nodes.entry(node).or_insert_with(|| Node::new(0, Body::Fifo))
    }

    /// Whether an inode is still there: has a name, or is open.
    #[must_use]
    pub fn lives(&self, node: u64) -> bool {
        node == ROOT
            || self.nodes.get(&node).is_some_and(|found| found.nlink > 0)
            || self.handles.values().any(|handle| handle.node == node)
    }

    fn stat(&self, id: u64) -> Stat {
        let node = &self.nodes[&id];
        let (nlink, size) = match &node.body {
            Body::File(bytes) => (node.nlink, bytes.len() as u64),
            Body::Symlink(target) => (node.nlink, target.len() as u64),
            Body::Fifo => (node.nlink, 0),
            Body::Directory(entries) => {
                let below = entries.values().filter(|child| self.nodes[child].kind() == Kind::Directory);
                (2 + below.count() as u64, 0)
            }
        };
        Stat {
            ino: id,
            kind: node.kind(),
            mode: node.mode,
            nlink,
            uid: node.uid,
            gid: node.gid,
            size,
            // Walking over a link reads it.
            atime: node.atime.filter(|_| node.kind() != Kind::Symlink),
            mtime: node.mtime,
        }
    }

    fn readdir(&mut self, path: &Path) -> Outcome {
        let id = self.followed(path)?;
        self.node(id).atime = None;
        let Body::Directory(entries) = &self.nodes[&id].body else { return Err(Errno::ENOTDIR) };
        let names = entries.iter().map(|(name, child)| (name.clone(), self.nodes[child].kind()));
        Ok(Answer::Names(names.collect()))
    }

    fn read_file(&mut self, path: &Path) -> Outcome {
        let id = self.lookup(path)?;
        self.node(id).atime = None;
        match &self.nodes[&id].body {
            Body::File(bytes) => Ok(Answer::Bytes(bytes.clone())),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Fifo => Err(Errno::ENXIO),
        }
    }

    /// truncate(2): shorter drops the rest, longer adds zeros.
    fn resize(&mut self, id: u64, size: u64) -> Answer {
        let node = self.node(id);
        if let Body::File(bytes) = &mut node.body {
            bytes.resize(usize::try_from(size).unwrap_or(0), 0);
        }
        node.mtime = None;
        Answer::Done
    }

    fn xattr(&mut self, step: &Step) -> Outcome {
        let (Step::SetXattr { path, .. }
        | Step::GetXattr { path, .. }
        | Step::ListXattr { path }
        | Step::RemoveXattr { path, .. }) = step
        else {
            return Err(Errno::EINVAL);
        };
        let id = self.lookup(path)?;
        let node = self.node(id);
        // The kernel keeps user attributes to files and directories (xattr(7)).
        let plain = matches!(node.body, Body::File(_) | Body::Directory(_));
        let refused = |name: &str| name.starts_with("user.") && !plain;
        match step {
            Step::SetXattr { name, .. } | Step::RemoveXattr { name, .. } if refused(name) => Err(Errno::EPERM),
            Step::SetXattr { name, create, replace, len, tag, .. } => match node.xattrs.contains_key(name) {
                true if *create => Err(Errno::EEXIST),
                false if *replace => Err(Errno::ENODATA),
                _ => {
                    node.xattrs.insert(name.clone(), fill(*tag, 0, *len));
                    Ok(Answer::Done)
                }
            },
            Step::GetXattr { name, .. } => node.xattrs.get(name).cloned().map(Answer::Bytes).ok_or(Errno::ENODATA),
            Step::RemoveXattr { name, .. } => node.xattrs.remove(name).map(|_| Answer::Done).ok_or(Errno::ENODATA),
            _ => Ok(Answer::Words(node.xattrs.keys().cloned().collect())),
        }
    }
}

fn done<T>(_: T) -> Answer {
    Answer::Done
}

#[cfg(test)]
mod tests;
