#![expect(clippy::unwrap_used, reason = "tests")]

use holdfast_core::error::PosixError::*;
use holdfast_core::id::InodeId;
use holdfast_core::op::OpReply;
use holdfast_core::op::RenameMode::{Exchange, NoReplace, Replace};

use crate::store::fixture::{ROOT, Volume, posix};

#[test]
fn a_file_moves_and_times_change() {
    let volume = Volume::new();
    let (from, to) = (volume.dir(ROOT, "from").unwrap(), volume.dir(ROOT, "to").unwrap());
    let file = volume.file(from, "f").unwrap();
    volume.rename((from, "f"), (to, "g"), Replace).unwrap();
    assert_eq!((volume.lookup(from, "f"), volume.lookup(to, "g")), (Err(NoEntry), Ok(file)));
    let now = volume.now();
    assert_eq!(volume.attr(file).ctime, now);
    for dir in [from, to] {
        assert_eq!((volume.attr(dir).mtime, volume.attr(dir).ctime), (now, now));
    }
    volume.rename((to, "g"), (to, "h"), NoReplace).unwrap();
    assert_eq!(volume.names(to), ["h"]);
    volume.sound();
}

#[test]
fn replacing_frees_what_was_there() {
    let volume = Volume::new();
    let old = volume.file(ROOT, "old").unwrap();
    volume.write(old, 0, &[1; 5000]).unwrap();
    let new = volume.file(ROOT, "new").unwrap();
    volume.rename((ROOT, "new"), (ROOT, "old"), Replace).unwrap();
    assert_eq!(volume.lookup(ROOT, "old"), Ok(new));
    assert_eq!(posix(volume.store.getattr(old)), NoEntry);
    assert_eq!((volume.store.usage().bytes, volume.store.usage().inodes), (0, 2));
    assert_eq!(volume.names(ROOT), ["old"]);
    volume.sound();
}

#[test]
fn a_replaced_file_lives_on_by_links_and_opens() {
    let volume = Volume::new();
    let linked = volume.file(ROOT, "linked").unwrap();
    volume.link(linked, ROOT, "other").unwrap();
    let open = volume.file(ROOT, "open").unwrap();
    volume.opens.borrow_mut().insert(open);
    volume.file(ROOT, "a").unwrap();
    volume.file(ROOT, "b").unwrap();
    volume.rename((ROOT, "a"), (ROOT, "linked"), Replace).unwrap();
    assert_eq!((volume.attr(linked).nlink, volume.attr(linked).ctime), (1, volume.now()));
    volume.rename((ROOT, "b"), (ROOT, "open"), Replace).unwrap();
    assert_eq!((volume.attr(open).nlink, volume.attr(open).ctime), (0, volume.now()));
    assert_eq!(volume.store.orphans().unwrap(), [open]);
    volume.sound();
}

#[test]
fn two_names_of_one_file_stay_as_they_are() {
    let volume = Volume::new();
    let file = volume.file(ROOT, "a").unwrap();
    volume.link(file, ROOT, "b").unwrap();
    let before = volume.attr(file);
    assert_eq!(volume.rename((ROOT, "a"), (ROOT, "b"), Replace), Ok(OpReply::Done));
    assert_eq!(volume.rename((ROOT, "a"), (ROOT, "b"), Exchange), Ok(OpReply::Done));
    assert_eq!(volume.rename((ROOT, "a"), (ROOT, "a"), Replace), Ok(OpReply::Done));
    assert_eq!(volume.rename((ROOT, "a"), (ROOT, "b"), NoReplace), Err(Exists));
    assert_eq!(volume.rename((ROOT, "a"), (ROOT, "a"), NoReplace), Err(Exists));
    assert_eq!(volume.attr(file), before);
    assert_eq!(volume.names(ROOT), ["a", "b"]);
    volume.sound();
}

#[test]
fn kinds_must_fit() {
    let volume = Volume::new();
    let dir = volume.dir(ROOT, "dir").unwrap();
    let full = volume.dir(ROOT, "full").unwrap();
    volume.file(full, "x").unwrap();
    volume.file(ROOT, "file").unwrap();
    assert_eq!(volume.rename((ROOT, "dir"), (ROOT, "full"), Replace), Err(NotEmpty));
    assert_eq!(volume.rename((ROOT, "dir"), (ROOT, "file"), Replace), Err(NotDirectory));
    assert_eq!(volume.rename((ROOT, "file"), (ROOT, "dir"), Replace), Err(IsDirectory));
    assert_eq!(volume.rename((ROOT, "missing"), (ROOT, "dir"), Replace), Err(NoEntry));
    assert_eq!(volume.rename((ROOT, "file"), (ROOT, "missing"), Exchange), Err(NoEntry));
    assert_eq!(volume.rename((ROOT, "file"), (ROOT, "dir"), NoReplace), Err(Exists));
    assert_eq!(volume.rename((InodeId(99), "file"), (ROOT, "x"), Replace), Err(NoEntry));
    volume.rename((ROOT, "full"), (ROOT, "dir"), Replace).unwrap();
    assert_eq!(volume.lookup(ROOT, "dir"), Ok(full));
    assert_eq!(posix(volume.store.getattr(dir)), NoEntry);
    assert_eq!(volume.attr(ROOT).nlink, 3);
    volume.sound();
}

#[test]
fn directories_move_with_their_parent_link() {
    let volume = Volume::new();
    let (a, b) = (volume.dir(ROOT, "a").unwrap(), volume.dir(ROOT, "b").unwrap());
    let sub = volume.dir(a, "sub").unwrap();
    volume.rename((a, "sub"), (b, "moved"), Replace).unwrap();
    assert_eq!(volume.store.lookup_parent(sub).unwrap().ino, b);
    assert_eq!((volume.attr(a).nlink, volume.attr(b).nlink), (2, 3));
    volume.sound();
}

#[test]
fn a_directory_never_moves_into_itself() {
    let volume = Volume::new();
    let a = volume.dir(ROOT, "a").unwrap();
    let b = volume.dir(a, "b").unwrap();
    let c = volume.dir(b, "c").unwrap();
    for into in [a, b, c] {
        assert_eq!(volume.rename((ROOT, "a"), (into, "x"), Replace), Err(Invalid));
    }
    assert_eq!(volume.rename((b, "c"), (ROOT, "a"), Replace), Err(NotEmpty));
    assert_eq!(volume.rename((b, "c"), (ROOT, "a"), Exchange), Err(Invalid));
    assert_eq!(volume.rename((ROOT, "a"), (b, "c"), Exchange), Err(Invalid));
    volume.sound();
}

#[test]
fn removed_directories_take_nothing() {
    let volume = Volume::new();
    let gone = volume.dir(ROOT, "gone").unwrap();
    volume.opens.borrow_mut().insert(gone);
    volume.file(ROOT, "f").unwrap();
    volume.rmdir(ROOT, "gone").unwrap();
    assert_eq!(volume.rename((ROOT, "f"), (gone, "f"), Replace), Err(NoEntry));
    assert_eq!(volume.rename((gone, "f"), (ROOT, "g"), Replace), Err(NoEntry));
    volume.sound();
}

#[test]
fn exchange_swaps_anything_with_anything() {
    let volume = Volume::new();
    let (left, right) = (volume.dir(ROOT, "left").unwrap(), volume.dir(ROOT, "right").unwrap());
    let dir = volume.dir(left, "x").unwrap();
    volume.file(dir, "inside").unwrap();
    let file = volume.file(right, "y").unwrap();
    volume.rename((left, "x"), (right, "y"), Exchange).unwrap();
    assert_eq!((volume.lookup(left, "x"), volume.lookup(right, "y")), (Ok(file), Ok(dir)));
    assert_eq!((volume.attr(left).nlink, volume.attr(right).nlink), (2, 3));
    assert_eq!(volume.store.lookup_parent(dir).unwrap().ino, right);
    let now = volume.now();
    assert!([dir, file, left, right].iter().all(|ino| volume.attr(*ino).ctime == now));
    assert!([left, right].iter().all(|ino| volume.attr(*ino).mtime == now));
    volume.sound();

    let other = volume.dir(left, "z").unwrap();
    volume.rename((right, "y"), (left, "z"), Exchange).unwrap();
    assert_eq!(volume.store.lookup_parent(other).unwrap().ino, right);
    assert_eq!(volume.store.lookup_parent(dir).unwrap().ino, left);
    volume.rename((left, "x"), (left, "z"), Exchange).unwrap();
    assert_eq!((volume.lookup(left, "x"), volume.lookup(left, "z")), (Ok(dir), Ok(file)));
    assert_eq!(volume.names(left), ["x", "z"]);
    volume.sound();
}
