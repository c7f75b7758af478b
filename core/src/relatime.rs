//! When a read moves an inode's access time: mount(8)'s relatime.
//!
//! The access time is a hint that the file was read since it last changed, and which day. Both sides
//! decide by the same rule: the client to ask for it, the server because others may have been first.

use std::time::Duration;

use crate::attr::Attr;
use crate::time::Timestamp;

/// An access time that is older is moved by a read in any case.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// What changed in the future is read at most so often: else each read of it would count.
const FUTURE: Duration = Duration::from_secs(1);

/// Whether a read at this time moves the access time on. Never back.
#[must_use]
pub fn is_due(attr: &Attr, now: Timestamp) -> bool {
    let changed = attr.mtime.max(attr.ctime);
    let unread = attr.atime <= changed && (changed <= now || attr.atime.after(FUTURE) <= now);
    attr.atime < now && (unread || attr.atime.after(OLD) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{FileKind, Mode};
    use crate::id::{DataVersion, InodeId};

    const DAY: i64 = 86_400;

    fn at(secs: i64) -> Timestamp {
        Timestamp { secs, nanos: 5 }
    }

    fn attr(atime: Timestamp, mtime: Timestamp, ctime: Timestamp) -> Attr {
        Attr {
            ino: InodeId(9),
            kind: FileKind::Regular,
            mode: Mode::from_bits(0o644),
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            allocated: 0,
            atime,
            mtime,
            ctime,
            btime: at(0),
            data_version: DataVersion(0),
            no_xattrs: true,
        }
    }

    #[test]
    fn what_was_not_read_since_it_changed_is_due() {
        let due = |atime, mtime, ctime| is_due(&attr(at(atime), at(mtime), at(ctime)), at(1000));
        assert!(due(10, 10, 10), "just made");
        assert!(due(10, 20, 5) && due(10, 5, 20), "content or attributes changed after the read");
        assert!(!due(30, 20, 20), "read since");
    }

    #[test]
    fn a_read_counts_once_a_day() {
        let read = attr(at(100), at(50), at(50));
        assert!(!is_due(&read, at(100 + DAY - 1)));
        assert!(is_due(&read, at(100 + DAY)));
    }

    #[test]
    fn it_never_goes_back_and_stands_still_in_one_moment() {
        assert!(!is_due(&attr(at(500), at(500), at(500)), at(500)));
        assert!(!is_due(&attr(at(500), at(600), at(600)), at(400)), "the clock went back");
        assert!(!is_due(&attr(at(500), at(10), at(10)), at(400)));
    }

    #[test]
    fn what_changes_in_the_future_is_read_once_a_second() {
        let future = attr(at(100), at(1 << 40), at(50));
        assert!(!is_due(&future, at(100).after(Duration::from_millis(999))));
        assert!(is_due(&future, at(101)));
    }
}
