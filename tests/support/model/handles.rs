//! Open files: everything that is done through a descriptor. They outlive their names.

use nix::errno::Errno;

use super::step::{Access, Allocate, Answer, Outcome, Path, Step, fill};
use super::{Body, Handle, Model, Node};

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Model {
    fn handle(&self, client: usize, slot: usize) -> Result<Handle, Errno> {
        self.handles.get(&(client, slot)).copied().ok_or(Errno::EBADF)
    }

    fn reader(&self, client: usize, slot: usize) -> Result<Handle, Errno> {
        self.handle(client, slot).and_then(|handle| if handle.read { Ok(handle) } else { Err(Errno::EBADF) })
    }

    fn writer(&self, client: usize, slot: usize) -> Result<Handle, Errno> {
        self.handle(client, slot).and_then(|handle| if handle.write { Ok(handle) } else { Err(Errno::EBADF) })
    }

    fn bytes(&mut self, node: u64) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.node(node).body {
            Body::File(bytes) => Ok(bytes),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn run_handle(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            Step::Open { slot, path, mode, access } => self.open(client, *slot, path, *mode, *access),
            Step::Close { slot } => self.handles.remove(&(client, *slot)).map(|_| Answer::Done).ok_or(Errno::EBADF),
            Step::Read { slot, offset, len } => {
                let node = self.reader(client, *slot)?.node;
                self.node(node).atime = None;
                let bytes = self.bytes(node)?;
                let start = index(*offset).min(bytes.len());
                let end = index(offset + len).min(bytes.len());
                Ok(Answer::Bytes(bytes[start..end].to_vec()))
            }
            Step::Write { slot, offset, len, tag } => {
                let handle = self.writer(client, *slot)?;
                let bytes = self.bytes(handle.node)?;
                let start = if handle.append { bytes.len() } else { index(*offset) };
                let end = start + index(*len);
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(&fill(*tag, *offset, *len));
                self.node(handle.node).mtime = None;
                Ok(Answer::Count(*len))
            }
            Step::Resize { slot, size } => match self.handle(client, *slot)? {
                handle if handle.write => Ok(self.resize(handle.node, *size)),
                _ => Err(Errno::EINVAL),
            },
            Step::Allocate { slot, how, offset, len, keep_size } => {
                let node = self.writer(client, *slot)?.node;
                self.allocate(node, *how, index(*offset), index(offset + len), *keep_size)
            }
            Step::Copy { .. } => self.copy(client, step),
            Step::Seek { slot, .. } => {
                let node = self.handle(client, *slot)?.node;
                Ok(Answer::Holes(self.bytes(node)?.clone()))
            }
            Step::StatOpen { slot } => Ok(Answer::Stat(self.stat(self.handle(client, *slot)?.node))),
            Step::Sync { slot } => self.handle(client, *slot).map(|_| Answer::Done),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&mut self, client: usize, slot: usize, path: &Path, mode: u32, access: Access) -> Outcome {
        self.handles.remove(&(client, slot));
        let node = match self.lookup(path) {
            Ok(_) if access.create && access.exclusive => return Err(Errno::EEXIST),
            Ok(node) => node,
            Err(Errno::ENOENT) if access.create => self.make(path, Node::new(mode, Body::File(Vec::new())))?,
            Err(error) => return Err(error),
        };
        match self.nodes[&node].body {
            Body::Directory(_) => return Err(Errno::EISDIR),
            Body::Symlink(_) => return Err(Errno::ELOOP),
            Body::Fifo => return Err(Errno::ENXIO),
            Body::File(_) => {}
        }
        if access.truncate {
            self.resize(node, 0);
        }
        let handle = Handle { node, read: access.read, write: access.write, append: access.append };
        self.handles.insert((client, slot), handle);
        Ok(Answer::Done)
    }

    fn allocate(&mut self, node: u64, how: Allocate, start: usize, end: usize, keep_size: bool) -> Outcome {
        let bytes = self.bytes(node)?;
        if how != Allocate::Punch && !keep_size && bytes.len() < end {
            bytes.resize(end, 0);
        }
        if how != Allocate::Reserve {
            let len = bytes.len();
            bytes[start.min(len)..end.min(len)].fill(0);
        }
        self.node(node).mtime = None;
        Ok(Answer::Done)
    }

    fn copy(&mut self, client: usize, step: &Step) -> Outcome {
        let Step::Copy { from, from_offset, to, to_offset, len } = step else { return Err(Errno::EINVAL) };
        let source = self.reader(client, *from)?;
        let target = self.writer(client, *to)?;
        if target.append {
            return Err(Errno::EBADF);
        }
        let bytes = self.bytes(source.node)?;
        let start = index(*from_offset).min(bytes.len());
        let end = index(from_offset + len).min(bytes.len());
        let piece = bytes[start..end].to_vec();
        let count = piece.len() as u64;
        if source.node == target.node && to_offset + count > *from_offset && *to_offset < from_offset + count {
            return Err(Errno::EINVAL);
        }
        if count > 0 {
            let (start, end) = (index(*to_offset), index(to_offset + count));
            let bytes = self.bytes(target.node)?;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(&piece);
            self.node(source.node).atime = None;
            self.node(target.node).mtime = None;
        }
        Ok(Answer::Count(count))
    }
}
