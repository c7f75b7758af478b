//! The list of what was acknowledged: kept outside of what is tested, and checked after a crash.
//!
//! A file enters only after fsync of it and of its directory has returned. A run whose list is
//! empty has proven nothing, and fails.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::random::Random;

/// File name, and the content that was acknowledged.
#[derive(Debug, Default)]
pub struct Manifest {
    acknowledged: BTreeMap<String, (usize, u64)>,
}

fn content(seed: u64, len: usize) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

impl Manifest {
    /// Writes a file, syncs it and its directory, and only then remembers it.
    ///
    /// # Errors
    /// Those of the file system: the file is then not acknowledged.
    pub fn write(&mut self, dir: &Path, name: &str, seed: u64, len: usize) -> io::Result<()> {
        self.acknowledged.remove(name);
        let mut file = File::create(dir.join(name))?;
        file.write_all(&content(seed, len))?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        self.acknowledged.insert(name.to_owned(), (len, seed));
        Ok(())
    }

    /// How many files are acknowledged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty()
    }

    /// Takes over what another list acknowledged.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
    }

    /// Compares every acknowledged file with what is in the directory.
    ///
    /// # Panics
    /// When one is missing, shorter, or different; or when nothing was acknowledged.
    #[track_caller]
    pub fn verify(&self, dir: &Path) {
        assert!(!self.is_empty(), "nothing was acknowledged: this run proves nothing");
        let mut lost = Vec::new();
        for (name, (len, seed)) in &self.acknowledged {
            match fs::read(dir.join(name)) {
                Ok(found) if found == content(*seed, *len) => {}
                Ok(found) => {
                    lost.push(format!("{name}: {} of {len} bytes, content differs{}", found.len(), zeros(&found)));
                }
                Err(error) => lost.push(format!("{name}: {error}")),
            }
        }
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
