#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
use std::sync::mpsc;

use super::*;

/// The leader's class, as the kernel says: field 41 of its stat.
fn class_of(thread: Pid) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(38).unwrap().parse().unwrap()
}

#[test]
fn the_leader_follows_and_the_others_wait_until_all_read() {
    let crew = Crew::new();
    if crew.processors.is_none() {
        assert!(crew.wait_for_turn(), "all read");
        return;
    }
    crew.lead();
    let me = gettid();
    assert_eq!(class_of(me), 5, "SCHED_IDLE");
    let bound = || Processors::mine().is_ok_and(|mine| mine.count() == 1);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !bound() {
        assert!(Instant::now() < deadline, "it is bound to where its requester runs");
        crew.read(u32::try_from(me.as_raw()).unwrap());
        thread::sleep(Duration::from_millis(1));
    }
    let (turn, turns) = mpsc::channel();
    let helper = thread::spawn({
        let crew = Arc::clone(&crew);
        move || {
            while crew.wait_for_turn() {
                turn.send(()).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    assert!(turns.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
    crew.spread(me, true);
    turns.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(class_of(me), 0);
    assert_eq!(Processors::mine().unwrap().count(), crew.processors.unwrap().count());
    crew.spread(me, false);
    assert_eq!(class_of(me), 5, "SCHED_IDLE");
    crew.end();
    helper.join().unwrap();
}
