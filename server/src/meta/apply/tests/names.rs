#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use holdfast_core::attr::{FileKind, Mode, SetAttr};
use holdfast_core::error::PosixError::*;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::op::RenameMode::{Exchange, Replace};
use holdfast_core::op::{Caller, NewNode, Op, OpReply};

use crate::store::fixture::{ROOT, Volume, mode, name, posix};

#[test]
fn create_fills_in_every_attribute() {
    let volume = Volume::new();
    volume.caller.set(Caller { uid: 5, gid: 6 });
    let ino = volume.create(ROOT, "f", NewNode::File { open: true }, 0o640).unwrap();
    let attr = volume.attr(ino);
    assert_eq!((attr.kind, attr.mode, attr.nlink, attr.uid, attr.gid), (FileKind::Regular, mode(0o640), 1, 5, 6));
    assert_eq!((attr.size, attr.allocated, attr.rdev), (0, 0, 0));
    assert!([attr.atime, attr.mtime, attr.ctime, attr.btime].iter().all(|time| *time == volume.now()));
    let root = volume.attr(ROOT);
    assert_eq!((root.nlink, root.mtime, root.ctime), (2, volume.now(), volume.now()));
    assert_eq!(volume.lookup(ROOT, "f"), Ok(ino));
    volume.sound();
}

#[test]
fn every_kind_of_node_can_be_made() {
    let volume = Volume::new();
    let special = |kind| NewNode::Special { kind, rdev: 0x0801 };
    let fifo = volume.create(ROOT, "fifo", special(FileKind::Fifo), 0o600).unwrap();
    let socket = volume.create(ROOT, "socket", special(FileKind::Socket), 0o600).unwrap();
    let char_device = volume.create(ROOT, "char", special(FileKind::CharDevice), 0o600).unwrap();
    let block = volume.create(ROOT, "block", special(FileKind::BlockDevice), 0o600).unwrap();
    let rdevs = [fifo, socket, char_device, block].map(|ino| volume.attr(ino).rdev);
    assert_eq!(rdevs, [0, 0, 0x0801, 0x0801]);
    assert_eq!(volume.create(ROOT, "x", special(FileKind::Regular), 0o600), Err(Invalid));
    let target = Bytes::from_static(b"../somewhere");
    let link = volume.create(ROOT, "link", NewNode::Symlink { target: target.clone() }, 0o600).unwrap();
    assert_eq!((volume.attr(link).size, volume.attr(link).mode), (12, mode(0o777)));
    assert_eq!(volume.store.readlink(link).unwrap(), target);
    assert_eq!(posix(volume.store.readlink(fifo)), Invalid);
    for (bad, error) in [(&b""[..], NoEntry), (b"a\0b", Invalid), (&[b'x'; 4096], NameTooLong)] {
        let node = NewNode::Symlink { target: Bytes::copy_from_slice(bad) };
        assert_eq!(volume.create(ROOT, "bad", node, 0o777), Err(error));
    }
    assert_eq!(volume.names(ROOT), ["fifo", "socket", "char", "block", "link"]);
    volume.unlink(ROOT, "link").unwrap();
    assert_eq!(posix(volume.store.readlink(link)), NoEntry);
    volume.sound();
}

#[test]
fn create_refuses_in_the_order_of_linux() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    assert_eq!(volume.file(ROOT, "f"), Err(Exists));
    assert_eq!(volume.dir(ROOT, "f"), Err(Exists));
    assert_eq!(volume.file(file, "below"), Err(NotDirectory));
    assert_eq!(volume.file(InodeId(999), "x"), Err(NoEntry));
    assert_eq!(volume.lookup(ROOT, "missing"), Err(NoEntry));
    assert_eq!(volume.lookup(file, "below"), Err(NotDirectory));
    assert_eq!(volume.lookup(InodeId(999), "below"), Err(NoEntry));
    volume.sound();
}

#[test]
fn set_group_id_directories_pass_their_group_on() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "d").unwrap();
    volume.setattr(dir, SetAttr { gid: Some(77), mode: Some(mode(0o2775)), ..SetAttr::default() }).unwrap();
    volume.caller.set(Caller { uid: 1, gid: 2 });
    let file = volume.attr(volume.file(dir, "f").unwrap());
    let sub = volume.attr(volume.dir(dir, "s").unwrap());
    assert_eq!((file.gid, file.mode), (77, mode(0o644)));
    assert_eq!((sub.gid, sub.mode), (77, mode(0o2755)));
    assert!(sub.mode.has(Mode::SETGID));
    volume.sound();
}

#[test]
fn directories_count_their_subdirectories() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "d").unwrap();
    volume.dir(dir, "a").unwrap();
    volume.dir(dir, "b").unwrap();
    volume.file(dir, "f").unwrap();
    assert_eq!((volume.attr(dir).nlink, volume.attr(ROOT).nlink), (4, 3));
    assert_eq!(volume.rmdir(ROOT, "d"), Err(NotEmpty));
    assert_eq!(volume.rmdir(dir, "f"), Err(NotDirectory));
    assert_eq!(volume.rmdir(dir, "nothing"), Err(NoEntry));
    assert_eq!(volume.unlink(dir, "a"), Err(IsDirectory));
    volume.rmdir(dir, "a").unwrap();
    assert_eq!(volume.attr(dir).nlink, 3);
    assert_eq!(volume.store.lookup_parent(dir).unwrap().ino, ROOT);
    assert_eq!(volume.store.lookup_parent(ROOT).unwrap().ino, ROOT);
    volume.sound();
}

#[test]
fn the_path_of_an_inode_leads_to_the_name_that_it_was_given_last() {
    let volume = Volume::new();
    let path = |ino| volume.store.path(ino).unwrap().map(|path| String::from_utf8(path).unwrap());
    assert_eq!(path(ROOT).as_deref(), Some("/"));
    let (a, b) = (volume.dir(ROOT, "a").unwrap(), volume.dir(ROOT, "b").unwrap());
    let (file, inner) = (volume.file(a, "f").unwrap(), volume.dir(a, "inner").unwrap());
    assert_eq!((path(file).as_deref(), path(inner).as_deref()), (Some("/a/f"), Some("/a/inner")));
    volume.rename((ROOT, "a"), (b, "c"), Replace).unwrap();
    assert_eq!((path(file).as_deref(), path(inner).as_deref()), (Some("/b/c/f"), Some("/b/c/inner")));
    let other = volume.file(ROOT, "other").unwrap();
    volume.rename((ROOT, "other"), (a, "f"), Exchange).unwrap();
    assert_eq!((path(file).as_deref(), path(other).as_deref()), (Some("/other"), Some("/b/c/f")));
    volume.link(file, b, "second").unwrap();
    assert_eq!(path(file).as_deref(), Some("/b/second"));
    volume.unlink(b, "second").unwrap();
    assert_eq!(path(file), None, "it has another name, which is not remembered");
    volume.rename((ROOT, "other"), (a, "f"), Replace).unwrap();
    assert_eq!((path(file).as_deref(), path(other)), (Some("/b/c/f"), None));
    assert_eq!(path(InodeId(999)), None);
    volume.sound();
}

#[test]
fn links_are_names_of_one_inode() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "d").unwrap();
    let file = volume.file(ROOT, "f").unwrap();
    let linked = volume.link(file, dir, "g").unwrap();
    assert_eq!((linked.nlink, linked.ctime), (2, volume.now()));
    assert_eq!(volume.attr(dir).mtime, volume.now());
    assert_eq!(volume.link(file, ROOT, "d"), Err(Exists));
    assert_eq!(volume.link(dir, ROOT, "e"), Err(NotPermitted));
    assert_eq!(volume.link(dir, ROOT, "f"), Err(Exists));
    assert_eq!(volume.link(InodeId(999), ROOT, "e"), Err(NoEntry));
    volume.unlink(ROOT, "f").unwrap();
    assert_eq!((volume.attr(file).nlink, volume.attr(file).ctime), (1, volume.now()));
    assert_eq!(volume.lookup(dir, "g"), Ok(file));
    volume.unlink(dir, "g").unwrap();
    assert_eq!(posix(volume.store.getattr(file)), NoEntry);
    assert_eq!(volume.unlink(dir, "g"), Err(NoEntry));
    volume.sound();
}

#[test]
fn an_open_file_outlives_its_names() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    volume.write(file, 0, b"still here").unwrap();
    volume.opens.borrow_mut().insert(file);
    volume.attr_of(Op::open(file)).unwrap();
    volume.unlink(ROOT, "f").unwrap();
    volume.sound();
    assert_eq!(volume.attr(file).nlink, 0);
    assert_eq!(volume.store.orphans().unwrap(), [file]);
    assert_eq!(volume.content(file), b"still here");
    assert_eq!(volume.link(file, ROOT, "again"), Err(NoEntry));
    volume.write(file, 6, b"there").unwrap();
    assert_eq!(volume.content(file), b"still there");
    assert_eq!(volume.store.usage().inodes, 2);
    volume.opens.borrow_mut().clear();
    assert_eq!(volume.apply(Op::Close { ino: file }), Ok(OpReply::Done));
    assert_eq!(posix(volume.store.getattr(file)), NoEntry);
    assert_eq!((volume.store.usage().inodes, volume.store.usage().bytes), (1, 0));
    assert!(volume.store.orphans().unwrap().is_empty());
    volume.sound();
}

#[test]
fn orphans_of_lost_sessions_are_dropped_one_by_one() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "f").unwrap();
    let other = volume.file(ROOT, "g").unwrap();
    volume.opens.borrow_mut().insert(file);
    volume.unlink(ROOT, "f").unwrap();
    volume.commit();
    let volume = volume.crash();
    assert_eq!(volume.store.orphans().unwrap(), [file]);
    volume.store.drop_orphan(other).unwrap();
    assert_eq!(volume.lookup(ROOT, "g"), Ok(other), "what has a name is no orphan");
    volume.store.drop_orphan(file).unwrap();
    volume.store.drop_orphan(file).unwrap();
    assert!(volume.store.orphans().unwrap().is_empty());
    volume.sound();
}

#[test]
fn nothing_is_made_in_a_removed_directory() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "d").unwrap();
    let file = volume.file(ROOT, "f").unwrap();
    volume.opens.borrow_mut().insert(dir);
    volume.rmdir(ROOT, "d").unwrap();
    assert_eq!(volume.attr(dir).nlink, 0);
    assert_eq!(volume.file(dir, "x"), Err(NoEntry));
    assert_eq!(volume.dir(dir, "x"), Err(NoEntry));
    assert_eq!(volume.link(file, dir, "x"), Err(NoEntry));
    assert_eq!(posix(volume.store.readdir(dir, DirCookie(0), 10, false)), NoEntry);
    assert_eq!(volume.lookup(dir, "x"), Err(NoEntry));
    volume.sound();
}

#[test]
fn listings_go_on_whatever_changes_between_pages() {
    let volume = Volume::new();
    for number in 0..100 {
        volume.file(ROOT, &format!("{number:02}")).unwrap();
    }
    let mut seen: Vec<String> = Vec::new();
    let mut after = DirCookie(0);
    let mut round = 0;
    loop {
        let page = volume.store.readdir(ROOT, after, 7, round % 2 == 0).unwrap();
        assert!(page.entries.iter().all(|entry| entry.attr.is_some() == (round % 2 == 0)));
        assert_eq!(page.parent, ROOT);
        seen.extend(page.entries.iter().map(|entry| entry.name.to_string()));
        let Some(last) = page.entries.last() else { break };
        after = last.cookie;
        // Between two pages: something seen goes, something comes, and the store commits.
        volume.unlink(ROOT, &seen[round]).unwrap();
        if round < 5 {
            volume.file(ROOT, &format!("new {round}")).unwrap();
        }
        volume.commit();
        round += 1;
        if page.end {
            break;
        }
    }
    let old: Vec<&String> = seen.iter().filter(|name| !name.starts_with("new")).collect();
    assert_eq!(old.len(), 100);
    assert!(old.is_sorted(), "in the order in which they were made");
    let mut once = seen.clone();
    once.dedup();
    assert_eq!(once, seen);
    assert_eq!(posix(volume.store.readdir(InodeId(999), DirCookie(0), 1, false)), NoEntry);
    let file = volume.lookup(ROOT, "99").unwrap();
    assert_eq!(posix(volume.store.readdir(file, DirCookie(0), 1, false)), NotDirectory);
    volume.sound();
}

#[test]
fn a_replay_under_its_number_makes_the_same_inode() {
    let volume = Volume::new();
    volume.file(ROOT, "before").unwrap();
    volume.commit();
    let create = |text| Op::Create {
        parent: ROOT,
        name: name(text),
        node: NewNode::Directory,
        mode: mode(0o755).into(),
        ino: None,
    };
    let lost = volume.logged(create("a"), None, None);
    let kept = volume.logged(create("b"), None, None);
    let Ok(OpReply::Attr(attr)) = &kept.result else { panic!("{kept:?}") };
    let volume = volume.crash();
    assert!(!volume.store.clean());
    // The first operation is not brought back; the second keeps its number, and its inode.
    let again = volume.logged(create("b"), None, Some(kept.commit));
    assert_eq!(again.commit, kept.commit);
    assert_eq!(volume.lookup(ROOT, "b"), Ok(attr.ino));
    // What is new, or comes too late, gets a number that nobody had.
    let fresh = volume.logged(create("c"), None, Some(lost.commit));
    assert!(fresh.commit.0 > kept.commit.0 + 1000);
    assert!(fresh.commit.0 < kept.commit.0 + (1 << 21), "numbers are not wasted");
    assert!(volume.lookup(ROOT, "c").unwrap().0 > attr.ino.0 + 1000);
    volume.sound();
}
