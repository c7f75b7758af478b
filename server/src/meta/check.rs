//! Recomputes everything that is stored twice or can be derived, and lists what differs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::error::Result;
use holdfast_core::id::{InodeId, SegmentId};
use holdfast_core::volume::Usage;

use super::keys::{self, DataId, describe, tag};
use super::query::{Extent, extent_of};
use super::record::entry::{Entry, Listed};
use super::record::extent::Content;
use super::record::inode::{Inode, NamedAt};
use super::record::segment::SegmentAccount;
use super::record::text::Text;
use super::record::{Record, decode};
use super::view::View;
use crate::segment::frame;

/// Differences after which the list ends.
const FINDINGS_MAX: usize = 1000;

/// What the extents of one data id come to.
#[derive(Clone, Copy, Debug, Default)]
struct Extents {
    allocated: u64,
    end: u64,
    /// Where the last byte is that is not just reserved.
    data_end: u64,
}

/// What names say of one inode.
#[derive(Clone, Copy, Debug, Default)]
struct Names {
    count: u64,
    last: Option<NamedAt>,
}

/// What entries say of one directory.
#[derive(Clone, Copy, Debug, Default)]
struct Within {
    entries: u64,
    subdirectories: u64,
}

struct Check<'a> {
    view: View<'a>,
    findings: Vec<String>,
    inodes: HashMap<InodeId, Inode>,
    names: HashMap<InodeId, Names>,
    within: HashMap<InodeId, Within>,
    extents: HashMap<DataId, Extents>,
    live: BTreeMap<SegmentId, SegmentAccount>,
    xattr_bytes: HashMap<InodeId, u64>,
    orphans: BTreeSet<InodeId>,
    dead: BTreeSet<DataId>,
    targets: HashMap<InodeId, u64>,
}

/// Compares a whole volume with itself, and with the sums that are kept in memory: empty when all
/// is well.
///
/// # Errors
/// When the engine cannot be read. A record that cannot be decoded is a finding.
pub fn check(view: View<'_>, usage: Usage, segments: &BTreeMap<SegmentId, SegmentAccount>) -> Result<Vec<String>> {
    let mut check = Check {
        view,
        findings: Vec::new(),
        inodes: HashMap::new(),
        names: HashMap::new(),
        within: HashMap::new(),
        extents: HashMap::new(),
        live: BTreeMap::new(),
        xattr_bytes: HashMap::new(),
        orphans: BTreeSet::new(),
        dead: BTreeSet::new(),
        targets: HashMap::new(),
    };
    check.collect()?;
    check.inodes_match();
    check.directories_reach_root();
    check.data_has_owners();
    check.sums_match(usage, segments);
    check.findings.truncate(FINDINGS_MAX);
    Ok(check.findings)
}

impl Check<'_> {
    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Visits all records of one kind; those that cannot be decoded become findings.
    fn each<R: Record>(&mut self, tag: u8, mut visit: impl FnMut(&mut Self, &[u8], u64, R)) -> Result<()> {
        let mut records: Vec<(Vec<u8>, Bytes)> = Vec::new();
        self.view.scan(&keys::all(tag), |key, value| {
            records.push((key.to_vec(), value));
            Ok(ControlFlow::Continue(()))
        })?;
        for (key, value) in records {
            match (keys::split(&key), decode::<R>(&key, &value)) {
                (Some((number, _)), Ok(record)) => visit(self, &key, number, record),
                (None, _) => self.find(format!("key {} is too short", describe(&key))),
                (_, Err(error)) => self.find(error.to_string()),
            }
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        self.each::<Inode>(tag::INODE, |check, _, ino, inode| {
            check.inodes.insert(InodeId(ino), inode);
        })?;
        self.each::<Entry>(tag::ENTRY, Self::entry)?;
        let mut listed = 0;
        self.each::<Listed>(tag::COOKIE, |_, _, _, _| listed += 1)?;
        let named: u64 = self.within.values().map(|within| within.entries).sum();
        if listed != named {
            self.find(format!("there are {named} entries by name but {listed} by cookie"));
        }
        self.each::<Text>(tag::SYMLINK, |check, _, ino, text| {
            check.targets.insert(InodeId(ino), text.0.len() as u64);
        })?;
        self.each::<Text>(tag::XATTR, |check, key, ino, _| {
            *check.xattr_bytes.entry(InodeId(ino)).or_default() += (key.len() - keys::PREFIX_BYTES + 1) as u64;
        })?;
        self.each::<Text>(tag::ORPHAN, |check, _, ino, _| {
            check.orphans.insert(InodeId(ino));
        })?;
        self.each::<Text>(tag::DEAD, |check, _, data, _| {
            check.dead.insert(DataId(data));
        })?;
        self.each::<Content>(tag::EXTENT, |check, key, data, content| match extent_of(key, &content) {
            Ok(extent) => check.extent(DataId(data), &extent),
            Err(error) => check.find(error.to_string()),
        })
    }

    fn entry(&mut self, key: &[u8], parent: u64, entry: Entry) {
        let parent = InodeId(parent);
        let what = describe(key);
        let within = self.within.entry(parent).or_default();
        within.entries += 1;
        within.subdirectories += u64::from(entry.kind == FileKind::Directory);
        let names = self.names.entry(entry.ino).or_default();
        names.count += 1;
        names.last = Some(NamedAt { directory: parent, cookie: entry.cookie });
        match self.inodes.get(&entry.ino).map(|inode| inode.kind) {
            None => self.find(format!("{what} leads to inode {}, which is missing", entry.ino)),
            Some(kind) if kind != entry.kind => self.find(format!("{what} has another type than inode {}", entry.ino)),
            Some(_) => {}
        }
        if !self.inodes.get(&parent).is_some_and(Inode::is_directory) {
            self.find(format!("{what} is in inode {parent}, which is not a directory"));
        }
        let cookie = keys::cookie(parent, entry.cookie);
        let listed = self.view.get(&cookie).ok().flatten().and_then(|value| decode::<Listed>(&cookie, &value).ok());
        let same = listed.is_some_and(|listed| {
            listed.ino == entry.ino && listed.kind == entry.kind && key.ends_with(listed.name.as_bytes())
        });
        if !same {
            self.find(format!("{what} is not in the listing at its cookie {}", entry.cookie));
        }
    }

    fn extent(&mut self, data: DataId, extent: &Extent) {
        let sum = self.extents.entry(data).or_default();
        let overlaps = extent.start < sum.end;
        sum.allocated += extent.content.len();
        sum.end = extent.end();
        if let Content::Reserved { .. } = extent.content {
        } else {
            sum.data_end = extent.end();
        }
        if let Content::Framed { frame, len, .. } = &extent.content {
            let account = self.live.entry(frame.segment).or_default();
            account.live += u64::from(*len);
            account.len = account.len.max(frame::end(frame));
        }
        if overlaps {
            self.find(format!("the extent of data {data} at {} overlaps the one before", extent.start));
        }
    }

    fn inodes_match(&mut self) {
        let inodes = std::mem::take(&mut self.inodes);
        for (ino, inode) in &inodes {
            self.links_match(*ino, inode);
            let within = self.within.get(ino).copied().unwrap_or_default();
            if inode.entries != within.entries {
                self.find(format!("directory {ino} counts {} entries and has {}", inode.entries, within.entries));
            }
            let xattr_bytes = self.xattr_bytes.remove(ino).unwrap_or(0);
            if u64::from(inode.xattr_bytes) != xattr_bytes {
                self.find(format!("inode {ino} counts {} xattr bytes and has {xattr_bytes}", inode.xattr_bytes));
            }
            let target = self.targets.remove(ino);
            if target != (inode.kind == FileKind::Symlink).then_some(inode.size) {
                self.find(format!("inode {ino} has a target of {target:?} bytes"));
            }
            if let Some(data) = inode.data {
                self.content_matches(*ino, inode, data);
            }
            if self.orphans.remove(ino) != (inode.nlink == 0) {
                self.find(format!("inode {ino} has {} links and is wrongly, or not, marked as an orphan", inode.nlink));
            }
        }
        let stray = [
            ("xattrs", self.xattr_bytes.keys().next().copied()),
            ("a target", self.targets.keys().next().copied()),
            ("an orphan's mark", self.orphans.first().copied()),
        ];
        for (what, ino) in stray {
            if let Some(ino) = ino {
                self.find(format!("there is {what} of inode {ino}, which is missing"));
            }
        }
        self.inodes = inodes;
    }

    fn links_match(&mut self, ino: InodeId, inode: &Inode) {
        let names = self.names.get(&ino).copied().unwrap_or_default();
        let expected = match (inode.is_directory(), names.count) {
            (true, 0) if ino != InodeId::ROOT => 0,
            (true, _) => 2 + self.within.get(&ino).map_or(0, |within| within.subdirectories),
            (false, count) => count,
        };
        if u64::from(inode.nlink) != expected {
            self.find(format!("inode {ino} counts {} links and has {expected}", inode.nlink));
        }
        if inode.is_directory() && names.count > 1 {
            self.find(format!("directory {ino} has {} names", names.count));
        }
        let parent = names.last.map(|last| last.directory);
        if inode.is_directory() && names.count == 1 && (inode.parent, inode.named) != (parent, names.last) {
            let (parent, named) = (inode.parent, inode.named);
            self.find(format!("directory {ino} says it is in {parent:?} at {named:?} and is at {:?}", names.last));
        }
    }

    fn content_matches(&mut self, ino: InodeId, inode: &Inode, data: DataId) {
        let Extents { allocated, end, data_end } = self.extents.remove(&data).unwrap_or_default();
        if allocated != inode.allocated {
            self.find(format!("inode {ino} counts {} allocated bytes and has {allocated}", inode.allocated));
        }
        if end > inode.extent_end {
            self.find(format!("inode {ino} has an extent up to {end} though none may pass {}", inode.extent_end));
        }
        if data_end > inode.size {
            self.find(format!("inode {ino} of {} bytes has data up to {data_end}", inode.size));
        }
    }

    /// Every directory with a name lies below the root.
    fn directories_reach_root(&mut self) {
        let mut sound: BTreeSet<InodeId> = BTreeSet::from([InodeId::ROOT]);
        let linked = |inode: &Inode| inode.is_directory() && inode.nlink > 0;
        let all: Vec<InodeId> = self.inodes.iter().filter(|(_, inode)| linked(inode)).map(|(ino, _)| *ino).collect();
        for directory in all {
            let mut path = BTreeSet::new();
            let mut at = directory;
            while !sound.contains(&at) && path.insert(at) {
                match self.inodes.get(&at).and_then(|inode| inode.parent) {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
            if sound.contains(&at) {
                sound.extend(path);
            } else {
                self.find(format!("directory {directory} does not lie below the root"));
            }
        }
        if !self.inodes.contains_key(&InodeId::ROOT) {
            self.find("the root directory is missing".to_owned());
        }
    }

    /// What extents are left belong to data that waits for the reaper.
    fn data_has_owners(&mut self) {
        let ownerless: Vec<DataId> = self.extents.keys().filter(|data| !self.dead.contains(data)).copied().collect();
        for data in ownerless {
            self.find(format!("data {data} belongs to no file and is not marked as dead"));
        }
        let owned: Vec<DataId> = self.inodes.values().filter_map(|inode| inode.data).collect();
        if owned.len() != owned.iter().collect::<BTreeSet<_>>().len() {
            self.find("two files have the same data".to_owned());
        }
        for data in owned.into_iter().filter(|data| self.dead.contains(data)).collect::<Vec<_>>() {
            self.find(format!("data {data} is marked as dead though a file has it"));
        }
    }

    fn sums_match(&mut self, usage: Usage, segments: &BTreeMap<SegmentId, SegmentAccount>) {
        let found =
            Usage { bytes: self.inodes.values().map(|inode| inode.allocated).sum(), inodes: self.inodes.len() as u64 };
        if usage != found {
            self.find(format!("the volume counts {usage:?} and has {found:?}"));
        }
        let live = std::mem::take(&mut self.live);
        for id in segments.keys().chain(live.keys()).copied().collect::<BTreeSet<_>>() {
            let counted = segments.get(&id).copied().unwrap_or_default();
            let found = live.get(&id).copied().unwrap_or_default();
            if counted.live != found.live {
                self.find(format!("segment {id} counts {} live bytes and has {}", counted.live, found.live));
            }
            if counted.len < found.len {
                self.find(format!("segment {id} has {} bytes and a frame up to {}", counted.len, found.len));
            }
        }
    }
}
