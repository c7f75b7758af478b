//! What the kernel is told of names.

use super::*;

const BRIEFLY: Duration = Duration::from_millis(100);

fn known() -> State {
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    looked_up(&mut state, "b", None, &[DIR]);
    state
}

#[test]
fn a_name_is_believed_only_as_it_is_known() {
    let mut state = known();
    assert!(state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
    assert!(state.tell_name((DIR, b"b"), None, BRIEFLY));
    assert!(!state.tell_name((DIR, b"a"), None, BRIEFLY));
    assert!(!state.tell_name((DIR, b"b"), Some(FILE), BRIEFLY));
    assert!(!state.tell_name((DIR, b"c"), None, BRIEFLY), "nobody knows whether there is one");
    assert!(!state.tell_name((InodeId(9), b"a"), Some(FILE), BRIEFLY));
}

#[test]
fn a_name_needs_the_lease_of_what_it_leads_to() {
    // The kernel would judge by an owner that it does not look at.
    let mut state = State::default();
    looked_up(&mut state, "a", Some(file()), &[DIR]);
    assert!(!state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
    let mut state = known();
    state.recalled(FILE, None);
    assert!(!state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
}

#[test]
fn what_is_believed_of_a_name_ends_with_time_for_the_directory_and_for_what_it_leads_to() {
    let mut state = known();
    assert_eq!((state.told(DIR), state.told(FILE)), (Believed::default(), Believed::default()));
    let before = Instant::now();
    assert!(state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
    for ino in [DIR, FILE] {
        let until = state.told(ino).names.unwrap();
        assert!(until >= before + BRIEFLY + TAKEN_UP, "the kernel counts from when it has the answer");
    }
    // A name that leads to nothing is the directory's alone.
    let mut state = known();
    assert!(state.tell_name((DIR, b"b"), None, BRIEFLY));
    assert!(state.told(DIR).names.is_some() && state.told(FILE).names.is_none());
}

#[test]
fn what_another_host_has_wanted_is_not_believed_for_a_while() {
    let mut state = known();
    state.recalled(DIR, None);
    state.dropped(Target::Inode(DIR));
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    assert_eq!(state.lookup(DIR, &name("a")), Some(Found::Entry(file())), "it is remembered here all the same");
    assert!(!state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
    let mut state = known();
    state.recalled(FILE, None);
    state.dropped(Target::Inode(FILE));
    looked_up(&mut state, "a", Some(file()), &[DIR, FILE]);
    assert!(!state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
    assert!(state.tell_name((DIR, b"b"), None, BRIEFLY));
}

#[test]
fn who_only_looks_takes_no_belief_away() {
    let mut state = known();
    state.recalled(DIR, Some(Mode::Shared));
    assert!(state.tell_name((DIR, b"a"), Some(FILE), BRIEFLY));
}
