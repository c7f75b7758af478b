#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn pending(state: &mut State, node: u64) {
    state.waiting.insert(Node(node), Pending { start: 0, end: None, length: None, done: Vec::new() });
    state.order.push_back(Node(node));
}

fn pages(job: Option<Job>) -> Option<Node> {
    match job? {
        Job::Pages(node, _) => Some(node),
        Job::Attributes(_) => None,
    }
}

#[test]
fn attributes_never_wait_behind_pages() {
    let mut state = State { threads: 1, ..State::default() };
    pending(&mut state, 5);
    assert!(pages(state.next()).is_some());
    pending(&mut state, 5);
    let nothing = || -> Done { Box::new(|| ()) };
    state.attributes.push_back(Attributes { node: Node(5), told: Instant::now(), ready: nothing(), done: nothing() });
    assert!(matches!(state.next(), Some(Job::Attributes(Attributes { node: Node(5), .. }))));
    assert!(state.next().is_none());
}

#[test]
fn an_inode_that_is_being_worked_on_does_not_hold_up_the_others() {
    let mut state = State { threads: 1, ..State::default() };
    pending(&mut state, 5);
    assert_eq!(pages(state.next()), Some(Node(5)));
    pending(&mut state, 5);
    pending(&mut state, 6);
    assert_eq!(pages(state.next()), Some(Node(6)));
    assert!(state.next().is_none());
    state.busy.remove(&Node(5));
    assert_eq!(pages(state.next()), Some(Node(5)));
}

#[test]
fn help_is_called_only_when_all_threads_hang() {
    let long_ago = Instant::now().checked_sub(2 * HANG).unwrap();
    let mut state = State { threads: 2, ..State::default() };
    state.busy.insert(Node(1), long_ago);
    state.busy.insert(Node(2), Instant::now());
    assert!(!state.wants_help());
    state.busy.insert(Node(2), long_ago);
    assert!(state.wants_help());
    state.threads = THREADS_MAX;
    assert!(!state.wants_help());
}
