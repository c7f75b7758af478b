//! Whether reads through a mount move access times: as the mount's options say at this moment.
//!
//! A remount does not reach the mount's process; the kernel's list of mounts tells. It is read at most
//! once a second, and only when an access time would move. Other mounts of the same file system (bind
//! mounts, containers) have options of their own, and FUSE does not say through which of them somebody
//! reads: those of the mount itself count.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::table;
use crate::fs::AccessTimes;

/// How old what is known of the options may be.
const FRESH: Duration = Duration::from_secs(1);

/// What the options allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Allowed {
    files: bool,
    directories: bool,
}

/// The options of a mount.
#[derive(Debug)]
pub(super) struct MountAccess {
    minor: u32,
    point: PathBuf,
    known: Mutex<(Option<Instant>, Allowed)>,
}

impl MountAccess {
    pub(super) fn new(minor: u32, point: PathBuf) -> Self {
        Self { minor, point, known: Mutex::default() }
    }

    /// `None`: it is not in the list, or that cannot be read.
    fn look(&self) -> io::Result<Option<Allowed>> {
        let mut mounts = table::read()?.into_iter();
        let own = mounts.rfind(|mount| mount.minor == self.minor && mount.point == self.point);
        Ok(own.map(|mount| allowed(&mount.options)))
    }
}

impl AccessTimes for MountAccess {
    fn move_for(&self, directory: bool) -> bool {
        let mut known = self.known.lock();
        if known.0.is_none_or(|at| at.elapsed() > FRESH) {
            known.0 = Some(Instant::now());
            // What was known counts on: out of the tree it may be used all the same.
            known.1 = self.look().ok().flatten().unwrap_or(known.1);
        }
        if directory { known.1.directories } else { known.1.files }
    }
}

fn allowed(options: &str) -> Allowed {
    let has = |name| options.split(',').any(|option| option == name);
    let files = !has("ro") && !has("noatime");
    Allowed { files, directories: files && !has("nodiratime") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_what_moves() {
        let files_and_directories = |options| {
            let Allowed { files, directories } = allowed(options);
            (files, directories)
        };
        assert_eq!(files_and_directories("rw,nosuid,relatime,rw,user_id=0"), (true, true));
        assert_eq!(files_and_directories("rw,nodiratime,relatime,rw"), (true, false));
        assert_eq!(files_and_directories("rw,noatime,rw"), (false, false));
        assert_eq!(files_and_directories("ro,relatime,rw"), (false, false));
    }

    #[test]
    fn what_is_not_mounted_moves_nothing() {
        let access = MountAccess::new(u32::MAX, "/nowhere".into());
        assert!(!access.move_for(false) && !access.move_for(true));
    }
}
