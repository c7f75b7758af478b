//! The whole tree of a sequence at its end, as facts that can be compared.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::execute::time_text;
use crate::outcome::{Fact, Value, explain};
use crate::sys::{Of, get_xattr, list_xattr};

/// What is at each path.
pub(crate) type Tree = BTreeMap<String, Vec<Fact>>;

/// Longer files are read where they have data only, as sequences make some with huge holes.
const READ_WHOLE_MAX: u64 = 64 << 20;

/// Facts that are equal on two mounts of one volume, never on two file systems.
const OF_ONE_VOLUME: [&str; 2] = ["inode", "exact times"];
/// What changes as the first mount is looked at.
const OF_THE_FIRST_LOOK: [&str; 1] = ["atime"];

/// The tree at the root of the calling thread, which is root's.
pub(crate) fn tree() -> io::Result<Tree> {
    let (mut tree, mut first_names) = (Tree::new(), BTreeMap::new());
    visit(Path::new("/"), &mut tree, &mut first_names)?;
    Ok(tree)
}

fn visit(path: &Path, tree: &mut Tree, first_names: &mut BTreeMap<u64, String>) -> io::Result<()> {
    let name = path.to_string_lossy().into_owned();
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let metadata = fs::symlink_metadata(path).map_err(at)?;
    let first = first_names.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
    let mut facts = facts(path, &metadata).map_err(at)?;
    facts.push(("first name of the same file", Value::Text(first)));
    if metadata.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).and_then(Iterator::collect).map_err(at)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in &entries {
            let same = fs::symlink_metadata(entry.path()).is_ok_and(|found| found.ino() == entry.ino());
            if !same {
                facts.push(("inode of a listing", Value::text(format!("wrong for {}", entry.file_name().display()))));
            }
        }
        for entry in entries {
            visit(&entry.path(), tree, first_names)?;
        }
    }
    tree.insert(name, facts);
    Ok(())
}

fn facts(path: &Path, metadata: &Metadata) -> io::Result<Vec<Fact>> {
    let kind = metadata.file_type();
    let is_device = kind.is_char_device() || kind.is_block_device();
    let mut facts = vec![
        ("type and mode", Value::text(format!("{:06o}", metadata.mode()))),
        ("links", Value::number(metadata.nlink())),
        ("user", Value::number(metadata.uid())),
        ("group", Value::number(metadata.gid())),
        ("atime", Value::text(time_text(metadata.atime(), metadata.atime_nsec()))),
        ("mtime", Value::text(time_text(metadata.mtime(), metadata.mtime_nsec()))),
        ("inode", Value::number(metadata.ino())),
        (
            "exact times",
            Value::text(format!(
                "{}.{:09} {}.{:09}",
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec()
            )),
        ),
    ];
    if is_device {
        facts.push(("device", Value::text(format!("{:x}", metadata.rdev()))));
    }
    if !metadata.is_dir() {
        facts.push(("size", Value::number(metadata.len())));
    }
    if kind.is_symlink() {
        facts.push(("target", Value::text(fs::read_link(path)?.to_string_lossy())));
    }
    if metadata.is_file() {
        facts.push(("content", content(path, metadata.len())?));
    }
    let link = CString::new(path.as_os_str().as_bytes())?;
    let names = list_xattr(Of::Link(&link), 65_536)?;
    let mut names: Vec<&[u8]> = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort();
    for name in names {
        let value = match get_xattr(Of::Link(&link), &CString::new(name)?, 65_536) {
            Ok(value) => value.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            // An empty security.capability is stored, but the kernel will not give it out.
            Err(errno) => format!("{errno:?}"),
        };
        facts.push(("xattr", Value::text(format!("{}={value}", String::from_utf8_lossy(name)))));
    }
    Ok(facts)
}

fn content(path: &Path, len: u64) -> io::Result<Value> {
    let mut file = File::open(path)?;
    if len <= READ_WHOLE_MAX {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        return Ok(Value::bytes(bytes));
    }
    data_of_sparse(&file)
}

/// Every 4 KiB that is not zeros, with its place.
fn data_of_sparse(file: &File) -> io::Result<Value> {
    use nix::errno::Errno;
    use nix::sys::uio::pread;
    use nix::unistd::{Whence, lseek};
    let (mut at, mut pieces, mut block) = (0_i64, Vec::new(), vec![0_u8; 4096]);
    loop {
        at = match lseek(file, at, Whence::SeekData) {
            Ok(at) => at / 4096 * 4096,
            Err(Errno::ENXIO) => return Ok(Value::bytes(pieces)),
            Err(errno) => return Err(errno.into()),
        };
        let end = lseek(file, at, Whence::SeekHole)?.max(at + 1);
        while at < end {
            let got = pread(file, &mut block, at)?;
            if block[..got].iter().any(|byte| *byte != 0) {
                pieces.extend(at.to_le_bytes());
                pieces.extend(&block[..got]);
            }
            at += 4096;
        }
    }
}

/// A place where two trees differ.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The fact that differs.
    pub fact: &'static str,
    /// All of it in words.
    pub text: String,
}

/// Where two trees differ; `one_volume`: seen through two mounts, so also inodes are the same.
pub(crate) fn compare(volume: &Tree, other: &Tree, one_volume: bool) -> Vec<Place> {
    let mut places = Vec::new();
    let paths: std::collections::BTreeSet<&String> = volume.keys().chain(other.keys()).collect();
    for path in paths {
        let (Some(left), Some(right)) = (volume.get(path), other.get(path)) else {
            let where_is = if volume.contains_key(path) { "only on the volume" } else { "only on ext4" };
            places.push(Place { fact: "name", text: format!("{path}: {where_is}") });
            continue;
        };
        let left_out: &[&str] = if one_volume { &OF_THE_FIRST_LOOK } else { &OF_ONE_VOLUME };
        let counts = |(name, _): &&Fact| !left_out.contains(name);
        let (left, right): (Vec<_>, Vec<_>) =
            (left.iter().filter(counts).collect(), right.iter().filter(counts).collect());
        for (name, value) in &left {
            // Several facts have the name of a list; each counts by itself.
            let same = right.iter().any(|(other, found)| other == name && found == value);
            if !same {
                let found = right.iter().find(|(other, _)| other == name).map(|(_, found)| found);
                places.push(Place { fact: name, text: format!("{path}: {}", explain(name, Some(value), found)) });
            }
        }
        for (name, value) in &right {
            if !left.iter().any(|(other, _)| other == name)
                || (*name == "xattr" && !left.iter().any(|(_, found)| found == value))
            {
                places.push(Place { fact: name, text: format!("{path}: {}", explain(name, None, Some(value))) });
            }
        }
    }
    places
}
