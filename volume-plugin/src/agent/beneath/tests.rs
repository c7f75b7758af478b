#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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
    let over = AtomicBool::new(false);
    let (mut good, mut refused) = (0, 0);
    thread::scope(|scope| {
        let swap = |one: &'static str| {
            let (inside, over) = (inside.clone(), &over);
            move || {
                let (one, other) = (inside.join(one), inside.join("a"));
                while !over.load(Ordering::Relaxed) {
                    renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                }
            }
        };
        scope.spawn(swap("link"));
        scope.spawn(swap("x"));
        for _ in 0..TRIES {
            match open_beneath(&root, &subdir, &volume("v")) {
                Ok(found) => {
                    bind(&found, &target).unwrap();
                    assert_eq!(fs::read_to_string(target.join("mark")).unwrap(), "inside");
                    unbind(&target).unwrap();
                    good += 1;
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::InUse), "{error}");
                    refused += 1;
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(good > 0 && refused > 0, "no race happened: {good} good, {refused} refused");
}

#[test]
fn a_root_that_changed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let live = LiveMount { device: (0, 0), nosuid: true, nodev: true };
    assert_eq!(open_root(dir.path(), &live).unwrap_err().kind(), ErrorKind::Unavailable);
}
