//! An engine in memory: for tests, and for simulations that need one schedule per seed.
//!
//! Clones share their content, so a test "restarts" by opening a clone.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use parking_lot::RwLock;

use super::{Engine, Reader, Visit};
use crate::meta::view::Changes;

type Map = BTreeMap<Vec<u8>, Bytes>;

/// A sorted map in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryEngine {
    map: Arc<RwLock<Map>>,
}

impl MemoryEngine {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a copy that [`Engine::checkpoint`] wrote.
    ///
    /// # Errors
    /// `NotFound` without one, `Damaged` when it is not whole.
    pub fn load(dir: &Path) -> Result<Self> {
        let file = dir.join(COPY_FILE);
        let stored = fs::read(&file).map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("there is no copy of an engine in {}", dir.display()))
                .because(error)
        })?;
        let damaged = || Error::new(ErrorKind::Damaged, format!("the copy {} is not whole", file.display()));
        let mut rest = &stored[..];
        let mut take = || -> Option<Vec<u8>> {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (piece, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            rest = after;
            Some(piece.to_vec())
        };
        let count = take().and_then(|count| <[u8; 8]>::try_from(count).ok()).map(u64::from_be_bytes);
        let mut map = Map::new();
        for _ in 0..count.ok_or_else(damaged)? {
            let key = take().ok_or_else(damaged)?;
            map.insert(key, Bytes::from(take().ok_or_else(damaged)?));
        }
        Ok(Self { map: Arc::new(RwLock::new(map)) })
    }
}

const COPY_FILE: &str = "memory-engine";

impl Reader for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.map.read().get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.map.read().range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        Box::new(Self { map: Arc::new(RwLock::new(self.map.read().clone())) })
    }

    fn write(&self, changes: &Changes) -> Result<()> {
        let mut map = self.map.write();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        let mut stored = Vec::new();
        let mut put = |piece: &[u8]| {
            let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            stored.extend_from_slice(&len.to_be_bytes());
            stored.extend_from_slice(piece);
        };
        let map = self.map.read();
        put(&(map.len() as u64).to_be_bytes());
        for (key, value) in map.iter() {
            put(key);
            put(value);
        }
        fs::create_dir(dir).and_then(|()| fs::write(dir.join(COPY_FILE), stored)).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot write a copy to {}", dir.display())).because(error)
        })
    }
}
