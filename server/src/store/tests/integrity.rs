//! Every kind of record damaged in turn: a check finds it, and a repair mends it or tells it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::attr::FileKind;
use holdfast_core::id::{DirCookie, InodeId, SegmentId};
use holdfast_core::integrity::{Fault, Finding, FindingKind as Kind, Mending, ScrubPlace};
use holdfast_core::op::{NewNode, Op, XattrMode};

use crate::meta::check::Bounds;
use crate::meta::check::mend::decide;
use crate::meta::engine::{Engine as _, Reader as _};
use crate::meta::keys::{self, DataId, Key, tag};
use crate::meta::record::entry::{Entry, Listed};
use crate::meta::record::header::Header;
use crate::meta::record::inode::Inode;
use crate::meta::record::segment::SegmentAccount;
use crate::meta::record::text::Text;
use crate::meta::record::{Record, decode};
use crate::meta::view::Changes;
use crate::store::fixture::{ROOT, Volume, name, noise, xattr};

/// Inodes of the volume that is damaged.
struct Known {
    volume: Volume,
    dir: InodeId,
    inner: InodeId,
    file: InodeId,
    symlink: InodeId,
    orphan: InodeId,
    plain: InodeId,
}

impl Known {
    fn new() -> Self {
        let volume = Volume::new();
        let dir = volume.dir(ROOT, "dir").unwrap();
        let inner = volume.dir(dir, "inner").unwrap();
        let file = volume.file(dir, "file").unwrap();
        volume.link(file, ROOT, "link").unwrap();
        volume.write_staged(file, 0, &noise(1, 200_000)).unwrap();
        let op = Op::SetXattr {
            ino: file,
            name: xattr("user.a"),
            value: Bytes::from_static(b"v"),
            mode: XattrMode::Either,
            kill_setgid: false,
        };
        volume.apply(op).unwrap();
        let symlink =
            volume.create(ROOT, "symlink", NewNode::Symlink { target: Bytes::from_static(b"dir") }, 0o777).unwrap();
        let plain = volume.file(ROOT, "plain").unwrap();
        let orphan = volume.file(ROOT, "orphan").unwrap();
        volume.opens.borrow_mut().insert(orphan);
        volume.unlink(ROOT, "orphan").unwrap();
        volume.commit();
        volume.sound();
        Self { volume, dir, inner, file, symlink, orphan, plain }
    }

    fn record<R: Record>(&self, key: &Key) -> R {
        decode(key, &self.volume.engine.get(key).unwrap().unwrap()).unwrap()
    }

    fn inode(&self, changes: &mut Changes, ino: InodeId, change: impl FnOnce(&mut Inode)) {
        let mut inode: Inode = self.record(&keys::inode(ino));
        change(&mut inode);
        changes.put(keys::inode(ino), inode.encode());
    }

    fn entry(&self, parent: InodeId, text: &str) -> Entry {
        self.record(&keys::entry(parent, &name(text)))
    }

    fn header(&self, changes: &mut Changes, change: impl FnOnce(&mut Header)) {
        let mut header: Header = self.record(&keys::header());
        change(&mut header);
        changes.put(keys::header(), header.encode());
    }

    fn data(&self) -> DataId {
        self.record::<Inode>(&keys::inode(self.file)).data.unwrap()
    }

    fn first_extent(&self) -> (Key, Bytes) {
        let range = keys::extents_past(self.data(), 0);
        let mut first = None;
        let take = &mut |key: &[u8], value: &[u8]| {
            first = Some((key.to_vec(), Bytes::copy_from_slice(value)));
            ControlFlow::Break(())
        };
        self.volume.engine.scan(&range.from, &range.to, take).unwrap();
        first.unwrap()
    }
}

fn findings(volume: &Volume) -> Vec<Finding> {
    let mut checked = volume.store.check(Bounds::default(), &mut |_| Ok(())).unwrap();
    decide(&mut checked.findings, checked.cut);
    checked.findings
}

fn kinds(findings: &[Finding]) -> BTreeSet<Kind> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// What is left after a repair.
fn repaired(volume: &Volume) -> Vec<Finding> {
    for _ in 0..5 {
        let safe: Vec<Finding> = findings(volume).into_iter().filter(|found| found.mending == Mending::Safe).collect();
        if safe.is_empty() {
            break;
        }
        for finding in &safe {
            assert!(volume.store.mend(finding).unwrap(), "{finding}");
        }
        volume.commit();
        while volume.store.reap(100).unwrap() {}
        volume.commit();
    }
    findings(volume)
}

type Damage = fn(&Known, &mut Changes);

/// Damages a volume; what is found, and what is left after a repair.
fn damaged(damage: Damage) -> (Vec<Finding>, Vec<Finding>, Volume) {
    let known = Known::new();
    let mut changes = Changes::default();
    damage(&known, &mut changes);
    known.volume.engine.write(&changes).unwrap();
    // A clean stop would write the header anew.
    let volume = known.volume.crash();
    let found = findings(&volume);
    let left = repaired(&volume);
    (found, left, volume)
}

#[test]
fn what_is_safe_is_found_and_mended() {
    let cases: &[(Kind, Damage)] = &[
        (Kind::UsageBytes, |k, c| k.header(c, |header| header.usage.bytes += 5)),
        (Kind::UsageInodes, |k, c| k.header(c, |header| header.usage.inodes = 1)),
        (Kind::SegmentLive, |k, c| {
            let key = keys::segment(SegmentId(1));
            let account: SegmentAccount = k.record(&key);
            c.put(key, SegmentAccount { live: account.live + 9, ..account }.encode());
        }),
        (Kind::SegmentLength, |k, c| {
            let key = keys::segment(SegmentId(1));
            let account: SegmentAccount = k.record(&key);
            c.put(key, SegmentAccount { len: account.len - 1, ..account }.encode());
        }),
        (Kind::LinkCount, |k, c| k.inode(c, k.file, |inode| inode.nlink = 5)),
        (Kind::LinkCount, |k, c| k.inode(c, k.plain, |inode| inode.nlink = 0)),
        (Kind::SubdirectoryCount, |k, c| k.inode(c, k.dir, |inode| inode.nlink = 9)),
        (Kind::EntryCount, |k, c| k.inode(c, k.dir, |inode| inode.entries = 0)),
        (Kind::XattrBytes, |k, c| k.inode(c, k.file, |inode| inode.xattr_bytes = 0)),
        (Kind::AllocatedBytes, |k, c| k.inode(c, k.file, |inode| inode.allocated = 1)),
        (Kind::ExtentEnd, |k, c| k.inode(c, k.file, |inode| inode.extent_end = 1)),
        (Kind::NotListed, |k, c| c.delete(keys::cookie(k.dir, k.entry(k.dir, "file").cookie))),
        (Kind::NameLost, |k, c| c.delete(keys::entry(k.dir, &name("file")))),
        (Kind::NameLost, |_, c| c.delete(keys::entry(ROOT, &name("plain")))),
        (Kind::NameLost, |_, c| c.delete(keys::entry(ROOT, &name("dir")))),
        (Kind::ListedLeft, |k, c| {
            let listed = Listed { ino: InodeId(9999), kind: FileKind::Regular, name: name("ghost") };
            c.put(keys::cookie(k.dir, DirCookie(9999)), listed.encode());
        }),
        (Kind::ListedLeft, |k, c| {
            let listed = Listed { ino: k.plain, kind: FileKind::Regular, name: name("ghost") };
            c.put(keys::cookie(k.inner, DirCookie(9999)), listed.encode());
        }),
        (Kind::WrongMark, |k, c| c.put(keys::orphan(k.plain), Text::default().encode())),
        (Kind::WrongMark, |_, c| c.put(keys::orphan(InodeId(9999)), Text::default().encode())),
        (Kind::NoMark, |k, c| c.delete(keys::orphan(k.orphan))),
        (Kind::DataOfNobody, |k, c| c.put(keys::extent(DataId(9999), 65_536), k.first_extent().1)),
    ];
    for (number, (kind, damage)) in cases.iter().enumerate() {
        let (found, left, volume) = damaged(*damage);
        let safe = found.iter().find(|finding| finding.kind == *kind).map(|finding| finding.mending);
        assert_eq!(safe, Some(Mending::Safe), "case {number}: {found:#?}");
        assert_eq!(left, Vec::new(), "case {number}, {}", kind.word());
        volume.sound();
        let volume = volume.restart();
        assert_eq!(volume.names(ROOT).len(), 4, "case {number}");
        volume.sound();
    }
    eprintln!("{} kinds of damage found and mended", cases.len());
}

#[test]
fn what_is_not_safe_is_found_and_told() {
    let cases: &[(Kind, Damage)] = &[
        (Kind::Unreadable, |k, c| c.put(keys::inode(k.plain), Bytes::from_static(b"\x01nonsense"))),
        (Kind::Unreadable, |_, c| c.put(keys::entry(ROOT, &name("plain")), Bytes::from_static(b"\x02"))),
        (Kind::Unreadable, |k, c| c.put(k.first_extent().0, Bytes::from_static(b"\x01\x07"))),
        (Kind::Unreadable, |_, c| c.put(vec![tag::XATTR, 0, 0], Text::default().encode())),
        (Kind::NoRoot, |_, c| c.delete(keys::inode(ROOT))),
        (Kind::EntryToNothing, |k, c| c.delete(keys::inode(k.plain))),
        (Kind::EntryType, |k, c| {
            let entry = Entry { kind: FileKind::Fifo, ..k.entry(ROOT, "plain") };
            c.put(keys::entry(ROOT, &name("plain")), entry.encode());
        }),
        (Kind::ListedWrongly, |k, c| {
            let listed = Listed { ino: k.file, kind: FileKind::Regular, name: name("plain") };
            c.put(keys::cookie(ROOT, k.entry(ROOT, "plain").cookie), listed.encode());
        }),
        (Kind::EntryOutside, |k, c| {
            c.put(keys::entry(k.plain, &name("x")), k.entry(ROOT, "plain").encode());
        }),
        (Kind::Nameless, |k, c| {
            c.delete(keys::cookie(ROOT, k.entry(ROOT, "plain").cookie));
            c.delete(keys::entry(ROOT, &name("plain")));
        }),
        (Kind::ManyNames, |k, c| {
            let entry = Entry { cookie: DirCookie(9999), ..k.entry(ROOT, "dir") };
            c.put(keys::entry(ROOT, &name("again")), entry.encode());
            let listed = Listed { ino: k.dir, kind: FileKind::Directory, name: name("again") };
            c.put(keys::cookie(ROOT, DirCookie(9999)), listed.encode());
        }),
        (Kind::DirectoryPlace, |k, c| k.inode(c, k.inner, |inode| inode.parent = Some(ROOT))),
        (Kind::Detached, |k, c| {
            let entry = k.entry(ROOT, "dir");
            c.delete(keys::entry(ROOT, &name("dir")));
            c.delete(keys::cookie(ROOT, entry.cookie));
            c.put(keys::entry(k.inner, &name("dir")), entry.encode());
            let listed = Listed { ino: k.dir, kind: FileKind::Directory, name: name("dir") };
            c.put(keys::cookie(k.inner, entry.cookie), listed.encode());
            k.inode(c, k.dir, |inode| inode.parent = Some(k.inner));
        }),
        (Kind::StrayXattrs, |_, c| {
            c.put(keys::xattr(InodeId(9999), &xattr("user.a")), Text::default().encode());
        }),
        (Kind::Target, |k, c| c.delete(keys::symlink(k.symlink))),
        (Kind::DataPastSize, |k, c| k.inode(c, k.file, |inode| inode.size = 10)),
        (Kind::ExtentOverlap, |k, c| {
            let (key, extent) = k.first_extent();
            let (data, end) = keys::split_pair(&key).unwrap();
            c.put(keys::extent(DataId(data), end + 5), extent);
        }),
        (Kind::DataShared, |k, c| {
            let shared = k.data();
            k.inode(c, k.plain, |inode| inode.data = Some(shared));
        }),
        (Kind::DataDoomed, |k, c| c.put(keys::dead(k.data()), Text::default().encode())),
    ];
    let mut seen = BTreeSet::new();
    for (number, (kind, damage)) in cases.iter().enumerate() {
        let known = Known::new();
        let mut changes = Changes::default();
        damage(&known, &mut changes);
        known.volume.engine.write(&changes).unwrap();
        let volume = known.volume.restart();
        let found = findings(&volume);
        let told = found.iter().find(|finding| finding.kind == *kind).map(|finding| finding.mending);
        assert_eq!(told, Some(Mending::Told), "case {number}: {found:#?}");
        let left = if *kind == Kind::DataDoomed { found } else { repaired(&volume) };
        assert!(kinds(&left).contains(kind), "case {number}: {left:#?}");
        assert!(left.iter().all(|finding| finding.mending == Mending::Told), "case {number}: {left:#?}");
        seen.insert(*kind);
    }
    eprintln!("{} kinds of damage found and told", seen.len());
}

#[test]
fn a_finding_that_is_no_longer_so_is_left_alone() {
    let known = Known::new();
    let mut changes = Changes::default();
    known.inode(&mut changes, known.dir, |inode| inode.entries = 7);
    known.volume.engine.write(&changes).unwrap();
    let volume = known.volume.restart();
    let found = findings(&volume);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    volume.file(known.dir, "new").unwrap();
    assert!(!volume.store.mend(finding).unwrap(), "the count has moved on");
    volume.commit();
    assert_eq!(repaired(&volume), Vec::new());
}

#[test]
fn a_check_sees_one_commit_while_the_volume_goes_on() {
    let known = Known::new();
    let volume = &known.volume;
    let mut number = 0;
    let checked = volume.store.check(Bounds { inodes: 2, ..Bounds::default() }, &mut |_| {
        number += 1;
        let file = volume.file(known.dir, &format!("n{number}")).unwrap();
        volume.write_staged(file, 0, &noise(number, 70_000)).unwrap();
        volume.commit();
        Ok(())
    });
    assert_eq!(checked.unwrap().findings, Vec::new());
    assert!(number > 3, "the volume changed {number} times meanwhile");
    volume.sound();
}

#[test]
fn frames_in_use_are_found_in_order_and_verified() {
    let known = Known::new();
    let volume = &known.volume;
    for number in 0..20 {
        let file = volume.file(known.inner, &format!("f{number}")).unwrap();
        volume.write_staged(file, 0, &noise(number, 100_000)).unwrap();
    }
    let copy = volume.file(ROOT, "copy").unwrap();
    volume.copy((known.file, 0), (copy, 0), 200_000).unwrap();
    volume.commit();
    let until = SegmentId(u64::MAX);
    let go_on = || Ok(());
    let (all, is_all) = volume.store.live_frames(ScrubPlace::default(), until, 1000, &go_on).unwrap();
    assert!(is_all && all.is_sorted_by_key(|live| live.place()));
    assert_eq!(all.len(), 4 + 4 + 40);
    // The same in small pieces.
    let (mut pieces, mut from) = (Vec::new(), ScrubPlace::default());
    loop {
        let (some, is_all) = volume.store.live_frames(from, until, 7, &go_on).unwrap();
        from = some.last().map(|live| ScrubPlace { position: live.frame.position + 1, ..live.place() }).unwrap();
        pieces.extend(some);
        if is_all {
            break;
        }
    }
    assert_eq!(pieces, all);
    let frames: Vec<_> = {
        let mut frames: Vec<_> = all.iter().map(|live| live.frame).collect();
        frames.dedup();
        frames
    };
    assert_eq!(volume.store.verify(&frames).unwrap(), Vec::new());
    let (bad, header, last) = (&frames[3], &frames[7], &frames[frames.len() - 1]);
    volume.segments.flip_bit(bad.segment, usize::try_from(bad.position).unwrap() + 64 + 9);
    volume.segments.flip_bit(header.segment, usize::try_from(header.position).unwrap() + 20);
    volume.segments.lose_end(last.segment, usize::try_from(last.position).unwrap() + 70);
    let faults = vec![(3, Fault::Content), (7, Fault::Header), (frames.len() - 1, Fault::Short)];
    assert_eq!(volume.store.verify(&frames).unwrap(), faults);
    let segments = volume.store.bad_segments().unwrap();
    assert_eq!(segments.iter().map(|bad| bad.segment).collect::<Vec<_>>(), [last.segment]);
    let of_bad: Vec<_> = all.iter().filter(|live| live.frame == *bad).collect();
    assert_eq!(of_bad.len(), 2, "the file and its copy");
    let data: HashSet<DataId> = of_bad.iter().map(|live| live.data).collect();
    let owners = volume.store.owners_of(&data, &go_on).unwrap();
    let paths: BTreeSet<&[u8]> = owners.values().flat_map(|named| named.paths.iter().map(Vec::as_slice)).collect();
    assert_eq!(paths, BTreeSet::from([&b"/dir/file"[..], b"/link", b"/copy"]));
    // What was written over is nobody's loss.
    volume.truncate(copy, 0).unwrap();
    assert_eq!(of_bad.iter().filter(|live| volume.store.is_live(live).unwrap()).count(), 1);
}
