#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::super::bind::{bind, unbind};
use super::super::fixture::{private_mounts, volume};
use super::*;

/// CVE-2021-25741 and its kin: a directory of the path becomes a symbolic link between the check
/// and the mount. Every try gives the directory inside or an error, never the one outside.
#[test]
fn a_swapped_link_never_escapes() {
    const TRIES: usize = 1000;
    private_mounts();
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("volume"), dir.path().join("outside"));
    for (root, mark) in [(inside.join("a"), "inside"), (outside.clone(), "outside")] {
        fs::create_dir_all(root.join("b")).unwrap();
        fs::write(root.join("b/mark"), mark).unwrap();
    }
    symlink(&outside, inside.join("link")).unwrap();
    fs::create_dir(inside.join("x")).unwrap();
    symlink(outside.join("b"), inside.join("x/b")).unwrap();

    let root = open(&inside, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    let subdir: Subdir = "a/b".parse().unwrap();
    let target = dir.path().join("target");
    for swapped in ["link", "x"] {
        let over = AtomicBool::new(false);
        let (mut good, mut refused) = (0, 0);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                let (one, other) = (inside.join(swapped), inside.join("a"));
                while !over.load(Ordering::Relaxed) {
                    // There and back, so that the next round begins as this one did.
                    for _ in 0..2 {
                        renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                    }
                }
            });
            // On a busy machine it takes more tries until both have happened.
            let end = Instant::now() + Duration::from_secs(20);
            let mut outcome = Ok(());
            while outcome.is_ok() && (good + refused < TRIES || (good == 0 || refused == 0) && Instant::now() < end) {
                outcome = match open_beneath(&root, &subdir, &volume("v")) {
                    Ok(found) => {
                        good += 1;
                        bound_mark(&found, &target)
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::InUse) => {
                        refused += 1;
                        Ok(())
                    }
                    Err(error) => Err(format!("{error:?}")),
                };
            }
            over.store(true, Ordering::Relaxed);
            outcome
        });
        outcome.unwrap();
        assert!(good > 0 && refused > 0, "no race with {swapped} happened: {good} good, {refused} refused");
    }
}

/// Binds what was opened, and looks what it is.
fn bound_mark(found: &OwnedFd, target: &Path) -> std::result::Result<(), String> {
    bind(found, target).map_err(|error| format!("{error:?}"))?;
    let mark = fs::read_to_string(target.join("mark"));
    unbind(target).map_err(|error| format!("{error:?}"))?;
    match mark.as_deref() {
        Ok("inside") => Ok(()),
        other => Err(format!("it escaped: {other:?}")),
    }
}

#[test]
fn a_root_that_changed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let live = LiveMount { device: (0, 0), nosuid: true, nodev: true };
    assert_eq!(open_root(dir.path(), &live).unwrap_err().kind(), ErrorKind::Unavailable);
}
