#![expect(clippy::unwrap_used, reason = "tests")]

use std::thread;
use std::time::Duration;

use super::*;
use crate::model::tree::{Prefix, of_directory};
use crate::scratch::Scratch;
use crate::wait;

#[test]
fn what_it_wrote_down_is_what_it_did() {
    let (scratch, journal, fate) = (Scratch::new("journal"), Journal::default(), Fate::default());
    thread::scope(|scope| {
        scope.spawn(|| journal.work(scratch.path(), 5, 10, &fate));
        wait::until_true("synced steps", wait::SOON, || journal.mark().synced > 300);
        fate.over.store(true, Ordering::Release);
    });
    let (mark, steps) = (journal.mark(), journal.steps(0));
    assert_eq!((mark.begun, mark.answered, journal.wrong()), (steps.len(), steps.len(), None));
    assert!(mark.synced <= mark.answered, "{mark:?}");
    let tree = of_directory(scratch.path()).unwrap();
    assert_eq!(Prefix::default().find(&steps, mark.synced, &tree), Ok(steps.len()));
}

/// A directory that somebody else empties: the steps are no more those of the model.
#[test]
fn a_wrong_answer_is_written_down_unless_it_may_die() {
    for dying in [false, true] {
        let (scratch, journal, fate) = (Scratch::new("journal"), Journal::default(), Fate::default());
        let root = scratch.dir("root");
        thread::scope(|scope| {
            scope.spawn(|| journal.work(&root, 6, 10, &fate));
            wait::until_true("steps", wait::SOON, || journal.mark().answered > 100);
            fate.dying.store(dying, Ordering::Release);
            std::fs::rename(&root, scratch.path().join("away")).unwrap();
            thread::sleep(Duration::from_millis(100));
            fate.over.store(true, Ordering::Release);
        });
        assert_eq!(journal.wrong().is_none(), dying);
        assert!(journal.mark().answered < journal.mark().begun);
    }
}
