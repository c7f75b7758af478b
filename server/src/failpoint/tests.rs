#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn nothing_is_left_out_unless_it_is_named() {
    assert!(Failpoint::ALL.into_iter().all(|point| !point.is_armed()));
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse("batch-sync, fence,").unwrap(), [Failpoint::BatchSync, Failpoint::Fence]);
    let refused = parse("batch-sync,fast").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("\"fast\"") && refused.message().contains("batch-sync"), "{refused}");
}

#[test]
fn each_has_a_name_and_a_bit_of_its_own() {
    let bits = Failpoint::ALL.into_iter().fold(0, |bits, point| bits | point.bit());
    assert_eq!(bits.count_ones() as usize, Failpoint::ALL.len());
    assert!(Failpoint::ALL.into_iter().all(|point| parse(point.name()).unwrap() == [point]));
}
