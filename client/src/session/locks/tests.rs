#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use holdfast_core::id::LockOwner;

use super::*;

const NOW: BootTime = BootTime(Duration::from_secs(9));
const SHARED: Option<LockMode> = Some(LockMode::Shared);
const EXCLUSIVE: Option<LockMode> = Some(LockMode::Exclusive);

fn flock(mode: Option<LockMode>) -> LockAsk {
    let (space, range) = (LockSpace::Flock, LockRange::WHOLE);
    LockAsk { ino: InodeId(5), space, owner: LockOwner(1), mode, range, pid: 1, open_file: false }
}

fn bytes(mode: Option<LockMode>, start: u64, end: u64) -> LockAsk {
    LockAsk { space: LockSpace::Record, range: LockRange::new(start, end).unwrap(), ..flock(mode) }
}

/// What a session claims that has one lock and has asked for something that is not answered.
fn claimed(has: LockAsk, asked: LockAsk) -> Vec<(LockMode, u64, u64)> {
    let mut locks = Locks::new(SessionId([1; 16]));
    let (id, _) = locks.lock(has, false, Some(()));
    locks.answered(id, &Ok(None), NOW).unwrap();
    locks.lock(asked, true, Some(()));
    let claims = locks.claims(NOW).into_iter();
    claims.map(|claim| (claim.ask.mode.unwrap(), claim.ask.range.start(), claim.ask.range.end())).collect()
}

#[test]
fn what_an_unanswered_request_lets_go_is_not_claimed() {
    let whole = (LockMode::Exclusive, 0, LockRange::WHOLE.end());
    assert_eq!(claimed(flock(EXCLUSIVE), LockAsk { ino: InodeId(6), ..flock(None) }), [whole]);
    assert_eq!(claimed(flock(EXCLUSIVE), flock(None)), []);
    assert_eq!(claimed(flock(EXCLUSIVE), flock(SHARED)), [], "another may have come between");
    let (exclusive, shared) = (LockMode::Exclusive, LockMode::Shared);
    assert_eq!(claimed(bytes(EXCLUSIVE, 0, 99), bytes(None, 10, 19)), [(exclusive, 0, 9), (exclusive, 20, 99)]);
    assert_eq!(claimed(bytes(EXCLUSIVE, 0, 99), bytes(SHARED, 90, 200)), [(exclusive, 0, 89), (shared, 90, 99)]);
    assert_eq!(claimed(bytes(SHARED, 0, 99), bytes(EXCLUSIVE, 0, 99)), [(shared, 0, 99)], "it is kept meanwhile");
    assert_eq!(claimed(bytes(SHARED, 0, 99), bytes(SHARED, 50, 200)), [(shared, 0, 99)]);
}
