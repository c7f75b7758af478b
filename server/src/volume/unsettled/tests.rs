use bytes::Bytes;
use holdfast_core::lease::add_need;

use super::*;

const WRITER: SessionId = SessionId([1; 16]);
const READER: SessionId = SessionId([2; 16]);
const DIR: InodeId = InodeId(10);
const FILE: InodeId = InodeId(11);

fn name(text: &'static str) -> FileName {
    FileName::new(Bytes::from_static(text.as_bytes())).expect("a name")
}

fn unlink(of: &'static str) -> Vec<Thing> {
    let mut claim = Needs::new();
    add_need(&mut claim, DIR, Mode::Exclusive);
    add_need(&mut claim, FILE, Mode::Exclusive);
    changes(&Op::Unlink { parent: DIR, name: name(of) }, &claim)
}

#[test]
fn others_wait_for_the_commit_that_takes_a_change_up() {
    let unsettled = Unsettled::default();
    let file = [Thing::Inode(FILE)];
    assert_eq!(unsettled.round_of(READER, &file), None);
    unsettled.change(WRITER, file.clone());
    assert_eq!(unsettled.round_of(WRITER, &file), None, "who changes something sees it");
    let round = unsettled.round_of(READER, &file);
    assert_eq!(round, Some(Round(1)));
    unsettled.begin();
    assert_eq!(unsettled.round_of(READER, &file), round, "it is not over");
    assert_eq!(Some(unsettled.finish()), round);
    assert_eq!(unsettled.round_of(READER, &file), None);
}

#[test]
fn what_changes_during_a_commit_is_the_next_one_s() {
    let unsettled = Unsettled::default();
    let file = [Thing::Inode(FILE)];
    unsettled.change(WRITER, file.clone());
    unsettled.begin();
    unsettled.change(WRITER, file.clone());
    assert_eq!(unsettled.round_of(READER, &file), Some(Round(2)));
    assert_eq!(unsettled.finish(), Round(1));
    assert_eq!(unsettled.round_of(READER, &file), Some(Round(2)));
    unsettled.begin();
    unsettled.finish();
    assert_eq!(unsettled.round_of(READER, &file), None);
}

#[test]
fn what_two_have_changed_neither_is_shown() {
    let unsettled = Unsettled::default();
    let file = [Thing::Inode(FILE)];
    unsettled.change(WRITER, file.clone());
    unsettled.change(READER, file.clone());
    assert_eq!(unsettled.round_of(WRITER, &file), Some(Round(1)));
    assert_eq!(unsettled.round_of(READER, &file), Some(Round(1)));
    unsettled.begin();
    unsettled.change(WRITER, file.clone());
    assert_eq!(unsettled.round_of(WRITER, &file), Some(Round(1)), "its own is not waited for, the other's is");
}

#[test]
fn names_beside_each_other_are_not_waited_for() {
    let unsettled = Unsettled::default();
    unsettled.change(WRITER, unlink("one"));
    assert!(unsettled.round_of(READER, &[Thing::Name(DIR, name("two")), Thing::Inode(DIR)]).is_none());
    assert!(unsettled.round_of(READER, &[Thing::Name(DIR, name("one"))]).is_some());
    assert!(unsettled.round_of(READER, &attributes(DIR)).is_some(), "its times have changed");
    assert!(unsettled.round_of(READER, &attributes(FILE)).is_some());
    // Who takes the directory away must know that it is empty.
    let mut claim = Needs::new();
    add_need(&mut claim, InodeId(1), Mode::Exclusive);
    add_need(&mut claim, DIR, Mode::Exclusive);
    let rmdir = depends(&Op::Rmdir { parent: InodeId(1), name: name("dir") }, &claim);
    assert!(unsettled.round_of(READER, &rmdir).is_some());
}

#[test]
fn a_question_shows_the_names_and_attributes_that_it_is_about() {
    let mut needs = Needs::new();
    add_need(&mut needs, DIR, Mode::Shared);
    add_need(&mut needs, FILE, Mode::Shared);
    let lookup = of_question(&Question::Lookup { parent: DIR, name: name("one") }, &needs);
    for thing in [Thing::Name(DIR, name("one")), Thing::Inode(DIR), Thing::Inode(FILE), Thing::Names(FILE)] {
        assert!(lookup.contains(&thing), "{thing:?}");
    }
    assert!(!lookup.contains(&Thing::Names(DIR)), "other names are not its business");
}
