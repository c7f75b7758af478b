use super::*;

const fn at(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}

const DAY: Duration = Duration::from_secs(1000);

#[test]
fn a_volume_is_due_an_interval_after_its_last_scrub() {
    let never = Known::default();
    assert_eq!(due(never, at(100), at(1099), DAY), None);
    assert_eq!(due(never, at(100), at(1100), DAY), Some(0));
    let scrubbed = Known { ended: Some(at(5000)), ..never };
    assert_eq!(due(scrubbed, at(100), at(5999), DAY), None);
    assert_eq!(due(scrubbed, at(100), at(6010), DAY), Some(10));
}

#[test]
fn what_has_begun_goes_on_and_what_failed_rests() {
    let begun = Known { is_begun: true, ..Known::default() };
    assert_eq!(due(begun, at(100), at(150), DAY), Some(50));
    let failed = Known { failed: Some(at(150)), ..begun };
    assert_eq!(due(failed, at(100), at(249), DAY), None);
    assert_eq!(due(failed, at(100), at(250), DAY), Some(150));
    // A clock that went back is no reason to scrub.
    assert_eq!(due(Known { ended: Some(at(9000)), ..Known::default() }, at(100), at(50), DAY), None);
}
