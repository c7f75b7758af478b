//! Access lists, what takes privileges away, files without a name, whiteouts.

#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::acl::{ACCESS_XATTR, DEFAULT_XATTR};
use holdfast_core::attr::{FileKind, SetAttr};
use holdfast_core::derive::AskedMode;
use holdfast_core::error::PosixError::{AccessDenied, Exists, Invalid, NoAttribute, NoEntry, NotSupported};
use holdfast_core::id::InodeId;
use holdfast_core::name::XattrName;
use holdfast_core::op::RenameMode::{Whiteout, WhiteoutNoReplace};
use holdfast_core::op::{NewNode, Op, OpReply, XattrMode};

use crate::store::fixture::{ROOT, Reply, Volume, mode, name, posix, xattr};

/// Owner, user 1000, group, mask, others.
fn list(owner: u16, alice: u16, group: u16, mask: u16, other: u16) -> Bytes {
    let none = u32::MAX;
    let entries = [(1, owner, none), (2, alice, 1000), (4, group, none), (16, mask, none), (32, other, none)];
    wire(&entries)
}

fn wire(entries: &[(u16, u16, u32)]) -> Bytes {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(rights.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out.into()
}

fn set(volume: &Volume, ino: InodeId, list: &[u8], value: Bytes, kill_setgid: bool) -> Reply {
    let name = XattrName::new(list.to_vec()).unwrap();
    volume.apply(Op::SetXattr { ino, name, value, mode: XattrMode::Either, kill_setgid })
}

fn get(volume: &Volume, ino: InodeId, list: &[u8]) -> Option<Bytes> {
    volume.store.getxattr(ino, &XattrName::new(list.to_vec()).unwrap()).ok()
}

fn chmod(volume: &Volume, ino: InodeId, bits: u32) {
    volume.setattr(ino, SetAttr { mode: Some(mode(bits)), ..SetAttr::default() }).unwrap();
}

#[test]
fn a_list_and_the_mode_go_together() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    set(&volume, file, ACCESS_XATTR, list(6, 7, 4, 6, 0), false).unwrap();
    assert_eq!(volume.attr(file).mode, mode(0o660));
    chmod(&volume, file, 0o751);
    assert_eq!(get(&volume, file, ACCESS_XATTR), Some(list(7, 7, 4, 5, 1)));
    let minimal = wire(&[(1, 6, u32::MAX), (4, 4, u32::MAX), (32, 0, u32::MAX)]);
    set(&volume, file, ACCESS_XATTR, minimal, false).unwrap();
    assert_eq!((volume.attr(file).mode, get(&volume, file, ACCESS_XATTR)), (mode(0o640), None));
    volume.sound();
}

#[test]
fn an_empty_list_removes_and_an_absent_one_is_removed_already() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    set(&volume, file, ACCESS_XATTR, list(6, 7, 4, 6, 0), false).unwrap();
    set(&volume, file, ACCESS_XATTR, wire(&[]), false).unwrap();
    assert_eq!((volume.attr(file).mode, get(&volume, file, ACCESS_XATTR)), (mode(0o660), None));
    assert_eq!(volume.apply(Op::RemoveXattr { ino: file, name: XattrName::access_list() }), Ok(OpReply::Done));
    volume.sound();
}

#[test]
fn lists_are_refused_where_they_cannot_be() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let target = Bytes::from_static(b"f");
    let link = volume.create(ROOT, "l", NewNode::Symlink { target }, 0o777).unwrap();
    assert_eq!(set(&volume, link, ACCESS_XATTR, list(6, 7, 4, 6, 0), false), Err(NotSupported));
    assert_eq!(set(&volume, file, DEFAULT_XATTR, list(6, 7, 4, 6, 0), false), Err(AccessDenied));
    set(&volume, file, DEFAULT_XATTR, wire(&[]), false).unwrap();
    assert_eq!(set(&volume, file, ACCESS_XATTR, Bytes::from_static(b"x"), false), Err(Invalid));
    assert_eq!(set(&volume, ROOT, ACCESS_XATTR, wire(&[(1, 7, u32::MAX)]), false), Err(Invalid));
    volume.sound();
}

#[test]
fn a_list_by_a_stranger_to_the_group_takes_set_group_id() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    chmod(&volume, file, 0o2755);
    set(&volume, file, ACCESS_XATTR, list(6, 7, 4, 6, 0), true).unwrap();
    assert_eq!(volume.attr(file).mode, mode(0o660));
}

#[test]
fn new_entries_inherit_the_default_list_in_place_of_the_umask() {
    let volume = Volume::new();
    set(&volume, ROOT, DEFAULT_XATTR, list(7, 7, 5, 7, 0), false).unwrap();
    let asked = AskedMode { mode: mode(0o666), umask: mode(0o077) };
    let create = |text, node| {
        volume.attr_of(Op::Create { parent: ROOT, name: name(text), node, mode: asked, ino: None }).unwrap()
    };
    let file = create("f", NewNode::File { open: false });
    assert_eq!(file.mode, mode(0o660));
    assert_eq!(get(&volume, file.ino, ACCESS_XATTR), Some(list(6, 7, 5, 6, 0)));
    assert_eq!(get(&volume, file.ino, DEFAULT_XATTR), None);
    let dir = create("d", NewNode::Directory);
    assert_eq!(get(&volume, dir.ino, DEFAULT_XATTR), Some(list(7, 7, 5, 7, 0)));
    volume.apply(Op::RemoveXattr { ino: ROOT, name: XattrName::default_list() }).unwrap();
    assert_eq!(create("g", NewNode::File { open: false }).mode, mode(0o600));
    volume.sound();
}

#[test]
fn a_change_of_content_or_owner_takes_capabilities() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let give = || {
        let (name, value) = (XattrName::capability(), Bytes::from_static(b"cap"));
        volume.apply(Op::SetXattr { ino: file, name, value, mode: XattrMode::Create, kill_setgid: false }).unwrap();
    };
    let gone = || posix(volume.store.getxattr(file, &xattr("security.capability"))) == NoAttribute;
    give();
    volume.write(file, 0, b"x").unwrap();
    assert!(gone());
    give();
    volume.truncate(file, 0).unwrap();
    assert!(gone());
    give();
    volume.setattr(file, SetAttr { gid: Some(1000), ..SetAttr::default() }).unwrap();
    assert!(gone());
    volume.sound();
}

#[test]
fn set_group_id_without_execution_goes_only_from_strangers_to_the_group() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let set = |set| {
        chmod(&volume, file, 0o2606);
        volume.setattr(file, set).unwrap().mode
    };
    let cut = SetAttr { size: Some(0), kill_privileges: true, ..SetAttr::default() };
    assert_eq!(set(cut), mode(0o606));
    assert_eq!(set(SetAttr { keep_setgid: true, ..cut }), mode(0o2606));
    let chown = SetAttr { uid: Some(1000), ..SetAttr::default() };
    assert_eq!(set(chown), mode(0o606));
    assert_eq!(set(SetAttr { keep_setgid: true, ..chown }), mode(0o2606));
}

#[test]
fn a_chown_for_nothing_is_a_change() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    chmod(&volume, file, 0o6755);
    let attr = volume.setattr(file, SetAttr::default()).unwrap();
    assert_eq!((attr.mode, attr.ctime), (mode(0o755), volume.now()));
}

#[test]
fn both_xattr_flags_always_fail() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let set = |mode| {
        let (name, value) = (xattr("user.a"), Bytes::from_static(b"1"));
        volume.apply(Op::SetXattr { ino: file, name, value, mode, kill_setgid: false })
    };
    assert_eq!(set(XattrMode::Both), Err(NoAttribute));
    set(XattrMode::Create).unwrap();
    assert_eq!(set(XattrMode::Both), Err(Exists));
}

#[test]
fn a_file_without_a_name_gets_one_or_goes() {
    let volume = Volume::new();
    let make = || {
        let made = volume.attr_of(Op::CreateUnnamed { parent: ROOT, mode: mode(0o644).into() }).unwrap();
        volume.opens.borrow_mut().insert(made.ino);
        assert_eq!((made.nlink, made.kind), (0, FileKind::Regular));
        made.ino
    };
    let close = |ino| {
        volume.opens.borrow_mut().remove(&ino);
        assert_eq!(volume.apply(Op::Close { ino }), Ok(OpReply::Done));
    };
    let file = make();
    volume.sound();
    assert_eq!(volume.store.orphans().unwrap(), [file]);
    volume.write(file, 0, b"here").unwrap();
    assert_eq!(volume.link(file, ROOT, "f").unwrap().nlink, 1);
    close(file);
    assert_eq!((volume.content(file), volume.lookup(ROOT, "f")), (b"here".to_vec(), Ok(file)));
    volume.sound();
    let other = make();
    close(other);
    assert_eq!(posix(volume.store.getattr(other)), NoEntry);
    // The last name gone, it gets no other.
    volume.opens.borrow_mut().insert(file);
    volume.unlink(ROOT, "f").unwrap();
    assert_eq!(volume.link(file, ROOT, "g"), Err(NoEntry));
    volume.sound();
}

#[test]
fn a_whiteout_takes_the_old_name() {
    let volume = Volume::new();
    let (file, dir) = (volume.file(ROOT, "f").unwrap(), volume.dir(ROOT, "d").unwrap());
    volume.rename((ROOT, "f"), (dir, "g"), Whiteout).unwrap();
    assert_eq!(volume.lookup(dir, "g"), Ok(file));
    let whiteout = volume.attr(volume.lookup(ROOT, "f").unwrap());
    assert_eq!((whiteout.kind, whiteout.rdev, whiteout.mode), (FileKind::CharDevice, 0, mode(0)));
    volume.sound();
    assert_eq!(volume.rename((ROOT, "d"), (ROOT, "f"), WhiteoutNoReplace), Err(Exists));
    volume.rename((ROOT, "d"), (ROOT, "e"), WhiteoutNoReplace).unwrap();
    assert_eq!(volume.names(ROOT), ["f", "d", "e"]);
    assert_eq!(volume.store.usage().inodes, 5);
    volume.sound();
}

#[test]
fn an_open_directory_outlives_its_name() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "d").unwrap();
    volume.opens.borrow_mut().insert(dir);
    volume.rmdir(ROOT, "d").unwrap();
    assert_eq!(volume.attr(dir).nlink, 0);
    assert_eq!(volume.file(dir, "f"), Err(NoEntry));
    let listed = volume.store.readdir(dir, holdfast_core::id::DirCookie(0), 10, false);
    assert_eq!(posix(listed), NoEntry);
    volume.opens.borrow_mut().clear();
    volume.apply(Op::Close { ino: dir }).unwrap();
    assert_eq!(posix(volume.store.getattr(dir)), NoEntry);
    volume.sound();
}
