//! Changing how a mount may be used while it is in use: `mount -o remount,...`.
//!
//! Only what the kernel sees to can change, above all `ro` and `rw`; the process of the mount goes
//! on undisturbed. The kernel refuses changes from the moment of a remount to `ro`, and refuses that
//! itself while files are open for writing. The process hears nothing of it: that changes come to a
//! mount that was made read-only says that it is not any more.

use std::path::Path;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::mount::MsFlags;

use super::options::MountOptions;
use crate::unmount::find;

/// Options that a remount can change.
const FLAGS: [&str; 19] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "defaults",
];
/// What the kernel lists of a FUSE mount and mount(8) gives back.
const OF_KERNEL: [&str; 6] = ["user_id", "group_id", "default_permissions", "allow_other", "max_read", "blksize"];

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remounted {
    /// Nothing can be changed through the mount now.
    pub read_only: bool,
}

/// Changes the mount on a directory. Options that concern its process stay as they are.
///
/// # Errors
/// `NotFound`: nothing of ours is mounted there. `Invalid`: an option that is none. `Denied`: not
/// root, or set-user-id or device files would begin to work. `InUse`: files are open for writing.
pub fn remount<'a>(dir: &Path, words: impl IntoIterator<Item = &'a str>) -> Result<Remounted> {
    let mount = find(dir)?;
    let flags = flags(&mount.options, words)?;
    let none: Option<&str> = None;
    nix::mount::mount(none, &mount.point, none, flags | MsFlags::MS_REMOUNT, none).map_err(|errno| {
        let (kind, hint) = match errno {
            Errno::EPERM | Errno::EACCES => (ErrorKind::Denied, "; it needs root (CAP_SYS_ADMIN)"),
            Errno::EBUSY => (ErrorKind::InUse, "; files are open for writing, close them first"),
            _ => (ErrorKind::Unavailable, ""),
        };
        Error::new(kind, format!("cannot remount {}: {errno}{hint}", mount.point.display())).because(errno)
    })?;
    Ok(Remounted { read_only: flags.contains(MsFlags::MS_RDONLY) })
}

/// Flags from what the kernel says now and what is to be different.
fn flags<'a>(now: &str, words: impl IntoIterator<Item = &'a str>) -> Result<MsFlags> {
    let now: Vec<&str> = now.split(',').filter(|word| FLAGS.contains(word)).collect();
    let mut changed = Vec::new();
    for word in words.into_iter().map(str::trim).filter(|word| !matches!(*word, "" | "remount" | "defaults")) {
        let name = word.split('=').next().unwrap_or(word);
        if FLAGS.contains(&word) {
            changed.push(word);
        } else if !OF_KERNEL.contains(&name) {
            // Known or not: the mount's process keeps what it was given.
            MountOptions::from_words(["soft", word])?;
        }
    }
    // The kernel lists `nosuid` and `nodev` where they hold, and nothing where they do not.
    let all = ["suid", "dev"].iter().chain(&now).chain(&changed);
    let options = MountOptions::from_words(all.copied())?;
    for (name, asked, holds) in
        [("suid", options.suid, now.contains(&"nosuid")), ("dev", options.dev, now.contains(&"nodev"))]
    {
        if holds && asked != Some(false) {
            let message = format!(
                "a remount cannot turn {name} on; unmount it, and mount it with {name} if the volume allows it"
            );
            return Err(Error::new(ErrorKind::Denied, message));
        }
    }
    let mut flags = options.flags;
    flags.set(MsFlags::MS_NOSUID, options.suid == Some(false));
    flags.set(MsFlags::MS_NODEV, options.dev == Some(false));
    flags.set(MsFlags::MS_RDONLY, options.read_only);
    Ok(flags)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    const NOW: &str = "rw,nosuid,nodev,relatime,rw,user_id=0,group_id=0,default_permissions,allow_other";
    const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_RELATIME);

    #[test]
    fn what_is_not_said_stays() {
        assert_eq!(flags(NOW, ["remount", "ro"]).unwrap(), SAFE | MsFlags::MS_RDONLY);
        assert_eq!(flags(NOW, ["remount", "noexec"]).unwrap(), SAFE | MsFlags::MS_NOEXEC);
        let read_only = NOW.replace("rw", "ro");
        assert_eq!(flags(&read_only, ["remount"]).unwrap(), SAFE | MsFlags::MS_RDONLY);
        assert_eq!(flags(&read_only, ["remount", "rw", "soft", "timeout=4", "user_id=0"]).unwrap(), SAFE);
        assert_eq!(flags("rw,relatime", ["rw"]).unwrap(), MsFlags::MS_RELATIME);
        assert_eq!(flags("rw,relatime", ["noatime"]).unwrap(), MsFlags::MS_NOATIME);
        for word in ["atime", "relatime"] {
            assert_eq!(flags("rw,noatime", ["noatime", word]).unwrap(), MsFlags::MS_RELATIME);
        }
    }

    #[test]
    fn what_is_given_back_by_mount_changes_nothing() {
        let words = NOW.split(',').chain(["remount", "ro"]);
        assert_eq!(flags(NOW, words).unwrap(), SAFE | MsFlags::MS_RDONLY);
    }

    #[test]
    fn set_user_id_cannot_be_turned_on_and_mistakes_are_told() {
        assert_eq!(flags(NOW, ["suid"]).unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(flags(NOW, ["dev"]).unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(flags(NOW, ["r0"]).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn what_is_not_mounted_cannot_be_remounted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remount(dir.path(), ["ro"]).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
