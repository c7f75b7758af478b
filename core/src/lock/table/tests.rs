use std::time::Duration;

use proptest::prelude::*;

use super::queue::{COURTESY_MAX, COURTESY_MIN};
use super::*;

const A: SessionId = SessionId([1; 16]);
const B: SessionId = SessionId([2; 16]);
const C: SessionId = SessionId([3; 16]);
const FILE: InodeId = InodeId(7);
const OTHER: InodeId = InodeId(8);

fn record(ino: InodeId, mode: Option<LockMode>, start: u64, end: u64) -> LockAsk {
    let range = LockRange::new(start, end).expect("a range");
    LockAsk { ino, space: LockSpace::Record, owner: LockOwner(1), mode, range, pid: 42, open_file: false }
}

fn flock(mode: Option<LockMode>) -> LockAsk {
    let range = LockRange::WHOLE;
    LockAsk { ino: FILE, space: LockSpace::Flock, owner: LockOwner(1), mode, range, pid: 42, open_file: false }
}

const SHARED: Option<LockMode> = Some(LockMode::Shared);
const EXCLUSIVE: Option<LockMode> = Some(LockMode::Exclusive);

struct Bench {
    table: LockTable,
    woken: Vec<Woken>,
}

impl Bench {
    fn new() -> Self {
        Self { table: LockTable::new(64), woken: Vec::new() }
    }

    fn ask(&mut self, session: SessionId, ask: LockAsk) -> Acquire {
        self.table.acquire(session, &ask, false, &mut self.woken)
    }

    fn wait(&mut self, session: SessionId, ask: LockAsk) -> Acquire {
        self.table.acquire(session, &ask, true, &mut self.woken)
    }

    /// Lets milliseconds pass.
    fn pass(&mut self, millis: u64) {
        let now = BootTime(self.table.now.0 + Duration::from_millis(millis));
        self.table.tell_time(now, &mut self.woken);
    }

    fn granted(&mut self) -> Vec<Ticket> {
        self.woken.drain(..).filter(|w| w.outcome == Outcome::Granted).map(|w| w.ticket).collect()
    }

    fn ranges(&self, session: SessionId) -> Vec<(u64, u64, LockMode)> {
        let mine = self.table.held().filter(|(_, lock)| lock.holder.session == session);
        mine.map(|(_, lock)| (lock.range.start(), lock.range.end(), lock.mode)).collect()
    }
}

#[test]
fn shared_locks_live_together_and_keep_exclusive_ones_out() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(A, flock(SHARED)), Acquire::Granted);
    assert_eq!(bench.ask(B, flock(SHARED)), Acquire::Granted);
    assert_eq!(bench.ask(C, flock(EXCLUSIVE)), Acquire::WouldBlock);
    assert_eq!(bench.ask(C, record(FILE, EXCLUSIVE, 0, 9)), Acquire::Granted, "the two spaces do not see each other");
}

#[test]
fn unlocking_the_middle_splits_and_locking_it_again_merges() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 99));
    bench.ask(A, record(FILE, None, 40, 59));
    assert_eq!(bench.ranges(A), [(0, 39, LockMode::Exclusive), (60, 99, LockMode::Exclusive)]);
    bench.ask(A, record(FILE, SHARED, 40, 59));
    assert_eq!(bench.ranges(A).len(), 3);
    bench.ask(A, record(FILE, EXCLUSIVE, 40, 59));
    assert_eq!(bench.ranges(A), [(0, 99, LockMode::Exclusive)]);
}

#[test]
fn a_downgrade_lets_readers_in() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 99));
    let Acquire::Queued(ticket) = bench.wait(B, record(FILE, SHARED, 50, 60)) else { panic!("it must wait") };
    bench.ask(A, record(FILE, SHARED, 0, 99));
    assert_eq!(bench.granted(), [ticket]);
}

#[test]
fn waiters_are_granted_in_order_of_arrival() {
    let mut bench = Bench::new();
    bench.ask(A, flock(EXCLUSIVE));
    let Acquire::Queued(first) = bench.wait(B, flock(EXCLUSIVE)) else { panic!("it must wait") };
    let Acquire::Queued(second) = bench.wait(C, flock(EXCLUSIVE)) else { panic!("it must wait") };
    bench.ask(A, flock(None));
    assert_eq!(bench.granted(), [first]);
    bench.ask(B, flock(None));
    assert_eq!(bench.granted(), [second]);
}

#[test]
fn a_flock_conversion_that_fails_has_lost_the_old_lock() {
    let mut bench = Bench::new();
    bench.ask(A, flock(SHARED));
    bench.ask(B, flock(SHARED));
    assert_eq!(bench.ask(A, flock(EXCLUSIVE)), Acquire::WouldBlock);
    assert_eq!(bench.ranges(A), []);
    assert_eq!(bench.ask(B, flock(EXCLUSIVE)), Acquire::Granted);
}

#[test]
fn a_record_upgrade_that_fails_keeps_the_old_lock() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, SHARED, 0, 9));
    bench.ask(B, record(FILE, SHARED, 0, 9));
    assert_eq!(bench.ask(A, record(FILE, EXCLUSIVE, 0, 9)), Acquire::WouldBlock);
    assert_eq!(bench.ranges(A), [(0, 9, LockMode::Shared)]);
}

#[test]
fn a_circle_across_files_and_three_holders_is_refused() {
    let mut bench = Bench::new();
    let third = InodeId(9);
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 0));
    bench.ask(B, record(OTHER, EXCLUSIVE, 0, 0));
    bench.ask(C, record(third, EXCLUSIVE, 0, 0));
    assert!(matches!(bench.wait(A, record(OTHER, SHARED, 0, 0)), Acquire::Queued(_)));
    assert!(matches!(bench.wait(B, record(third, SHARED, 0, 0)), Acquire::Queued(_)));
    assert_eq!(bench.wait(C, record(FILE, SHARED, 0, 0)), Acquire::Deadlock);
    assert_eq!(bench.ask(C, record(FILE, SHARED, 0, 0)), Acquire::WouldBlock, "not waiting is no deadlock");
}

#[test]
fn two_readers_that_both_want_to_write_are_a_deadlock() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, SHARED, 0, 9));
    bench.ask(B, record(FILE, SHARED, 0, 9));
    assert!(matches!(bench.wait(A, record(FILE, EXCLUSIVE, 0, 9)), Acquire::Queued(_)));
    assert_eq!(bench.wait(B, record(FILE, EXCLUSIVE, 0, 9)), Acquire::Deadlock);
}

#[test]
fn a_circle_that_a_grant_to_a_thread_closes_is_refused_to_the_waiter() {
    let mut bench = Bench::new();
    // B has two threads: one waits for A's byte of OTHER, the other takes a byte that A awaits.
    bench.ask(A, record(OTHER, EXCLUSIVE, 0, 0));
    bench.ask(C, record(FILE, SHARED, 0, 9));
    let Acquire::Queued(of_a) = bench.wait(A, record(FILE, EXCLUSIVE, 0, 9)) else { panic!("it must wait") };
    let Acquire::Queued(_) = bench.wait(B, record(OTHER, EXCLUSIVE, 0, 0)) else { panic!("it must wait") };
    assert_eq!(bench.ask(B, record(FILE, SHARED, 0, 9)), Acquire::Granted);
    assert_eq!(bench.woken, [Woken { ticket: of_a, outcome: Outcome::Deadlock }]);
}

#[test]
fn a_wait_for_a_lock_of_an_open_file_is_no_part_of_a_circle() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 0));
    bench.ask(B, record(OTHER, EXCLUSIVE, 0, 0));
    let of_file = |ask| LockAsk { open_file: true, ..ask };
    assert!(matches!(bench.wait(A, of_file(record(OTHER, SHARED, 0, 0))), Acquire::Queued(_)));
    assert!(matches!(bench.wait(B, record(FILE, SHARED, 0, 0)), Acquire::Queued(_)), "it goes through that wait");
    assert!(matches!(bench.wait(B, of_file(record(FILE, EXCLUSIVE, 0, 0))), Acquire::Queued(_)));
    assert!(bench.woken.is_empty());
}

#[test]
fn readers_let_a_writer_go_first_for_as_long_as_it_has_waited() {
    let mut bench = Bench::new();
    bench.ask(A, flock(SHARED));
    let Acquire::Queued(writer) = bench.wait(B, flock(EXCLUSIVE)) else { panic!("it must wait") };
    let reader = |owner| LockAsk { owner: LockOwner(owner), ..flock(SHARED) };
    assert_eq!(bench.wait(C, reader(1)), Acquire::Granted, "a writer that has just come is overtaken");
    bench.pass(1000);
    let Acquire::Queued(second) = bench.wait(C, reader(2)) else { panic!("it must let the writer go first") };
    assert_eq!(bench.ask(C, reader(3)), Acquire::Granted, "who does not wait is not held up");
    assert_eq!(bench.wait(C, reader(3)), Acquire::Granted, "nor who has it already");
    bench.pass(999);
    assert!(bench.woken.is_empty());
    bench.pass(1);
    assert_eq!(bench.granted(), [second], "it waited as long as the writer had");
    let Acquire::Queued(third) = bench.wait(C, reader(4)) else { panic!("it must let the writer go first") };
    for holder in [(A, 1), (C, 1), (C, 2), (C, 3)] {
        bench.ask(holder.0, LockAsk { owner: LockOwner(holder.1), ..flock(None) });
    }
    assert_eq!(bench.granted(), [writer], "the readers have drained");
    bench.pass(60_000);
    assert!(bench.woken.is_empty(), "what was politeness is a wait now");
    bench.ask(B, flock(None));
    assert_eq!(bench.granted(), [third]);
    bench.ask(C, LockAsk { owner: LockOwner(4), ..flock(None) });
    assert!(bench.table.is_empty() && bench.table.polite.is_empty());
}

#[test]
fn nobody_is_polite_to_one_whom_a_long_lock_keeps_out() {
    let mut bench = Bench::new();
    bench.ask(A, flock(SHARED));
    assert!(matches!(bench.wait(B, flock(EXCLUSIVE)), Acquire::Queued(_)));
    bench.pass(5001);
    assert_eq!(bench.wait(C, flock(SHARED)), Acquire::Granted);
}

#[test]
fn the_polite_go_on_when_who_they_let_first_gives_up() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, SHARED, 0, 9));
    let Acquire::Queued(writer) = bench.wait(B, record(FILE, EXCLUSIVE, 0, 9)) else { panic!("it must wait") };
    bench.pass(2000);
    let Acquire::Queued(reader) = bench.wait(C, record(FILE, SHARED, 5, 5)) else { panic!("it must be polite") };
    assert_eq!(bench.wait(C, LockAsk { owner: LockOwner(2), ..record(FILE, SHARED, 20, 29) }), Acquire::Granted);
    assert!(bench.table.cancel(writer, &mut bench.woken));
    assert_eq!(bench.granted(), [reader]);
    let Acquire::Queued(_) = bench.wait(B, record(FILE, EXCLUSIVE, 0, 9)) else { panic!("it must wait") };
    bench.pass(2000);
    let polite = LockAsk { owner: LockOwner(3), ..record(FILE, SHARED, 0, 0) };
    let Acquire::Queued(reader) = bench.wait(C, polite) else { panic!("it must be polite") };
    bench.table.release_session(B, &mut bench.woken);
    assert_eq!(bench.granted(), [reader], "also when its whole session goes");
}

#[test]
fn a_cancelled_wait_takes_nothing() {
    let mut bench = Bench::new();
    bench.ask(A, flock(EXCLUSIVE));
    let Acquire::Queued(ticket) = bench.wait(B, flock(EXCLUSIVE)) else { panic!("it must wait") };
    assert!(bench.table.cancel(ticket, &mut bench.woken));
    assert!(!bench.table.cancel(ticket, &mut bench.woken));
    bench.ask(A, flock(None));
    assert!(bench.woken.is_empty());
    assert!(bench.table.is_empty());
}

#[test]
fn a_session_goes_with_its_locks_and_waits() {
    let mut bench = Bench::new();
    bench.ask(A, flock(EXCLUSIVE));
    bench.ask(A, record(OTHER, EXCLUSIVE, 5, 6));
    let Acquire::Queued(of_b) = bench.wait(B, flock(EXCLUSIVE)) else { panic!("it must wait") };
    let Acquire::Queued(_) = bench.wait(A, LockAsk { owner: LockOwner(2), ..flock(SHARED) }) else { panic!("waits") };
    bench.table.release_session(A, &mut bench.woken);
    assert_eq!(bench.woken, [Woken { ticket: of_b, outcome: Outcome::Granted }]);
    assert_eq!(bench.ranges(A), []);
    bench.table.release_owner(Holder { session: B, owner: LockOwner(1) }, &mut bench.woken);
    assert!(bench.table.is_empty());
    assert!(bench.table.counts.is_empty() && bench.table.places.is_empty());
}

#[test]
fn a_session_that_comes_back_holds_exactly_what_it_says() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 9));
    bench.ask(A, record(FILE, EXCLUSIVE, 20, 29));
    let Acquire::Queued(kept_out) = bench.wait(B, record(FILE, EXCLUSIVE, 0, 9)) else { panic!("it must wait") };
    let Acquire::Queued(let_in) = bench.wait(B, record(FILE, EXCLUSIVE, 20, 29)) else { panic!("it must wait") };
    bench.ask(C, record(OTHER, EXCLUSIVE, 0, 0));
    let claims = [record(FILE, EXCLUSIVE, 0, 9), record(OTHER, SHARED, 0, 0)];
    let said = claims.map(|ask| LockClaim { ask, held_for: Duration::from_secs(3) });
    bench.pass(10_000);
    let refused = bench.table.reclaim_session(A, &said, &mut bench.woken);
    assert_eq!(refused, [claims[1]]);
    assert_eq!(bench.granted(), [let_in]);
    assert_eq!(bench.ranges(A), [(0, 9, LockMode::Exclusive)]);
    let since = bench.table.held().find(|(_, lock)| lock.holder.session == A).map(|(_, lock)| lock.since);
    assert_eq!(since, Some(BootTime(Duration::from_secs(7))), "it was held before the break");
    assert!(bench.table.cancel(kept_out, &mut bench.woken), "it still waits");
}

#[test]
fn what_a_session_has_in_one_file_is_what_it_says() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 9));
    bench.ask(A, record(OTHER, EXCLUSIVE, 0, 9));
    bench.ask(B, record(FILE, SHARED, 50, 59));
    assert_eq!(bench.table.held_in(A, FILE).map(|lock| lock.range.start()).collect::<Vec<_>>(), [0]);
    let Acquire::Queued(let_in) = bench.wait(B, record(FILE, SHARED, 5, 5)) else { panic!("it is free") };
    bench.ask(C, record(OTHER, EXCLUSIVE, 50, 59));
    let Acquire::Queued(waits) = bench.wait(A, record(OTHER, EXCLUSIVE, 0, 99)) else { panic!("it must wait") };
    let said = [record(FILE, SHARED, 5, 9), record(FILE, EXCLUSIVE, 55, 55)];
    let claims = said.map(|ask| LockClaim { ask, held_for: Duration::ZERO });
    assert_eq!(bench.table.reclaim_file(A, FILE, &claims, &mut bench.woken), [said[1]], "it is another's");
    assert_eq!(bench.granted(), [let_in]);
    assert_eq!(bench.table.held_in(A, FILE).map(|lock| lock.range.start()).collect::<Vec<_>>(), [5]);
    assert_eq!(bench.table.held_in(A, OTHER).count(), 1, "another file is another matter");
    assert!(bench.table.cancel(waits, &mut bench.woken), "it still waits");
}

#[test]
fn who_else_uses_a_file_is_known() {
    let mut bench = Bench::new();
    assert!(!bench.table.is_used_elsewhere(FILE, A));
    bench.ask(A, record(FILE, EXCLUSIVE, 0, 9));
    assert!(!bench.table.is_used_elsewhere(FILE, A));
    assert!(bench.table.is_used_elsewhere(FILE, B));
    let Acquire::Queued(waits) = bench.wait(B, record(FILE, SHARED, 5, 5)) else { panic!("it is free") };
    assert!(bench.table.is_used_elsewhere(FILE, A), "a waiter counts");
    bench.table.cancel(waits, &mut bench.woken);
    assert!(!bench.table.is_used_elsewhere(FILE, A));
    assert_eq!((bench.table.count(A), bench.table.count(B)), (1, 0));
}

#[test]
fn a_query_names_the_first_lock_in_the_way() {
    let mut bench = Bench::new();
    bench.ask(A, record(FILE, EXCLUSIVE, 50, 59));
    bench.ask(B, record(FILE, SHARED, 10, 19));
    let found = bench.table.query(C, &record(FILE, EXCLUSIVE, 0, 99)).expect("a conflict");
    assert_eq!((found.holder.session, found.range.start(), found.pid), (B, 10, 42));
    assert_eq!(bench.table.query(C, &record(FILE, SHARED, 0, 20)), None);
    assert_eq!(bench.table.query(A, &record(FILE, EXCLUSIVE, 50, 59)), None);
}

#[test]
fn a_session_has_a_limit() {
    let mut bench = Bench { table: LockTable::new(4), woken: Vec::new() };
    for start in [0, 10, 20] {
        assert_eq!(bench.ask(A, record(FILE, EXCLUSIVE, start, start)), Acquire::Granted);
    }
    assert_eq!(bench.ask(A, record(FILE, EXCLUSIVE, 30, 30)), Acquire::NoLocks);
    assert_eq!(bench.ask(B, record(FILE, EXCLUSIVE, 30, 30)), Acquire::Granted);
    assert_eq!(bench.ask(A, record(FILE, None, 0, 99)), Acquire::Granted, "letting go is always possible");
}

/// The whole truth about 32 bytes of two files: who has each byte, and how.
#[derive(Default)]
struct ByteMap {
    bytes: BTreeMap<(InodeId, Holder, u64), LockMode>,
}

impl ByteMap {
    fn conflicts(&self, holder: Holder, ask: &LockAsk) -> bool {
        self.bytes.iter().any(|(&(ino, other, byte), &mode)| {
            ino == ask.ino
                && other != holder
                && (ask.range.start()..=ask.range.end()).contains(&byte)
                && (mode == LockMode::Exclusive || ask.mode == EXCLUSIVE)
        })
    }

    fn set(&mut self, holder: Holder, ask: &LockAsk) {
        for byte in ask.range.start()..=ask.range.end() {
            match ask.mode {
                Some(mode) => self.bytes.insert((ask.ino, holder, byte), mode),
                None => self.bytes.remove(&(ask.ino, holder, byte)),
            };
        }
    }

    fn of(table: &LockTable) -> BTreeMap<(InodeId, Holder, u64), LockMode> {
        let mut bytes = BTreeMap::new();
        for (ino, lock) in table.held() {
            for byte in lock.range.start()..=lock.range.end() {
                assert_eq!(bytes.insert((ino, lock.holder, byte), lock.mode), None, "a holder's pieces overlap");
            }
        }
        bytes
    }
}

#[derive(Clone, Debug)]
enum Event {
    Ask { session: usize, ask: LockAsk, wait: bool },
    Cancel(u64),
    Gone(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let ask = (0..3usize, 0..2u64, 1..3u64, 0..4u8, 0..32u64, 0..32u64, any::<bool>()).prop_map(
        |(session, ino, owner, mode, one, two, wait)| {
            let mode = [None, SHARED, EXCLUSIVE, EXCLUSIVE][usize::from(mode)];
            let ask = LockAsk { owner: LockOwner(owner), ..record(InodeId(ino + 7), mode, one.min(two), one.max(two)) };
            Event::Ask { session, ask, wait }
        },
    );
    let pass = (0..3000u64).prop_map(Event::Pass);
    prop_oneof![8 => ask, 1 => (1..20u64).prop_map(Event::Cancel), 1 => (0..3usize).prop_map(Event::Gone), 2 => pass]
}

proptest! {
    /// Every grant and refusal agrees with a map of single bytes; nobody waits whom nothing hinders,
    /// but for the polite, and those not for long; the waits never form a circle.
    #[test]
    fn agrees_with_a_map_of_bytes(events in proptest::collection::vec(event(), 1..120)) {
        let sessions = [A, B, C];
        let mut table = LockTable::new(10_000);
        let mut model = ByteMap::default();
        let mut asked: BTreeMap<Ticket, (Holder, LockAsk)> = BTreeMap::new();
        for event in events {
            let mut woken = Vec::new();
            match event {
                Event::Ask { session, ask, wait } => {
                    let holder = Holder { session: sessions[session], owner: ask.owner };
                    let free = ask.mode.is_none() || !model.conflicts(holder, &ask);
                    match table.acquire(sessions[session], &ask, wait, &mut woken) {
                        Acquire::Granted => { prop_assert!(free); model.set(holder, &ask); }
                        Acquire::WouldBlock => prop_assert!(!free && !wait),
                        Acquire::Deadlock => prop_assert!(!free && wait),
                        Acquire::Queued(ticket) => {
                            prop_assert!(wait && (!free || table.waits[&ticket].polite_until.is_some()));
                            asked.insert(ticket, (holder, ask));
                        }
                        Acquire::NoLocks => prop_assert!(false, "no limit was reached"),
                    }
                }
                Event::Cancel(number) => {
                    let was = table.cancel(Ticket(number), &mut woken);
                    prop_assert_eq!(was, asked.remove(&Ticket(number)).is_some());
                }
                Event::Pass(millis) => {
                    table.tell_time(BootTime(table.now.0 + Duration::from_millis(millis)), &mut woken);
                }
                Event::Gone(session) => {
                    asked.retain(|_, (holder, _)| holder.session != sessions[session]);
                    model.bytes.retain(|(_, holder, _), _| holder.session != sessions[session]);
                    table.release_session(sessions[session], &mut woken);
                }
            }
            for Woken { ticket, outcome } in woken {
                let (holder, ask) = asked.remove(&ticket).expect("only what waits is woken");
                if outcome == Outcome::Granted {
                    prop_assert!(!model.conflicts(holder, &ask));
                    model.set(holder, &ask);
                }
            }
            prop_assert_eq!(&ByteMap::of(&table), &model.bytes);
            for (ticket, (holder, ask)) in &asked {
                let wait = table.waits[ticket];
                if model.conflicts(*holder, ask) {
                    continue;
                }
                let until = wait.polite_until.expect("nothing hinders it, and yet it waits");
                let longest = (table.now.0 + COURTESY_MAX).min(wait.since.0 + COURTESY_MAX);
                prop_assert!(until > table.now && until.0 <= longest && until.0 >= wait.since.0 + COURTESY_MIN);
                let elder = asked.iter().any(|(other, (_, asked))| {
                    other < ticket && table.waits[other].excludes(&wait) && asked.ino == ask.ino
                });
                prop_assert!(elder, "there is nobody to be polite to");
            }
            for wait in table.waits.values() {
                prop_assert!(!table.closes_circle(wait), "a circle of waits was let in");
            }
            prop_assert_eq!(table.waits.len(), asked.len());
        }
    }
}
