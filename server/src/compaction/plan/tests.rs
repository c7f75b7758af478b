use super::*;

const MIB: u64 = 1 << 20;
const ROOMY: Disk = Disk { free: 1 << 40, reserve: 256 * MIB };

fn segment(id: u64, len: u64, live: u64) -> Segment {
    Segment { id: SegmentId(id), len: len * MIB, live: live * MIB }
}

/// A plan for segments that are as they were at the last look.
fn at_rest(segments: &[Segment], disk: Disk) -> Plan {
    let mut memory = Memory::default();
    plan(segments, &mut memory, disk, 40);
    plan(segments, &mut memory, disk, 40)
}

fn ids(plan: &Plan) -> Vec<u64> {
    plan.victims.iter().map(|victim| victim.id.0).collect()
}

#[test]
fn the_emptiest_go_first_and_the_full_ones_stay() {
    let segments = [segment(1, 256, 150), segment(2, 256, 10), segment(3, 256, 250), segment(4, 256, 0)];
    let planned = at_rest(&segments, ROOMY);
    assert_eq!((ids(&planned), planned.tight, planned.no_room), (vec![2, 1], false, None));
    // More in use than there is: copies share frames.
    assert_eq!(ids(&at_rest(&[segment(1, 256, 700)], ROOMY)), Vec::<u64>::new());
    assert_eq!(ids(&at_rest(&[], ROOMY)), Vec::<u64>::new());
}

#[test]
fn a_pass_frees_something_of_what_it_looks_at() {
    assert_eq!(ids(&at_rest(&[segment(1, 8, 1)], ROOMY)), Vec::<u64>::new(), "7 MiB");
    assert_eq!(ids(&at_rest(&[segment(1, 8, 1), segment(2, 2, 1)], ROOMY)), [1, 2]);
    let mut many: Vec<Segment> = (10..100).map(|id| segment(id, 256, 250)).collect();
    many.push(segment(1, 256, 20));
    assert_eq!(ids(&at_rest(&many, ROOMY)), Vec::<u64>::new(), "236 MiB of 22 GiB");
    many.push(segment(2, 256, 20));
    assert_eq!(ids(&at_rest(&many, ROOMY)), [1, 2]);
}

#[test]
fn what_is_being_deleted_is_left_until_it_rests() {
    let mut memory = Memory::default();
    let look = |memory: &mut Memory, live| ids(&plan(&[segment(1, 256, live)], memory, ROOMY, 40));
    assert_eq!(look(&mut memory, 150), Vec::<u64>::new(), "never seen before");
    assert_eq!(look(&mut memory, 120), Vec::<u64>::new(), "30 MiB went since");
    assert_eq!(look(&mut memory, 110), [1], "10 MiB went since");
}

#[test]
fn what_was_not_worth_it_is_left_until_it_has_changed() {
    let mut memory = Memory::default();
    let look = |memory: &mut Memory, live| ids(&plan(&[segment(1, 256, live)], memory, ROOMY, 40));
    look(&mut memory, 100);
    assert_eq!(look(&mut memory, 100), [1]);
    memory.settle(SegmentId(1), 100 * MIB);
    assert_eq!(look(&mut memory, 100), Vec::<u64>::new());
    assert_eq!(look(&mut memory, 99), Vec::<u64>::new());
    assert_eq!(look(&mut memory, 96), [1]);
    // One that is gone is forgotten.
    memory.settle(SegmentId(1), 96 * MIB);
    plan(&[], &mut memory, ROOMY, 40);
    assert!(memory.settled.is_empty());
}

#[test]
fn a_disk_that_is_nearly_full_makes_room_with_the_room_that_there_is() {
    let segments = [segment(1, 256, 200), segment(2, 256, 50), segment(3, 256, 20), segment(4, 256, 240)];
    let disk = Disk { free: 300 * MIB, reserve: 256 * MIB };
    let planned = plan(&segments, &mut Memory::default(), disk, 40);
    assert!(planned.tight);
    assert_eq!(ids(&planned), [3, 2, 1], "at once, and all that are dead by a tenth");
    let fuller = Disk { free: 100 * MIB, ..disk };
    assert_eq!(ids(&plan(&segments, &mut Memory::default(), fuller, 40)), [3]);
    let full = Disk { free: 70 * MIB, ..disk };
    let planned = plan(&segments, &mut Memory::default(), full, 40);
    assert_eq!((ids(&planned), planned.no_room), (Vec::new(), Some(20 * MIB)));
    let little = plan(&[Segment { live: MIB / 2, ..segment(1, 1, 0) }], &mut Memory::default(), full, 40);
    assert_eq!((ids(&little), little.no_room), (Vec::new(), None), "half a MiB is not missed");
    // While others have room it is left to them.
    let roomy = Disk { free: 1100 * MIB, ..disk };
    assert_eq!(ids(&at_rest(&[segment(1, 2000, 900)], roomy)), Vec::<u64>::new());
}

#[test]
fn what_must_be_moved_decides_in_the_end() {
    let planned = at_rest(&[segment(1, 256, 10)], ROOMY);
    assert_eq!(planned.victims[0].dead(), 246 * MIB);
    assert!(planned.is_worth(256, 153) && !planned.is_worth(256, 154), "small pieces have headers of their own");
}
