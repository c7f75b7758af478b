#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::attr::{Attr, FileKind, SetAttr, SetTime};
use holdfast_core::error::PosixError::*;
use holdfast_core::id::InodeId;
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::op::{NewNode, Op, OpReply, WriteAt, WriteData, XattrMode};

use crate::store::fixture::{ROOT, Reply, Volume, at, mode, posix, xattr};

fn chmod(volume: &Volume, ino: InodeId, bits: u32) -> Attr {
    volume.setattr(ino, SetAttr { mode: Some(mode(bits)), ..SetAttr::default() }).unwrap()
}

fn chown(volume: &Volume, ino: InodeId, uid: Option<u32>, gid: Option<u32>) -> Attr {
    volume.setattr(ino, SetAttr { uid, gid, ..SetAttr::default() }).unwrap()
}

#[test]
fn chmod_and_chown_change_ctime_only() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let before = volume.attr(file);
    assert_eq!(chmod(&volume, file, 0o7751).mode, mode(0o7751));
    let after = chown(&volume, file, Some(3), Some(4));
    assert_eq!((after.uid, after.gid), (3, 4));
    assert_eq!((after.mtime, after.atime, after.data_version), (before.mtime, before.atime, before.data_version));
    assert_eq!(after.ctime, volume.now());
    assert_eq!(volume.attr(file), after);
    assert_eq!(volume.setattr(InodeId(99), SetAttr::default()), Err(NoEntry));
    volume.sound();
}

#[test]
fn chown_takes_privileges_away_from_files_only() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    chmod(&volume, file, 0o6755);
    assert_eq!(chown(&volume, file, Some(1), None).mode, mode(0o755));
    chmod(&volume, file, 0o6745);
    assert_eq!(chown(&volume, file, None, Some(1)).mode, mode(0o745));
    let dir = volume.dir(ROOT, "d").unwrap();
    chmod(&volume, dir, 0o6755);
    assert_eq!(chown(&volume, dir, Some(1), Some(1)).mode, mode(0o6755));
    let both = SetAttr { uid: Some(2), mode: Some(mode(0o4711)), ..SetAttr::default() };
    assert_eq!(volume.setattr(file, both).unwrap().mode, mode(0o4711), "an explicit mode counts");
    volume.sound();
}

#[test]
fn writes_and_truncates_take_privileges_away_when_told_to() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let write = |kill_privileges| {
        let data = WriteData::Inline(Bytes::from_static(b"x"));
        volume.attr_of(Op::Write { ino: file, at: WriteAt::End, data, kill_privileges }).unwrap().mode
    };
    chmod(&volume, file, 0o6755);
    assert_eq!(write(false), mode(0o6755));
    assert_eq!(write(true), mode(0o755));
    chmod(&volume, file, 0o6755);
    let cut = SetAttr { size: Some(0), kill_privileges: true, ..SetAttr::default() };
    assert_eq!(volume.setattr(file, cut).unwrap().mode, mode(0o755));
    chmod(&volume, file, 0o6755);
    let open = Op::Open { ino: file, truncate: true, kill_privileges: true };
    assert_eq!(volume.attr_of(open).unwrap().mode, mode(0o755));
}

#[test]
fn times_are_set_as_asked() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let set = SetAttr { atime: Some(SetTime::To(at(-5))), mtime: Some(SetTime::Now), ..SetAttr::default() };
    let attr = volume.setattr(file, set).unwrap();
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (at(-5), volume.now(), volume.now()));
    let cut_with_time = SetAttr { size: Some(7), mtime: Some(SetTime::To(at(3))), ..SetAttr::default() };
    assert_eq!(volume.setattr(file, cut_with_time).unwrap().mtime, at(3));
}

#[test]
fn a_read_moves_the_access_time_once_and_nothing_else() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let before = volume.attr(file);
    let touch = |ino| volume.attr_of(Op::Touch { ino });
    let after = touch(file).unwrap();
    assert_eq!(after, Attr { atime: volume.now(), ..before });
    assert!(after.atime > before.atime);
    assert_eq!((touch(file), volume.attr(file)), (Ok(after), after), "it was read since it changed");
    let changed = chmod(&volume, file, 0o600);
    assert_eq!(touch(file), Ok(Attr { atime: volume.now(), ..changed }));
    assert_eq!(touch(InodeId(99)), Err(NoEntry));
    volume.sound();
}

#[test]
fn sizes_belong_to_regular_files() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, &[7; 100]).unwrap();
    let version = volume.attr(file).data_version;
    assert_eq!(volume.truncate(file, 100).unwrap().data_version, version);
    assert_eq!((volume.attr(file).mtime, volume.attr(file).ctime), (volume.now(), volume.now()));
    assert!(volume.truncate(file, 40).unwrap().data_version > version);
    volume.truncate(file, 60).unwrap();
    let mut expected = vec![7; 40];
    expected.resize(60, 0);
    assert_eq!(volume.content(file), expected);
    assert_eq!(volume.attr(file).allocated, 40);
    assert_eq!(volume.truncate(file, FILE_BYTES_MAX).unwrap().size, FILE_BYTES_MAX);
    assert_eq!(volume.truncate(file, FILE_BYTES_MAX + 1), Err(FileTooLarge));
    assert_eq!(volume.truncate(ROOT, 0), Err(IsDirectory));
    let fifo = volume.create(ROOT, "p", NewNode::Special { kind: FileKind::Fifo, rdev: 0 }, 0o600).unwrap();
    assert_eq!(volume.truncate(fifo, 0), Err(Invalid));
    volume.sound();
}

#[test]
fn open_finds_out_what_there_is() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, &[7; 100]).unwrap();
    let open = |ino, truncate| volume.attr_of(Op::Open { ino, truncate, kill_privileges: false });
    assert_eq!(open(file, false).unwrap().size, 100);
    assert_eq!(open(ROOT, true), Err(IsDirectory));
    assert_eq!(open(ROOT, false).unwrap().ino, ROOT);
    assert_eq!(open(InodeId(99), false), Err(NoEntry));
    let emptied = open(file, true).unwrap();
    assert_eq!((emptied.size, emptied.allocated, emptied.mtime), (0, 0, volume.now()));
    assert_eq!(volume.apply(Op::Close { ino: InodeId(99) }), Ok(OpReply::Done), "a close never fails");
    volume.sound();
}

fn set(volume: &Volume, ino: InodeId, name: &str, value: &[u8], mode: XattrMode) -> Reply {
    volume.apply(Op::SetXattr {
        ino,
        name: xattr(name),
        value: Bytes::copy_from_slice(value),
        mode,
        kill_setgid: false,
    })
}

#[test]
fn xattrs_are_set_listed_and_removed() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let get = |name: &str| volume.store.getxattr(file, &xattr(name));
    assert_eq!(posix(get("user.a")), NoAttribute);
    set(&volume, file, "user.b", b"2", XattrMode::Either).unwrap();
    set(&volume, file, "user.a", b"", XattrMode::Create).unwrap();
    assert_eq!(volume.attr(file).ctime, volume.now());
    assert_eq!(set(&volume, file, "user.a", b"1", XattrMode::Create), Err(Exists));
    assert_eq!(set(&volume, file, "user.c", b"1", XattrMode::Replace), Err(NoAttribute));
    set(&volume, file, "user.a", b"1", XattrMode::Replace).unwrap();
    assert_eq!(&get("user.a").unwrap()[..], b"1");
    set(&volume, file, "security.capability", b"cap", XattrMode::Either).unwrap();
    let names = volume.store.listxattr(file).unwrap();
    assert_eq!(names, ["security.capability", "user.a", "user.b"].map(xattr));
    let remove = |name: &str| volume.apply(Op::RemoveXattr { ino: file, name: xattr(name) });
    remove("user.a").unwrap();
    assert_eq!(remove("user.a"), Err(NoAttribute));
    volume.sound();
    volume.unlink(ROOT, "f").unwrap();
    volume.sound();
}

#[test]
fn xattr_name_spaces_follow_linux() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let target = Bytes::from_static(b"f");
    let link = volume.create(ROOT, "l", NewNode::Symlink { target }, 0o777).unwrap();
    let try_set = |ino, name| set(&volume, ino, name, b"v", XattrMode::Either);
    assert_eq!(try_set(link, "user.a"), Err(NotPermitted));
    assert_eq!(posix(volume.store.getxattr(link, &xattr("user.a"))), NoAttribute);
    try_set(link, "trusted.a").unwrap();
    try_set(ROOT, "user.a").unwrap();
    for name in ["system.posix_acl", "other.x", "plain"] {
        assert_eq!(try_set(file, name), Err(NotSupported));
        assert_eq!(posix(volume.store.getxattr(file, &xattr(name))), NotSupported);
    }
    assert_eq!(try_set(file, "user."), Err(Invalid));
    volume.sound();
}

#[test]
fn xattrs_have_limits() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    set(&volume, file, "user.big", &[1; 65_536], XattrMode::Either).unwrap();
    assert_eq!(set(&volume, file, "user.big", &[1; 65_537], XattrMode::Either), Err(TooBig));
    let long = |number: u32| format!("user.{number:0250}");
    // 256 bytes a name with its NUL; 9 are taken.
    for number in 0..255 {
        set(&volume, file, &long(number), b"", XattrMode::Either).unwrap();
    }
    assert_eq!(set(&volume, file, &long(255), b"", XattrMode::Either), Err(NoSpace));
    set(&volume, file, &long(3), b"replaced", XattrMode::Either).unwrap();
    volume.sound();
}
