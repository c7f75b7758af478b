#![expect(clippy::unwrap_used, reason = "a test may stop")]

use holdfast_core::id::{InodeId, LockOwner, SessionId};
use holdfast_core::lock::{LOCK_END, LockAsk, LockMode, LockRange, LockSpace};
use proptest::prelude::*;

use super::{LockConflict, claimed, conflict_to_wire, held_by};
use crate::v1;

fn asks() -> impl Strategy<Value = LockAsk> {
    let modes = prop::sample::select(vec![None, Some(LockMode::Shared), Some(LockMode::Exclusive)]);
    let ranges = (0..=LOCK_END, 0..=LOCK_END).prop_map(|(a, b)| LockRange::new(a.min(b), a.max(b)).unwrap());
    (any::<bool>(), 1..=u64::MAX, any::<u64>(), modes, ranges, any::<u32>()).prop_map(
        |(flock, ino, owner, mode, range, pid)| LockAsk {
            ino: InodeId(ino),
            space: if flock { LockSpace::Flock } else { LockSpace::Record },
            owner: LockOwner(owner),
            mode,
            range: if flock { LockRange::WHOLE } else { range },
            pid,
        },
    )
}

proptest! {
    #[test]
    fn requests_come_back(ask in asks()) {
        prop_assert_eq!(LockAsk::try_from(v1::Lock::from(&ask)).unwrap(), ask);
        let claim = claimed(v1::HeldLock { lock: Some((&ask).into()) }).unwrap();
        prop_assert_eq!(claim, ask.mode.map(|_| ask));
    }

    #[test]
    fn conflicts_come_back(ask in asks()) {
        let Some(held) = held_by(&ask, SessionId([1; 16])) else { return Ok(()) };
        let conflict = LockConflict::try_from(conflict_to_wire(&held, ask.ino)).unwrap();
        prop_assert_eq!((Some(conflict.mode), conflict.range, conflict.pid), (ask.mode, ask.range, ask.pid));
    }
}

#[test]
fn locks_that_cannot_be_are_refused() {
    let good = v1::Lock { ino: 1, space: 2, owner: 1, mode: 1, start: 0, end: 10, pid: 1 };
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
    assert!(claimed(v1::HeldLock { lock: None }).is_err());
}
