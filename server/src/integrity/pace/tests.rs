use super::*;

const fn at(millis: u64) -> BootTime {
    BootTime(Duration::from_millis(millis))
}

#[test]
fn bytes_take_the_time_that_they_are_worth() {
    let mut pace = Pace::new(1000, at(0));
    assert_eq!(pace.took(100, at(0)), Duration::from_millis(100));
    assert_eq!(pace.took(100, at(100)), Duration::from_millis(100));
    // The read itself took half of it.
    assert_eq!(pace.took(100, at(250)), Duration::from_millis(50));
}

#[test]
fn time_that_was_not_used_is_no_burst() {
    let mut pace = Pace::new(1000, at(0));
    assert_eq!(pace.took(10, at(60_000)), Duration::ZERO);
    assert_eq!(pace.took(1000, at(60_000)), Duration::from_secs(1));
    let total: Duration = (0..10).map(|_| pace.took(1000, at(61_000))).sum();
    assert!(total > Duration::from_secs(10));
}

#[test]
fn no_figure_is_too_large() {
    let mut pace = Pace::new(0, at(0));
    assert!(pace.took(u64::MAX, at(0)) > Duration::from_secs(1));
    assert_eq!(Pace::new(u64::MAX, at(0)).took(1 << 20, at(0)), Duration::ZERO);
}
