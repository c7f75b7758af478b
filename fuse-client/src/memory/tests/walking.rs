//! Listings that come before they are wanted.

use super::*;
use crate::memory::walks::Wanted;

const AHEAD: InodeId = InodeId(30);

/// Somebody walks, and this directory is to be listed next.
fn walked() -> State {
    let mut state = State::default();
    state.walks.listed(InodeId(20), None, [InodeId(21), InodeId(22), AHEAD].into_iter());
    state.walks.listed(InodeId(21), Some(InodeId(20)), std::iter::empty());
    let next = state.walks.listed(InodeId(22), Some(InodeId(20)), std::iter::empty());
    assert_eq!(next, [AHEAD]);
    state
}

fn page(attr: Option<Attr>) -> DirPage {
    let (name, kind, cookie) = (name("f"), FileKind::Regular, DirCookie(3));
    DirPage { entries: vec![DirEntry { name, ino: FILE, kind, cookie, attr }], end: true, parent: InodeId(20) }
}

fn comes(state: &mut State, lent: &[InodeId]) {
    let question = Question::ReadDir { ino: AHEAD, after: DirCookie(0), entries_max: 0, with_attributes: true };
    let result = Ok(Reply::ReadDir(page(Some(file()))));
    state.answered(&question, Seq(9), &Answered { result, grants: grants(lent) });
}

#[test]
fn what_has_come_is_taken_once_and_only_under_a_lease() {
    let mut state = walked();
    assert_eq!(state.list(AHEAD), Wanted::Nothing, "it is not lent yet");
    comes(&mut state, &[AHEAD, FILE]);
    assert_eq!((state.list(AHEAD), state.list(AHEAD)), (Wanted::Here(page(Some(file()))), Wanted::Nothing));
    let mut state = walked();
    comes(&mut state, &[FILE]);
    assert_eq!(state.list(AHEAD), Wanted::Nothing);
}

#[test]
fn attributes_are_those_of_the_moment_when_it_is_taken() {
    let mut state = walked();
    comes(&mut state, &[AHEAD, FILE]);
    state.recalled(FILE, None);
    assert_eq!(state.list(AHEAD), Wanted::Here(page(None)));
}

#[test]
fn a_change_or_a_recall_of_the_directory_takes_it_away() {
    let unlink = Op::Unlink { parent: AHEAD, name: name("f") };
    let mut state = walked();
    comes(&mut state, &[AHEAD, FILE]);
    state.submitted(&unlink, Seq(10));
    assert_eq!(state.list(AHEAD), Wanted::Nothing);
    let mut state = walked();
    looked_up(&mut state, "d", None, &[AHEAD]);
    state.submitted(&unlink, Seq(10));
    comes(&mut state, &[AHEAD, FILE]);
    assert_eq!(state.list(AHEAD), Wanted::Nothing, "it was asked for before the change");
    let changes: [fn(&mut State); 3] =
        [|state| _ = state.recalled(AHEAD, None), State::forget_all, |state| _ = state.lost()];
    for change in changes {
        let mut state = walked();
        comes(&mut state, &[AHEAD, FILE]);
        change(&mut state);
        assert_eq!(state.list(AHEAD), Wanted::Nothing);
    }
    // Who may still look may still list.
    let mut state = walked();
    comes(&mut state, &[AHEAD, FILE]);
    state.recalled(AHEAD, Some(Mode::Shared));
    assert!(matches!(state.list(AHEAD), Wanted::Here(_)));
}
