//! Other names for directories' nodes, where the kernel cannot learn that one has moved.
//!
//! The kernel has one entry for a directory. When another host has moved it, the kernel moves its
//! entry; but inside of a rename, which holds the lock that this takes, it cannot, and the program
//! would be told `ESTALE`. So there the mount names the directory by a number that the kernel has
//! not seen: to the kernel it is another inode, which has no entry yet. Every request on either
//! number is about the same directory, and stat(2) shows the same inode number.
//!
//! Guarantees: an alias means its directory as long as the kernel knows it (FORGET counts that). The
//! newest of a directory is told also when the kernel has forgotten it: a lookup that finds another
//! node than it expected forgets that at once and asks again. Without aliases nothing here locks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::fs::Node;

/// Aliases count from here on; inode numbers stay below.
const FIRST: u64 = 1 << 63;

/// When there are more, those go that the kernel has forgotten.
const ALIASES_MAX: usize = 1 << 12;

/// A number that the kernel knows an inode by.
pub(super) type NodeId = u64;

/// The aliases of one mount.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    count: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: u64,
    by_id: HashMap<NodeId, Alias>,
    newest: HashMap<Node, NodeId>,
}

#[derive(Debug)]
struct Alias {
    node: Node,
    /// How often the kernel was told of it, and has not forgotten it.
    lookups: u64,
}

impl Aliases {
    /// What a number of the kernel's means.
    pub(super) fn resolve(&self, id: NodeId) -> Node {
        if id < FIRST {
            return Node(id);
        }
        // A number that we do not know is one that the kernel has forgotten: nobody's inode.
        self.known.lock().by_id.get(&id).map_or(Node(id), |alias| alias.node)
    }

    /// The number by which to tell the kernel of an inode; it will forget it so often.
    pub(super) fn tell(&self, node: Node) -> NodeId {
        if self.is_empty() {
            return node.0;
        }
        let mut known = self.known.lock();
        let Some(&id) = known.newest.get(&node) else { return node.0 };
        if let Some(alias) = known.by_id.get_mut(&id) {
            alias.lookups += 1;
        }
        id
    }

    /// Every number that the kernel may know an inode by.
    pub(super) fn ids(&self, node: Node) -> Vec<NodeId> {
        let mut ids = vec![node.0];
        if !self.is_empty() {
            let known = self.known.lock();
            ids.extend(known.by_id.iter().filter(|(_, alias)| alias.node == node).map(|(&id, _)| id));
        }
        ids
    }

    /// From now on the kernel is told of this directory by a number that it has never seen.
    pub(super) fn renew(&self, node: Node) {
        let mut known = self.known.lock();
        known.last += 1;
        let id = FIRST + known.last;
        known.by_id.insert(id, Alias { node, lookups: 0 });
        if let Some(before) = known.newest.insert(node, id) {
            known.drop_unused(before);
        }
        if known.by_id.len() > ALIASES_MAX {
            known.drop_forgotten();
        }
        self.count.store(known.by_id.len(), Ordering::Release);
    }

    /// The kernel has forgotten a number so many times.
    pub(super) fn forget(&self, id: NodeId, times: u64) {
        if id < FIRST {
            return;
        }
        let mut known = self.known.lock();
        if let Some(alias) = known.by_id.get_mut(&id) {
            alias.lookups = alias.lookups.saturating_sub(times);
            known.drop_unused(id);
        }
        self.count.store(known.by_id.len(), Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }
}

impl Known {
    /// An alias that nobody has and that is not told any more goes.
    fn drop_unused(&mut self, id: NodeId) {
        let Some(alias) = self.by_id.get(&id) else { return };
        if alias.lookups == 0 && self.newest.get(&alias.node) != Some(&id) {
            self.by_id.remove(&id);
        }
    }

    /// Every alias goes that the kernel does not have.
    fn drop_forgotten(&mut self) {
        self.by_id.retain(|_, alias| alias.lookups > 0);
        let by_id = &self.by_id;
        self.newest.retain(|_, id| by_id.contains_key(id));
    }
}

#[cfg(test)]
mod tests;
