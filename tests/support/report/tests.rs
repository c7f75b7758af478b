use super::*;

fn report(done: usize, faults: usize, acknowledged: usize) -> Report {
    let mut report = Report::new("a test", 2);
    (report.done, report.faults, report.acknowledged) = (done, faults, acknowledged);
    report
}

#[test]
fn a_run_that_did_something_and_found_nothing_passes() {
    report(2, 1, 1).end();
}

#[test]
fn a_run_that_did_too_little_fails() {
    for (done, faults, acknowledged) in [(1, 1, 1), (2, 0, 1), (2, 1, 0)] {
        assert_eq!(report(done, faults, acknowledged).objections().len(), 1);
    }
}

#[test]
#[should_panic(expected = "a byte is gone")]
fn a_violation_fails() {
    let mut report = report(2, 1, 1);
    report.violation("a byte is gone");
    report.end();
}
