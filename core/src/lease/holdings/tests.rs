use super::*;
use crate::id::InodeId;

const ONE: InodeId = InodeId(1);
const TWO: InodeId = InodeId(2);

fn grant(target: Target, mode: Mode, number: u64) -> Grant {
    Grant { target, mode, number: GrantNo(number) }
}

#[test]
fn going_down_to_shared_needs_nothing_of_the_kernel() {
    let mut held = Holdings::default();
    held.granted(grant(Target::Inode(ONE), Mode::Exclusive, 4));
    let step = held.recalled(Target::Inode(ONE), Some(Mode::Shared), &[]);
    let back = GiveBack { target: Target::Inode(ONE), left: Some(Mode::Shared), seen: GrantNo(4), kept: Vec::new() };
    assert_eq!(step, Step::GiveBack(back));
    assert!(held.may(ONE, Mode::Shared) && !held.may(ONE, Mode::Exclusive));
}

#[test]
fn what_is_recalled_is_not_answered_while_the_kernel_drops_it() {
    let mut held = Holdings::default();
    held.granted(grant(Target::Inode(ONE), Mode::Exclusive, 4));
    assert_eq!(held.recalled(Target::Inode(ONE), None, &[]), Step::Drop(Drop { target: Target::Inode(ONE) }));
    assert!(!held.may(ONE, Mode::Shared));
    assert_eq!(held.claims(), [(Target::Inode(ONE), Mode::Exclusive)], "it is not given back yet");
    assert_eq!(held.recalled(Target::Inode(ONE), None, &[]), Step::Wait);
    assert!(matches!(held.dropped(Target::Inode(ONE)), Some(GiveBack { left: None, .. })));
    assert!(held.claims().is_empty());
    assert_eq!(held.dropped(Target::Inode(ONE)), None);
}

#[test]
fn the_volume_leaves_what_is_used() {
    let mut held = Holdings::default();
    held.granted(grant(Target::Volume, Mode::Exclusive, 1));
    assert!(held.may(TWO, Mode::Exclusive));
    let used = [(ONE, Mode::Exclusive)];
    assert_eq!(held.recalled(Target::Volume, None, &used), Step::Drop(Drop { target: Target::Volume }));
    assert!(held.may(ONE, Mode::Exclusive) && !held.may(TWO, Mode::Shared));
    assert_eq!(held.dropped(Target::Volume).map(|back| back.kept), Some(used.to_vec()));
    assert_eq!(held.claims(), [(Target::Inode(ONE), Mode::Exclusive)]);
}

#[test]
fn a_recall_of_nothing_is_answered() {
    let mut held = Holdings::default();
    assert!(matches!(held.recalled(Target::Inode(ONE), None, &[]), Step::GiveBack(GiveBack { left: None, .. })));
    assert!(matches!(held.recalled(Target::Volume, None, &[]), Step::GiveBack(GiveBack { left: None, .. })));
    assert_eq!(held.release(ONE), None);
}
