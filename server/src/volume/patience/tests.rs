use super::*;

const LONG: Duration = Duration::from_secs(1);

fn at(millis: u64) -> BootTime {
    BootTime(Duration::from_millis(millis))
}

fn claim(number: u64) -> Option<WaitsFor> {
    Some(WaitsFor::Claim(ClaimId(number)))
}

#[test]
fn who_waits_for_one_thing_for_long_is_held_up_until_it_has_it() {
    let mut held_up = HeldUp::default();
    for millis in (5000..9000).step_by(100) {
        held_up.look(claim(1), at(millis), LONG);
        assert_eq!(held_up.since(at(5001)), millis >= 6000, "at {millis} ms");
    }
    held_up.look(None, at(9000), LONG);
    assert!(held_up.since(at(8900)) && !held_up.since(at(8901)));
}

#[test]
fn who_waits_for_a_moment_now_and_then_is_not() {
    let mut held_up = HeldUp::default();
    for number in 0..100 {
        let waits = if number % 3 == 0 { Some(WaitsFor::Notices(Seq(number))) } else { claim(number / 9) };
        held_up.look(waits, at(5000 + 300 * number), LONG);
    }
    assert!(!held_up.since(at(1)));
}
