#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_archive::path::show;
use holdfast_archive::{Kind, Reader};
use holdfast_core::attr::{FileKind, Mode};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::{DataVersion, DirCookie, InodeId, SegmentId};
use holdfast_core::name::{FileName, XattrName};
use holdfast_core::time::Timestamp;

use super::*;
use crate::data_dir::DataDir;
use crate::meta::engine::Engine as _;
use crate::meta::engine::rocksdb::{Presence, RocksEngine, SharedMemory};
use crate::meta::keys::{self, DataId};
use crate::meta::record::Record as _;
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::extent::{Content, Frame};
use crate::meta::record::inode::Inode;
use crate::meta::record::text::Text;
use crate::meta::view::Changes;
use crate::segment::frame::encode_header;
use crate::store::{RootOwner, Store};

/// A volume whose records are written one by one, also wrong ones.
struct Patient {
    dir: tempfile::TempDir,
    changes: Changes,
    /// Number of the next inode, cookie and data.
    next: u64,
}

/// What an archive has at each path: what it is, and its content.
type Dump = BTreeMap<String, (Kind, Vec<u8>)>;

const BROKEN: Bytes = Bytes::from_static(b"\xff broken");

fn inode(kind: FileKind, parent: Option<InodeId>) -> Inode {
    let time = Timestamp { secs: 7, nanos: 0 };
    Inode {
        kind,
        mode: Mode::from_bits(0o640),
        nlink: if kind == FileKind::Directory { 2 } else { 1 },
        uid: 5,
        gid: 6,
        rdev: 0,
        size: if kind == FileKind::Directory { 4096 } else { 0 },
        allocated: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(1),
        data: None,
        extent_end: 0,
        xattr_bytes: 0,
        parent,
        entries: 0,
        named: None,
    }
}

impl Patient {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = RootOwner { mode: Mode::from_bits(0o755), uid: 0, gid: 0 };
        Store::create(&dir.path().join("store"), VolumeId([1; 16]), Timestamp::default(), root).unwrap();
        Self { dir, changes: Changes::default(), next: 100 }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// A name, stored twice.
    fn name(&mut self, parent: InodeId, name: &str, ino: InodeId, kind: FileKind) -> (keys::Key, keys::Key) {
        let name = FileName::new(name.to_owned()).unwrap();
        self.next += 1;
        let cookie = DirCookie(self.next);
        let (by_name, by_cookie) = (keys::entry(parent, &name), keys::cookie(parent, cookie));
        self.changes.put(by_name.clone(), Entry { ino, kind, cookie }.encode());
        self.changes.put(by_cookie.clone(), Listed { ino, kind, name }.encode());
        (by_name, by_cookie)
    }

    fn put(&mut self, parent: InodeId, name: &str, kind: FileKind) -> InodeId {
        self.next += 1;
        let ino = InodeId(self.next);
        self.name(parent, name, ino, kind);
        let record = inode(kind, (kind == FileKind::Directory).then_some(parent));
        self.changes.put(keys::inode(ino), record.encode());
        ino
    }

    /// A file of these extents, each with its end.
    fn file(&mut self, parent: InodeId, name: &str, size: u64, extents: &[(u64, Option<Content>)]) {
        let ino = self.put(parent, name, FileKind::Regular);
        let data = DataId(ino.0);
        let mut record = inode(FileKind::Regular, None);
        (record.size, record.data, record.allocated, record.extent_end) = (size, Some(data), size, size);
        self.changes.put(keys::inode(ino), record.encode());
        for (end, content) in extents {
            self.changes.put(keys::extent(data, *end), content.as_ref().map_or(BROKEN, Content::encode));
        }
    }

    /// Writes all of it, and dumps it.
    fn dump(&mut self) -> (Dump, Vec<String>) {
        {
            let memory = SharedMemory::new(8 << 20, 8 << 20);
            let engine = RocksEngine::open(&self.store().join("meta"), Presence::Existing, &memory, 16).unwrap();
            engine.write(&std::mem::take(&mut self.changes)).unwrap();
        }
        let (mut source, problems) = StoredVolume::open(&self.store()).unwrap();
        let label = Label {
            volume: "v".to_owned(),
            id: VolumeId([1; 16]),
            by: String::new(),
            made: Timestamp::default(),
            spec: None,
        };
        let mut writer = Writer::new(Vec::new(), &label).unwrap();
        let mut warnings = problems;
        let mut warn = |warning: &Warning| warnings.push(warning.to_string());
        let tally = walk(&mut source, &mut writer, &Progress::default(), &mut warn).unwrap();
        let bytes = writer.finish(tally.warnings()).unwrap().0;
        let mut reader = Reader::new(&bytes[..]);
        let mut found = BTreeMap::new();
        while let Some(member) = reader.next_member().unwrap() {
            let mut content = Vec::new();
            while let Some((offset, piece)) = reader.data().unwrap() {
                content.resize(usize::try_from(offset).unwrap(), b'.');
                content.extend_from_slice(&piece);
            }
            assert!(found.insert(show(&member.path), (member.kind, content)).is_none(), "{}", show(&member.path));
        }
        (found, warnings)
    }
}

fn inline(text: &'static str) -> Option<Content> {
    Some(Content::Inline(Bytes::from_static(text.as_bytes())))
}

const ROOT: InodeId = InodeId::ROOT;

#[test]
fn of_damaged_extents_the_sound_ones_are_there() {
    let mut volume = Patient::new();
    volume.file(ROOT, "sound", 10, &[(10, inline("0123456789"))]);
    volume.file(ROOT, "hurt", 30, &[(10, inline("0123456789")), (20, None), (30, inline("abcdefghij"))]);
    volume.file(ROOT, "first", 20, &[(10, None), (20, inline("abcdefghij"))]);
    let frame = |position, content: &[u8]| Frame {
        segment: SegmentId(1),
        position,
        len: u32::try_from(content.len()).unwrap(),
        hash: FrameHash::of(content),
    };
    let (good, bad) = (frame(0, b"good frame"), frame(74, b"other data"));
    let framed = |frame, skip, len| Some(Content::Framed { frame, skip, len });
    volume.file(ROOT, "framed", 24, &[(10, framed(good, 0, 10)), (20, framed(bad, 0, 10)), (24, framed(good, 5, 4))]);
    volume.file(ROOT, "absent", 4, &[(4, framed(Frame { segment: SegmentId(9), ..good }, 0, 4))]);
    let segment = [&encode_header(&good)[..], b"good frame", &encode_header(&bad), b"OTHER data"].concat();
    std::fs::write(volume.store().join("segments/0000000001.seg"), segment).unwrap();
    let (found, warnings) = volume.dump();
    assert_eq!(found["sound"].1, b"0123456789");
    assert_eq!(found["hurt"].1, b"0123456789\0\0\0\0\0\0\0\0\0\0abcdefghij");
    assert_eq!(found["first"].1, b"\0\0\0\0\0\0\0\0\0\0abcdefghij");
    assert_eq!(found["framed"].1, b"good frame\0\0\0\0\0\0\0\0\0\0fram");
    assert_eq!(found["absent"].1, b"\0\0\0\0");
    let told = |start: &str| warnings.iter().filter(|warning| warning.starts_with(start)).count();
    for start in ["hurt: bytes 10 to 19 ", "first: bytes 0 to 9 ", "framed: bytes 10 to 19 ", "absent: bytes 0 to 3 "] {
        assert_eq!(told(start), 1, "{start}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}

#[test]
fn of_damaged_names_what_can_be_had_is_had() {
    let mut volume = Patient::new();
    let dir = volume.put(ROOT, "dir", FileKind::Directory);
    for number in 0..300 {
        volume.file(dir, &format!("f{number}"), 1, &[(1, inline("x"))]);
    }
    let ino = volume.put(dir, "by name", FileKind::Fifo);
    let (_, by_cookie) = volume.name(dir, "by name too", ino, FileKind::Fifo);
    volume.changes.put(by_cookie, BROKEN);
    let (_, by_cookie) = volume.name(dir, "no cookie", ino, FileKind::Fifo);
    volume.changes.delete(by_cookie);
    let (by_name, _) = volume.name(dir, "by cookie", ino, FileKind::Fifo);
    volume.changes.put(by_name, BROKEN);
    let (found, warnings) = volume.dump();
    assert_eq!(found.len(), 1 + 1 + 300 + 4);
    for name in ["dir/by name", "dir/by name too", "dir/no cookie", "dir/by cookie"] {
        assert_eq!(found[name].0, Kind::Fifo, "{name}");
    }
    // One for each record that is broken.
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.starts_with("dir")), "{warnings:?}");
}

#[test]
fn of_damaged_inodes_what_stands_elsewhere_is_had() {
    let mut volume = Patient::new();
    let dir = volume.put(ROOT, "dir", FileKind::Directory);
    volume.file(dir, "within", 2, &[(2, inline("in"))]);
    volume.changes.put(keys::inode(dir), BROKEN);
    let link = volume.put(ROOT, "link", FileKind::Symlink);
    volume.changes.put(keys::symlink(link), Text(Bytes::from_static(b"target")).encode());
    volume.changes.delete(keys::inode(link));
    let file = volume.put(ROOT, "file", FileKind::Regular);
    volume.changes.put(keys::inode(file), BROKEN);
    let (moved, other) = (volume.put(ROOT, "moved", FileKind::Directory), InodeId(77));
    volume.changes.put(keys::inode(moved), inode(FileKind::Directory, Some(other)).encode());
    let tagged = volume.put(ROOT, "tagged", FileKind::Fifo);
    let mut record = inode(FileKind::Fifo, None);
    record.xattr_bytes = 20;
    volume.changes.put(keys::inode(tagged), record.encode());
    let xattr = |name: &str| keys::xattr(tagged, &XattrName::new(name.to_owned()).unwrap());
    volume.changes.put(xattr("user.good"), Text(Bytes::from_static(b"value")).encode());
    volume.changes.put(xattr("user.bad"), BROKEN);
    volume.changes.put(keys::header(), Bytes::from_static(b"\x02 broken"));
    volume.changes.put(keys::inode(ROOT), BROKEN);
    let (found, warnings) = volume.dump();
    assert_eq!(found["dir/within"].1, b"in");
    assert_eq!(found["link"].0, Kind::Symlink { target: Bytes::from_static(b"target") });
    assert!(!found.contains_key("file") && found.contains_key("tagged"));
    for word in ["record H ", ".: owner", "dir: owner", "link: owner", "file is missing", "moved: owner", "user.bad"] {
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
    }
    assert!(warnings.len() >= 7, "{warnings:?}");
}

#[test]
fn a_volume_of_another_format_and_a_directory_in_use_are_refused() {
    let mut volume = Patient::new();
    volume.changes.put(keys::header(), Bytes::from_static(b"\x03 of tomorrow"));
    let memory = SharedMemory::new(8 << 20, 8 << 20);
    {
        let engine = RocksEngine::open(&volume.store().join("meta"), Presence::Existing, &memory, 16).unwrap();
        engine.write(&volume.changes).unwrap();
    }
    let error = StoredVolume::open(&volume.store()).unwrap_err();
    assert!(error.kind() == ErrorKind::Version && error.message().contains("format 3"), "{error:?}");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(list(dir.path()).unwrap_err().kind(), ErrorKind::Invalid, "nothing is made of an empty directory");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let server = DataDir::open(dir.path()).unwrap();
    let error = list(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::InUse && error.message().contains("stop that server"), "{error:?}");
    drop(server);
    let reader = ReadOnlyDir::open(dir.path()).unwrap();
    assert_eq!(list(dir.path()).unwrap().text(), "no volumes\n", "two may read");
    assert_eq!(DataDir::open(dir.path()).unwrap_err().kind(), ErrorKind::InUse, "and no server comes");
    drop(reader);
    std::fs::write(dir.path().join("format"), "holdfast data 2\n").unwrap();
    assert_eq!(list(dir.path()).unwrap_err().kind(), ErrorKind::Version);
}
