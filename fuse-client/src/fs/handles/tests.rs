#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

const A: InodeId = InodeId(10);
const B: InodeId = InodeId(11);

fn open(files: &mut OpenFiles, ino: InodeId) -> Handle {
    files.begin_open(ino);
    files.finish_open(ino)
}

#[test]
fn only_the_last_handle_closes() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    assert_ne!(one, two);
    assert!(files.release(one).close.is_empty());
    assert!(files.is_open(A));
    assert_eq!(files.release(two).close, [A]);
    assert!(!files.is_open(A));
    assert_eq!(files.release(two), Released::default());
}

#[test]
fn an_open_in_flight_keeps_the_inode() {
    let mut files = OpenFiles::default();
    let one = open(&mut files, A);
    files.begin_open(A);
    assert!(files.release(one).close.is_empty());
    // It failed: then nobody else closes what the first one opened.
    assert_eq!(files.abandon_open(A), [A]);
}

#[test]
fn a_close_waits_for_creates_that_may_open_the_same_inode() {
    let mut files = OpenFiles::default();
    let ticket = files.begin_create();
    // The file is already visible: another program opens and closes it before our answer comes.
    let other = open(&mut files, A);
    assert!(files.release(other).close.is_empty());
    let (handle, close) = files.finish_create(ticket, Some(A));
    assert!(close.is_empty());
    assert_eq!(files.release(handle.unwrap()).close, [A]);
}

#[test]
fn a_close_does_not_wait_for_later_creates() {
    let mut files = OpenFiles::default();
    let first = files.begin_create();
    let one = open(&mut files, A);
    assert!(files.release(one).close.is_empty());
    let _second = files.begin_create();
    let (handle, close) = files.finish_create(first, None);
    assert!(handle.is_none());
    assert_eq!(close, [A]);
}

#[test]
fn a_waiting_close_is_dropped_when_the_inode_is_opened_again() {
    let mut files = OpenFiles::default();
    let ticket = files.begin_create();
    let one = open(&mut files, A);
    files.release(one);
    let two = open(&mut files, A);
    assert!(files.finish_create(ticket, Some(B)).1.is_empty());
    assert_eq!(files.release(two).close, [A]);
}

#[test]
fn a_close_of_any_descriptor_takes_all_locks_of_that_process() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    files.note_locker(one, LockOwner(1));
    assert!(!files.take_locker(A, LockOwner(2)));
    assert!(!files.take_locker(B, LockOwner(1)));
    assert!(files.take_locker(A, LockOwner(1)));
    assert!(!files.take_locker(A, LockOwner(1)));
    assert!(files.release(one).unlock.is_empty());
    assert!(files.release(two).unlock.is_empty());
}

#[test]
fn the_locks_of_a_file_description_go_with_it() {
    let mut files = OpenFiles::default();
    let (one, two) = (open(&mut files, A), open(&mut files, A));
    files.note_locker(one, LockOwner(1));
    files.note_locker(one, LockOwner(2));
    files.note_locker(two, LockOwner(2));
    assert_eq!(files.release(one).unlock, [LockOwner(1)]);
    assert_eq!(files.release(two).unlock, [LockOwner(2)]);
}
