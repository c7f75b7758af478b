//! The list of what was acknowledged: kept outside of what is tested, and checked after a crash.
//!
//! A file enters only after fsync of it and of its directory has returned, and leaves when it begins to
//! be written over. A run whose list is empty has proven nothing, and fails.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::random::Random;

/// File name, and the content that was acknowledged: its length, and what its bytes are made from.
type Acknowledged = BTreeMap<String, (usize, u64)>;

/// Writers add to it while others look.
#[derive(Debug, Default)]
pub struct Manifest(Mutex<Acknowledged>);

fn content(seed: u64, len: usize) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

impl Manifest {
    fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file, syncs it and its directory, and only then remembers it.
    ///
    /// # Errors
    /// Those of the file system: the file is then not acknowledged.
    pub fn write(&self, dir: &Path, name: &str, seed: u64, len: usize) -> io::Result<()> {
        self.acknowledged().remove(name);
        let mut file = File::create(dir.join(name))?;
        file.write_all(&content(seed, len))?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        self.acknowledged().insert(name.to_owned(), (len, seed));
        Ok(())
    }

    /// How many files are acknowledged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.acknowledged().len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acknowledged().is_empty()
    }

    /// The list as it is now.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.acknowledged().clone()))
    }

    /// What is in both lists alike: what nobody wrote between the two.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let other = other.acknowledged().clone();
        let both = self.acknowledged().clone().into_iter().filter(|(name, what)| other.get(name) == Some(what));
        Self(Mutex::new(both.collect()))
    }

    /// Compares every acknowledged file with what `read` finds under its name: what is lost.
    pub fn lost<E: std::fmt::Display>(&self, mut read: impl FnMut(&str) -> Result<Vec<u8>, E>) -> Vec<String> {
        let mut lost = Vec::new();
        for (name, (len, seed)) in &*self.acknowledged() {
            match read(name) {
                Ok(found) if found == content(*seed, *len) => {}
                Ok(found) => {
                    lost.push(format!("{name}: {} of {len} bytes, content differs{}", found.len(), zeros(&found)));
                }
                Err(error) => lost.push(format!("{name}: {error}")),
            }
        }
        lost
    }

    /// Compares every acknowledged file with what is in the directory.
    ///
    /// # Panics
    /// When one is missing, shorter, or different; or when nothing was acknowledged.
    #[track_caller]
    pub fn verify(&self, dir: &Path) {
        assert!(!self.is_empty(), "nothing was acknowledged: this run proves nothing");
        let lost = self.lost(|name| fs::read(dir.join(name)));
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged files are lost:\n  {}",
            lost.len(),
            self.len(),
            lost.join("\n  ")
        );
    }
}

fn zeros(found: &[u8]) -> &'static str {
    if found.chunks(4096).any(|block| block.iter().all(|byte| *byte == 0)) { ", a hole of zeros" } else { "" }
}

#[cfg(test)]
mod tests;
