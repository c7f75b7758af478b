//! What a reader sees: changes that are not yet in the engine, newest first, over the engine.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use holdfast_core::error::Result;

use super::engine::Reader;
use super::keys::{Key, KeyRange};

/// Memory that an entry takes beside its key and value, about.
const ENTRY_OVERHEAD_BYTES: usize = 80;

/// Some of a layer's changes, in order.
type Stretch<'a> = Peekable<Range<'a, Key, Option<Bytes>>>;

/// An ordered set of changes: key to new value, or to nothing (it is deleted).
#[derive(Clone, Debug, Default)]
pub struct Changes {
    map: BTreeMap<Key, Option<Bytes>>,
    bytes: usize,
}

impl Changes {
    /// Sets a key.
    pub fn put(&mut self, key: Key, value: Bytes) {
        self.set(key, Some(value));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: Key) {
        self.set(key, None);
    }

    fn set(&mut self, key: Key, value: Option<Bytes>) {
        let payload = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let key_bytes = key.len() + ENTRY_OVERHEAD_BYTES;
        self.bytes += payload(&value);
        match self.map.insert(key, value) {
            Some(before) => self.bytes -= payload(&before),
            None => self.bytes += key_bytes,
        }
    }

    /// Lays newer changes over these.
    pub fn absorb(&mut self, newer: Self) {
        if self.map.is_empty() {
            *self = newer;
            return;
        }
        for (key, value) in newer.map {
            self.set(key, value);
        }
    }

    /// What these say of a key: `None` nothing, `Some(None)` that it is deleted.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.map.get(key)
    }

    /// All changes in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Option<Bytes>)> {
        self.map.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Bytes of memory that they take, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn range(&self, range: &KeyRange) -> Stretch<'_> {
        let bounds = (Bound::Included(&range.from[..]), Bound::Excluded(&range.to[..]));
        self.map.range::<[u8], _>(bounds).peekable()
    }
}

/// Layers of changes over an engine. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Newest first.
    layers: [Option<&'a Changes>; 3],
    engine: &'a dyn Reader,
}

impl<'a> View<'a> {
    /// The engine under at most two layers, the newer one first.
    #[must_use]
    pub fn new(newer: &'a Changes, older: Option<&'a Changes>, engine: &'a dyn Reader) -> Self {
        Self { layers: [None, Some(newer), older], engine }
    }

    /// The engine alone, or as it was at one moment.
    #[must_use]
    pub fn of(engine: &'a dyn Reader) -> Self {
        Self { layers: [None, None, None], engine }
    }

    /// The same with one more layer on top.
    #[must_use]
    pub fn under<'b>(&self, newest: &'b Changes) -> View<'b>
    where
        'a: 'b,
    {
        let [_, newer, older] = self.layers;
        View { layers: [Some(newest), newer, older], engine: self.engine }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The engine's.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.layers.iter().flatten().find_map(|layer| layer.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.engine.get(key),
        }
    }

    /// Visits keys and values in order of key until `visit` breaks off or fails.
    ///
    /// # Errors
    /// The engine's, and those of `visit`.
    pub fn scan<F>(&self, range: &KeyRange, mut visit: F) -> Result<()>
    where
        F: FnMut(&[u8], Bytes) -> Result<ControlFlow<()>>,
    {
        if range.from >= range.to {
            return Ok(());
        }
        let mut above = Merged { layers: self.layers.map(|layer| layer.map(|layer| layer.range(range))) };
        let mut flow = Ok(ControlFlow::Continue(()));
        self.engine.scan(&range.from, &range.to, &mut |key, value| {
            flow = above.visit_up_to(Some(key), &mut visit).and_then(|step| match step {
                Step::Break => Ok(ControlFlow::Break(())),
                Step::Shadowed => Ok(ControlFlow::Continue(())),
                Step::Reached => visit(key, Bytes::copy_from_slice(value)),
            });
            if matches!(flow, Ok(ControlFlow::Continue(()))) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if flow?.is_continue() {
            above.visit_up_to(None, &mut visit)?;
        }
        Ok(())
    }
}

/// Where a merge of the layers stands against a key of the engine.
enum Step {
    /// The visitor has enough.
    Break,
    /// A layer decides about that key.
    Shadowed,
    /// No layer says anything of that key.
    Reached,
}

/// Several layers as one, the newest deciding.
struct Merged<'a> {
    layers: [Option<Stretch<'a>>; 3],
}

impl<'a> Merged<'a> {
    /// Visits what the layers have up to `key` (included; `None`: all of it).
    fn visit_up_to<F>(&mut self, key: Option<&[u8]>, visit: &mut F) -> Result<Step>
    where
        F: FnMut(&[u8], Bytes) -> Result<ControlFlow<()>>,
    {
        while let Some(smallest) = self.smallest() {
            if key.is_some_and(|key| &smallest[..] > key) {
                break;
            }
            if let Some(value) = self.take(smallest)
                && visit(smallest, value.clone())?.is_break()
            {
                return Ok(Step::Break);
            }
            if key.is_some_and(|key| &smallest[..] == key) {
                return Ok(Step::Shadowed);
            }
        }
        Ok(Step::Reached)
    }

    fn smallest(&mut self) -> Option<&'a Key> {
        self.layers.iter_mut().flatten().filter_map(|layer| layer.peek().map(|(key, _)| *key)).min()
    }

    /// Moves every layer past `key`; the newest one's value.
    fn take(&mut self, key: &Key) -> Option<&'a Bytes> {
        let mut newest: Option<&Option<Bytes>> = None;
        for layer in self.layers.iter_mut().flatten() {
            if let Some((_, value)) = layer.next_if(|(next, _)| *next == key) {
                newest = newest.or(Some(value));
            }
        }
        newest.and_then(Option::as_ref)
    }
}

#[cfg(test)]
mod tests;
