#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::time::Duration;

use holdfast_core::id::{InodeId, LockOwner, SessionId};
use holdfast_core::lock::{HeldLock, Holder, LOCK_END, LockAsk, LockClaim, LockMode, LockRange, LockSpace};
use holdfast_core::session::BootTime;
use proptest::prelude::*;

use super::{LockConflict, claim_to_wire, claimed, held_to_wire};
use crate::v1;

fn asks() -> impl Strategy<Value = LockAsk> {
    let modes = prop::sample::select(vec![None, Some(LockMode::Shared), Some(LockMode::Exclusive)]);
    let ranges = (0..=LOCK_END, 0..=LOCK_END).prop_map(|(a, b)| LockRange::new(a.min(b), a.max(b)).unwrap());
    (any::<bool>(), 1..=u64::MAX, any::<u64>(), modes, ranges, any::<u32>(), any::<bool>()).prop_map(
        |(flock, ino, owner, mode, range, pid, open_file)| LockAsk {
            ino: InodeId(ino),
            space: if flock { LockSpace::Flock } else { LockSpace::Record },
            owner: LockOwner(owner),
            mode,
            range: if flock { LockRange::WHOLE } else { range },
            pid,
            open_file,
        },
    )
}

proptest! {
    #[test]
    fn requests_come_back(ask in asks()) {
        prop_assert_eq!(LockAsk::try_from(v1::Lock::from(&ask)).unwrap(), ask);
        let claim = LockClaim { ask, held_for: Duration::from_millis(ask.pid.into()) };
        prop_assert_eq!(claimed(claim_to_wire(&claim)).unwrap(), ask.mode.map(|_| claim));
    }

    #[test]
    fn conflicts_come_back(ask in asks()) {
        let Some(mode) = ask.mode else { return Ok(()) };
        let (session, other) = (SessionId([1; 16]), SessionId([2; 16]));
        let &LockAsk { ino, space, owner, range, pid, .. } = &ask;
        let held = HeldLock { holder: Holder { session, owner }, space, mode, range, pid, since: BootTime::default() };
        let conflict = LockConflict::try_from(held_to_wire(&held.seen_by(session), ino)).unwrap();
        prop_assert_eq!((conflict.mode, conflict.range, conflict.pid), (mode, range, pid));
        let elsewhere = LockConflict::try_from(held_to_wire(&held.seen_by(other), ino)).unwrap();
        prop_assert_eq!(elsewhere, LockConflict { pid: 0, ..conflict });
    }
}

#[test]
fn locks_that_cannot_be_are_refused() {
    let good = v1::Lock { ino: 1, space: 2, owner: 1, mode: 1, start: 0, end: 10, pid: 1, open_file: false };
    assert!(LockAsk::try_from(good).is_ok());
    for bad in [
        v1::Lock { ino: 0, ..good },
        v1::Lock { space: 0, ..good },
        v1::Lock { space: 3, ..good },
        v1::Lock { mode: 3, ..good },
        v1::Lock { start: 11, ..good },
        v1::Lock { end: LOCK_END + 1, ..good },
    ] {
        assert!(LockAsk::try_from(bad).is_err(), "{bad:?}");
    }
    assert!(LockConflict::try_from(v1::Lock { mode: 0, ..good }).is_err());
    assert!(claimed(v1::HeldLock::default()).is_err());
}
