#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::collections::BTreeMap;

use holdfast_core::attr::Mode;
use holdfast_core::id::{DataVersion, DirCookie, VolumeId};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::time::Timestamp;

use super::source::{Damage, Page, Piece, Xattrs};
use super::*;
use crate::label::Label;
use crate::read::Reader;

/// A tree in memory that does to its reader what a volume in use does.
#[derive(Default)]
struct Tree {
    attrs: BTreeMap<u64, Attr>,
    names: BTreeMap<u64, Vec<(&'static str, u64)>>,
    content: BTreeMap<u64, Vec<u8>>,
    /// Stretches of data of files with holes.
    data: BTreeMap<u64, Vec<(u64, u64)>>,
    /// Reads after which a file changes, and its length then; `None`: it is removed.
    changes: BTreeMap<u64, (u32, Option<usize>)>,
    damaged: BTreeMap<u64, std::ops::Range<u64>>,
    lost: Vec<u64>,
    page: usize,
}

impl Tree {
    fn put(&mut self, parent: u64, name: &'static str, ino: u64, kind: FileKind, content: &[u8]) {
        let time = Timestamp { secs: 5, nanos: 0 };
        let attr = Attr {
            ino: InodeId(ino),
            kind,
            mode: Mode::from_bits(0o644),
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: content.len() as u64,
            allocated: content.len() as u64,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
            data_version: DataVersion(1),
            no_xattrs: true,
        };
        self.attrs.insert(ino, attr);
        self.content.insert(ino, content.to_vec());
        if parent != 0 {
            self.names.entry(parent).or_default().push((name, ino));
        }
    }

    fn new() -> Self {
        let mut tree = Self { page: 3, ..Self::default() };
        tree.put(0, "", 1, FileKind::Directory, b"");
        tree
    }

    fn gone() -> Error {
        PosixError::NoEntry.into()
    }
}

impl Source for Tree {
    fn attr(&mut self, ino: InodeId) -> Result<Attr> {
        self.attrs.get(&ino.0).copied().ok_or_else(Self::gone)
    }

    fn list(&mut self, directory: InodeId, place: &Place) -> Result<Page> {
        if self.lost.contains(&directory.0) {
            return Err(Error::new(ErrorKind::Damaged, "no listing"));
        }
        let names = self.names.get(&directory.0).cloned().unwrap_or_default();
        let from = match place {
            Place::Cookie(cookie) => usize::try_from(cookie.0).unwrap(),
            Place::Start | Place::Name(_) => 0,
        };
        let mut page = Page::default();
        for (index, (name, ino)) in names.iter().enumerate().skip(from).take(self.page) {
            let place = Place::Cookie(DirCookie(index as u64 + 1));
            let name = FileName::new(name.as_bytes().to_vec()).unwrap();
            page.entries.push_back(Listed { name, attr: self.attrs[ino], place });
        }
        if from + self.page < names.len() {
            page.next = Some(Place::Cookie(DirCookie((from + self.page) as u64)));
        }
        Ok(page)
    }

    fn target(&mut self, ino: InodeId) -> Result<Bytes> {
        self.content.get(&ino.0).map(|text| text.clone().into()).ok_or_else(Self::gone)
    }

    fn xattrs(&mut self, _ino: InodeId) -> Result<Xattrs> {
        let name = XattrName::new(&b"user.x"[..]).unwrap();
        Ok(Xattrs { xattrs: vec![(name, Bytes::from_static(b"y"))], lost: vec!["one attribute is missing".to_owned()] })
    }

    fn read(&mut self, ino: InodeId, offset: u64, len: u32, _until: u64) -> Result<Piece> {
        let attr = self.attr(ino)?;
        if let Some((left, size)) = self.changes.get_mut(&ino.0) {
            if *left == 0 {
                match *size {
                    Some(size) => {
                        let attr = self.attrs.get_mut(&ino.0).unwrap();
                        attr.data_version = attr.data_version.next();
                        attr.size = size as u64;
                        self.content.get_mut(&ino.0).unwrap().resize(size, b'!');
                    }
                    None => drop((self.attrs.remove(&ino.0), self.content.remove(&ino.0))),
                }
                self.changes.remove(&ino.0);
            } else {
                *left -= 1;
            }
        }
        let version = self.attr(ino).map(|attr| attr.data_version)?;
        let content = &self.content[&ino.0];
        let (from, len) = (usize::try_from(offset).unwrap().min(content.len()), len as usize);
        let data = &content[from..content.len().min(from + len)];
        let end = offset + data.len() as u64;
        let bad = self.damaged.get(&ino.0).filter(|bad| bad.start < end && bad.end > offset);
        let damage: Vec<Damage> = bad
            .map(|bad| Damage { from: bad.start.max(offset), to: bad.end.min(end), why: "bad".to_owned() })
            .into_iter()
            .collect();
        let _ = attr;
        Ok(Piece { data: data.to_vec().into(), version, damage })
    }

    fn next_data(&mut self, ino: InodeId, from: u64, _size: u64) -> Result<Option<(u64, u64)>> {
        let stretches = &self.data[&ino.0];
        Ok(stretches.iter().find(|(_, end)| *end > from).map(|(start, end)| (*start.max(&from), *end)))
    }
}

type Found = BTreeMap<String, (Kind, Vec<(u64, usize)>)>;

/// Walks a tree, and reads the archive back: it is whole in any case.
fn run(tree: &mut Tree) -> (Tally, Vec<String>, Found) {
    let label = Label {
        volume: "v".to_owned(),
        id: VolumeId([1; 16]),
        by: String::new(),
        made: Timestamp::default(),
        spec: None,
    };
    let mut writer = Writer::new(Vec::new(), &label).unwrap();
    let mut warnings = Vec::new();
    let mut warn = |warning: &Warning| warnings.push(warning.to_string());
    let tally = walk(tree, &mut writer, &Progress::default(), &mut warn).unwrap();
    let bytes = writer.finish(tally.warnings()).unwrap().0;
    let mut reader = Reader::new(&bytes[..]);
    let mut found = Found::new();
    while let Some(member) = reader.next_member().unwrap() {
        let mut content = Vec::new();
        while let Some((offset, piece)) = reader.data().unwrap() {
            content.push((offset, piece.len()));
        }
        assert!(found.insert(show(&member.path), (member.kind, content)).is_none());
    }
    assert_eq!(reader.finish().ending.unwrap().warnings, tally.warnings());
    assert_eq!(warnings.len() as u64, tally.warnings());
    (tally, warnings, found)
}

#[test]
fn a_tree_with_names_twice_and_deep_directories() {
    let mut tree = Tree::new();
    let mut parent = 1;
    for ino in 100..300 {
        tree.put(parent, "d", ino, FileKind::Directory, b"");
        tree.put(parent, "e", ino + 1000, FileKind::Regular, b"e");
        parent = ino;
    }
    tree.put(1, "first", 2, FileKind::Regular, b"content");
    tree.attrs.get_mut(&2).unwrap().nlink = 3;
    tree.names.get_mut(&1).unwrap().push(("second", 2));
    tree.names.get_mut(&150).unwrap().push(("third", 2));
    tree.put(1, "link", 3, FileKind::Symlink, b"first");
    let (tally, warnings, found) = run(&mut tree);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!((tally.members, tally.files), (1 + 400 + 3 + 1, 201));
    assert_eq!(found.len(), 405);
    let links: Vec<_> = found.iter().filter(|(_, (kind, _))| matches!(kind, Kind::Link { .. })).collect();
    // The first that is met is the file, and the others say where that is.
    assert_eq!(links.len(), 2);
    let Kind::Link { target } = &links[0].1.0 else { panic!() };
    assert!(matches!(found[&show(target)].0, Kind::File { size: 7, .. }));
}

#[test]
fn a_short_file_that_changes_is_one_state_of_it() {
    let mut tree = Tree::new();
    tree.put(1, "grows", 2, FileKind::Regular, b"abc");
    tree.changes.insert(2, (0, Some(10)));
    tree.put(1, "goes", 3, FileKind::Regular, b"abc");
    tree.changes.insert(3, (0, None));
    let (tally, warnings, found) = run(&mut tree);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!((tally.removed, tally.changed), (1, 0));
    assert_eq!(found["grows"].1, [(0, 10)]);
    assert!(!found.contains_key("goes"));
}

#[test]
fn a_long_file_that_changes_breaks_nothing_and_is_told() {
    const MIB: usize = 1 << 20;
    for (change, word) in [(Some(MIB), "shorter"), (Some(9 * MIB), "several moments"), (None, "removed")] {
        let mut tree = Tree::new();
        tree.put(1, "long", 2, FileKind::Regular, &vec![1; 4 * MIB + 77]);
        tree.changes.insert(2, (2, change));
        tree.put(1, "other", 3, FileKind::Regular, b"x");
        let (tally, warnings, found) = run(&mut tree);
        assert_eq!((tally.changed, tally.warnings()), (1, 1), "{word}");
        assert!(warnings[0].starts_with("long: ") && warnings[0].contains(word), "{warnings:?}");
        assert_eq!(found["long"].1.iter().map(|(_, len)| len).sum::<usize>(), 4 * MIB + 77, "as the header says");
        assert_eq!(found["other"].1, [(0, 1)]);
    }
}

#[test]
fn holes_stay_holes() {
    let mut tree = Tree::new();
    tree.put(1, "sparse", 2, FileKind::Regular, &vec![1; 3 << 20]);
    tree.attrs.get_mut(&2).unwrap().allocated = 20;
    tree.data.insert(2, vec![(5000, 5010), (2 << 20, (2 << 20) + 10)]);
    tree.put(1, "short", 3, FileKind::Regular, &[1; 100_000]);
    tree.attrs.get_mut(&3).unwrap().allocated = 10;
    tree.data.insert(3, vec![(50_000, 50_010)]);
    let (_, warnings, found) = run(&mut tree);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(found["sparse"].1, [(4096, 4096), (2 << 20, 4096)]);
    assert_eq!(found["short"].1, [(49_152, 4096)]);
}

#[test]
fn damage_is_told_and_the_rest_goes_on() {
    let mut tree = Tree::new();
    tree.put(1, "bad", 2, FileKind::Regular, &vec![1; 5 << 20]);
    // Over the border of two reads: told once.
    tree.damaged.insert(2, (1 << 20) - 10..(1 << 20) + 10);
    tree.put(1, "dir", 3, FileKind::Directory, b"");
    tree.lost.push(3);
    tree.put(1, "small", 4, FileKind::Regular, b"abc");
    tree.damaged.insert(4, 1..2);
    tree.put(1, "marked", 5, FileKind::Regular, b"abc");
    tree.attrs.get_mut(&5).unwrap().no_xattrs = false;
    tree.put(1, "loop", 1, FileKind::Directory, b"");
    let (tally, warnings, found) = run(&mut tree);
    assert_eq!((tally.damaged, tally.lost), (2, 3), "{warnings:?}");
    assert_eq!(warnings[0], "bad: bytes 1048566 to 1048585 are damaged, and zeros in the archive: bad");
    assert!(found.contains_key("dir") && found.contains_key("small") && !found.contains_key("loop"));
}
