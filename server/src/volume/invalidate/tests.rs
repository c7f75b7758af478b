use std::time::Duration;

use holdfast_core::id::DataVersion;

use super::*;

const A: SessionId = SessionId([1; 16]);
const B: SessionId = SessionId([2; 16]);
const C: SessionId = SessionId([3; 16]);
const NOW: BootTime = BootTime(Duration::from_secs(5));

fn change(ino: u64, offset: u64, len: Option<u64>, version: u64) -> Invalidation {
    Invalidation { ino: InodeId(ino), offset, len, data_version: DataVersion(version), size: version }
}

#[test]
fn an_answer_waits_for_every_session_that_must_drop_something() {
    let mut table = Invalidations::default();
    let mut effects = Effects::default();
    let by = (A, Seq(1));
    for to in [B, C] {
        table.notify(to, change(7, 0, Some(4), 2), Some(by), NOW, &mut effects);
    }
    let [to_b, to_c] = effects.send[..] else { panic!("two messages") };
    assert_eq!((to_b.to, to_c.to), (B, C));
    let mut effects = Effects::default();
    table.done(C, to_b.id, NOW, &mut effects);
    assert_eq!(effects, Effects::default(), "nobody confirms for another");
    table.done(B, to_b.id, NOW, &mut effects);
    table.done(B, to_b.id, NOW, &mut effects);
    assert_eq!(effects.released, [by]);
    table.done(C, to_c.id, NOW, &mut effects);
    assert_eq!(effects.released, [by, by]);
    assert!(table.is_empty());
}

#[test]
fn changes_merge_while_one_is_under_way() {
    let mut table = Invalidations::default();
    let mut effects = Effects::default();
    for (seq, offset, len) in [(1, 100, Some(10)), (2, 50, Some(10)), (3, 500, None)] {
        table.notify(B, change(7, offset, len, seq), Some((A, Seq(seq))), NOW, &mut effects);
    }
    assert_eq!(effects.send.len(), 1);
    let first = effects.send[0].id;
    let mut effects = Effects::default();
    table.done(B, first, NOW, &mut effects);
    assert_eq!(effects.released, [(A, Seq(1))]);
    assert_eq!(effects.send[0].what, change(7, 50, None, 3));
    let second = effects.send[0].id;
    let mut effects = Effects::default();
    table.done(B, second, NOW, &mut effects);
    assert_eq!(effects.released, [(A, Seq(2)), (A, Seq(3))]);
    assert!(table.is_empty());
}

#[test]
fn two_writers_of_one_file_do_not_wait_for_each_other() {
    let mut table = Invalidations::default();
    let mut effects = Effects::default();
    table.notify(B, change(7, 0, None, 1), Some((A, Seq(1))), NOW, &mut effects);
    table.notify(B, change(7, 0, None, 2), Some((A, Seq(2))), NOW, &mut effects);
    // B's own write arrives before it has confirmed anything.
    table.excuse(B, InodeId(7), &mut effects);
    assert_eq!(effects.released, [(A, Seq(1)), (A, Seq(2))]);
    assert_eq!(table.resend(B).len(), 1, "it is still told");
    table.excuse(B, InodeId(8), &mut effects);
    assert_eq!(effects.released.len(), 2);
}

#[test]
fn closing_and_leaving_end_the_wait() {
    let mut table = Invalidations::default();
    let mut effects = Effects::default();
    table.notify(B, change(7, 0, None, 1), Some((A, Seq(1))), NOW, &mut effects);
    table.notify(C, change(7, 0, None, 1), Some((A, Seq(1))), NOW, &mut effects);
    table.closed(B, InodeId(7), &mut effects);
    table.gone(C, &mut effects);
    assert_eq!(effects.released, [(A, Seq(1)), (A, Seq(1))]);
    assert!(table.is_empty());

    let mut effects = Effects::default();
    table.notify(B, change(7, 0, None, 1), Some((A, Seq(2))), NOW, &mut effects);
    table.gone(A, &mut effects);
    table.gone(B, &mut effects);
    assert!(effects.released.is_empty(), "who is gone waits for nothing");
}

#[test]
fn who_does_not_confirm_is_reported() {
    let mut table = Invalidations::default();
    let mut effects = Effects::default();
    table.notify(B, change(7, 0, None, 1), None, NOW, &mut effects);
    assert!(table.overdue(NOW).is_empty());
    let later = BootTime(NOW.0 + Duration::from_secs(1));
    assert_eq!(table.overdue(later), [B]);
    table.forgive(Duration::from_secs(2));
    assert!(table.overdue(later).is_empty());
}
