//! By which path the kernel of this mount knows each directory.
//!
//! The kernel knows a directory by one path only. When another host has moved it, and a call meets
//! it at its new place, the kernel moves its own entry there; but inside of a rename, which holds
//! the lock that this needs, it cannot, and says `ESTALE`. So the mount remembers places, and has
//! the kernel drop the old one before it hears of the new, or names the directory anew
//! ([`super::aliases`]).
//!
//! Guarantees: bounded; a place that was forgotten, or that the kernel has dropped by itself, costs
//! at most a notification about nothing. Never knows files: those may have many names.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use holdfast_core::attr::FileKind;

use super::aliases::NodeId;
use crate::fs::{Entry, Node};

/// Directories at most; when there are more, all are forgotten and learnt anew.
const PLACES_MAX: usize = 1 << 16;
/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// As the kernel numbers it: below another alias of a directory everything has another place.
    pub(super) parent: NodeId,
    pub(super) name: Vec<u8>,
}

impl Place {
    pub(super) fn new(parent: NodeId, name: &[u8]) -> Self {
        Self { parent, name: name.to_vec() }
    }
}

/// A directory that the kernel may know elsewhere.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) node: Node,
    /// Where, if that is known.
    pub(super) before: Option<Place>,
}

/// The places of directories.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_node: HashMap<Node, Place>,
    by_place: HashMap<Place, Node>,
    /// Directories that the kernel may know by an older place still.
    unsure: HashSet<Node>,
}

impl Places {
    /// A directory was met here. Says where the kernel knew it before, if elsewhere.
    pub(super) fn met(&self, directory: Node, here: Place) -> Option<Place> {
        let mut known = self.0.lock();
        if known.by_node.len() >= PLACES_MAX {
            *known = Known::default();
        }
        let before = known.remove(directory);
        let moved = before.filter(|before| *before != here);
        known.insert(directory, here);
        moved
    }

    /// Something was met here; if it is a directory that the kernel may know elsewhere, what is to be
    /// done about that.
    pub(super) fn meets(&self, found: &Entry, here: Place) -> Option<Moved> {
        let node = found.node;
        if found.attr.kind != FileKind::Directory {
            return None;
        }
        let before = self.met(node, here);
        let unsure = self.take_unsure(node);
        (before.is_some() || unsure).then_some(Moved { node, before })
    }

    /// A directory is about to be listed here. Whether the kernel may hear of it: not if it knows it
    /// elsewhere, since nobody would learn what came of that.
    pub(super) fn listed(&self, directory: Node, here: Place) -> bool {
        let mut known = self.0.lock();
        match known.by_node.get(&directory) {
            Some(before) => *before == here,
            None if known.by_node.len() >= PLACES_MAX => false,
            None => {
                known.insert(directory, here);
                true
            }
        }
    }

    /// The kernel was told of a move in a way that it may not have been able to take up.
    pub(super) fn unsure(&self, directory: Node) {
        self.0.lock().doubt(directory);
    }

    /// Whether that was so, and is not any more.
    pub(super) fn take_unsure(&self, directory: Node) -> bool {
        self.0.lock().unsure.remove(&directory)
    }

    /// This mount has renamed something; `exchange`: the two changed places.
    pub(super) fn renamed(&self, from: &Place, to: Place, exchange: bool) {
        let mut known = self.0.lock();
        let moved = known.take(from);
        let replaced = known.take(&to);
        if let (Some(directory), false) = (replaced, exchange) {
            // It may have been gone from here already, and be met where another host has moved it.
            known.doubt(directory);
        }
        if let Some(directory) = moved {
            known.insert(directory, to);
        }
        if let (Some(directory), true) = (replaced, exchange) {
            known.insert(directory, from.clone());
        }
    }
}

impl Known {
    fn insert(&mut self, directory: Node, place: Place) {
        if let Some(other) = self.by_place.insert(place.clone(), directory).filter(|other| *other != directory) {
            self.by_node.remove(&other);
            // Open files keep the kernel's entry of it.
            self.doubt(other);
        }
        self.by_node.insert(directory, place);
    }

    fn doubt(&mut self, directory: Node) {
        if self.unsure.len() >= PLACES_MAX {
            self.unsure.clear();
        }
        self.unsure.insert(directory);
    }

    fn remove(&mut self, directory: Node) -> Option<Place> {
        let place = self.by_node.remove(&directory)?;
        self.by_place.remove(&place);
        Some(place)
    }

    fn take(&mut self, place: &Place) -> Option<Node> {
        let directory = self.by_place.remove(place)?;
        self.by_node.remove(&directory);
        Some(directory)
    }
}

#[cfg(test)]
mod tests;
