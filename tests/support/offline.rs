//! A volume of a server that does not run, read from a copy of its directory: what its disk says, with
//! no client that could bring anything back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;

use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::limits::IO_BYTES_MAX;
use holdfast_core::name::FileName;
use holdfast_server::store::{SharedMemory, Store, StoreOptions};

use crate::model::tree::{Seen, Tree, is_known_xattr};
use crate::scratch::Scratch;

/// Entries of a listing that are asked for at a time.
const PAGE: usize = 1000;

/// An open volume of nobody else.
#[derive(Debug)]
pub struct Offline {
    store: Store,
    _copy: Option<Scratch>,
}

impl Offline {
    /// Copies the only volume below a data directory of a server that has ended, and opens it as the server
    /// would.
    ///
    /// # Panics
    /// When there is not exactly one volume, or it cannot be copied. One that cannot be opened is an error.
    ///
    /// # Errors
    /// The store's.
    #[track_caller]
    pub fn of(data: &FilePath) -> Result<Self> {
        let volumes = fs::read_dir(data.join("volumes")).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        let volumes: Vec<_> = volumes.flatten().map(|entry| entry.path()).collect();
        let [volume] = &volumes[..] else { panic!("not one volume: {volumes:?}") };
        let copy = Scratch::new("offline");
        let dir = copy.path().join("volume");
        copy_tree(&volume.join("store"), &dir)
            .unwrap_or_else(|error| panic!("cannot copy {}: {error}", volume.display()));
        Ok(Self { _copy: Some(copy), ..Self::open(&dir)? })
    }

    /// Opens the volume in this directory as the server would, which may change it.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: &FilePath) -> Result<Self> {
        let options = StoreOptions {
            memory: SharedMemory::new(32 << 20, 8 << 20),
            disk_reserve_bytes: 0,
            segment_bytes_max: 256 << 20,
            engine_files_max: 64,
        };
        Ok(Self { store: Store::open(store, &options)?, _copy: None })
    }

    /// What the metadata check finds wrong.
    ///
    /// # Errors
    /// The store's.
    pub fn findings(&self) -> Result<Vec<String>> {
        let checked = self.store.check_now()?;
        Ok(checked.findings.iter().map(ToString::to_string).collect())
    }

    fn lookup(&self, names: &[&str]) -> Result<Attr> {
        names.iter().try_fold(self.store.getattr(InodeId::ROOT)?, |at, name| {
            let name = FileName::new((*name).to_owned())
                .map_err(|error| Error::new(ErrorKind::Invalid, format!("{name:?} cannot be a name: {error}")))?;
            self.store.lookup(at.ino, &name)
        })
    }

    /// The content of a file; every byte is verified.
    ///
    /// # Errors
    /// The store's.
    pub fn read(&self, names: &[&str]) -> Result<Vec<u8>> {
        self.content(&self.lookup(names)?)
    }

    fn content(&self, attr: &Attr) -> Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(attr.size).unwrap_or(0)];
        for at in (0..content.len()).step_by(IO_BYTES_MAX) {
            let len = IO_BYTES_MAX.min(content.len() - at);
            let read = self.store.read(attr.ino, at as u64, u32::try_from(len).unwrap_or(u32::MAX))?;
            for piece in read.pieces {
                let at = usize::try_from(piece.offset).unwrap_or(usize::MAX);
                content[at..at + piece.data.len()].copy_from_slice(&piece.data);
            }
        }
        Ok(content)
    }

    /// The tree below a directory.
    ///
    /// # Errors
    /// The store's.
    pub fn tree(&self, names: &[&str]) -> Result<Tree> {
        let mut tree = Tree::new();
        let mut left = vec![(Vec::new(), self.lookup(names)?)];
        while let Some((path, attr)) = left.pop() {
            if attr.kind == FileKind::Directory {
                let mut after = DirCookie::default();
                loop {
                    let page = self.store.readdir(attr.ino, after, PAGE, true)?;
                    for entry in &page.entries {
                        let name = String::from_utf8_lossy(entry.name.as_bytes()).into_owned();
                        let path = path.iter().cloned().chain([name]).collect();
                        left.push((path, self.store.getattr(entry.ino)?));
                    }
                    match page.entries.last() {
                        Some(last) if !page.end => after = last.cookie,
                        _ => break,
                    }
                }
            }
            tree.insert(path, self.seen(&attr)?);
        }
        Ok(tree)
    }

    fn seen(&self, attr: &Attr) -> Result<Seen> {
        let mut xattrs = BTreeMap::new();
        for name in self.store.listxattr(attr.ino)? {
            let text = String::from_utf8_lossy(name.as_bytes()).into_owned();
            if is_known_xattr(&text) {
                xattrs.insert(text, self.store.getxattr(attr.ino, &name)?.to_vec());
            }
        }
        let content = match attr.kind {
            FileKind::Regular => self.content(attr)?,
            FileKind::Symlink => self.store.readlink(attr.ino)?.to_vec(),
            _ => Vec::new(),
        };
        Ok(Seen { stat: attr.into(), content, xattrs })
    }
}

fn copy_tree(from: &FilePath, to: &FilePath) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
