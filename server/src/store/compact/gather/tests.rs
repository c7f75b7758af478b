use holdfast_core::hash::FrameHash;

use super::*;
use crate::meta::keys::DataId;
use crate::meta::record::extent::Frame;

fn live(segment: u64, position: u64) -> Live {
    let frame = Frame { segment: SegmentId(segment), position, len: 10, hash: FrameHash([0; 32]) };
    Live { frame, data: DataId(1), start: 0, len: 10, skip: 0 }
}

fn gathered(order: &[u64], max: usize, extents: &[(u64, u64)]) -> Vec<(u64, Vec<u64>)> {
    let order: Vec<SegmentId> = order.iter().map(|&id| SegmentId(id)).collect();
    let mut gather = Gather::new(&order, max);
    extents.iter().for_each(|&(segment, position)| gather.take(live(segment, position)));
    let places = |of: InUse| (of.segment.0, of.live.iter().map(|live| live.frame.position).collect());
    gather.finish().into_iter().map(places).collect()
}

#[test]
fn extents_are_sorted_by_segment_and_place() {
    let found = gathered(&[7, 3], 10, &[(3, 5), (7, 9), (5, 1), (7, 2), (3, 1)]);
    assert_eq!(found, [(7, vec![2, 9]), (3, vec![1, 5])]);
    assert_eq!(gathered(&[], 10, &[(1, 1)]), []);
}

#[test]
fn the_least_worthy_is_given_up_first() {
    let found = gathered(&[1, 2, 3], 3, &[(3, 0), (2, 0), (1, 0), (1, 1), (3, 1), (2, 1)]);
    assert_eq!(found, [(1, vec![0, 1])], "one more of 3 is no reason to give up 2, one more of 2 is");
    let found = gathered(&[1, 2, 3], 3, &[(3, 0), (2, 0), (1, 0), (1, 1), (3, 1), (3, 2)]);
    assert_eq!(found, [(1, vec![0, 1]), (2, vec![0])]);
    assert_eq!(gathered(&[1], 2, &[(1, 3), (1, 2), (1, 1)]), [(1, vec![2, 3])], "some of it is better than nothing");
}
