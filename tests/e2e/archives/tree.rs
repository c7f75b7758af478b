//! A tree with every kind of thing in it, and what there is of a tree, to be compared.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use holdfast_tests::random::Random;
use holdfast_tests::sys::{get_xattr, list_xattr, set_xattr};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, makedev, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Whence, lseek};

const SPARSE_BYTES: u64 = 10 << 30;

/// What is known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) mode: u32,
    pub(super) links: u64,
    pub(super) owner: (u32, u32),
    pub(super) device: u64,
    pub(super) size: u64,
    pub(super) mtime: (i64, i64),
    pub(super) atime: (i64, i64),
    pub(super) ctime: (i64, i64),
    pub(super) target: Option<PathBuf>,
    /// Hash of each 4 KiB that is not zeros, and its place.
    pub(super) content: Vec<(u64, u64)>,
    pub(super) holes: bool,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
    /// The first name of the same inode, in order of names.
    pub(super) first: Vec<u8>,
}

impl Fact {
    pub(super) fn is_pipe(&self) -> bool {
        SFlag::from_bits_truncate(self.mode) & SFlag::S_IFMT == SFlag::S_IFIFO
    }
}

/// What there is at each path, below a root.
pub(super) type Facts = BTreeMap<Vec<u8>, Fact>;

/// Looks at a whole tree. On a mount that moves no access times by it.
pub(super) fn look(root: &Path) -> Facts {
    let (mut facts, mut firsts) = (Facts::new(), BTreeMap::new());
    visit(root, root, &mut facts, &mut firsts);
    facts
}

fn visit(root: &Path, path: &Path, facts: &mut Facts, firsts: &mut BTreeMap<u64, Vec<u8>>) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
    let kind = metadata.file_type();
    let names = list_xattr(path).unwrap();
    let value = |name: String| {
        let value = get_xattr(path, &name).unwrap_or_else(|error| panic!("{}: {name}: {error}", path.display()));
        (name, value)
    };
    let (content, holes) = if metadata.is_file() { content(path) } else { (Vec::new(), false) };
    let fact = Fact {
        mode: metadata.mode(),
        links: metadata.nlink(),
        owner: (metadata.uid(), metadata.gid()),
        device: if kind.is_block_device() || kind.is_char_device() { metadata.rdev() } else { 0 },
        size: if metadata.is_dir() { 0 } else { metadata.len() },
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        atime: (metadata.atime(), metadata.atime_nsec()),
        ctime: (metadata.ctime(), metadata.ctime_nsec()),
        target: kind.is_symlink().then(|| fs::read_link(path).unwrap()),
        content,
        holes,
        xattrs: names.into_iter().map(value).collect(),
        first: firsts.entry(metadata.ino()).or_insert_with(|| name.clone()).clone(),
    };
    facts.insert(name, fact);
    if metadata.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            visit(root, &entry, facts, firsts);
        }
    }
}

fn content(path: &Path) -> (Vec<(u64, u64)>, bool) {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let (mut at, mut found, mut data) = (0, Vec::new(), 0);
    let mut block = vec![0; 4096];
    while let Ok(start) = lseek(&file, i64::try_from(at).unwrap(), Whence::SeekData) {
        let end = u64::try_from(lseek(&file, start, Whence::SeekHole).unwrap()).unwrap();
        let mut block_at = u64::try_from(start).unwrap() / 4096 * 4096;
        data += end - block_at;
        while block_at < end {
            let len = usize::try_from((size - block_at).min(4096)).unwrap();
            file.read_exact_at(&mut block[..len], block_at).unwrap();
            if block[..len].iter().any(|byte| *byte != 0) {
                let mut hasher = DefaultHasher::new();
                block[..len].hash(&mut hasher);
                found.push((block_at, hasher.finish()));
            }
            block_at += 4096;
        }
        at = block_at.max(end);
    }
    (found, data + (1 << 20) < size)
}

/// Where two trees differ, without what `leave` takes out of a fact.
pub(super) fn differences(expected: &Facts, found: &Facts, leave: impl Fn(&[u8], &mut Fact)) -> Vec<String> {
    let mut differences = Vec::new();
    let paths: std::collections::BTreeSet<&Vec<u8>> = expected.keys().chain(found.keys()).collect();
    for path in paths {
        let without = |facts: &Facts| {
            facts.get(path).cloned().map(|mut fact| {
                leave(path, &mut fact);
                fact
            })
        };
        let (expected, found) = (without(expected), without(found));
        if expected != found {
            differences.push(format!("{}:\n    {expected:?}\n    {found:?}", path.escape_ascii()));
        }
    }
    differences
}

/// An access list in its xattr's form: tags, rights and ids.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = vec![2, 0, 0, 0];
    for (tag, rights, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&rights.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}

fn time(path: &Path, secs: i64, nanos: i64) {
    let (read, written) = (TimeSpec::new(secs + 1, nanos), TimeSpec::new(secs, nanos));
    utimensat(AT_FDCWD, path, &read, &written, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Makes the tree; all of it is synced by who has it mounted.
pub(super) fn plant(root: &Path, random: &mut Random) {
    let at = |name: &str| root.join(name);
    let write = |name: &OsStr, bytes: &[u8]| fs::write(root.join(name), bytes).unwrap();
    for dir in ["a", "a/b", "shared", "closed"] {
        fs::create_dir(at(dir)).unwrap();
    }
    write("plain".as_ref(), b"some words\n");
    write("empty".as_ref(), b"");
    write("large".as_ref(), &random.bytes((5 << 20) + 77));
    write("a/frame".as_ref(), &random.bytes(65_536));
    write("a/-rf *".as_ref(), b"odd");
    write("two\nlines\tand \u{1b}[31mred".as_ref(), b"odd");
    write("gr\u{fc}n \u{1f600}".as_ref(), b"utf-8");
    write(&OsString::from_vec(b"not \xff\xfe\x80 utf-8".to_vec()), b"bytes");
    write(&OsString::from_vec(vec![b'n'; 255]), b"long");
    for number in 0..300 {
        write(format!("a/b/small-{number}").as_ref(), &random.bytes(number * 37 % 9000));
    }
    deep(root);
    links(root);
    specials(root);
    attributes(root, random);
    sparse(root, random);
    times(root);
}

fn deep(root: &Path) {
    let mut deep = root.to_owned();
    for level in 0..55 {
        deep.push(format!("{level:02}-{}", "d".repeat(47)));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("at the bottom"), b"deep").unwrap();
}

fn links(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::hard_link(at("plain"), at("a/second name")).unwrap();
    fs::hard_link(at("plain"), at("a/b/third name")).unwrap();
    fs::hard_link(at("large"), at("shared/large")).unwrap();
    symlink("a/b", at("to a directory")).unwrap();
    symlink("../../etc/passwd", at("a/to the outside")).unwrap();
    symlink("nothing \u{1f600}", at("to nothing")).unwrap();
    symlink("x".repeat(3000), at("a/long target")).unwrap();
    fs::hard_link(at("to nothing"), at("a/to nothing too")).unwrap();
}

fn specials(root: &Path) {
    let at = |name: &str| root.join(name);
    let make = |name: &str, kind: SFlag, device: u64| mknod(&at(name), kind, Mode::from_bits_truncate(0o640), device);
    make("pipe", SFlag::S_IFIFO, 0).unwrap();
    make("socket", SFlag::S_IFSOCK, 0).unwrap();
    make("a/null", SFlag::S_IFCHR, makedev(1, 3)).unwrap();
    make("a/disk", SFlag::S_IFBLK, makedev(259, 70_000)).unwrap();
    make("whiteout", SFlag::S_IFCHR, 0).unwrap();
    fs::hard_link(at("pipe"), at("a/pipe too")).unwrap();
}

fn attributes(root: &Path, random: &mut Random) {
    let at = |name: &str| root.join(name);
    let owned =
        [("a/b", 1000, 1001), ("plain", 3_000_000_000, 4_000_000_000), ("to nothing", 7, 8), ("pipe", 2_097_152, 0)];
    for (name, uid, gid) in owned {
        lchown(at(name), Some(uid), Some(gid)).unwrap();
    }
    let modes =
        [("plain", 0o6755), ("shared", 0o2775), ("a", 0o1777), ("closed", 0o000), ("empty", 0o000), ("a/b", 0o750)];
    for (name, mode) in modes {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // It passes its group and its list on, which must not reach what an import puts into it.
    let (all, none) = (u32::MAX, 0);
    let list = acl(&[(1, 7, all), (2, 5, 1000), (4, 5, all), (8, 6, 2000), (16, 7, all), (32, none, all)]);
    fs::write(at("shared/before the list"), b"x").unwrap();
    set_xattr(&at("shared"), "system.posix_acl_default", &list, 0).unwrap();
    set_xattr(&at("shared"), "system.posix_acl_access", &list, 0).unwrap();
    fs::write(at("shared/with a list"), b"x").unwrap();
    set_xattr(&at("a/frame"), "system.posix_acl_access", &list, 0).unwrap();
    let capability = [&0x0200_0001_u32.to_le_bytes()[..], &[0, 4, 0, 0], &[0; 12]].concat();
    set_xattr(&at("large"), "security.capability", &capability, 0).unwrap();
    set_xattr(&at("plain"), "user.short", b"value", 0).unwrap();
    set_xattr(&at("plain"), "user.with=and%3D and\nline", b"a\0b\n=c", 0).unwrap();
    set_xattr(&at("plain"), "user.empty", b"", 0).unwrap();
    set_xattr(&at("a/b"), "user.of a directory", &random.bytes(2000), 0).unwrap();
    set_xattr(&at("to nothing"), "trusted.of a link", b"x", 0).unwrap();
    set_xattr(root, "user.of the root", b"root", 0).unwrap();
}

fn sparse(root: &Path, random: &mut Random) {
    let file = File::create(root.join("sparse")).unwrap();
    file.set_len(SPARSE_BYTES).unwrap();
    for offset in [0, 1 << 20, (1 << 30) + 12_345, SPARSE_BYTES / 2, SPARSE_BYTES - 100] {
        file.write_all_at(&random.bytes(100), offset).unwrap();
    }
    let file = File::create(root.join("a/only a hole")).unwrap();
    file.set_len(9 << 30).unwrap();
    let file = File::create(root.join("a/hole at the end")).unwrap();
    file.write_all_at(&random.bytes(3000), 200_000).unwrap();
    file.set_len(3_000_000).unwrap();
}

/// Directories last, since what is done in them changes their times.
fn times(root: &Path) {
    time(&root.join("plain"), -1, 999_999_999);
    time(&root.join("large"), -1_000_000_000, 1);
    time(&root.join("empty"), 13_000_000_000, 500_000_000);
    time(&root.join("to nothing"), 1_000_000_000, 123_456_789);
    time(&root.join("sparse"), 5, 0);
    for (number, dir) in ["a/b", "a", "shared", "closed", ""].iter().enumerate() {
        time(&root.join(dir), 1_500_000_000 + i64::try_from(number).unwrap(), 42);
    }
}
