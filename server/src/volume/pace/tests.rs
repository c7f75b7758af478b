use super::*;

const fn at(millis: u64) -> BootTime {
    BootTime(Duration::from_millis(millis))
}

#[test]
fn a_slow_disk_is_the_committers() {
    let mut pace = Pace::default();
    assert!(pace.is_quick_for_one());
    pace.took(Duration::from_millis(4));
    assert!(!pace.is_quick_for_one());
    pace.took(Duration::from_micros(300));
    assert!(pace.is_quick_for_one());
}

#[test]
fn what_several_wish_for_goes_together() {
    let (a, b) = (SessionId([1; 16]), SessionId([2; 16]));
    let mut pace = Pace::default();
    pace.wished(a, at(100));
    pace.wished(a, at(101));
    assert!(pace.is_quick_for_one());
    pace.wished(b, at(105));
    assert!(!pace.is_quick_for_one());
    pace.wished(b, at(114));
    assert!(!pace.is_quick_for_one());
    pace.wished(b, at(116));
    assert!(pace.is_quick_for_one(), "the other one has not wished for long");
}
