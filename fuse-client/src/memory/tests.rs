#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use bytes::Bytes;
use holdfast_client::{DirEntry, DirPage, Reply};
use holdfast_core::attr::{FileKind, Mode as Bits};
use holdfast_core::derive::AskedMode;
use holdfast_core::error::PosixError;
use holdfast_core::id::{DataVersion, DirCookie, Seq};
use holdfast_core::lease::{Grant, GrantNo, ROOM, Step, Target};
use holdfast_core::op::{NewNode, Op, OpReply, RenameMode, WriteAt, WriteData};
use holdfast_core::time::Timestamp;

use super::state::State;
use super::*;

mod names;
mod reading;
mod walking;

const DIR: InodeId = InodeId(1);
const FILE: InodeId = InodeId(7);
/// More than it takes to read a listing on.
const MISSES: u32 = 5;

fn name(text: &str) -> FileName {
    FileName::new(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn attr(ino: InodeId, kind: FileKind, size: u64) -> Attr {
    let time = Timestamp::default();
    Attr {
        ino,
        kind,
        mode: Bits::from_bits(0o644),
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size,
        allocated: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        data_version: DataVersion(size),
        no_xattrs: true,
    }
}

fn grants(inodes: &[InodeId]) -> Vec<Grant> {
    inodes.iter().map(|&ino| Grant { target: Target::Inode(ino), mode: Mode::Shared, number: GrantNo(5) }).collect()
}

fn looked_up(state: &mut State, text: &str, found: Option<Attr>, lent: &[InodeId]) {
    let question = Question::Lookup { parent: DIR, name: name(text) };
    let result = found.map(Reply::Lookup).ok_or_else(|| PosixError::NoEntry.into());
    state.answered(&question, Seq(0), &Answered { result, grants: grants(lent) });
}

fn done(state: &mut State, op: Op, reply: OpReply, lent: &[InodeId], changed: &[InodeId]) {
    state.applied(&Applied { seq: Seq(1), op, result: Ok(reply), grants: grants(lent), changed: changed.to_vec() });
}

fn unlink(text: &str) -> Op {
    Op::Unlink { parent: DIR, name: name(text) }
}

fn file() -> Attr {
    attr(FILE, FileKind::Regular, 3)
}

#[test]
fn what_is_lent_is_answered_from_memory() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    looked_up(&mut state, "b", None, &[DIR]);
    assert_eq!(state.lookup(DIR, &name("a")), Some(Found::Entry(file())));
    assert_eq!(state.lookup(DIR, &name("b")), Some(Found::Nothing));
    assert_eq!(state.lookup(DIR, &name("c")), None);
    assert_eq!(state.attr(FILE), Some(file()));
    assert_eq!(state.attr(DIR), None);
}

#[test]
fn what_others_have_read_stays_known() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    let atime = Timestamp::default().after(Duration::from_secs(5));
    state.accessed(FILE, atime);
    assert_eq!(state.attr(FILE), Some(Attr { atime, ..file() }));
    assert!(!state.tell(&file(), Duration::from_secs(9)), "that is older");
    state.accessed(InodeId(99), atime);
    assert_eq!(state.attr(InodeId(99)), None);
}

#[test]
fn without_a_lease_nothing_is() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[]);
    looked_up(&mut state, "b", None, &[FILE]);
    assert_eq!((state.lookup(DIR, &name("a")), state.lookup(DIR, &name("b")), state.attr(FILE)), (None, None, None));
    // The directory alone does not tell what the file is like now.
    looked_up(&mut state, "c", Some(attr(InodeId(8), FileKind::Regular, 1)), &[DIR]);
    assert_eq!(state.lookup(DIR, &name("c")), None);
}

#[test]
fn a_recall_ends_answers_at_once_and_the_lease_when_the_kernel_has_forgotten() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    assert!(state.tell(&file(), Duration::from_secs(9)));
    assert!(state.told(FILE).attributes.is_some());
    assert!(matches!(state.recalled(FILE, None), Step::Drop(_)));
    assert_eq!((state.attr(FILE), state.lookup(DIR, &name("a"))), (None, None));
    assert!(!state.tell(&file(), Duration::from_secs(9)));
    // A second one while the kernel drops it changes nothing.
    assert!(matches!(state.recalled(FILE, None), Step::Wait));
    let back = state.dropped(Target::Inode(FILE)).unwrap();
    assert_eq!((back.left, back.seen), (None, GrantNo(5)));
    assert_eq!(state.leases(), [(DIR, Mode::Shared)]);
    // Of what is not held any more nothing has to be dropped.
    assert!(matches!(state.recalled(FILE, None), Step::GiveBack(_)));
}

#[test]
fn the_kernel_is_told_only_what_is_known() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    assert!(!state.tell(&attr(FILE, FileKind::Regular, 2), Duration::from_secs(9)));
    assert_eq!(state.told(FILE), Believed::default());
    assert!(state.tell(&file(), Duration::ZERO));
    assert_eq!(state.told(FILE), Believed::default(), "it believes it no longer");
}

#[test]
fn an_outcome_without_a_lease_may_be_older_than_what_is_known() {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    done(&mut state, unlink("b"), OpReply::Done, &[], &[DIR, InodeId(9)]);
    assert_eq!(state.lookup(DIR, &name("b")), None);
    assert_eq!(state.lookup(DIR, &name("a")), Some(Found::Entry(file())));
    let set = Op::SetAttr { ino: FILE, set: holdfast_core::attr::SetAttr::default() };
    done(&mut state, set.clone(), OpReply::Attr(attr(FILE, FileKind::Regular, 2)), &[], &[]);
    assert_eq!(state.attr(FILE), None);
    done(&mut state, set, OpReply::Attr(attr(FILE, FileKind::Regular, 4)), &[FILE], &[]);
    assert_eq!(state.attr(FILE).unwrap().size, 4);
}

#[test]
fn own_changes_are_remembered() {
    let mut state = State::default();
    let (dir, mode) = (attr(InodeId(20), FileKind::Directory, 4096), AskedMode::from(Bits::from_bits(0o755)));
    let mkdir = Op::Create { parent: DIR, name: name("d"), node: NewNode::Directory, mode, ino: None };
    done(&mut state, mkdir, OpReply::Attr(dir), &[DIR, dir.ino], &[DIR]);
    assert_eq!(state.lookup(DIR, &name("d")), Some(Found::Entry(dir)));
    assert_eq!(state.lookup(dir.ino, &name("any")), Some(Found::Nothing), "a new directory is empty");
    let create = Op::Create { parent: dir.ino, name: name("f"), node: NewNode::File { open: true }, mode, ino: None };
    done(&mut state, create, OpReply::Attr(file()), &[dir.ino, FILE], &[dir.ino]);
    assert_eq!(state.lookup(dir.ino, &name("f")), Some(Found::Entry(file())));
    assert_eq!(state.attr(dir.ino), None, "its times changed");
    let rename = |mode| Op::Rename { parent: dir.ino, name: name("f"), new_parent: DIR, new_name: name("g"), mode };
    looked_up(&mut state, "g", None, &[DIR]);
    done(&mut state, rename(RenameMode::Replace), OpReply::Done, &[DIR, dir.ino, FILE], &[DIR, dir.ino, FILE]);
    assert_eq!(state.lookup(dir.ino, &name("f")), Some(Found::Nothing));
    assert_eq!(state.lookup(DIR, &name("g")), None, "its attributes changed");
    looked_up(&mut state, "g", Some(file()), &[DIR, FILE]);
    done(&mut state, unlink("g"), OpReply::Done, &[DIR], &[DIR, FILE]);
    assert_eq!(state.lookup(DIR, &name("g")), Some(Found::Nothing));
}

#[test]
fn a_rename_over_another_name_of_the_same_file_changes_nothing() {
    let rename = |old: &str, new: &str| Op::Rename {
        parent: DIR,
        name: name(old),
        new_parent: DIR,
        new_name: name(new),
        mode: RenameMode::Replace,
    };
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    looked_up(&mut state, "b", Some(file()), &[DIR, FILE]);
    done(&mut state, rename("a", "b"), OpReply::Done, &[DIR], &[]);
    done(&mut state, rename("a", "a"), OpReply::Done, &[DIR], &[]);
    assert_eq!(state.lookup(DIR, &name("a")), Some(Found::Entry(file())));
    // What is not known may be the same file.
    done(&mut state, rename("a", "c"), OpReply::Done, &[DIR], &[FILE]);
    assert_eq!((state.lookup(DIR, &name("a")), state.lookup(DIR, &name("c"))), (None, None));
}

#[test]
fn a_whole_listing_tells_what_is_not_there() {
    let mut state = State::default();
    let page = |cookies: &[u64], end| {
        let entry = |&cookie: &u64| {
            let attr = attr(InodeId(cookie + 100), FileKind::Regular, cookie);
            let (ino, kind, cookie) = (attr.ino, attr.kind, DirCookie(cookie));
            DirEntry { name: name(&format!("n{cookie}")), ino, kind, cookie, attr: Some(attr) }
        };
        Ok(Reply::ReadDir(DirPage { entries: cookies.iter().map(entry).collect(), end, parent: DIR }))
    };
    let ask = |after| Question::ReadDir { ino: DIR, after: DirCookie(after), entries_max: 0, with_attributes: true };
    let heard = |state: &mut State, after, page, lent: &[InodeId]| {
        state.answered(&ask(after), Seq(0), &Answered { result: page, grants: grants(lent) });
    };
    heard(&mut state, 0, page(&[1, 2], false), &[DIR, InodeId(101)]);
    assert_eq!(state.lookup(DIR, &name("x")), None);
    heard(&mut state, 9, page(&[10], true), &[DIR]);
    assert_eq!(state.lookup(DIR, &name("x")), None, "there is a gap");
    heard(&mut state, 0, page(&[1, 2], false), &[DIR, InodeId(101)]);
    heard(&mut state, 2, page(&[3], true), &[DIR]);
    assert_eq!(state.lookup(DIR, &name("x")), Some(Found::Nothing));
    assert!(matches!(state.lookup(DIR, &name("n1")), Some(Found::Entry(_))));
    assert_eq!(state.lookup(DIR, &name("n2")), None, "it was not lent");
    state.forget_all();
    assert_eq!((state.lookup(DIR, &name("x")), state.leases().len()), (None, 2));
}

#[test]
fn memory_is_bounded() {
    let mut state = State::default();
    for ino in 1..=1000 {
        looked_up(&mut state, "a", Some(attr(InodeId(ino), FileKind::Regular, 1)), &[InodeId(ino)]);
    }
    assert!(state.unused(1000).is_empty());
    assert!(state.attr(InodeId(1)).is_some());
    let released: Vec<InodeId> = state.unused(999).into_iter().map(|(ino, _)| ino).collect();
    assert!((100..200).contains(&released.len()), "{}", released.len());
    assert!(!released.contains(&InodeId(1)) && released.contains(&InodeId(2)));
    for ino in released {
        assert!(state.attr(ino).is_none());
        assert!(state.dropped(Target::Inode(ino)).is_some());
    }
    assert!(state.len() < 900);
}

/// A state that owns a directory and a file in it.
fn owner() -> State {
    let mut state = State::default();
    let own = |ino| Grant { target: Target::Inode(ino), mode: Mode::Exclusive, number: GrantNo(5) };
    let grants = vec![own(DIR), own(FILE), Grant { mode: Mode::Shared, ..own(ROOM) }];
    let directory = attr(DIR, FileKind::Directory, 4096);
    let question = Question::GetAttr { ino: DIR };
    state.answered(&question, Seq(0), &Answered { result: Ok(Reply::GetAttr(directory)), grants });
    looked_up(&mut state, "a", Some(file()), &[]);
    state
}

#[test]
fn what_may_be_changed_here_needs_exclusive_leases_and_room() {
    let write = |ino| Op::Write {
        ino,
        at: WriteAt::End,
        data: WriteData::Inline(Bytes::from_static(b"x")),
        kill_privileges: false,
    };
    let mut state = owner();
    assert!(state.may_change(&write(FILE)) && state.may_change(&unlink("a")));
    assert!(matches!(state.recalled(ROOM, None), Step::Drop(_)));
    assert!(!state.may_change(&write(FILE)) && state.may_change(&unlink("a")));
    assert!(matches!(state.recalled(FILE, Some(Mode::Shared)), Step::GiveBack(_)));
    assert_eq!(state.attr(FILE), Some(file()), "it is still known");
    let chmod = Op::SetAttr { ino: FILE, set: holdfast_core::attr::SetAttr::default() };
    assert!(!state.may_change(&chmod));
    // What the server decides is in doubt until it has, and what was asked before does not count.
    let mut state = owner();
    state.submitted(&write(FILE), Seq(7));
    assert_eq!(state.attr(FILE), None);
    looked_up(&mut state, "a", Some(file()), &[]);
    assert_eq!(state.attr(FILE), None);
    done(&mut state, write(FILE), OpReply::Attr(file()), &[FILE], &[]);
    assert_eq!(state.attr(FILE), None, "operation 1 is not the last one");
}

#[test]
fn a_recall_of_a_directory_lowers_what_is_in_it() {
    let mut state = owner();
    let lowered = state.lower_below(DIR);
    assert_eq!(
        lowered.iter().map(|back| (back.target, back.left)).collect::<Vec<_>>(),
        [(Target::Inode(FILE), Some(Mode::Shared))]
    );
    assert!(state.lower_below(DIR).is_empty());
    assert!(state.own(FILE).is_none() && state.attr(FILE).is_some());
}

#[test]
fn a_recall_reaches_what_lies_beside_and_is_not_in_use() {
    let mut state = owner();
    let beside = attr(InodeId(31), FileKind::Regular, 1);
    let own = |ino| Grant { target: Target::Inode(ino), mode: Mode::Exclusive, number: GrantNo(6) };
    for (text, found) in [("a", file()), ("b", beside)] {
        let question = Question::Lookup { parent: DIR, name: name(text) };
        let answered = Answered { result: Ok(Reply::Lookup(found)), grants: vec![own(found.ino)] };
        state.answered(&question, Seq(0), &answered);
    }
    std::thread::sleep(Duration::from_millis(150));
    assert!(state.lower_beside(FILE).is_empty(), "a recall of the directory will do that");
    assert!(matches!(state.recalled(DIR, Some(Mode::Shared)), Step::GiveBack(_)));
    let used = state.attr(beside.ino);
    assert!(used.is_some() && state.lower_beside(FILE).is_empty(), "it is in use");
    std::thread::sleep(Duration::from_millis(150));
    let lowered: Vec<_> = state.lower_beside(FILE).iter().map(|back| (back.target, back.left)).collect();
    assert_eq!(lowered, [(Target::Inode(beside.ino), Some(Mode::Shared))]);
    assert!(state.own(FILE).is_some(), "that one is recalled by itself");
}

#[test]
fn a_recall_reaches_what_is_deeper_and_not_in_use() {
    let mut state = owner();
    let (below, deep) = (attr(InodeId(30), FileKind::Directory, 0), attr(InodeId(31), FileKind::Regular, 1));
    let own = |ino| Grant { target: Target::Inode(ino), mode: Mode::Exclusive, number: GrantNo(6) };
    let found = |state: &mut State, parent, text: &str, found: Attr| {
        let question = Question::Lookup { parent, name: name(text) };
        let answered = Answered { result: Ok(Reply::Lookup(found)), grants: vec![own(found.ino)] };
        state.answered(&question, Seq(0), &answered);
    };
    found(&mut state, DIR, "d", below);
    found(&mut state, below.ino, "f", deep);
    let lowered = |state: &mut State| state.lower_below(DIR).iter().map(|back| back.target).collect::<Vec<_>>();
    let first = lowered(&mut state);
    assert!(first.contains(&Target::Inode(below.ino)) && first.len() == 2, "{first:?}");
    assert!(state.own(deep.ino).is_some(), "it is in use");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(lowered(&mut state), [Target::Inode(deep.ino)]);
    assert!(state.attr(deep.ino).is_some() && state.attr(below.ino).is_some());
    // Who changes names mostly changes what they lead to.
    let released: Vec<InodeId> = state.release_below(DIR).into_iter().map(|(ino, _)| ino).collect();
    assert_eq!(released, [FILE], "the others were just used");
    assert!(state.attr(FILE).is_none() && state.dropped(Target::Inode(FILE)).is_some());
}

#[test]
fn a_directory_whose_names_are_asked_for_is_read_on_in_growing_steps() {
    let mut state = owner();
    let mut misses = || (0..MISSES).find_map(|_| state.missed(DIR));
    assert_eq!(misses(), Some((DirCookie(0), 1)));
    assert_eq!(misses(), None, "it is under way");
    state.has_read_on(DIR);
    let mut misses = || (0..MISSES).find_map(|_| state.missed(DIR));
    assert_eq!(misses(), Some((DirCookie(0), 4)));
    assert_eq!(state.missed(FILE), None);
    state.has_read_on(DIR);
    state.is_empty(DIR);
    assert_eq!((0..MISSES).find_map(|_| state.missed(DIR)), None, "everything is known");
    assert_eq!(State::default().missed(DIR), None, "nothing could be remembered");
}

/// A page of one entry was asked for behind an operation and an entry, and is answered.
fn listed(state: &mut State, behind: u64, after: u64, (text, cookie): (&str, u64), end: bool) {
    let (after, cookie) = (DirCookie(after), DirCookie(cookie));
    let entry = DirEntry { name: name(text), ino: FILE, kind: FileKind::Regular, cookie, attr: Some(file()) };
    let question = Question::ReadDir { ino: DIR, after, entries_max: 0, with_attributes: true };
    let result = Ok(Reply::ReadDir(DirPage { entries: vec![entry], end, parent: DIR }));
    state.answered(&question, Seq(behind), &Answered { result, grants: grants(&[FILE]) });
}

#[test]
fn a_listing_is_learnt_while_names_are_changed() {
    let mut state = owner();
    state.submitted(&unlink("b"), Seq(10));
    listed(&mut state, 9, 0, ("b", 3), false);
    state.submitted(&unlink("d"), Seq(11));
    listed(&mut state, 10, 3, ("c", 4), true);
    assert_eq!(state.lookup(DIR, &name("c")), Some(Found::Entry(file())));
    assert_eq!(state.lookup(DIR, &name("nothing")), Some(Found::Nothing));
    for changed in ["b", "d"] {
        assert_eq!(state.lookup(DIR, &name(changed)), None, "{changed} was in doubt when the listing was asked for");
    }
}

#[test]
fn what_was_asked_before_a_change_is_not_news_when_the_inode_was_forgotten_meanwhile() {
    let mut state = owner();
    state.submitted(&unlink("a"), Seq(10));
    state.recalled(DIR, None);
    state.dropped(Target::Inode(DIR));
    for (behind, known) in [(9, None), (10, Some(Found::Entry(file())))] {
        let question = Question::Lookup { parent: DIR, name: name("a") };
        let answered = Answered { result: Ok(Reply::Lookup(file())), grants: grants(&[DIR, FILE]) };
        state.answered(&question, Seq(behind), &answered);
        assert_eq!(state.lookup(DIR, &name("a")), known);
    }
}

#[test]
fn a_listing_that_is_read_on_over_a_name_in_doubt_leaves_that_in_doubt() {
    for doubted in [false, true] {
        let mut state = owner();
        listed(&mut state, 9, 0, ("b", 3), false);
        if doubted {
            state.doubt_name(DIR, &name("b"));
        }
        listed(&mut state, 9, 3, ("c", 4), true);
        assert_eq!(state.lookup(DIR, &name("nothing")), Some(Found::Nothing));
        assert_eq!(state.lookup(DIR, &name("b")).is_some(), !doubted);
    }
}
